"""A stream that is slow to begin is raced by another provider, and both are cleaned up after."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal

import anyio
import pytest
from tests.models.router.scene import LOCAL, MANAGED, PRICE, MovedClock, asked, read, scripted

from aicore.errors import Interrupted, ProviderUnavailable
from aicore.models import Capabilities, Completion, Provider, Request, TextDelta
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger
from aicore.models.router import Member, Router, RouterLimits

DOWN = ProviderUnavailable("Down.", status=503)
ONCE = RouterLimits(rounds=1)


class Slow:
    """Says its text when it is let to, then fails or completes."""

    def __init__(
        self, name: str, text: str, facts: Capabilities = LOCAL, error: Exception | None = None
    ) -> None:
        self.name, self.text, self.capabilities, self.error = name, text, facts, error
        self.may_begin = anyio.Event()
        self.is_asked = anyio.Event()
        self.closed = 0

    async def complete(self, request: Request) -> Completion:
        raise AssertionError

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        self.is_asked.set()
        try:
            await self.may_begin.wait()
            if self.text:
                yield TextDelta(self.text)
            if self.error is not None:
                raise self.error
            yield Completion(text=self.text)
        finally:
            self.closed += 1

    async def __aenter__(self) -> "Slow":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


class Lazy(MovedClock):
    """Time passes when nobody has anything left to do."""

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        self.waits.append(seconds)
        await anyio.wait_all_tasks_blocked()
        self.seconds += seconds


def ready(router: Router, name: str = "a") -> None:
    """Let the router know how soon a provider usually begins, and have hedges left."""
    hedger = router._desk.hedger
    assert hedger is not None
    for _ in range(40):
        hedger.note_first(name, 0.5, now_s=router._desk.stopwatch.now_s())
        hedger.note_request()


async def test_second_provider_answers_for_a_slow_one_which_is_closed() -> None:
    clock, slow = Lazy(), Slow("a", "Never.")
    async with Router(
        [Member(slow, 1), Member(scripted("b", "Hello you!"), 1)], clock=clock
    ) as two:
        ready(two)
        text, completion = await read(two.stream(asked()))
        assert [seat.queue.running for seat in two._desk.seats] == [0, 0]

    assert text == completion.text == "Hello you!"
    assert clock.waits == [0.5]
    assert slow.closed == 1
    assert completion.provider == "b"
    assert completion.route is not None
    lost, answered = completion.route.attempts
    assert (lost.provider, lost.outcome, lost.is_hedge) == ("a", "lost", False)
    assert (answered.provider, answered.outcome, answered.is_hedge) == ("b", "answered", True)
    assert lost.usage is not None
    assert not lost.usage.is_reported


async def test_first_provider_still_wins_when_it_begins_before_the_second() -> None:
    slow, other = Slow("a", "Hello."), Slow("b", "Never.")
    async with Router([slow, other], clock=Lazy()) as two:
        ready(two)
        parts: list[object] = []

        async def ask() -> None:
            parts.extend([part async for part in two.stream(asked())])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await other.is_asked.wait()
            slow.may_begin.set()

    completion = parts[-1]
    assert isinstance(completion, Completion)
    assert completion.provider == "a"
    assert other.closed == 1
    assert completion.route is not None
    assert {(one.provider, one.outcome) for one in completion.route.attempts} == {
        ("a", "answered"),
        ("b", "lost"),
    }


async def test_quick_answer_asks_nobody_else() -> None:
    other = scripted("b", "Never.")
    async with Router([scripted("a", "Hello you!"), other]) as two:
        ready(two)
        text, _ = await read(two.stream(asked()))

    assert text == "Hello you!"
    assert other.requests == []


async def test_second_that_fails_leaves_it_to_the_first() -> None:
    slow = Slow("a", "Hello.")

    def fail(request: Request) -> Exception:
        slow.may_begin.set()
        return DOWN

    async with Router([slow, scripted("b", fail)], clock=Lazy()) as two:
        ready(two)
        text, completion = await read(two.stream(asked()))

    assert text == "Hello."
    assert completion.route is not None
    assert [(one.provider, one.outcome) for one in completion.route.attempts] == [
        ("b", "failed"),
        ("a", "answered"),
    ]


async def test_both_fail_and_a_third_answers() -> None:
    slow = Slow("a", "", error=DOWN)

    def fail(request: Request) -> Exception:
        slow.may_begin.set()
        return DOWN

    members: list[Member | Provider] = [slow, scripted("b", fail), scripted("c", "Hello!")]
    async with Router(members, clock=Lazy(), limits=ONCE) as three:
        ready(three)
        text, completion = await read(three.stream(asked()))

    assert text == "Hello!"
    assert completion.route is not None
    assert sorted(one.provider for one in completion.route.attempts) == ["a", "b", "c"]


async def test_winner_that_breaks_is_gone_on_with() -> None:
    slow = Slow("a", "Never.")
    cut = Interrupted("Broken.", text="One two three fo")
    members: list[Member | Provider] = [slow, scripted("b", cut), scripted("c", "four.")]
    async with Router(members, clock=Lazy(), limits=ONCE) as three:
        ready(three)
        text, _ = await read(three.stream(asked()))

    assert text == "One two three four."


async def test_special_data_is_never_raced_by_a_vendor() -> None:
    slow, vendor = Slow("a", "Hello."), scripted("b", "Never.", facts=MANAGED)
    slow.may_begin.set()
    async with Router([slow, vendor], clock=Lazy()) as two:
        ready(two)
        text, _ = await read(two.stream(asked(data_class="special")))

    assert text == "Hello."
    assert vendor.requests == []


@pytest.mark.parametrize("is_busy", [True, False])
async def test_busy_or_resting_provider_is_not_asked_beside(is_busy: bool) -> None:
    slow, clock = Slow("a", "Hello."), Lazy()
    other = scripted("b", "Never.")
    limits = RouterLimits(failures=1)
    async with Router([slow, Member(other, at_once=1)], clock=clock, limits=limits) as two:
        ready(two)
        seat = two._desk.seats[1]
        async with anyio.create_task_group() as tasks, seat.queue.place():
            if not is_busy:
                seat.health.note_failure(DOWN, clock.seconds, is_probe=False)
            tasks.start_soon(read, two.stream(asked()))
            await anyio.wait_all_tasks_blocked()
            assert seat.queue.waiting == 0
            slow.may_begin.set()

    assert clock.waits == [0.5]
    assert other.requests == []


@pytest.mark.parametrize("share", [0.0, 0.05])
async def test_share_bounds_the_races(share: float) -> None:
    slow, other = Slow("a", "Hello."), scripted("b", "Never.")
    slow.may_begin.set()
    async with Router([slow, other], clock=Lazy(), limits=RouterLimits(hedge_share=share)) as two:
        if share:
            ready(two)
            hedger = two._desk.hedger
            assert hedger is not None
            while hedger.take():
                pass
        await read(two.stream(asked()))

    assert other.requests == []


async def test_cancelled_race_closes_both_and_keeps_what_is_reserved() -> None:
    facts = Capabilities(locality="local", price=PRICE)
    both = Slow("a", "Never.", facts), Slow("b", "Never.", facts)
    money = Budget(MemoryLedger(), BudgetLimits(day_usd=Decimal(1)))
    async with Router([Member(one, 1) for one in both], clock=Lazy(), budget=money) as two:
        ready(two)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, two.stream(asked()))
            await both[1].is_asked.wait()
            tasks.cancel_scope.cancel()
        spent = await money.spent(asked().origin, now_ms=two._desk.clock.now_ms())
        assert [seat.queue.running for seat in two._desk.seats] == [0, 0]

    assert [one.closed for one in both] == [1, 1]
    assert spent.day_usd > 2 * Decimal("0.008")


async def test_raced_stream_that_is_left_early_is_closed() -> None:
    slow, other = Slow("a", "Never."), Slow("b", "One two three ")
    other.may_begin.set()
    async with Router([slow, other], clock=Lazy()) as two:
        ready(two)
        async with aclosing(two.stream(asked())) as parts:
            await anext(parts)
        assert (slow.closed, other.closed) == (1, 1)
