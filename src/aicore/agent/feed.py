"""A stream of a turn's events from the task that runs it to the one that reads it."""

from __future__ import annotations

from collections import deque

import anyio

from aicore.agent.replies import StreamEvent

__all__ = ["Feed"]


class Feed:
    """Unbounded, one reader: what a turn can emit is bounded by its limits.

    A turn never waits for a slow reader, so that a stalled screen cannot hold up an effect.
    """

    def __init__(self) -> None:
        self._events: deque[StreamEvent] = deque()
        self._news = anyio.Event()
        self._is_ended = False
        self._error: BaseException | None = None

    def put(self, event: StreamEvent) -> None:
        """Add an event."""
        self._events.append(event)
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more events; the reader gets `error` after the last one."""
        self._is_ended = True
        self._error = error
        self._news.set()

    async def get(self) -> StreamEvent | None:
        """The next event, or None at the end. Raises what `end` was given."""
        while not self._events:
            if self._is_ended:
                if self._error is not None:
                    raise self._error
                return None
            self._news = anyio.Event()
            await self._news.wait()
        return self._events.popleft()
