"""When a second provider is asked, and that one of the two wins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.errors import ProviderUnavailable
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.models.router.hedging import Begun, HedgeLimits, Hedger, Raced, begin, race
from aicore.records import Message, Prefix

REQUEST = Request(prefix=Prefix(""), tail=[Message(role="user", text="hello")])
SHARE_ALL = HedgeLimits(share=1.0)


def seen(times_s: list[float], *, now_s: float = 0.0) -> Hedger:
    """A hedger that has seen these times of `a`, and has hedges left."""
    hedger = Hedger(SHARE_ALL)
    hedger.note_request()
    for time_s in times_s:
        hedger.note_first("a", time_s, now_s=now_s)
    return hedger


def test_a_second_is_asked_after_what_nearly_all_took() -> None:
    hedger = seen([number / 100 for number in range(100, 0, -1)])
    assert hedger.after_s("a", now_s=0.0) == 0.95
    assert hedger.after_s("b", now_s=0.0) is None


def test_with_few_times_seen_none_is_asked() -> None:
    hedger = seen([1.0] * 19)
    assert hedger.after_s("a", now_s=0.0) is None
    hedger.note_first("a", 1.0, now_s=0.0)
    assert hedger.after_s("a", now_s=0.0) == 1.0


def test_old_times_do_not_count() -> None:
    hedger = seen([9.0] * 50, now_s=0.0)
    for _ in range(30):
        hedger.note_first("a", 1.0, now_s=500.0)
    assert hedger.after_s("a", now_s=600.0) == 9.0
    assert hedger.after_s("a", now_s=601.0) == 1.0
    assert hedger.after_s("a", now_s=1101.0) is None


def test_only_the_last_times_count() -> None:
    hedger = seen([9.0] * 200)
    for _ in range(200):
        hedger.note_first("a", 1.0, now_s=0.0)
    assert hedger.after_s("a", now_s=0.0) == 1.0


@given(
    share=st.sampled_from([0.01, 0.05, 0.3, 1.0]),
    saved=st.sampled_from([1.0, 3.0, 10.0]),
    steps=st.lists(st.booleans(), max_size=300),
)
def test_hedges_are_a_share_of_requests(share: float, saved: float, steps: list[bool]) -> None:
    hedger = Hedger(HedgeLimits(share=share, saved=saved))
    requests = taken = 0
    for is_request in steps:
        if is_request:
            hedger.note_request()
            requests += 1
        else:
            taken += hedger.take()
        assert taken <= requests * share + 1e-9


def test_what_was_not_used_is_saved_up_to_a_bound() -> None:
    hedger = Hedger(HedgeLimits(share=1.0, saved=3.0))
    for _ in range(100):
        hedger.note_request()
    assert [hedger.take() for _ in range(5)] == [True, True, True, False, False]


def test_without_hedges_left_none_is_asked() -> None:
    hedger = seen([1.0] * 20)
    assert hedger.after_s("a", now_s=0.0) == 1.0
    assert hedger.take()
    assert hedger.after_s("a", now_s=0.0) is None


class HandClock:
    """A clock that stands still; `wait` ends when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.asked_s: list[float] = []
        self.is_time = anyio.Event()

    def monotonic(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return 0

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        self.asked_s.append(seconds)
        await self.is_time.wait()


class Runner:
    """One side of a race, which ends when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.error: Exception | None = None
        self.is_cancelled = False

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.go.wait()
        except anyio.get_cancelled_exc_class():
            self.is_cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return self.name


class Race:
    """A race that a test leads step by step."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.first, self.second = Runner("first"), Runner("second")
        self.discarded: list[str] = []
        self.raced: Raced[str] | None = None

    async def discard(self, value: str) -> None:
        self.discarded.append(value)

    async def run(self, second: Callable[[], Awaitable[str] | None] | None = None) -> None:
        self.raced = await race(
            self.first.run,
            second or self.second.run,
            after_s=1.5,
            discard=self.discard,
            clock=self.clock,
        )

    def outcomes(self) -> tuple[str, str]:
        assert self.raced is not None
        second = self.raced.second
        return self.raced.first.outcome, "never" if second is None else second.outcome


async def test_one_that_is_quick_is_alone() -> None:
    run = Race()
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.first.go.set()
    assert run.outcomes() == ("won", "never")
    assert run.raced is not None
    assert run.raced.winner is run.raced.first
    assert run.raced.winner.value == "first"
    assert not run.second.begun.is_set()


@pytest.mark.parametrize("winner", ["first", "second"])
async def test_the_first_to_give_something_wins_and_the_other_is_cancelled(winner: str) -> None:
    run = Race()
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.clock.seconds += 1.5
        run.clock.is_time.set()
        await run.second.begun.wait()
        run.clock.seconds += 0.5
        getattr(run, winner).go.set()
    assert run.clock.asked_s == [1.5]
    assert run.outcomes() == (("won", "lost") if winner == "first" else ("lost", "won"))
    assert run.raced is not None
    assert run.raced.winner is not None
    assert run.raced.winner.value == winner
    assert run.raced.first.elapsed_s == 2.0
    assert run.raced.second is not None
    assert run.raced.second.elapsed_s == 0.5
    assert run.second.is_cancelled is (winner == "first")
    assert run.first.is_cancelled is (winner == "second")


async def test_when_both_give_something_at_once_one_is_discarded() -> None:
    run = Race()
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.clock.is_time.set()
        await run.second.begun.wait()
        run.first.go.set()
        run.second.go.set()
    assert "won" in run.outcomes()
    assert "lost" in run.outcomes()
    assert len(run.discarded) + run.first.is_cancelled + run.second.is_cancelled == 1


async def test_one_that_fails_before_the_second_is_asked_ends_the_race() -> None:
    run = Race()
    run.first.error = ProviderUnavailable("down")
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.first.go.set()
    assert run.outcomes() == ("failed", "never")
    assert run.raced is not None
    assert run.raced.winner is None
    assert run.raced.first.error is run.first.error


@pytest.mark.parametrize("failing", ["first", "second"])
async def test_one_that_fails_leaves_it_to_the_other(failing: str) -> None:
    run = Race()
    fails, goes_on = (run.first, run.second) if failing == "first" else (run.second, run.first)
    fails.error = ProviderUnavailable("down")
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.clock.is_time.set()
        await run.second.begun.wait()
        fails.go.set()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert run.raced is None
        goes_on.go.set()
    assert run.outcomes() == (("failed", "won") if failing == "first" else ("won", "failed"))


async def test_when_both_fail_both_are_told() -> None:
    run = Race()
    run.first.error, run.second.error = ProviderUnavailable("one"), ValueError("two")
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        run.clock.is_time.set()
        await run.second.begun.wait()
        run.second.go.set()
        run.first.go.set()
    assert run.raced is not None
    assert run.raced.winner is None
    assert run.raced.second is not None
    assert (run.raced.first.error, run.raced.second.error) == (run.first.error, run.second.error)


async def test_nobody_to_ask_leaves_the_first_alone() -> None:
    run = Race()
    async with anyio.create_task_group() as group:
        group.start_soon(run.run, lambda: None)
        await run.first.begun.wait()
        run.clock.is_time.set()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        run.first.go.set()
    assert run.outcomes() == ("won", "never")


@pytest.mark.parametrize("is_second_asked", [False, True])
async def test_cancelling_a_race_cancels_both(is_second_asked: bool) -> None:
    run = Race()
    async with anyio.create_task_group() as group:
        group.start_soon(run.run)
        await run.first.begun.wait()
        if is_second_asked:
            run.clock.is_time.set()
            await run.second.begun.wait()
        group.cancel_scope.cancel()
    assert run.raced is None
    assert run.first.is_cancelled
    assert run.second.is_cancelled is is_second_asked
    assert run.discarded == []


class Streaming:
    """A provider whose stream gives what the test says, and tells when it was closed."""

    name = "streaming"
    capabilities = Capabilities(locality="in_process")

    def __init__(self, *events: TextDelta | Completion | Exception) -> None:
        self.events = events
        self.is_open = False
        self.go = anyio.Event()

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        self.is_open = True
        try:
            await self.go.wait()
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.is_open = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


async def test_a_stream_is_begun_with_its_first_event() -> None:
    provider = Streaming(TextDelta("a"), Completion(text="a"))
    provider.go.set()
    begun = await begin(provider, REQUEST)
    assert begun.event == TextDelta("a")
    assert [event async for event in begun.rest] == [Completion(text="a")]
    assert not provider.is_open


async def test_a_begun_stream_can_be_closed() -> None:
    provider = Streaming(TextDelta("a"), Completion(text="a"))
    provider.go.set()
    begun = await begin(provider, REQUEST)
    assert provider.is_open
    await begun.close()
    assert not provider.is_open


async def test_a_stream_that_fails_or_is_empty_is_not_begun() -> None:
    for provider in (Streaming(ProviderUnavailable("down", status=503)), Streaming()):
        provider.go.set()
        with pytest.raises(ProviderUnavailable):
            await begin(provider, REQUEST)
        assert not provider.is_open


async def test_of_two_streams_the_slower_is_closed_and_the_other_read_on() -> None:
    slow = Streaming(TextDelta("slow"), Completion(text="slow"))
    quick = Streaming(TextDelta("quick"), Completion(text="quick"))
    quick.go.set()
    clock = HandClock()
    clock.is_time.set()
    raced = await race(
        lambda: begin(slow, REQUEST),
        lambda: begin(quick, REQUEST),
        after_s=0.1,
        discard=Begun.close,
        clock=clock,
    )
    assert not slow.is_open
    assert raced.winner is not None
    assert raced.winner.value is not None
    assert raced.winner.value.event == TextDelta("quick")
    assert [event async for event in raced.winner.value.rest] == [Completion(text="quick")]


async def test_of_two_streams_that_begin_at_once_one_is_closed() -> None:
    both = [Streaming(TextDelta("x"), Completion(text="x")) for _ in range(2)]
    clock = HandClock()
    clock.is_time.set()
    async with anyio.create_task_group() as group:
        raced: list[Raced[Begun]] = []

        async def run() -> None:
            raced.append(
                await race(
                    lambda: begin(both[0], REQUEST),
                    lambda: begin(both[1], REQUEST),
                    after_s=0.1,
                    discard=Begun.close,
                    clock=clock,
                )
            )

        group.start_soon(run)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        for one in both:
            one.go.set()
    assert sum(one.is_open for one in both) == 1
    winner = raced[0].winner
    assert winner is not None
    assert winner.value is not None
    await winner.value.close()
    assert not any(one.is_open for one in both)
