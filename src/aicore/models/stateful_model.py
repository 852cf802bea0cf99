"""Models whose vendor checks what it once gave and is given back: thinking, signatures."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aicore.errors import ModelError
from aicore.models.http_model import HTTPModel
from aicore.models.port import Completion, Request, TextDelta

__all__ = ["StatefulModel"]


class StatefulModel(HTTPModel):
    """An HTTPModel that asks once more without earlier state where that state is refused."""

    def _without_refused(self, refusal: ModelError, request: Request) -> Request | None:
        """The request without what was refused in it; None where it was not refused for state."""
        raise NotImplementedError

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece; once more without earlier state where that is refused.

        Raises as HTTPModel does.
        """
        try:
            return await super().complete(request)
        except ModelError as exc:
            again = self._without_refused(exc, request)
            if again is None:
                raise
        return await super().complete(again)

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, then the Completion; else as `complete`."""
        try:
            async with aclosing(super().stream(request)) as items:
                async for item in items:
                    yield item
        except ModelError as exc:
            again = self._without_refused(exc, request)
            if again is None:
                raise
        else:
            return
        async with aclosing(super().stream(again)) as items:
            async for item in items:
                yield item
