"""When a day and a month begin, what is refused as settings, and where ledgers are kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import BudgetReached, ConfigError, NotOpenError, StoreError
from aicore.models.budget import (
    Budget,
    BudgetLimits,
    MemoryLedger,
    PostgresLedger,
    SQLiteLedger,
    open_ledger,
)
from aicore.models.budget.sqlite import _SCHEMA as SCHEMA
from aicore.models.port import Origin

ORIGIN = Origin(business="dental", conversation="web:42", turn=7)
BERLIN = "Europe/Berlin"
ONE = Decimal(1)


def at_ms(moment: str, zone: str = BERLIN) -> int:
    """A moment on the wall clock of a zone, in milliseconds."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


async def day_of(budget: Budget, moment_ms: int) -> Decimal:
    return (await budget.spent(ORIGIN, now_ms=moment_ms)).day_usd


async def test_a_day_is_one_of_the_business() -> None:
    budget = Budget(MemoryLedger(), BudgetLimits(day_usd=ONE), zone=BERLIN)
    async with budget:
        await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-11-21T23:59"))
        with pytest.raises(BudgetReached):
            await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-11-21T00:00"))
        await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-11-22T00:00"))


async def test_a_month_is_one_of_the_business() -> None:
    budget = Budget(MemoryLedger(), BudgetLimits(month_usd=ONE), zone=BERLIN)
    async with budget:
        await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-11-30T23:30"))
        with pytest.raises(BudgetReached) as caught:
            await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-11-01T00:10"))
        assert caught.value.window == "month"
        await budget.reserve(ORIGIN, ONE, now_ms=at_ms("2026-12-01T00:10"))


@pytest.mark.parametrize(
    ("first", "last", "hours"),
    [
        ("2026-03-29T00:00", "2026-03-29T23:59:59", 23),  # the clock goes forward
        ("2026-10-25T00:00", "2026-10-25T23:59:59", 25),  # and back
    ],
)
async def test_the_days_on_which_the_clock_is_changed(first: str, last: str, hours: int) -> None:
    budget = Budget(MemoryLedger(), BudgetLimits(), zone=BERLIN)
    begun_ms, end_ms = at_ms(first), at_ms(last) + 1000
    assert end_ms - begun_ms == hours * 3_600_000
    async with budget:
        for moment_ms in range(begun_ms, end_ms, 3_600_000):
            await budget.reserve(ORIGIN, ONE, now_ms=moment_ms)
        assert await day_of(budget, begun_ms) == await day_of(budget, end_ms - 1) == hours
        assert await day_of(budget, begun_ms - 1) == await day_of(budget, end_ms) == 0


async def test_a_clock_that_jumps_forgets_nothing() -> None:
    budget = Budget(MemoryLedger(), BudgetLimits(day_usd=ONE, month_usd=ONE), zone=BERLIN)
    today_ms, wrong_ms = at_ms("2026-11-21T12:00"), at_ms("2036-01-01T12:00")
    async with budget:
        reservation = await budget.reserve(ORIGIN, ONE, now_ms=today_ms)
        await budget.reserve(ORIGIN, ONE, now_ms=wrong_ms)
        with pytest.raises(BudgetReached):
            await budget.reserve(ORIGIN, ONE, now_ms=today_ms)
        assert await day_of(budget, today_ms) == reservation.amount_usd


async def test_a_budget_settles_in_its_ledger() -> None:
    ledger = MemoryLedger()
    limits = BudgetLimits(turn_usd=ONE)
    async with Budget(ledger, limits, zone=BERLIN) as budget:
        assert budget.limits == limits
        reservation = await budget.reserve(ORIGIN, ONE, now_ms=0)
        await budget.settle(reservation, Decimal("0.25"))
        assert (await ledger.spent(ORIGIN, day=reservation.day)).turn_usd == Decimal("0.25")


@pytest.mark.parametrize("zone", ["Berlin", "", "../etc/passwd"])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError):
        Budget(MemoryLedger(), BudgetLimits(), zone=zone)


@pytest.mark.parametrize("limit", ["-1", "NaN", "Infinity"])
def test_a_limit_that_is_no_amount_is_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match="day_usd"):
        Budget(MemoryLedger(), BudgetLimits(day_usd=Decimal(limit)))


def test_a_ledger_is_found_by_its_url(tmp_path: Path) -> None:
    assert isinstance(open_ledger("memory:"), MemoryLedger)
    assert isinstance(open_ledger(str(tmp_path / "ledger.db")), SQLiteLedger)
    assert isinstance(open_ledger(f"sqlite:///{tmp_path}/ledger.db"), SQLiteLedger)
    assert isinstance(open_ledger("postgresql://shop@127.0.0.1/shop"), PostgresLedger)


@pytest.mark.parametrize(
    "url", ["postgrs://me:secret@127.0.0.1/x", "redis://:secret@h", "sqlite:secret", "", ":memory:"]
)
def test_another_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_ledger(url)
    assert "secret" not in str(caught.value)


async def test_a_ledger_is_used_inside_its_with(tmp_path: Path) -> None:
    for ledger in (SQLiteLedger(tmp_path / "l.db"), PostgresLedger("postgresql://127.0.0.1/x")):
        budget = Budget(ledger, BudgetLimits())
        with pytest.raises(NotOpenError):
            await budget.reserve(ORIGIN, ONE, now_ms=0)


async def test_a_file_of_a_ledger_is_its_owners_and_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    files = (path, tmp_path / "ledger.db-wal")
    async with Budget(SQLiteLedger(path), BudgetLimits()) as budget:
        await budget.reserve(ORIGIN, ONE, now_ms=0)
        assert path.stat().st_mode & 0o077 == 0
        kept = b"".join(file.read_bytes() for file in files)
    assert b"dental" in kept
    assert b"web:42" not in kept


async def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    newer, other = tmp_path / "newer.db", tmp_path / "other.db"
    with closing(SQLiteFile(newer, SCHEMA).open_writer()) as connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE shop (id)")
    for path in (newer, other, tmp_path, tmp_path / "missing" / "ledger.db"):
        with pytest.raises(StoreError):
            await SQLiteLedger(path).__aenter__()
