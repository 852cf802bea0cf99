"""A ledger in one SQLite file: for one machine, for one or several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from aicore.databases.sqlite_file import Schema, SQLiteFile
from aicore.databases.sqlite_thread import Job, SQLiteThread, commit_together
from aicore.errors import ConfigError, NotOpenError
from aicore.models.budget.port import BudgetLimits, Reservation, Spent
from aicore.models.budget.windows import (
    KEEP,
    KEEP_RESERVATIONS,
    WindowKind,
    check,
    nano_of,
    new_reservation,
    spent_of,
    undone_if_cancelled,
    windows_of,
)
from aicore.models.port import Origin

__all__ = ["SQLiteLedger"]

T = TypeVar("T")

_CLOSE_S = 30.0
# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Sums of what is spent or reserved, in billionths of a dollar, by the kinds and keys of
        # aicore.models.budget.windows.
        """
        CREATE TABLE used (
            business TEXT NOT NULL,
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            nano INTEGER NOT NULL,
            last_day TEXT NOT NULL,
            PRIMARY KEY (business, kind, key)
        ) STRICT, WITHOUT ROWID
        """,
        # What is not settled yet; it is in the sums already.
        """
        CREATE TABLE reservation (
            id TEXT PRIMARY KEY,
            nano INTEGER NOT NULL,
            day TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    ),
)
_SCHEMA = Schema(what="ledger", application_id=0x6169_6C65, migrations=_MIGRATIONS)  # "aile"

_USED = "SELECT nano FROM used WHERE business = ? AND kind = ? AND key = ?"
_ADD = """
    INSERT INTO used (business, kind, key, nano, last_day) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        nano = nano + excluded.nano, last_day = max(last_day, excluded.last_day)
"""
_RESERVE = "INSERT INTO reservation (id, nano, day) VALUES (?, ?, ?)"
_SETTLE = "DELETE FROM reservation WHERE id = ? RETURNING nano"
_FOLD = "DELETE FROM used WHERE kind = ? AND last_day < ?"
_FOLD_RESERVATIONS = "DELETE FROM reservation WHERE day < ?"


class SQLiteLedger:
    """Keeps what all businesses spent in the file `path`; see Ledger.

    The file is made if it is missing, readable by its owner only; its folder must exist and be
    on a local disk. Several processes may share the file. A reservation survives a loss of
    power; a settling may be lost with the machine's last moments, and then the reservation
    counts in full.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteLedger needs a file. Name one, or use MemoryLedger.")
        self._file = SQLiteFile(Path(path), _SCHEMA)
        self._entering = anyio.Lock()
        self._entered = 0
        self._thread: SQLiteThread | None = None
        self._folded = date.min

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        """Set an amount aside; see Ledger."""
        reservation = new_reservation(origin, amount_usd, day)
        is_new_day = day > self._folded
        self._folded = max(day, self._folded)

        def work(connection: sqlite3.Connection) -> Reservation:
            nano = nano_of(reservation.amount_usd)
            check(limits, _used(connection, origin, day), nano)
            connection.execute(_RESERVE, (reservation.id, nano, day.isoformat()))
            _add(connection, reservation, nano)
            if is_new_day:
                _fold(connection, day)
            return reservation

        return await undone_if_cancelled(self, reservation, self._write(work, must_sync=True))

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Put what a request cost in the place of its reservation; see Ledger."""
        nano = nano_of(amount_usd)

        def work(connection: sqlite3.Connection) -> None:
            for (reserved_nano,) in connection.execute(_SETTLE, (reservation.id,)).fetchall():
                _add(connection, reservation, nano - reserved_nano)

        await self._write(work, must_sync=False)

    async def spent(self, origin: Origin, *, day: date) -> Spent:
        """What is spent or reserved in the windows of a request."""

        def work(connection: sqlite3.Connection) -> Spent:
            return spent_of(_used(connection, origin, day))

        return await self._write(work, must_sync=False)

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._thread is None:
                thread = SQLiteThread(self._file, commit_together)
                try:
                    await thread.start(self._file.open_writer)
                except BaseException:
                    thread.abandon()
                    raise
                self._thread = thread
            self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if self._thread is not None and not self._entered:
                    thread, self._thread = self._thread, None
                    await thread.stop()

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, must_sync: bool) -> T:
        if self._thread is None:
            raise NotOpenError(f"The {self._file} is not open: use it inside `async with`.")
        return await self._thread.run(Job(work, must_sync=must_sync))


def _used(connection: sqlite3.Connection, origin: Origin, day: date) -> dict[WindowKind, int]:
    used: dict[WindowKind, int] = {}
    for kind, key in windows_of(origin, day):
        row = connection.execute(_USED, (origin.business, kind, key)).fetchone()
        used[kind] = 0 if row is None else row[0]
    return used


def _add(connection: sqlite3.Connection, reservation: Reservation, nano: int) -> None:
    business, day = reservation.origin.business, reservation.day
    windows = windows_of(reservation.origin, day)
    rows = ((business, kind, key, nano, day.isoformat()) for kind, key in windows)
    connection.executemany(_ADD, rows)


def _fold(connection: sqlite3.Connection, day: date) -> None:
    for kind, keep in KEEP.items():
        connection.execute(_FOLD, (kind, (day - keep).isoformat()))
    connection.execute(_FOLD_RESERVATIONS, ((day - KEEP_RESERVATIONS).isoformat(),))
