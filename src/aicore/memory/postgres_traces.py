"""Deleting from PostgreSQL so that no file of the tables keeps what was deleted.

A plain VACUUM leaves the bytes of deleted rows in the free room of their pages, so what may hold
them is written anew. Large tables are in parts by namespace: only one part is, and only those who
want the same part wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from aicore.databases.postgres import Connection, Postgres, fetch
from aicore.errors import AicoreError, StoreBusy

__all__ = ["TRACE", "Traces", "in_parts", "no_statistics"]

T = TypeVar("T")

_PARTS = 8
_MAX_PART_BYTES = 512 * 1024 * 1024
_READERS_S = 5.0
_LOCK_S = 3  # whoever comes while a table is waited for waits behind us
_PAUSE_S = 0.02

TRACE = (
    "CREATE TABLE trace (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, part integer NOT NULL)"
)
"""A row while rows of a part are deleted whose bytes may still be in a file."""

_PART = """
    SELECT part FROM generate_series(0, %s - 1) AS p (part)
    WHERE satisfies_hash_partition(%s::regclass, %s, part, %s::bigint)
"""
_ADD = "INSERT INTO trace (part) VALUES (%s)"
_OPEN = "SELECT id, part FROM trace"
_NOW = "SELECT pg_current_xact_id()::xid::text"
# Rows deleted by a transaction stay for those who began before it ended.
_READERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (
        age(backend_xmin) >= age(%s::text::xid) OR age(backend_xid) >= age(%s::text::xid)
    )
"""
_SIZE = "SELECT sum(pg_table_size(name::regclass))::bigint FROM unnest(%s::text[]) AS t (name)"
_PATIENCE = "SELECT set_config('lock_timeout', %s, false)"
_DONE = "DELETE FROM trace WHERE id = ANY(%s)"


def in_parts(table: str) -> tuple[str, ...]:
    """Statements that make the parts of a table which is partitioned by hash of its space."""
    return tuple(
        f"CREATE TABLE {table}_{part} PARTITION OF {table} "
        f"FOR VALUES WITH (MODULUS {_PARTS}, REMAINDER {part})"
        for part in range(_PARTS)
    )


def no_statistics(table: str, *columns: str) -> tuple[str, ...]:
    """Statements that keep ANALYZE from taking samples of texts, which no erase would find."""
    return tuple(f"ALTER TABLE {table} ALTER COLUMN {name} SET STATISTICS 0" for name in columns)


class Traces:
    """Erases in one database. `large` are the tables in parts, `small` those that are whole."""

    def __init__(self, database: Postgres, *, large: Sequence[str], small: Sequence[str]) -> None:
        self._database = database
        self._large = large
        self._small = small

    async def erase(self, delete: Callable[[Connection], Awaitable[tuple[int | None, T]]]) -> T:
        """Delete in a transaction, then write anew what may keep traces.

        `delete` gives the space whose rows it deleted, None if none, and what to return.
        Raises: StoreBusy also when the rows are deleted but traces are left in the files.
        """

        async def work(connection: Connection) -> tuple[int | None, T]:
            space, result = await delete(connection)
            if space is not None:
                values = (_PARTS, self._large[0], _PARTS, space)
                [(part,)] = await fetch(connection, _PART, values)
                await fetch(connection, _ADD, (part,))
            return space, result

        with anyio.CancelScope(shield=True):
            space, result = await self._database.transact(work)
            if space is not None:
                await self._remove()
            return result
        raise AssertionError  # nothing in a shielded scope is swallowed

    async def finish(self) -> None:
        """Finish what an earlier erase did not get to. Raises: StoreBusy."""
        if await self._database.fetch(_OPEN):
            await self._remove()

    async def _remove(self) -> None:
        try:
            hindrance = await self._database.run(self._rewrite)
        except AicoreError as exc:
            raise self._left("the tables are in use") from exc
        if hindrance:
            raise self._left(hindrance)

    async def _rewrite(self, connection: Connection) -> str:
        """Write parts anew; gives what hindered that, if anything did."""
        [(now,)] = await fetch(connection, _NOW)
        open_traces = await fetch(connection, _OPEN)
        parts = sorted({part for _, part in open_traces})
        tables = [f"{table}_{part}" for table in self._large for part in parts] + [*self._small]
        for table in tables:
            [(size_bytes,)] = await fetch(connection, _SIZE, ([table],))
            if size_bytes > _MAX_PART_BYTES:
                return f"{table} is too large to be written anew while others wait"
        if not await _wait_for_readers(connection, now):
            return "somebody reads the tables for long, a backup perhaps"
        await fetch(connection, _PATIENCE, (f"{_LOCK_S}s",))
        try:
            for table in tables:
                await fetch(connection, f"VACUUM FULL {table}")
            await fetch(connection, _DONE, ([id_ for id_, _ in open_traces],))
        finally:
            await fetch(connection, _PATIENCE, ("0",))
        return ""

    def _left(self, why: str) -> StoreBusy:
        names = ", ".join(f"{self._database.schema.name}.{name}" for name in self._large)
        return StoreBusy(
            f"What was asked for is deleted from {self._database}, but {why}, so traces are "
            f"left in its files. Do it again at a quiet time, or run VACUUM FULL {names}.",
            retry_after_s=60.0,
        )


async def _wait_for_readers(connection: Connection, since: str) -> bool:
    """Wait for all who may still see what was deleted before `since`; False if some stay."""
    give_up_s = anyio.current_time() + _READERS_S
    while (await fetch(connection, _READERS, (since, since)))[0][0]:
        if anyio.current_time() > give_up_s:
            return False
        await anyio.sleep(_PAUSE_S)
    return True
