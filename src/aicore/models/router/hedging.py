"""Hedging: when a provider is unusually slow to begin, a second is asked, and one of them wins."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Generic, Literal, TypeVar

import anyio

from aicore.errors import ProviderUnavailable
from aicore.models.port import Completion, Provider, Request, TextDelta
from aicore.models.router.limits import Clock

__all__ = ["Begun", "HedgeLimits", "Hedger", "Raced", "Run", "begin", "race"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeLimits:
    """When a second provider is asked.

    After the `quantile` of the first-token times of the last `window_s` seconds (at most the
    last `most_samples`), if there are `min_samples`, and for at most `share` of all requests.
    `saved` is how many hedges not used so far may come at once.
    """

    quantile: float = 0.95
    window_s: float = 600.0
    min_samples: int = 20
    most_samples: int = 200
    share: float = 0.05
    saved: float = 10.0


class Hedger:
    """Knows how soon each provider usually begins, and how many hedges are left.

    Moments are seconds of any clock that does not go back. With the same calls at the same
    moments it says the same.
    """

    def __init__(self, limits: HedgeLimits | None = None) -> None:
        self._limits = HedgeLimits() if limits is None else limits
        self._times: dict[str, _Times] = {}
        self._left = 0.0

    def note_first(self, provider: str, first_s: float, *, now_s: float) -> None:
        """Note how long a provider took to its first event.

        Of a loser of a race, note how long it was waited for: it took at least that.
        """
        times = self._times.setdefault(provider, _Times())
        times.add(first_s, now_s)
        times.drop(now_s - self._limits.window_s, self._limits.most_samples)

    def note_request(self) -> None:
        """Count a request: hedges are a share of them."""
        self._left = min(self._left + self._limits.share, self._limits.saved)

    def after_s(self, provider: str, *, now_s: float) -> float | None:
        """After how long without an event to ask a second provider; None: not at all.

        None as well while no hedge is left.
        """
        times = self._times.get(provider)
        if times is None or self._left < 1:
            return None
        times.drop(now_s - self._limits.window_s, self._limits.most_samples)
        if len(times.ordered) < max(self._limits.min_samples, 1):
            return None
        return times.ordered[ceil(len(times.ordered) * self._limits.quantile) - 1]

    def take(self) -> bool:
        """Take one hedge, just before a second provider is asked; False when none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Times:
    """First-token times of one provider: by age, and by size."""

    __slots__ = ("by_age", "ordered")

    def __init__(self) -> None:
        self.by_age: deque[tuple[float, float]] = deque()
        self.ordered: list[float] = []

    def add(self, first_s: float, now_s: float) -> None:
        self.by_age.append((now_s, first_s))
        insort(self.ordered, first_s)

    def drop(self, before_s: float, most: int) -> None:
        while self.by_age and (self.by_age[0][0] < before_s or len(self.by_age) > most):
            _, first_s = self.by_age.popleft()
            del self.ordered[bisect_left(self.ordered, first_s)]


@dataclass(slots=True)
class Begun:
    """A stream whose first event was read. Whoever has it reads `rest` or closes it."""

    event: TextDelta | Completion
    rest: AsyncGenerator[TextDelta | Completion, None]

    async def close(self) -> None:
        """Close the stream, which stops the provider's work."""
        with anyio.CancelScope(shield=True):
            await self.rest.aclose()


async def begin(provider: Provider, request: Request) -> Begun:
    """Ask for a stream and wait for its first event; the stream is closed if that fails.

    Raises: what the provider raises; ProviderUnavailable for a stream without any event.
    """
    stream = provider.stream(request)
    try:
        async for event in stream:
            return Begun(event, stream)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise
    raise ProviderUnavailable(f"The stream of {provider.name} ended before it began.")


@dataclass(slots=True, kw_only=True)
class Run(Generic[T]):
    """How one of two came through a race.

    `won`: `value` is what it gave. `failed`: `error` is what it raised. `lost`: it was cancelled,
    or it gave `value` too late, which was discarded. `elapsed_s` is how long it ran.
    """

    outcome: Literal["won", "failed", "lost"] = "lost"
    elapsed_s: float = 0.0
    value: T | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Raced(Generic[T]):
    """How a race ended: `second` is None when it was never started."""

    first: Run[T]
    second: Run[T] | None

    @property
    def winner(self) -> Run[T] | None:
        """The one whose value counts; None when none gave any."""
        for run in (self.first, self.second):
            if run is not None and run.outcome == "won":
                return run
        return None


async def race(
    first: Callable[[], Awaitable[T]],
    second: Callable[[], Awaitable[T] | None],
    *,
    after_s: float,
    discard: Callable[[T], Awaitable[None]],
    clock: Clock,
) -> Raced[T]:
    """Do `first`; when it has not ended `after_s` seconds later, do `second` as well.

    The first that gives a value wins and the other is cancelled; one that fails leaves it to the
    other, if that was started. `second` gives None when there is nobody to ask. A value that
    comes too late is given to `discard`. When it returns nothing runs any more. Cancelled, it
    cancels both.

    Streams are raced to their first event: `lambda: begin(provider, request)` and `Begun.close`.
    The winner may have been begun in another task than it is read in, so that a provider must
    not give an event while it holds a task group or a cancel scope open.
    """
    ahead: Run[T] = Run()
    other = _Other(second, after_s, clock)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(other.start)
            with other.leading:
                await _finish(ahead, first(), clock)
            if ahead.outcome == "failed" and other.run is not None:
                await other.ended.wait()
            group.cancel_scope.cancel()
    except BaseException:
        await _discard_late(discard, ahead, other.run)
        raise
    if ahead.outcome == "won" and other.run is not None:
        await _discard_late(discard, other.run)
    return Raced(ahead, other.run)


class _Other(Generic[T]):
    """The second of a race, which waits until the first has had its time."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[T] | None],
        after_s: float,
        clock: Clock,
    ) -> None:
        self.run: Run[T] | None = None
        self.leading = anyio.CancelScope()
        self.ended = anyio.Event()
        self._ask = ask
        self._after_s = after_s
        self._clock = clock

    async def start(self) -> None:
        await self._clock.wait(anyio.Event(), self._after_s)
        asked = self._ask()
        if asked is None:
            return
        self.run = Run()
        await _finish(self.run, asked, self._clock)
        if self.run.outcome == "won":
            self.leading.cancel()
        self.ended.set()


async def _finish(run: Run[T], asked: Awaitable[T], clock: Clock) -> None:
    begun_s = clock.monotonic()
    try:
        run.value = await asked
        run.outcome = "won"
    except Exception as exc:  # noqa: BLE001  # boundary: told to whoever asked for the race
        run.error = exc
        run.outcome = "failed"
    finally:
        run.elapsed_s = clock.monotonic() - begun_s


async def _discard_late(discard: Callable[[T], Awaitable[None]], *runs: Run[T] | None) -> None:
    with anyio.CancelScope(shield=True):
        for run in runs:
            if run is not None and run.value is not None:
                run.outcome = "lost"
                await discard(run.value)
