"""`aicore.toml` and the environment, as typed settings, read once.

The file is TOML. Every setting can be overridden by an environment variable:
`AICORE_` + the path, two underscores between parts, e.g. `AICORE_PROVIDER__MODEL=llama3.3`. One
for `path` or `url` of `log` or `memory` takes the place of the other in the file.
Relative paths are relative to the file; in the
arguments of a server `{here}` stands for the file's folder.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from aicore.config.routing import (
    BudgetSettings,
    OwnPrice,
    PrivacySettings,
    RouterSettings,
)
from aicore.config.sections import (
    AgentSettings,
    CallSettings,
    ContextSettings,
    LimitSettings,
    LogSettings,
    MemorySettings,
    ServerSettings,
    TelemetrySettings,
)
from aicore.errors import ConfigError

__all__ = ["Settings", "load"]


_WITHOUT_COLON = re.compile("(sqlite|postgres|postgresql|rediss?|valkeys?|unix)//")


class Settings(BaseSettings):
    """A whole configuration.

    `provider` is checked by the provider it names (`kind`), and so is each of `providers`. One is
    given, or the other.
    """

    model_config = SettingsConfigDict(
        env_prefix="AICORE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    agent: AgentSettings = Field(default_factory=AgentSettings)
    provider: dict[str, Any] = Field(default_factory=dict)
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    router: RouterSettings = Field(default_factory=RouterSettings)
    privacy: PrivacySettings = Field(default_factory=PrivacySettings)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    prices: dict[str, OwnPrice] = Field(default_factory=dict)
    servers: dict[str, ServerSettings] = Field(default_factory=dict)
    log: LogSettings = Field(default_factory=LogSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    calls: CallSettings = Field(default_factory=CallSettings)
    context: ContextSettings = Field(default_factory=ContextSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    policy: Literal["allow-all"] = "allow-all"

    @property
    def is_routed(self) -> bool:
        """Whether a router chooses who answers, if only from one."""
        given = (self.router, self.privacy, self.budget)
        plain = (RouterSettings(), PrivacySettings(), BudgetSettings())
        return bool(self.providers) or given != plain

    @model_validator(mode="after")
    def _one_or_several(self) -> Settings:
        if self.provider and self.providers:
            raise ValueError(
                "give [provider] for one, or [providers.NAME] for each of several, not both"
            )
        known = ", ".join(self.providers) or "none"
        for name in self.router.use:
            if name not in self.providers:
                near = difflib.get_close_matches(name, self.providers, n=1)
                hint = f". Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"router.use names {name!r}, which is none of [providers.NAME] ({known}){hint}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as the constructor's values."""
        return env_settings, init_settings


def load(path: Path) -> Settings:
    """Read a configuration file and the environment.

    Raises: ConfigError naming the file, the setting and what to do.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist. Name another file, or make one with `aicore demo`: it "
            "writes aicore-demo/aicore.toml."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    for name in data:
        if name.startswith("_"):  # would be an option of Settings itself
            raise ConfigError(f"{path}: there is no setting {name}. Remove it.")
    try:
        given = EnvSettingsSource(Settings)()
        settings = Settings(**_one_place(path, data, given))
    except SettingsError as error:
        raise ConfigError(
            f"An environment variable is not what it sets: {error}. Set the parts one by one, such "
            "as AICORE_LIMITS__ROUNDS=3, and a list as JSON, such as "
            "AICORE_ROUTER__USE='[\"gpu\"]', or unset it."
        ) from error
    except ValidationError as error:
        raise ConfigError(_explain(path, error, given)) from error
    return _absolute(settings, path.resolve().parent)


def _one_place(path: Path, data: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file's settings without the `path` or `url` that the environment puts another for."""
    kept = dict(data)
    for section in ("log", "memory", "budget"):
        places = {"path", "url"}
        ours, theirs = kept.get(section), given.get(section)
        if isinstance(theirs, Mapping) and places & theirs.keys():
            if places <= theirs.keys():
                names = " and ".join(_variable((section, one)) for one in ("PATH", "URL"))
                raise ConfigError(f"{names} are both set, and only one can hold. Unset one.")
            if isinstance(ours, Mapping):
                kept[section] = {key: ours[key] for key in ours if key not in places}
        elif isinstance(ours, Mapping) and places <= ours.keys():
            raise ConfigError(
                f"{path}: [{section}] has both path and url, and only one can hold. Remove one."
            )
    return kept


_TO_WRITE: Mapping[str, str] = {
    "list": 'must be a list, such as ["one", "two"]',
    "string": 'must be a text, such as "one"',
    "path": 'must be a path, such as "one/two"',
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "finite": "must be a number that is not infinite",
    "literal": "must be {expected}",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "missing": "is missing",
    "dict": "must be a section of settings",
    "model": "must be a section of settings",
}
"""What to write, by what pydantic's kinds of errors begin with; the first that fits.

https://docs.pydantic.dev/latest/errors/validation_errors/
"""


def _explain(path: Path, error: ValidationError, given: Mapping[str, Any]) -> str:
    """One sentence: where the setting was read, which it is, and what to write."""
    first = error.errors()[0]
    loc = first["loc"]
    place = ".".join(str(part) for part in loc)
    where = _variable(loc) if loc and _is_in(given, loc) else str(path)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _known(loc), n=1)
        hint = f" Did you mean {near[0]}?" if near else " Remove it."
        return f"{where}: there is no setting {place}.{hint}"
    for kind, words in _TO_WRITE.items():
        if first["type"].startswith(kind):
            return f"{where}: {place} {words.format(**first.get('ctx', {}))}."
    words = first["msg"].removeprefix("Value error, ")
    if not place:  # about the whole
        return f"{where}: {words}{'' if words.endswith('?') else '.'}"
    between = " " if words.startswith("must") else ": "
    return f"{where}: {place}{between}{words[:1].lower()}{words[1:]}."


def _variable(loc: tuple[int | str, ...]) -> str:
    return "AICORE_" + "__".join(str(part).upper() for part in loc)


def _is_in(given: Any, loc: tuple[int | str, ...]) -> bool:
    for part in loc:
        if not isinstance(given, Mapping) or part not in given:
            return False
        given = given[part]
    return True


def _known(loc: tuple[int | str, ...]) -> list[str]:
    """The settings of the section that the last part of `loc` is in, as far as that is one."""
    section: Any = Settings
    for part in loc[:-1]:
        field = getattr(section, "model_fields", {}).get(str(part))
        # A field that may be None is a union of its section and of None.
        kinds = (field.annotation, *get_args(field.annotation)) if field is not None else ()
        section = next((one for one in kinds if hasattr(one, "model_fields")), None)
    return list(getattr(section, "model_fields", {}))


def _absolute(settings: Settings, folder: Path) -> Settings:
    """The same settings with paths made absolute; `provider.file` is one by convention."""

    def resolve(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    def placed(provider: Mapping[str, Any]) -> dict[str, Any]:
        named = {key: provider[key] for key in ("file", "path") if key in provider}
        paths = {key: one for key, one in named.items() if isinstance(one, str)}
        return {**provider, **{key: str(resolve(Path(one))) for key, one in paths.items()}}

    return settings.model_copy(
        update={
            "agent": settings.agent.model_copy(
                update={"instructions_file": resolve(settings.agent.instructions_file)}
            ),
            "log": settings.log.model_copy(
                update={
                    "path": resolve(settings.log.path),
                    "url": _placed_url(settings.log.url, folder),
                }
            ),
            "memory": settings.memory.model_copy(
                update={
                    "path": resolve(settings.memory.path),
                    "url": _placed_url(settings.memory.url, folder),
                    "vectors": _placed_vectors(settings.memory.vectors, folder),
                    "knowledge": [folder / one.expanduser() for one in settings.memory.knowledge],
                }
            ),
            "provider": placed(settings.provider),
            "providers": {name: placed(one) for name, one in settings.providers.items()},
            "router": settings.router.model_copy(
                update={"fallback": resolve(settings.router.fallback)}
            ),
            "privacy": settings.privacy.model_copy(
                update={
                    "vault": _placed_url(settings.privacy.vault, folder),
                    "key_file": resolve(settings.privacy.key_file),
                }
            ),
            "budget": settings.budget.model_copy(
                update={
                    "path": resolve(settings.budget.path),
                    "url": _placed_url(settings.budget.url, folder),
                }
            ),
            "servers": {name: _placed(one, folder) for name, one in settings.servers.items()},
        }
    )


def _placed_vectors(vectors: str | None, folder: Path) -> str | None:
    """The place of vectors with the folder of a Chroma made absolute."""
    name, _, place = (vectors or "").partition(":")
    return f"chroma:{folder / Path(place).expanduser()}" if name == "chroma" and place else vectors


def _placed_url(url: str | None, folder: Path) -> str | None:
    """A url whose file, if it has one, is absolute. Only a path is a file, too."""
    if url is None or not url:
        return url
    scheme, found, rest = url.partition(":///")
    if found and scheme == "sqlite" and rest:
        return f"sqlite:///{folder / Path(rest).expanduser()}"
    # What only lacks the colon of a url is not taken for a file in the folder; it is refused later.
    is_url = ":" in url or _WITHOUT_COLON.match(url) is not None
    return url if is_url else str(folder / Path(url).expanduser())


def _placed(server: ServerSettings, folder: Path) -> ServerSettings:
    def place(words: list[str]) -> list[str]:
        return [word.replace("{here}", str(folder)) for word in words]

    command = None if server.command is None else place(server.command)
    return server.model_copy(update={"command": command, "args": place(server.args)})
