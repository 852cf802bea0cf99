"""A provider that answers from a script: for tests of agents, without any model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from aicore.errors import Interrupted
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import ToolCall

__all__ = ["Reply", "ScriptedProvider"]

Reply = str | Completion | ToolCall | Sequence[ToolCall] | Exception | Callable[[Request], "Reply"]
"""Text; calls; a whole Completion; an error to raise; or a function that looks and decides."""

_IN_PROCESS = Capabilities(locality="in_process")


class ScriptedProvider:
    """Answers each request with the next reply of a script, and keeps the requests.

    In a stream text comes in deltas of `chunk_chars` characters. An `Interrupted` in the script
    streams its text first; any other error is raised at once. `requests` holds what was asked,
    in order.
    """

    def __init__(
        self,
        replies: Iterable[Reply],
        *,
        name: str = "scripted",
        chunk_chars: int = 8,
        capabilities: Capabilities = _IN_PROCESS,
    ) -> None:
        self.requests: list[Request] = []
        self._replies = iter(replies)
        self._name = name
        self._chunk_chars = chunk_chars
        self._capabilities = capabilities

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it was given; by default in process, with tools."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Give the next reply. Raises: what the script says; RuntimeError after its end."""
        reply = self._next(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Give the next reply in deltas. Raises as `complete` does."""
        reply = self._next(request)
        text = ""
        if isinstance(reply, (Completion, Interrupted)):
            text = reply.text
        for start in range(0, len(text), self._chunk_chars):
            yield TextDelta(text[start : start + self._chunk_chars])
        if isinstance(reply, Exception):
            raise reply
        yield reply

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    def _next(self, request: Request) -> Completion | Exception:
        self.requests.append(request)
        try:
            reply = next(self._replies)
        except StopIteration:
            raise RuntimeError(
                f"The script of {self._name!r} is at its end: there is no reply "
                f"number {len(self.requests)}. Add one, or find out why it was asked for."
            ) from None
        while callable(reply):
            reply = reply(request)
        if isinstance(reply, (Completion, Exception)):
            return reply
        if isinstance(reply, str):
            return Completion(text=reply, model=self._name)
        calls = (reply,) if isinstance(reply, ToolCall) else tuple(reply)
        return Completion(text="", calls=calls, model=self._name)
