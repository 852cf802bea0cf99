"""Whatever is asked for at once, in whatever order: what is spent and reserved stays in limits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore.errors import BudgetReached
from aicore.models.budget import (
    BudgetLimits,
    Ledger,
    MemoryLedger,
    PostgresLedger,
    Reservation,
    SQLiteLedger,
)
from aicore.models.port import Origin

FIRST_DAY = date(2026, 11, 28)
WINDOWS = ("turn", "conversation", "day", "month")
_numbers = itertools.count()

_amounts = st.integers(0, 2_000_000_000).map(lambda nano: Decimal(nano) / 1_000_000_000)
_limits = st.builds(
    BudgetLimits,
    **{f"{window}_usd": st.none() | _amounts.map(lambda usd: usd * 3) for window in WINDOWS},
)
_asks = st.tuples(
    st.sampled_from(["", "web:1", "web:2"]), st.integers(0, 2), _amounts, st.integers(0, 4)
)
_settles = st.tuples(st.integers(0, 30), _amounts)
_batches = st.lists(st.lists(_asks | _settles, min_size=1, max_size=6), max_size=12)


@dataclass
class Books:
    """What should be in a ledger, kept the simplest way: a list of all that was spent."""

    ledger: Ledger
    limits: BudgetLimits
    business: str
    made: list[Reservation] = field(default_factory=list)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    settling: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    refused: list[tuple[Any, Decimal]] = field(default_factory=list)
    overshoot: Decimal = Decimal(0)

    async def take(self, step: Any) -> None:
        await (self.ask(*step) if len(step) == 4 else self.settle(*step))

    async def ask(self, conversation: str, turn: int, amount: Decimal, after: int) -> None:
        origin = Origin(business=self.business, conversation=conversation, turn=turn)
        day = FIRST_DAY + timedelta(days=after)
        try:
            reservation = await self.ledger.reserve(origin, amount, self.limits, day=day)
        except BudgetReached as exc:
            self.refused.append((exc, amount))
            return
        self.made.append(reservation)
        self.amounts.setdefault(reservation.id, amount)

    async def settle(self, number: int, amount: Decimal) -> None:
        if not self.made:
            return
        reservation = self.made[number % len(self.made)]
        if reservation.id in self.settling:
            return  # which of two at once is the first, nobody knows
        self.settling.add(reservation.id)
        if reservation.id not in self.settled:
            self.settled.add(reservation.id)
            self.amounts[reservation.id] = amount
            self.overshoot += max(amount - reservation.amount_usd, Decimal(0))
        await self.ledger.settle(reservation, amount)
        self.settling.discard(reservation.id)

    def sum_of(self, window: str, like: Reservation) -> Decimal:
        return sum(
            (
                self.amounts[one.id]
                for one in self.made
                if _place(window, one) == _place(window, like)
            ),
            Decimal(0),
        )

    async def check(self) -> None:
        assert all(exc.used + amount > exc.limit for exc, amount in self.refused)
        for reservation in self.made:
            told = await self.ledger.spent(reservation.origin, day=reservation.day)
            for window in WINDOWS:
                if _place(window, reservation) is None:
                    continue
                used = getattr(told, f"{window}_usd")
                limit = getattr(self.limits, f"{window}_usd")
                assert used == self.sum_of(window, reservation)
                assert limit is None or used <= limit + self.overshoot


def _place(window: str, reservation: Reservation) -> object:
    """Where a reservation counts; None where it does not."""
    origin, day = reservation.origin, reservation.day
    return {
        "turn": (origin.conversation, origin.turn) if origin.conversation and origin.turn else None,
        "conversation": origin.conversation or None,
        "day": day,
        "month": (day.year, day.month),
    }[window]


async def _play(open_ledger: Callable[[], Ledger], limits: BudgetLimits, batches: Any) -> None:
    books = Books(open_ledger(), limits, business=f"b{next(_numbers)}")
    async with books.ledger:
        for batch in batches:
            async with anyio.create_task_group() as group:
                for step in batch:
                    group.start_soon(books.take, step)
            await books.check()


@settings(max_examples=150, deadline=None)
@given(limits=_limits, batches=_batches)
def test_in_memory(limits: BudgetLimits, batches: Any) -> None:
    anyio.run(_play, MemoryLedger, limits, batches)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limits=_limits, batches=_batches)
def test_in_a_file(tmp_path: Path, limits: BudgetLimits, batches: Any) -> None:
    anyio.run(_play, lambda: SQLiteLedger(tmp_path / "ledger.db"), limits, batches)


@pytest.fixture(scope="module")
def url(postgres: Any) -> str:
    """One database for all examples; each is a business of its own."""
    made: str = postgres.new_database()
    return made


@settings(max_examples=15, deadline=None)
@given(limits=_limits, batches=_batches)
def test_in_a_database(url: str, limits: BudgetLimits, batches: Any) -> None:
    anyio.run(_play, lambda: PostgresLedger(url), limits, batches)
