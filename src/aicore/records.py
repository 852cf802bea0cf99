"""The plain records that every room of the core shares. No I/O, no vendor word.

Records are frozen. Where a record has an `encoded` field, that is a cache of wire bytes by
dialect name, filled by the dialect that sends it and ignored in comparisons: a message is
encoded once in its life, a request is joined from such bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NewType, Self

__all__ = [
    "ApprovalId",
    "Conversation",
    "ConversationId",
    "DataClass",
    "Message",
    "OperationKey",
    "Prefix",
    "Principal",
    "PrincipalKind",
    "Role",
    "Tail",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Usage",
]

ConversationId = NewType("ConversationId", str)
ApprovalId = NewType("ApprovalId", str)
OperationKey = NewType("OperationKey", str)

Role = Literal["user", "assistant", "tool"]
PrincipalKind = Literal["customer", "staff", "owner", "system"]
Outcome = Literal["done", "none", "unknown"]
DataClass = Literal["public", "internal", "personal", "special"]
"""How far a text may go, from the least to the most careful. Health, money and faith: special."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is speaking. `id` is opaque and unique within its kind, e.g. a phone number."""

    kind: PrincipalKind
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a policy may know of a conversation: its id and who speaks in this turn."""

    id: ConversationId
    principal: Principal


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it. `id` is unique in the conversation, `name` as offered."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came of a tool call.

    `text` is what the model reads: capped, and fenced as data where it came from outside.
    `structured` is the same as JSON where the tool gave it, for code that reads it (flows).
    `outcome` tells of an effect: `done`, `none` (nothing happened), `unknown` (may have happened).
    `full_text` is the whole text when `text` was cut, else None.
    """

    text: str
    is_error: bool = False
    structured: Any = None
    outcome: Outcome = "done"
    full_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as the model sees it, and what is known of it.

    `name` is unique in the catalog, at most 64 of `[A-Za-z0-9_-]`; `remote_name` is the
    server's own. `parameters` is a JSON schema of type object. The four hints are MCP's, with
    MCP's defaults: claims of the server, not facts. `honours_key`: the server promises to do a
    call at most once per operation key. `data_class` is the server's claim on its results, None
    where it makes none; `personal_fields` names fields of them that hold personal values, and
    the kind of each (NAME, EMAIL, PHONE, ADDRESS, PARTY: a name with an address, ...).
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    server: str
    remote_name: str
    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True
    honours_key: bool = False
    data_class: DataClass | None = None
    personal_fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a transcript, as a provider reads it.

    `role` user: `text`. assistant: `text` and `calls`, in order, and `state`: what the provider
    `provider` wants to see again, opaque, plain JSON. tool: `call_id`, `text`, `is_error`,
    `structured`; every call of an assistant message is followed by exactly one tool message.
    """

    role: Role
    text: str = ""
    calls: Sequence[ToolCall] = ()
    call_id: str = ""
    is_error: bool = False
    structured: Any = None
    provider: str = ""
    state: Any = None
    encoded: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)


class Tail(tuple[Message, ...]):
    """Messages of one transcript, which is only appended to for as long as `joined` is the same.

    `joined` is a cache by dialect name: how many messages from the first on, and their bytes.
    Whoever changes messages makes another sequence, which has no such cache.
    """

    joined: dict[str, tuple[int, bytes]]

    def __new__(cls, messages: Iterable[Message], joined: dict[str, tuple[int, bytes]]) -> Self:
        """Take the messages so far, and the cache that goes with their transcript."""
        tail = super().__new__(cls, messages)
        tail.joined = joined
        return tail


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """The part of a request that stays the same: instructions, and tools in stable order.

    One object lives until the instructions or the catalog change, so a dialect may keep its
    bytes in `encoded`. `tools` are all that may be called; `offered` those whose definitions a
    model is sent (None: all), see `shown`.
    """

    instructions: str
    tools: Sequence[Tool] = ()
    encoded: dict[str, bytes] = field(default_factory=dict, repr=False)
    offered: Sequence[Tool] | None = None

    @property
    def shown(self) -> Sequence[Tool]:
        """The tools whose definitions a model is sent."""
        return self.tools if self.offered is None else self.offered


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model request, or the sum of a turn.

    `input_tokens` includes `cached_tokens` (read from a cache) and `cache_write_tokens`
    (written to one). `cost_usd` is None where no price is known: unknown is never zero.
    `is_reported` is False where the provider did not tell and we counted.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    is_reported: bool = True
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=(self.cost_usd or Decimal(0)) + (other.cost_usd or Decimal(0))
            if known
            else None,
            is_reported=self.is_reported and other.is_reported,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; amounts as text, to keep them exact."""
        return {
            "input": self.input_tokens,
            "cached": self.cached_tokens,
            "written": self.cache_write_tokens,
            "output": self.output_tokens,
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
            "reported": self.is_reported,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises: KeyError, TypeError, ValueError for a damaged text."""
        cost = data["cost_usd"]
        return cls(
            input_tokens=data["input"],
            cached_tokens=data["cached"],
            cache_write_tokens=data.get("written", 0),
            output_tokens=data["output"],
            cost_usd=None if cost is None else Decimal(cost),
            is_reported=data["reported"],
        )
