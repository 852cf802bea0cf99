"""Settings of a provider, as they come from a file: checked once, errors in plain words."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aicore.errors import ConfigError
from aicore.models.port import Price
from aicore.models.timeouts import Timeouts

__all__ = [
    "PriceSettings",
    "Section",
    "TimeoutSettings",
    "key_from_environment",
    "no_key",
    "read_settings",
]


class Section(BaseModel):
    """A table of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Section = TypeVar("_Section", bound=Section)


class PriceSettings(Section):
    """US dollars per million tokens; write them as text, `"1.25"`, to keep them exact."""

    input_usd: Decimal = Field(ge=0)
    output_usd: Decimal = Field(ge=0)
    cached_usd: Decimal | None = Field(default=None, ge=0)
    cache_write_usd: Decimal | None = Field(default=None, ge=0)

    def price(self) -> Price:
        """The same as a Price."""
        return Price(**self.model_dump())


class TimeoutSettings(Section):
    """As in Timeouts; what is left out keeps its default."""

    connect_s: float = Field(default=Timeouts().connect_s, gt=0)
    first_token_s: float = Field(default=Timeouts().first_token_s, gt=0)
    idle_s: float = Field(default=Timeouts().idle_s, gt=0)
    total_s: float = Field(default=Timeouts().total_s, gt=0)

    def timeouts(self) -> Timeouts:
        """The same as Timeouts."""
        return Timeouts(**self.model_dump())


def read_settings(section: type[_Section], settings: Mapping[str, Any]) -> _Section:
    """Check settings. Raises: ConfigError naming the setting, and the nearest known one."""
    try:
        return section(**settings)
    except ValidationError as exc:
        # Not `from exc`: it quotes the values, and one may be a key in the wrong place.
        raise ConfigError(f"provider.{_first(exc, section)}") from None


def key_from_environment(variable: str | None) -> str | None:
    """Read a key. Raises: ConfigError naming the variable when it is not set."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise no_key(variable)
    return key


def no_key(variable: str) -> ConfigError:
    """What is said where a variable holds no key. A name that may be the key is not repeated."""
    if variable.isupper() and variable.isidentifier():
        return ConfigError(f"provider.api_key_env: set the environment variable {variable}.")
    return ConfigError(
        "provider.api_key_env: no environment variable is called so. Give the name of the one "
        "that holds the key, such as OPENAI_API_KEY, not the key."
    )


def _first(exc: ValidationError, section: type[Section]) -> str:
    errors = exc.errors(include_input=False, include_url=False)
    # A name that is not known explains one that is missing.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        words = first["msg"].removeprefix("Value error, ")
        is_missing = first["type"] == "missing"
        return f"{place} is missing." if is_missing else f"{place}: {words[:1].lower()}{words[1:]}."
    known = section.model_fields if len(first["loc"]) == 1 else _fields_within(first["loc"][0])
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}."
    return f"{place} is no setting. {hint}"


def _fields_within(name: object) -> list[str]:
    sections: dict[str, type[Section]] = {"price": PriceSettings, "timeouts": TimeoutSettings}
    section = sections.get(str(name))
    return list(section.model_fields) if section else []
