"""A stream of a turn's events from the task that runs it to the one that reads it."""

from __future__ import annotations

from collections import deque

import anyio
import anyio.lowlevel

from aicore.agent.replies import StreamEvent, TextDelta

__all__ = ["Feed"]


class Feed:
    """Unbounded, one reader: what a turn can emit is bounded by its limits.

    A turn never waits for a slow reader, so that a stalled screen cannot hold up an effect. Text
    that the reader has not fetched yet is joined into one delta.
    """

    def __init__(self) -> None:
        self._events: deque[StreamEvent] = deque()
        self._texts: list[str] = []
        self._reader: anyio.Event | None = None
        self._is_ended = False
        self._error: BaseException | None = None

    def put(self, event: StreamEvent) -> None:
        """Add an event."""
        if event.__class__ is TextDelta:
            self._texts.append(event.delta)
        else:
            self._join_texts()
            self._events.append(event)
        if self._reader is not None:
            self._reader.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more events; the reader gets `error` after the last one. The first end counts."""
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        if self._reader is not None:
            self._reader.set()

    async def get(self) -> StreamEvent | None:
        """The next event, or None at the end. Raises what `end` was given."""
        while not self._events and not self._texts:
            if self._is_ended:
                if self._error is not None:
                    # Where the reader was cancelled as well, that is what it must see.
                    await anyio.lowlevel.checkpoint_if_cancelled()
                    raise self._error
                return None
            self._reader = anyio.Event()
            await self._reader.wait()
            self._reader = None
        if not self._events:
            self._join_texts()
        return self._events.popleft()

    def _join_texts(self) -> None:
        if self._texts:
            self._events.append(TextDelta("".join(self._texts)))
            self._texts.clear()
