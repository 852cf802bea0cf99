"""What an agent tells about its work while it works. The base tells nobody but the log's lines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from aicore.records import ConversationId, Message, ToolCall, ToolResult, Usage

__all__ = ["CURRENT_TURN", "ChatWatch", "Telemetry", "ToolWatch", "TurnWatch", "tag"]

CURRENT_TURN: ContextVar[tuple[str, int] | None] = ContextVar("aicore_turn", default=None)
"""(tag of the conversation, number of the turn) that the current task works on."""


def tag(conversation: ConversationId) -> str:
    """Twelve hex digits that stand for a conversation, whose id may be a phone number."""
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class TurnWatch:
    """One turn under way: lines that are logged meanwhile carry its ids."""

    def __init__(self, conversation: str, turn: int) -> None:
        self._ids = (conversation, turn)
        self._token: Token[tuple[str, int] | None] | None = None

    def __enter__(self) -> Self:
        self._token = CURRENT_TURN.set(self._ids)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            CURRENT_TURN.reset(self._token)

    def ended(self, outcome: str) -> None:
        """Tell how it came out: "replied" or "waiting". One that raises says so itself."""


class ChatWatch:
    """One request to a model under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def first_chunk(self) -> None:
        """Tell that the first text of a streamed answer is here."""

    def answered(
        self, *, text: str, calls: Sequence[ToolCall], finish: str, model: str, provider: str = ""
    ) -> None:
        """Tell the answer, and who gave it where that is not who was asked."""

    def used(self, usage: Usage) -> None:
        """Tell what it took, with its price where that is known."""


class ToolWatch:
    """One tool call under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def ended(self, result: ToolResult) -> None:
        """Tell what came of it."""


_CHAT = ChatWatch()
_TOOL = ToolWatch()


class Telemetry:
    """What an agent has until something listens: it tells the log's lines which turn they are of.

    A context manager without effect; an implementation that exports opens and closes with it.
    Where `is_silent`, nobody has to put together what would be told.
    """

    is_silent = True
    unwatched = _CHAT

    def turn(self, conversation: ConversationId, turn: int) -> TurnWatch:
        """Watch a turn, from here to where it replies, waits or fails."""
        return TurnWatch(tag(conversation), turn)

    def chat(self, request: Mapping[str, Any], messages: Sequence[Message]) -> ChatWatch:
        """Watch a request to a model; `request` holds attributes by the names of `names`."""
        return _CHAT

    def tool(self, call: ToolCall, server: str) -> ToolWatch:
        """Watch a call of a tool of a server."""
        return _TOOL

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return None
