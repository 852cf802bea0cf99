"""The sections of `aicore.toml`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "AgentSettings",
    "CallSettings",
    "ContextSettings",
    "EmbedderSettings",
    "LimitSettings",
    "LogSettings",
    "MemorySettings",
    "Section",
    "ServerSettings",
    "TelemetrySettings",
]


class Section(BaseModel):
    """A table of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSettings(Section):
    """Who the assistant is. `zone` is an IANA name; None: the machine's own."""

    instructions: str = ""
    instructions_file: Path | None = None
    zone: str | None = None


class ServerSettings(Section):
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


class LogSettings(Section):
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


class LimitSettings(Section):
    """What one turn may use; as in `aicore.Limits`. 0 means no limit."""

    rounds: int = Field(default=12, ge=0)
    tokens: int = Field(default=0, ge=0)
    cost_usd: Decimal = Field(default=Decimal(0), ge=0)
    wall_s: float = Field(default=120.0, ge=0)
    output_tokens_per_request: int = Field(default=0, ge=0)


class CallSettings(Section):
    """Deadlines and caps of tool calls; as in `aicore.DispatchLimits`."""

    connect_s: float = Field(default=15.0, gt=0)
    call_s: float = Field(default=30.0, gt=0)
    result_chars: int = Field(default=16_000, gt=0)


class ContextSettings(Section):
    """How much of a conversation a model is sent; as in `aicore.ContextLimits`."""

    compact_at_tokens: int = Field(default=12_000, ge=500)
    compact_at_share: float = Field(default=0.6, gt=0, le=0.9)
    keep_tokens: int = Field(default=3_000, gt=0)
    keep_turns: int = Field(default=3, ge=1)
    summary: Literal["rule", "model"] = "rule"
    most_tools: int = Field(default=40, ge=0)


class EmbedderSettings(Section):
    """A server that makes vectors, as OpenAI's does. `locality` says where texts go."""

    base_url: str
    model: str
    api_key_env: str | None = None
    locality: Literal["local", "managed"] | None = None


class MemorySettings(Section):
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


class TelemetrySettings(Section):
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
