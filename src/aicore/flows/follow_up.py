"""Flows that stand in for models: they say that a person will follow up."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Self

from aicore.flows.provider import FlowProvider
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import Usage

__all__ = ["FollowUp"]


class FollowUp:
    """A FlowProvider whose answers end in a promise that a colleague will follow up.

    It is said once, and again only after a model has answered in between. Where a model broke off
    in the middle of its work, with the result of its call before it, nothing else is said: what
    the model had in mind the flows cannot know.
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
        if (taken_over := self._taken_over(request)) is not None:
            return taken_over
        completion = await self._flows.complete(request)
        more = self._more(request, completion)
        return replace(completion, text=completion.text + more) if more else completion

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer word by word."""
        if (taken_over := self._taken_over(request)) is not None:
            yield TextDelta(taken_over.text)
            yield taken_over
            return
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

    def _taken_over(self, request: Request) -> Completion | None:
        """What is said in the place of a model whose calls were just carried out."""
        callers = [one for one in request.tail if one.calls]
        if request.tail[-1].role != "tool" or not callers or callers[-1].provider == self.name:
            return None
        ours = [one.state for one in request.tail if one.provider == self.name]
        return Completion(
            text=self._promise,
            model=self.name,
            usage=Usage(cost_usd=Decimal(0)),
            state=ours[-1] if ours else None,
        )

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
