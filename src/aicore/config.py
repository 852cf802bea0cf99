"""`aicore.toml` and the environment, as typed settings, read once.

The file is TOML. Every setting can be overridden by an environment variable:
`AICORE_` + the path, two underscores between parts, e.g. `AICORE_PROVIDER__MODEL=llama3.3`. One
for `path` or `url` of `log` or `memory` takes the place of the other in the file.
Relative paths of `agent`, `log`, `memory` and `provider.file` are relative to the file; in the
arguments of a server `{here}` stands for the file's folder.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from aicore.errors import ConfigError

__all__ = [
    "AgentSettings",
    "CallSettings",
    "ContextSettings",
    "LimitSettings",
    "LogSettings",
    "MemorySettings",
    "ServerSettings",
    "Settings",
    "TelemetrySettings",
    "load",
]


_WITHOUT_COLON = re.compile("(sqlite|postgres|postgresql|rediss?|valkeys?|unix)//")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSettings(_Section):
    """Who the assistant is. `zone` is an IANA name; None: the machine's own."""

    instructions: str = ""
    instructions_file: Path | None = None
    zone: str | None = None


class ServerSettings(_Section):
    """One MCP server: exactly one of `command`, `url` or `local`.

    `command` is a program and its arguments; `local` a function `package.module:name` in this
    process that is called with `args` and returns an MCP server; `url` a streamable HTTP endpoint.
    `headers_env` maps a header to the environment variable that holds its value.
    """

    command: list[str] | None = None
    local: str | None = None
    args: list[str] = Field(default_factory=list)
    url: str | None = None
    headers_env: dict[str, str] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> ServerSettings:
        ways = [name for name in ("command", "local", "url") if getattr(self, name)]
        if len(ways) != 1:
            given = " and ".join(ways) or "none of them"
            raise ValueError(f"give exactly one of command, local or url (found {given})")
        return self


class LogSettings(_Section):
    """Where conversations are kept: a SQLite file, or what `url` names (aicore.log.registry).

    With neither they are in memory, and lost at the end.
    """

    path: Path | None = None
    url: str | None = None
    business: str = "main"

    @model_validator(mode="after")
    def _one_place(self) -> LogSettings:
        if self.path is not None and self.url is not None:
            raise ValueError("give path or url, not both")
        return self


class LimitSettings(_Section):
    """What one turn may use; as in `aicore.Limits`. 0 means no limit."""

    rounds: int = Field(default=12, ge=0)
    tokens: int = Field(default=0, ge=0)
    cost_usd: Decimal = Field(default=Decimal(0), ge=0)
    wall_s: float = Field(default=120.0, ge=0)
    output_tokens_per_request: int = Field(default=0, ge=0)


class CallSettings(_Section):
    """Deadlines and caps of tool calls; as in `aicore.DispatchLimits`."""

    connect_s: float = Field(default=15.0, gt=0)
    call_s: float = Field(default=30.0, gt=0)
    result_chars: int = Field(default=16_000, gt=0)


class ContextSettings(_Section):
    """How much of a conversation a model is sent; as in `aicore.ContextLimits`."""

    compact_at_tokens: int = Field(default=12_000, ge=500)
    compact_at_share: float = Field(default=0.6, gt=0, le=0.9)
    keep_tokens: int = Field(default=3_000, gt=0)
    keep_turns: int = Field(default=3, ge=1)
    summary: Literal["rule", "model"] = "rule"
    most_tools: int = Field(default=40, ge=0)


class EmbedderSettings(_Section):
    """A server that makes vectors, as OpenAI's does. `locality` says where texts go."""

    base_url: str
    model: str
    api_key_env: str | None = None
    locality: Literal["local", "managed"] | None = None


class MemorySettings(_Section):
    """Where and how an agent remembers; no memory when neither `path` nor `url` is given.

    `vectors` is "rows" (in the SQLite file's neighbour), "pgvector", "chroma:FOLDER" or
    "pinecone:HOST", and needs `embedder`. `knowledge` names folders of the business's documents.
    """

    path: Path | None = None
    url: str | None = None
    vectors: str | None = None
    embedder: EmbedderSettings | None = None
    extract: Literal["rules", "model"] = "rules"
    budget_tokens: int = Field(default=600, ge=50)
    knowledge: list[Path] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> MemorySettings:
        if self.path is not None and self.url is not None:
            raise ValueError("give path or url, not both")
        if (self.vectors is None) != (self.embedder is None):
            raise ValueError("give vectors and embedder together, or neither")
        if self.knowledge and self.path is None and self.url is None:
            raise ValueError("knowledge needs a memory to be kept in: give path or url")
        return self


class TelemetrySettings(_Section):
    """What is told of the agent's work, and to whom; nothing leaves the machine by default.

    `content` adds what was said and the ids of conversations to spans. `logs` is the form of
    the lines on standard error.
    """

    exporter: Literal["none", "console", "otlp"] = "none"
    endpoint: str | None = None
    service: str = "aicore"
    content: bool = False
    logs: Literal["text", "json"] = "text"

    @field_validator("content", mode="before")
    @classmethod
    def _plainly(cls, value: object) -> object:
        """What customers say leaves the machine by no "yes", 1 or "on" that meant something else.

        A variable of the environment is text.
        """
        if not isinstance(value, bool) and value not in ("true", "false"):
            raise ValueError("must be true or false, without quotes")
        return value


class Settings(BaseSettings):
    """A whole configuration. `provider` is checked by the provider it names (`kind`)."""

    model_config = SettingsConfigDict(
        env_prefix="AICORE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    agent: AgentSettings = Field(default_factory=AgentSettings)
    provider: dict[str, Any] = Field(default_factory=dict)
    servers: dict[str, ServerSettings] = Field(default_factory=dict)
    log: LogSettings = Field(default_factory=LogSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    calls: CallSettings = Field(default_factory=CallSettings)
    context: ContextSettings = Field(default_factory=ContextSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    policy: Literal["allow-all"] = "allow-all"

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
            "as AICORE_LIMITS__ROUNDS=3, or unset it."
        ) from error
    except ValidationError as error:
        raise ConfigError(_explain(path, error, given)) from error
    return _absolute(settings, path.resolve().parent)


def _one_place(path: Path, data: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file's settings without the `path` or `url` that the environment puts another for."""
    kept = dict(data)
    for section in ("log", "memory"):
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
    where = _variable(loc) if _is_in(given, loc) else str(path)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _known(loc), n=1)
        hint = f" Did you mean {near[0]}?" if near else " Remove it."
        return f"{where}: there is no setting {place}.{hint}"
    for kind, words in _TO_WRITE.items():
        if first["type"].startswith(kind):
            return f"{where}: {place} {words.format(**first.get('ctx', {}))}."
    words = first["msg"].removeprefix("Value error, ")
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
    sections: dict[str, type[BaseModel]] = {
        "agent": AgentSettings,
        "servers": ServerSettings,
        "log": LogSettings,
        "limits": LimitSettings,
        "calls": CallSettings,
        "context": ContextSettings,
        "memory": MemorySettings,
        "telemetry": TelemetrySettings,
    }
    section = sections.get(str(loc[0])) if len(loc) > 1 else Settings
    return list(section.model_fields) if section is not None else []


def _absolute(settings: Settings, folder: Path) -> Settings:
    """The same settings with paths made absolute; `provider.file` is one by convention."""

    def resolve(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    provider = dict(settings.provider)
    if isinstance(provider.get("file"), str):
        provider["file"] = str(folder / Path(provider["file"]).expanduser())
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
            "provider": provider,
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
