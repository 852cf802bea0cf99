"""A ledger in PostgreSQL: for several machines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import anyio

from aicore.databases.postgres import Connection, Postgres, PostgresSchema, fetch
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

__all__ = ["PostgresLedger"]

# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Sums of what is spent or reserved, in billionths of a dollar, by the kinds and keys of
        # aicore.models.budget.windows. The same few rows change all the time: room for that.
        """
        CREATE TABLE used (
            nano bigint NOT NULL,
            last_day date NOT NULL,
            business text COLLATE "C" NOT NULL,
            kind text COLLATE "C" NOT NULL,
            key text COLLATE "C" NOT NULL,
            PRIMARY KEY (business, kind, key)
        ) WITH (fillfactor = 70)
        """,
        # What is not settled yet; it is in the sums already.
        """
        CREATE TABLE reservation (
            nano bigint NOT NULL,
            day date NOT NULL,
            id text COLLATE "C" PRIMARY KEY
        )
        """,
    ),
)
_SCHEMA = PostgresSchema(what="ledger", name="aicore_ledger", migrations=_MIGRATIONS)

# One writer of a business at a time: what is read behind this stays true until the commit.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_USED = """
    SELECT kind, nano FROM used
    JOIN unnest(%s::text[], %s::text[]) AS w (kind, key) USING (kind, key) WHERE business = %s
"""
_ADD = """
    INSERT INTO used AS u (nano, last_day, business, kind, key)
    SELECT %s, %s, %s, kind, key FROM unnest(%s::text[], %s::text[]) AS w (kind, key)
    ON CONFLICT (business, kind, key) DO UPDATE SET
        nano = u.nano + excluded.nano, last_day = greatest(u.last_day, excluded.last_day)
"""
_RESERVE = "INSERT INTO reservation (id, nano, day) VALUES (%s, %s, %s)"
_SETTLE = "DELETE FROM reservation WHERE id = %s RETURNING nano"
_FOLD = "DELETE FROM used WHERE kind = %s AND last_day < %s"
_FOLD_RESERVATIONS = "DELETE FROM reservation WHERE day < %s"


class PostgresLedger:
    """Keeps what all businesses spent in the database `url`; see Ledger.

    `url` is postgresql://user:password@host:port/database; tables are made in the schema
    aicore_ledger. The reservations of one business are made one after the other, which takes a
    few milliseconds each. Raises: ConfigError for a url that is none or a missing extra.
    """

    def __init__(self, url: str) -> None:
        self._database = Postgres(url, _SCHEMA)
        self._entering = anyio.Lock()
        self._entered = 0
        self._folded = date.min

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        """Set an amount aside; see Ledger."""
        reservation = new_reservation(origin, amount_usd, day)
        is_new_day = day > self._folded
        self._folded = max(day, self._folded)

        async def work(connection: Connection) -> Reservation:
            nano = nano_of(reservation.amount_usd)
            await _lock(connection, origin)
            check(limits, await _used(connection, origin, day), nano)
            await fetch(connection, _RESERVE, (reservation.id, nano, day))
            await _add(connection, reservation, nano)
            return reservation

        if is_new_day:
            await self._database.run(lambda connection: _fold(connection, day))
        made = self._database.transact(work)
        return await undone_if_cancelled(self, reservation, made)

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Put what a request cost in the place of its reservation; see Ledger."""
        nano = nano_of(amount_usd)

        async def work(connection: Connection) -> None:
            await _lock(connection, reservation.origin)
            for (reserved_nano,) in await fetch(connection, _SETTLE, (reservation.id,)):
                await _add(connection, reservation, nano - reserved_nano)

        await self._database.transact(work)

    async def spent(self, origin: Origin, *, day: date) -> Spent:
        """What is spent or reserved in the windows of a request."""

        async def work(connection: Connection) -> Spent:
            return spent_of(await _used(connection, origin, day))

        return await self._database.run(work)

    async def __aenter__(self) -> Self:
        async with self._entering:
            if not self._entered:
                await self._database.open()
            self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if not self._entered:
                    await self._database.close()


async def _lock(connection: Connection, origin: Origin) -> None:
    await fetch(connection, _LOCK, (f"{_SCHEMA.name}:{origin.business}",))


def _columns(origin: Origin, day: date) -> tuple[list[str], list[str]]:
    windows = windows_of(origin, day)
    return [window.kind for window in windows], [window.key for window in windows]


async def _used(connection: Connection, origin: Origin, day: date) -> dict[WindowKind, int]:
    kinds, keys = _columns(origin, day)
    found: dict[Any, int] = dict(await fetch(connection, _USED, (kinds, keys, origin.business)))
    return {window.kind: found.get(window.kind, 0) for window in windows_of(origin, day)}


async def _add(connection: Connection, reservation: Reservation, nano: int) -> None:
    kinds, keys = _columns(reservation.origin, reservation.day)
    values = (nano, reservation.day, reservation.origin.business, kinds, keys)
    await fetch(connection, _ADD, values)


async def _fold(connection: Connection, day: date) -> None:
    for kind, keep in KEEP.items():
        await fetch(connection, _FOLD, (kind, day - keep))
    await fetch(connection, _FOLD_RESERVATIONS, (day - KEEP_RESERVATIONS,))
