"""The Provider port: a model backend, local or managed, behind one interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from aicore.models.route import Route
from aicore.records import DataClass, Message, Prefix, ToolCall, Usage

__all__ = [
    "Capabilities",
    "Completion",
    "Finish",
    "Origin",
    "OutputSchema",
    "Price",
    "PriceTier",
    "Provider",
    "Request",
    "Task",
    "TextDelta",
]

Finish = Literal["stop", "length", "refused"]
Task = Literal["reply", "summary", "memory", "other"]
"""What a request is for: an answer to somebody, a summary, facts to remember, anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """What all tokens of a request cost once its whole input is longer than `above_tokens`.

    US dollars per million tokens; None as in Price.
    """

    above_tokens: int
    input_usd: Decimal
    output_usd: Decimal
    cached_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; amounts as text, to keep them exact."""
        return {key: _amount_to_json(getattr(self, key)) for key in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens.

    `cached_usd` is for input read from a cache, `cache_write_usd` for input written to one; None:
    same as input. `source` names who says so and `as_of` the day it was said (ISO 8601), "" where
    that is not known. `tiers`, lowest first, take over for long inputs.
    """

    input_usd: Decimal
    output_usd: Decimal
    cached_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    source: str = ""
    as_of: str = ""
    tiers: Sequence[PriceTier] = ()

    def rates(self, input_tokens: int) -> Price | PriceTier:
        """What applies to a request with that much input, cached or not."""
        applicable: Price | PriceTier = self
        for tier in self.tiers:
            if input_tokens > tier.above_tokens:
                applicable = tier
        return applicable

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; amounts as text, to keep them exact."""
        data = {key: _amount_to_json(getattr(self, key)) for key in self.__slots__}
        return data | {"tiers": [tier.to_json() for tier in self.tiers]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Price:
        """What `to_json` gave. Raises: KeyError, TypeError, ArithmeticError for a damaged text."""
        tiers = tuple(
            PriceTier(above_tokens=one["above_tokens"], **_amounts_from_json(one))
            for one in data.get("tiers", ())
        )
        return cls(
            **_amounts_from_json(data), source=data["source"], as_of=data["as_of"], tiers=tiers
        )


def _amount_to_json(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def _amounts_from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {key: data[key] for key in ("input_usd", "output_usd")}
    amounts |= {key: data.get(key) for key in ("cached_usd", "cache_write_usd")}
    return {key: None if value is None else Decimal(value) for key, value in amounts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts a router or a limit needs.

    `context_tokens` and `price` are None when unknown. `locality` says where text goes: this
    process, a machine of the business, or a vendor. `vendor` and `region` are a vendor's, by the
    words of the profiles (`openai`, `aws`; `eu`), else None. `schema`: answers can be held to a
    JSON schema. `masks`: personal values are replaced before text leaves the machine.
    `reads_class`: it decides by a request's data class, which is then worth finding out.
    """

    locality: Literal["in_process", "local", "managed"]
    tools: bool = True
    context_tokens: int | None = None
    region: str | None = None
    price: Price | None = None
    vendor: str | None = None
    schema: bool = False
    masks: bool = False
    reads_class: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom a request is made for: what budgets are kept by and reports are sorted by.

    `turn` is the seq of the turn's message, 0 outside of turns.
    """

    business: str = "main"
    conversation: str = ""
    turn: int = 0
    task: Task = "other"


_NOBODY = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """A JSON schema, of type object, that the answer's text is to satisfy as JSON.

    `name` is at most 64 of `[A-Za-z0-9_-]`.
    """

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a model, in the order it is sent.

    `prefix` (static) | `summary` (frozen between compactions, or None) | `tail` (append-only)
    | `volatile` (time, recalled facts; may differ each time, "" for none). The tail ends with a
    user or tool message. Tool messages follow the assistant message that called them.
    `data_class` is the highest of anything in it. `output_schema`: answer as JSON, or None.
    """

    prefix: Prefix
    tail: Sequence[Message]
    summary: Message | None = None
    volatile: str = ""
    max_output_tokens: int | None = None
    data_class: DataClass = "personal"
    origin: Origin = _NOBODY
    output_schema: OutputSchema | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that a streaming provider has just produced. Never empty."""

    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's whole answer.

    `calls` are whole calls only, in order, each with an id; a call that was cut is left out and
    `finish` is then `length`. An answer that is `refused` has none. `state` is opaque JSON for
    this provider's next request, or None. A provider that asks others says which of them answered
    (`provider`, "": itself), at what price, and how it came to that (`route`).
    """

    text: str
    calls: Sequence[ToolCall] = ()
    usage: Usage = field(default_factory=lambda: Usage(is_reported=False))
    finish: Finish = "stop"
    model: str = ""
    state: Any = None
    provider: str = ""
    price: Price | None = None
    route: Route | None = None


class Provider(Protocol):
    """A model backend. Entered once by its owner; safe for many requests at once.

    Raises: ProviderUnavailable (may be tried again), CredentialError, ModelError (the request
    can never succeed as it is), Interrupted (a stream broke after its first delta). A router
    raises PolicyBlocked and BudgetReached as well.
    """

    @property
    def name(self) -> str:
        """Stable name, stored with each answer, e.g. `openai:llama3.3`."""

    @property
    def capabilities(self) -> Capabilities:
        """Facts for limits and routing; the same object for the life of the provider."""

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece."""

    def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, then exactly one Completion with the whole, as last item."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...
