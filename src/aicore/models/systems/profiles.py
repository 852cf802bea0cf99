"""What is known of each system: where it is asked, with which key, and what it gets wrong.

The files beside this module are the data; this module reads them and completes with them what a
user configured. A setting of the user's always wins, but for one: a vendor stays `managed`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from string import Formatter
from types import MappingProxyType
from typing import Any, Literal

from aicore.errors import ConfigError
from aicore.models.systems.regions import region_word

__all__ = ["Profile", "complete", "known_systems", "system"]

_SUFFIX = ".toml"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
# A region within a host of AWS or Google Cloud.
_CLOUD_HOST = re.compile(
    r"https?://([^/:]+\.(?:amazonaws\.com|api\.aws|googleapis\.com))(?=[:/]|$)", re.IGNORECASE
)
_PLACE = re.compile(r"(?<![a-z0-9])[a-z]{2,}(?:-[a-z]+)+-?\d{1,2}(?![a-z0-9])", re.IGNORECASE)
_OWN_HEADERS = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "openai-compatible": "bearer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One system. `kind` is its name in a configuration.

    `base_url` may hold named parts, `{region}`, that the user's settings fill; `base_url_of`
    replaces it for some regions; `parts` are settings the dialect takes itself. `locality`: by
    the host of the address, a vendor's whatever the address, or a vendor's unless the user says
    otherwise; models that fit `roaming_models` are answered in no region in particular. `auth` is
    how `key_variable` goes into a request. `owned_by` is what the system calls itself in its list
    of models, `context_from` who tells a model's context. `json_schema`: answers can be held to a
    schema. `first_token_s` is its patience. `tried` says what the profile was tried with: the
    bytes on the wire only, or the real system.
    """

    kind: str
    title: str
    dialect: Literal["openai-compatible", "anthropic", "gemini", "vertex", "sagemaker"]
    base_url: str
    locality: Literal["by-host", "managed", "managed-unless-said"]
    auth: Literal[
        "none", "bearer", "api-key", "x-api-key", "x-goog-api-key", "google-token", "aws-signature"
    ]
    docs: str
    tried: Literal["wire", "real"]
    example: Mapping[str, Any]
    base_url_of: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    vendor: str | None = None
    key_variable: str | None = None
    key: Literal["none", "optional", "required"] = "none"
    limit_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    first_token_s: int | None = None
    owned_by: tuple[str, ...] = ()
    context_from: Literal["ollama", "models", "llama-cpp", "lm-studio", "openrouter"] | None = None
    json_schema: bool = True
    lists_models: bool = True
    roaming_models: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the parts of `base_url`."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.base_url) if name)


@cache
def known_systems() -> Mapping[str, Profile]:
    """All profiles by kind, sorted; the files are read once."""
    found = (system(name.removesuffix(_SUFFIX)) for name in _file_names())
    return MappingProxyType({profile.kind: profile for profile in found if profile})


@cache
def system(kind: str) -> Profile | None:
    """The profile of a kind, None where there is none."""
    if kind + _SUFFIX not in _file_names():
        return None
    fields = tomllib.loads((files(__package__ or "") / (kind + _SUFFIX)).read_text("utf-8"))
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Profile(kind=kind, **{**fields, **lists})


@cache
def _file_names() -> tuple[str, ...]:
    names = (file.name for file in files(__package__ or "").iterdir())
    return tuple(sorted(name for name in names if name.endswith(_SUFFIX)))


def complete(profile: Profile, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the dialect of a profile: the user's, completed.

    Reads the key's variable where the key goes into a header that is not the dialect's own.
    Raises: ConfigError for a part that is missing or cannot be, a key that is not set, a vendor
    that is called local.
    """
    fields = dict(settings)
    parts = _parts(profile, fields)
    model = fields.get("model")
    if isinstance(model, str):
        fields.setdefault("name", f"{profile.kind}:{model}")
    _check_place(fields.setdefault("base_url", _base_url(profile, parts)), parts)
    if profile.dialect == "openai-compatible" and profile.limit_field is not None:
        fields.setdefault("limit_field", profile.limit_field)
    if not profile.json_schema:
        fields.setdefault("json_schema", False)
    if profile.vendor is not None:
        fields.setdefault("vendor", profile.vendor)
    region = _region(profile, parts, str(model))
    if region is not None and "region" not in fields:
        fields["region"] = region
    if profile.first_token_s is not None:
        timeouts = fields.get("timeouts", {})
        if isinstance(timeouts, Mapping):
            fields["timeouts"] = {"first_token_s": profile.first_token_s, **timeouts}
    _set_locality(profile, fields)
    _set_key(profile, fields)
    return fields


def _parts(profile: Profile, fields: dict[str, Any]) -> dict[str, str]:
    """Take the parts out of the settings, but for those that the dialect takes itself."""
    names = dict.fromkeys((*profile.places, *profile.parts))
    is_placed = "base_url" in fields
    parts = {}
    for name in names:
        value = fields.get(name)
        if value is None:
            if is_placed and name not in profile.parts:
                continue
            example = profile.example.get(name, "…")
            raise ConfigError(
                f'provider.{name} is missing. {profile.title} needs it, e.g. {name} = "{example}".'
            )
        if not isinstance(value, str) or not _PART.fullmatch(value):
            raise ConfigError(f"provider.{name}: {value!r} cannot be part of an address.")
        parts[name] = value
        if name not in profile.parts:
            del fields[name]
    return parts


def _base_url(profile: Profile, parts: Mapping[str, str]) -> str:
    special = profile.base_url_of.get(parts.get("region", ""))
    if special is not None:
        return special
    return profile.base_url.format(**{name: parts.get(name, "") for name in profile.places})


def _check_place(base_url: Any, parts: Mapping[str, str]) -> None:
    """Refuse an address of another region: rules would be told of the one, text go to the other."""
    match = _CLOUD_HOST.match(base_url) if isinstance(base_url, str) else None
    found = {name.lower() for name in _PLACE.findall(match[1])} if match else set()
    region = parts.get("region", "").lower()
    if region and found and region not in found:
        raise ConfigError(
            f"provider.base_url is in {', '.join(sorted(found))}, but region is {region!r}. "
            "Correct one of them."
        )


def _region(profile: Profile, parts: Mapping[str, str], model: str) -> str | None:
    if "region" not in parts or _fits(model, profile.roaming_models):
        return None
    return region_word(parts["region"])


def _set_locality(profile: Profile, fields: dict[str, Any]) -> None:
    if profile.locality == "managed":
        if fields.get("locality", "managed") != "managed":
            raise ConfigError(
                f"provider.locality: {profile.title} is a vendor's, whatever the address. For a "
                f'server of your own write kind = "{profile.dialect}".'
            )
        fields["locality"] = "managed"
    elif profile.locality == "managed-unless-said":
        fields.setdefault("locality", "managed")


def _set_key(profile: Profile, fields: dict[str, Any]) -> None:
    variable = fields.get("api_key_env", profile.key_variable)
    is_asked = "api_key_env" in fields
    if profile.dialect not in _OWN_HEADERS or (profile.key == "none" and not is_asked):
        return
    if profile.kind == profile.dialect:  # it knows when a server needs no key
        return
    if profile.key == "optional" and not is_asked and not os.environ.get(str(variable), "").strip():
        return
    if profile.auth in (_OWN_HEADERS[profile.dialect], "none"):
        fields["api_key_env"] = variable
        return
    key = os.environ.get(str(variable), "").strip()
    if not key:
        from aicore.models.settings import no_key  # imports pydantic

        raise no_key(str(variable))
    fields.pop("api_key_env", None)
    is_bearer = profile.auth == "bearer"
    header = {"authorization": f"Bearer {key}"} if is_bearer else {profile.auth: key}
    others = fields.get("headers") or {}
    if isinstance(others, Mapping):  # else the dialect says what is wrong with it
        fields["headers"] = {**header, **others}


def _fits(model: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(model.lower(), pattern) for pattern in patterns)
