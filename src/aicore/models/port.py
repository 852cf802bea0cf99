"""The Provider port: a model backend, local or managed, behind one interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from aicore.records import Message, Prefix, ToolCall, Usage

__all__ = ["Capabilities", "Completion", "Finish", "Price", "Provider", "Request", "TextDelta"]

Finish = Literal["stop", "length", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens. `cached_usd` is for cached input; None: same as input."""

    input_usd: Decimal
    output_usd: Decimal
    cached_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts a router or a limit needs.

    `context_tokens` and `price` are None when unknown. `locality` says where text goes: this
    process, a machine of the business, or a vendor. `region` is a vendor's, else None.
    """

    locality: Literal["in_process", "local", "managed"]
    tools: bool = True
    context_tokens: int | None = None
    region: str | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a model, in the order it is sent.

    `prefix` (static) | `summary` (frozen between compactions, or None) | `tail` (append-only)
    | `volatile` (time, recalled facts; may differ each time, "" for none). The tail ends with a
    user or tool message. Tool messages follow the assistant message that called them.
    """

    prefix: Prefix
    tail: Sequence[Message]
    summary: Message | None = None
    volatile: str = ""
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that a streaming provider has just produced. Never empty."""

    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's whole answer.

    `calls` are whole calls only, in order, each with an id; a call that was cut is left out and
    `finish` is then `length`. `state` is opaque JSON for this provider's next request, or None.
    """

    text: str
    calls: Sequence[ToolCall] = ()
    usage: Usage = field(default_factory=lambda: Usage(is_reported=False))
    finish: Finish = "stop"
    model: str = ""
    state: Any = None


class Provider(Protocol):
    """A model backend. Entered once by its owner; safe for many requests at once.

    Raises: ProviderUnavailable (may be tried again), CredentialError, ModelError (the request
    can never succeed as it is), Interrupted (a stream broke after its first delta).
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
