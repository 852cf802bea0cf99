"""Flows that stand in for models: they say that a person will follow up."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from types import TracebackType
from typing import Self

from aicore.flows.provider import FlowProvider
from aicore.models.port import Capabilities, Completion, Request, TextDelta

__all__ = ["FollowUp"]


class FollowUp:
    """A FlowProvider whose answers end in a promise that a colleague will follow up.

    It is said once, and again only after a model has answered in between.
    """

    def __init__(self, flows: FlowProvider) -> None:
        self._flows = flows
        self._promise = flows.assistant.wording.say("follow_up")

    @property
    def name(self) -> str:
        """The flows' own: their state is found by it."""
        return self._flows.name

    @property
    def capabilities(self) -> Capabilities:
        """The flows' own."""
        return self._flows.capabilities

    async def complete(self, request: Request) -> Completion:
        """Answer by the flows. Raises as they do."""
        completion = await self._flows.complete(request)
        more = self._more(request, completion)
        return replace(completion, text=completion.text + more) if more else completion

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer word by word."""
        async for part in self._flows.stream(request):
            if isinstance(part, Completion) and (more := self._more(request, part)):
                yield TextDelta(more)
                yield replace(part, text=part.text + more)
            else:
                yield part

    async def __aenter__(self) -> Self:
        await self._flows.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._flows.__aexit__(exc_type, exc, traceback)

    def _more(self, request: Request, completion: Completion) -> str:
        if completion.calls or not completion.text:
            return ""
        return "" if self._was_promised(request) else f"\n\n{self._promise}"

    def _was_promised(self, request: Request) -> bool:
        """Whether it was said since a model answered last."""
        for message in reversed(request.tail):
            if message.role != "assistant":
                continue
            if message.provider and message.provider != self.name:
                return False
            if self._promise in message.text:
                return True
        return False
