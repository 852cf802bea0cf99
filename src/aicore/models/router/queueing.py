"""A queue before a provider that handles only so many requests at the same time."""

from __future__ import annotations

from types import TracebackType

import anyio

__all__ = ["Place", "Queue"]


class Place:
    """A place to be used with `async with`: waits for its turn, and gives the place back."""

    __slots__ = ("_free", "_queue")

    def __init__(self, queue: Queue, free: anyio.Semaphore | None) -> None:
        self._queue = queue
        self._free = free

    async def __aenter__(self) -> None:
        if self._free is not None:
            await self._free.acquire()
        self._queue.running += 1

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._queue.running -= 1
        if self._free is not None:
            self._free.release()


class Queue:
    """Lets at most `at_once` requests through, in the order they came; None: all of them.

    Whoever waits can be cancelled and loses the place in the queue. `running` is how many have
    a place now.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self.running = 0
        self._at_once = at_once
        self._free = None if at_once is None else anyio.Semaphore(at_once, fast_acquire=True)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return 0 if self._free is None else self._free.statistics().tasks_waiting

    @property
    def depth(self) -> int:
        """How many have a place or wait for one."""
        return self.running + self.waiting

    def place(self) -> Place:
        """Give a place to be entered; entering waits until it is free. Cancellable."""
        return Place(self, self._free)

    def expected_wait_s(self, mean_s: float) -> float:
        """How long whoever came now would wait, if requests take `mean_s` seconds each.

        Places then come free evenly, `at_once` of them in `mean_s`.
        """
        if self._at_once is None or self.depth < self._at_once:
            return 0.0
        return (self.waiting + 1) * mean_s / self._at_once
