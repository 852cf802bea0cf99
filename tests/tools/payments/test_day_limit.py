"""How much may be asked for in one day: exact when many ask at once, and after a crash."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest

from aicore_tools.errors import Conflict, NotAllowed, OutcomeUnknown
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments import DayLimit

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
Open = Callable[..., DayLimit]


@pytest.fixture
def limit(tmp_path: Path) -> Open:
    def make(most_minor: int = 1000, *, business: str = "main", now: datetime = NOW) -> DayLimit:
        return DayLimit(
            tmp_path / "limits.db",
            business=business,
            most_minor=most_minor,
            zone=ZoneInfo("Europe/Berlin"),
            clock=lambda: now,
        )

    return make


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


async def done() -> Effect[str]:
    return Effect(result="done")


async def replayed() -> Effect[str]:
    return Effect(result="done", is_replay=True)


async def refused() -> Effect[str]:
    raise Conflict("no")


async def lost() -> Effect[str]:
    raise OutcomeUnknown("lost")


async def left(day: DayLimit) -> int:
    """Give what the day still has room for."""
    low, high = 0, 10_000
    while low < high:
        middle = (low + high + 1) // 2
        try:
            await day.check(middle, op())
            low = middle
        except NotAllowed:
            high = middle - 1
    return low


async def test_the_day_has_room_for_so_much_and_no_more(limit: Open) -> None:
    async with limit() as day:
        await day.within(600, op(), done)
        await day.within(400, op(), done)
        ran = []

        async def never() -> Effect[str]:
            ran.append(1)
            return Effect(result="done")

        with pytest.raises(NotAllowed) as over:
            await day.within(1, op(), never)
        assert (over.value.code, over.value.outcome, ran) == ("day_limit_reached", "none", [])
        with pytest.raises(NotAllowed):
            await day.check(1, op())


async def test_the_next_day_begins_at_midnight_of_the_business(limit: Open) -> None:
    before_midnight = datetime(2026, 11, 21, 22, 59, tzinfo=UTC)
    async with limit(now=before_midnight) as day:
        await day.within(1000, op(), done)
        assert await left(day) == 0
    async with limit(now=before_midnight + timedelta(minutes=1)) as day:
        assert await left(day) == 1000


@pytest.mark.parametrize(
    ("effect", "room"), [(done, 600), (replayed, 1000), (refused, 1000), (lost, 600)]
)
async def test_what_certainly_did_nothing_is_not_counted(
    limit: Open, effect: Callable[[], Any], room: int
) -> None:
    async with limit() as day:
        with suppress(Conflict, OutcomeUnknown):
            await day.within(400, op("k"), effect)
    async with limit() as day:  # another process, or the same after a crash
        assert await left(day) == room


async def test_a_repeat_of_what_was_lost_counts_once(limit: Open) -> None:
    async with limit() as day:
        for effect in (lost, lost, done, replayed):
            try:
                await day.within(1000, op("k"), effect)
            except OutcomeUnknown:
                continue
        with pytest.raises(NotAllowed):
            await day.within(1, op("other"), done)


async def key_reused() -> Effect[str]:
    raise Conflict("no", code="operation_key_reused")


@pytest.mark.parametrize(("end", "room"), [(refused, 1000), (key_reused, 600), (lost, 600)])
async def test_what_was_lost_and_then_certainly_did_nothing_is_given_back(
    limit: Open, end: Callable[[], Any], room: int
) -> None:
    """The first two attempts did nothing either, also that of yesterday."""
    async with limit(now=NOW - timedelta(days=1)) as yesterday, limit() as day:
        for attempted, effect in ((yesterday, lost), (day, lost), (day, end)):
            with pytest.raises((Conflict, OutcomeUnknown)):
                await attempted.within(400, op("k"), effect)
        assert await left(day) == room
        assert await left(yesterday) == room


async def test_what_began_later_under_the_same_key_stays_counted(limit: Open) -> None:
    """One is refused while the other is at it: the second may be done yet."""
    async with limit() as day, limit() as other:

        async def refused_meanwhile() -> Effect[str]:
            with pytest.raises(OutcomeUnknown):
                await other.within(400, op("k"), lost)
            raise Conflict("no")

        with pytest.raises(Conflict):
            await day.within(400, op("k"), refused_meanwhile)
        assert await left(day) == 600


async def test_a_business_has_a_day_of_its_own(limit: Open) -> None:
    async with limit() as one, limit(business="other") as other:
        await one.within(1000, op("k"), done)
        await other.within(1000, op("k"), done)


async def test_zero_is_no_money_at_all(limit: Open) -> None:
    async with limit(0) as day:
        with pytest.raises(NotAllowed):
            await day.within(1, op(), done)


async def test_of_many_at_once_in_two_programs_no_more_go_through(limit: Open) -> None:
    passed: list[int] = []

    async def attempt(day: DayLimit) -> None:
        try:
            await day.within(300, op(), done)
            passed.append(300)
        except NotAllowed:
            pass

    async with limit() as one, limit() as other:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(attempt, one)
                    group.start_soon(attempt, other)
        assert sum(passed) == 900
        assert await left(one) == 100


async def test_a_caller_that_leaves_stays_counted(limit: Open) -> None:
    async with limit() as day:
        with anyio.CancelScope() as scope:

            async def leaves() -> Effect[str]:
                scope.cancel()
                await anyio.sleep_forever()
                raise AssertionError

            await day.within(400, op("k"), leaves)
        assert await left(day) == 600
