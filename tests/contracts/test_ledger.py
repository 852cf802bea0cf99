"""What every ledger keeps to. A new one adds a row to LEDGERS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from aicore.errors import BudgetReached
from aicore.models.budget import (
    BudgetLimits,
    Ledger,
    MemoryLedger,
    PostgresLedger,
    Reservation,
    Spent,
    SQLiteLedger,
)
from aicore.models.port import Origin

MakeLedger = Callable[[], Ledger]

TODAY = date(2026, 11, 21)
TURN = Origin(business="dental", conversation="web:42", turn=7, task="reply")
NO_LIMITS = BudgetLimits()


def usd(text: str) -> Decimal:
    return Decimal(text)


def _memory(request: pytest.FixtureRequest, folder: Path) -> MakeLedger:
    ledger = MemoryLedger()
    return lambda: ledger


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> MakeLedger:
    return lambda: SQLiteLedger(folder / "ledger.db")


def _postgres(request: pytest.FixtureRequest, folder: Path) -> MakeLedger:
    url = request.getfixturevalue("postgres").new_database()
    return lambda: PostgresLedger(url)


LEDGERS: dict[str, Callable[[pytest.FixtureRequest, Path], MakeLedger]] = {
    "memory": _memory,
    "postgres": _postgres,
    "sqlite": _sqlite,
}


@pytest.fixture(params=sorted(LEDGERS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeLedger:
    """Makes ledgers over one and the same place, empty at first."""
    return LEDGERS[request.param](request, tmp_path)


def sums(spent: Spent) -> tuple[str, ...]:
    """The four sums, narrowest first, as short text."""
    amounts = (spent.turn_usd, spent.conversation_usd, spent.day_usd, spent.month_usd)
    return tuple(f"{amount.normalize():f}" for amount in amounts)


async def reserve(
    ledger: Ledger,
    amount: str,
    limits: BudgetLimits = NO_LIMITS,
    origin: Origin = TURN,
    day: date = TODAY,
) -> Reservation:
    return await ledger.reserve(origin, usd(amount), limits, day=day)


async def spent(ledger: Ledger, origin: Origin = TURN, day: date = TODAY) -> tuple[str, ...]:
    return sums(await ledger.spent(origin, day=day))


async def test_a_new_ledger_has_nothing(make: MakeLedger) -> None:
    async with make() as ledger:
        assert await spent(ledger) == ("0", "0", "0", "0")


async def test_what_is_reserved_counts_until_it_is_settled(make: MakeLedger) -> None:
    async with make() as ledger:
        reservation = await reserve(ledger, "0.25")
        assert reservation.amount_usd == usd("0.25")
        assert await spent(ledger) == ("0.25",) * 4
        await ledger.settle(reservation, usd("0.07"))
        assert await spent(ledger) == ("0.07",) * 4


@pytest.mark.parametrize("window", ["turn", "conversation", "day", "month"])
async def test_no_reservation_passes_a_limit(make: MakeLedger, window: str) -> None:
    limits = BudgetLimits(**{f"{window}_usd": usd("0.50")})
    async with make() as ledger:
        await reserve(ledger, "0.30", limits)
        with pytest.raises(BudgetReached) as caught:
            await reserve(ledger, "0.21", limits)
        assert caught.value.window == window
        assert (caught.value.limit, caught.value.used) == (usd("0.50"), usd("0.30"))
        assert await spent(ledger) == ("0.3",) * 4
        await reserve(ledger, "0.20", limits)  # to the limit, not beyond
        assert await spent(ledger) == ("0.5",) * 4


async def test_the_narrowest_limit_is_named(make: MakeLedger) -> None:
    limits = BudgetLimits(
        turn_usd=usd("9"), conversation_usd=usd("1"), day_usd=usd("1"), month_usd=usd("1")
    )
    async with make() as ledger:
        with pytest.raises(BudgetReached) as caught:
            await reserve(ledger, "2", limits)
    assert caught.value.window == "conversation"


async def test_what_is_settled_for_less_can_be_spent(make: MakeLedger) -> None:
    limits = BudgetLimits(day_usd=usd("1"))
    async with make() as ledger:
        first = await reserve(ledger, "1", limits)
        with pytest.raises(BudgetReached):
            await reserve(ledger, "0.000000001", limits)
        await ledger.settle(first, usd("0"))
        await reserve(ledger, "1", limits)


async def test_what_is_never_settled_counts_in_full(make: MakeLedger) -> None:
    async with make() as ledger:
        await reserve(ledger, "0.40")
    async with make() as ledger:
        assert await spent(ledger) == ("0.4",) * 4
        with pytest.raises(BudgetReached):
            await reserve(ledger, "0.61", BudgetLimits(month_usd=usd("1")))


async def test_a_reservation_is_settled_once(make: MakeLedger) -> None:
    async with make() as ledger:
        reservation = await reserve(ledger, "0.40")
        await ledger.settle(reservation, usd("0.10"))
        await ledger.settle(reservation, usd("0.10"))
        await ledger.settle(reservation, usd("0.90"))
        assert await spent(ledger) == ("0.1",) * 4


async def test_a_reservation_is_settled_by_another_process(make: MakeLedger) -> None:
    async with make() as ledger:
        reservation = await reserve(ledger, "0.40")
    async with make() as ledger:
        await ledger.settle(reservation, usd("0.10"))
        assert await spent(ledger) == ("0.1",) * 4


async def test_what_costs_more_is_recorded_as_it_is(make: MakeLedger) -> None:
    limits = BudgetLimits(day_usd=usd("1"))
    async with make() as ledger:
        reservation = await reserve(ledger, "1", limits)
        await ledger.settle(reservation, usd("1.5"))
        assert await spent(ledger) == ("1.5",) * 4
        with pytest.raises(BudgetReached) as caught:
            await reserve(ledger, "0.01", limits)
    assert caught.value.used == usd("1.5")


async def test_what_costs_nothing_is_never_refused(make: MakeLedger) -> None:
    limits = BudgetLimits(turn_usd=usd("0"), day_usd=usd("1"))
    async with make() as ledger:
        await ledger.settle(await reserve(ledger, "1"), usd("2"))
        free = await reserve(ledger, "0", limits)
        await ledger.settle(free, usd("0"))
        assert await spent(ledger) == ("2",) * 4


async def test_each_window_counts_what_is_its_own(make: MakeLedger) -> None:
    def other(**fields: Any) -> Origin:
        return replace(TURN, **fields)

    async with make() as ledger:
        await reserve(ledger, "1")
        await reserve(ledger, "0.1", origin=other(turn=8))
        await reserve(ledger, "0.01", origin=other(conversation="web:43"))
        await reserve(ledger, "0.001", day=TODAY + timedelta(days=1))
        await reserve(ledger, "0.0001", day=TODAY + timedelta(days=10))
        await reserve(ledger, "9", origin=other(business="bakery"))
        assert await spent(ledger) == ("1.0011", "1.1011", "1.11", "1.111")
        assert await spent(ledger, day=TODAY + timedelta(days=10)) == (
            "1.0011",
            "1.1011",
            "0.0001",
            "0.0001",
        )
        assert await spent(ledger, origin=other(business="bakery")) == ("9",) * 4


async def test_what_is_outside_of_turns_counts_for_the_rest(make: MakeLedger) -> None:
    summary = Origin(business="dental", conversation="web:42")
    nobody = Origin(business="dental")
    limits = BudgetLimits(turn_usd=usd("0.1"))
    async with make() as ledger:
        await reserve(ledger, "1", limits, origin=summary)
        await reserve(ledger, "2", BudgetLimits(conversation_usd=usd("1")), origin=nobody)
        assert await spent(ledger, origin=summary) == ("0", "1", "3", "3")
        assert await spent(ledger, origin=nobody) == ("0", "0", "3", "3")


async def test_it_counts_for_the_day_of_the_reservation(make: MakeLedger) -> None:
    tomorrow = date(2026, 12, 1)
    today = date(2026, 11, 30)
    async with make() as ledger:
        reservation = await reserve(ledger, "1", day=today)
        await reserve(ledger, "0.5", day=tomorrow)
        await ledger.settle(reservation, usd("0.2"))
        assert await spent(ledger, day=today) == ("0.7", "0.7", "0.2", "0.2")
        assert await spent(ledger, day=tomorrow) == ("0.7", "0.7", "0.5", "0.5")


async def test_amounts_are_exact_and_finer_ones_rounded_up(make: MakeLedger) -> None:
    async with make() as ledger:
        for _ in range(10):
            await reserve(ledger, "0.1")
        assert await spent(ledger) == ("1",) * 4
        fine = await reserve(ledger, "0.0000000000375")
        assert fine.amount_usd == usd("0.000000001")
        await ledger.settle(fine, usd("0.0000000011"))
        assert await spent(ledger) == ("1.000000002",) * 4


@pytest.mark.parametrize("amount", ["-0.01", "NaN", "Infinity", "1000000.01"])
async def test_what_is_no_amount_is_refused(make: MakeLedger, amount: str) -> None:
    async with make() as ledger:
        with pytest.raises(ValueError, match="amount"):
            await reserve(ledger, amount)
        kept = await reserve(ledger, "1")
        with pytest.raises(ValueError, match="amount"):
            await ledger.settle(kept, usd(amount))
        assert await spent(ledger) == ("1",) * 4


async def test_many_tasks_at_once_get_what_there_is(make: MakeLedger) -> None:
    limits = BudgetLimits(month_usd=usd("0.205"))
    won: list[Reservation] = []
    refused: list[str] = []

    async def ask(ledger: Ledger, number: int) -> None:
        origin = Origin(business="dental", conversation=f"web:{number % 3}", turn=number)
        try:
            won.append(await reserve(ledger, "0.01", limits, origin=origin))
        except BudgetReached as exc:
            refused.append(exc.window)

    async with make() as one, make() as two, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(ask, (one, two)[number % 2], number)

    assert len(won) == 20
    assert refused == ["month"] * 30
    async with make() as ledger:
        assert (await spent(ledger))[3] == "0.2"


async def test_a_reservation_that_is_cancelled_leaves_nothing(make: MakeLedger) -> None:
    known: list[Reservation] = []

    async def ask(ledger: Ledger) -> None:
        known.append(await reserve(ledger, "1"))

    async with make() as ledger:
        for turns in (0, 1, 2, 3, 5, 8, 10, 20, 30, 50, 80, 100, 150, 200, 300, 500, 1000):
            async with anyio.create_task_group() as group:
                group.start_soon(ask, ledger)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await ledger.spent(TURN, day=TODAY)).day_usd == len(known)


async def test_ids_of_any_text_count(make: MakeLedger) -> None:
    strange = ["a", "a\x00", "\ud800", "A", "ä" * 5000]
    async with make() as ledger:
        for number, id_ in enumerate(strange, 1):
            origin = Origin(business="dental", conversation=id_, turn=1)
            await reserve(ledger, str(number), origin=origin)
        for number, id_ in enumerate(strange, 1):
            origin = Origin(business="dental", conversation=id_, turn=1)
            assert await spent(ledger, origin=origin) == (str(number), str(number), "15", "15")


async def test_old_turns_and_conversations_are_folded_into_days(make: MakeLedger) -> None:
    async with make() as ledger:
        old = await reserve(ledger, "1")
        await reserve(ledger, "0.5", origin=Origin(business="dental"), day=TODAY)
    later = TODAY + timedelta(days=41)
    async with make() as ledger:
        await reserve(ledger, "0.1", origin=Origin(business="dental"), day=later)
        await ledger.settle(old, usd("0.3"))  # too late: it counts in full
        assert await spent(ledger) == ("0", "1", "1.5", "1.5")
    much_later = TODAY + timedelta(days=401)
    async with make() as ledger:
        await reserve(ledger, "0.1", origin=Origin(business="dental"), day=much_later)
        assert await spent(ledger) == ("0", "0", "1.5", "1.5")


async def test_it_is_entered_as_often_as_it_is_left(make: MakeLedger) -> None:
    ledger = make()
    async with ledger:
        async with ledger:
            await reserve(ledger, "1")
        assert await spent(ledger) == ("1",) * 4
    async with ledger:
        assert await spent(ledger) == ("1",) * 4
