"""Vaults in PostgreSQL: for several machines."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio

from aicore.databases.postgres import Connection, Postgres, PostgresSchema, fetch
from aicore.errors import AicoreError, StoreBusy
from aicore.log.postgres_schema import to_key
from aicore.trust.vault_store import Seal, SealedValue, VaultHead, VaultId

__all__ = ["PostgresVaultStore"]

_CONNECTIONS = 4
_CLOSE_S = 30.0
# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE vault (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            business text COLLATE "C" NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            nonce text NOT NULL,
            proof bytea NOT NULL,
            UNIQUE (business, conversation)
        )
        """,
        """
        CREATE TABLE value (
            vault bigint NOT NULL REFERENCES vault,
            number bigint NOT NULL,
            finder bytea NOT NULL,
            sealed bytea NOT NULL,
            PRIMARY KEY (vault, number),
            UNIQUE (vault, finder)
        )
        """,
        # ANALYZE would keep samples, which no erase finds; each statement goes by a key.
        "ALTER TABLE vault ALTER COLUMN conversation SET STATISTICS 0",
        "ALTER TABLE vault ALTER COLUMN proof SET STATISTICS 0",
        "ALTER TABLE value ALTER COLUMN finder SET STATISTICS 0",
        "ALTER TABLE value ALTER COLUMN sealed SET STATISTICS 0",
    ),
)
_SCHEMA = PostgresSchema("vault", "aicore_vault", _MIGRATIONS)

_BEGIN = """
    INSERT INTO vault (business, conversation, nonce, proof) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_HEAD = "SELECT nonce, proof FROM vault WHERE business = %s AND conversation = %s"
_ID = "SELECT id FROM vault WHERE business = %s AND conversation = %s AND nonce = %s"
_LOCK = f"{_ID} FOR UPDATE"
_READ = "SELECT number, finder, sealed FROM value WHERE vault = %s AND number > %s ORDER BY number"
_FIND = "SELECT number, finder, sealed FROM value WHERE vault = %s AND finder = ANY(%s)"
_NEXT = "SELECT coalesce(max(number), 0) + 1 FROM value WHERE vault = %s"
_ADD = """
    INSERT INTO value (vault, number, finder, sealed)
    SELECT %s, number, finder, sealed
    FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[]) AS v (number, finder, sealed)
"""
_LOCK_HEAD = "SELECT id FROM vault WHERE business = %s AND conversation = %s FOR UPDATE"
_ERASE = ("DELETE FROM value WHERE vault = %s", "DELETE FROM vault WHERE id = %s")


class PostgresVaultStore:
    """Keeps vaults in a PostgreSQL database; see VaultStore.

    `url` is postgresql://user:password@host:port/database. Tables are made in the schema
    aicore_vault. `erase` writes both tables anew; the write-ahead log and backups keep what they
    had, sealed, until they are recycled.
    """

    def __init__(self, url: str) -> None:
        self._database = Postgres(url, _SCHEMA, max_connections=_CONNECTIONS)
        self._entering = anyio.Lock()
        self._entered = 0

    async def begin(self, vault: VaultId, fresh: VaultHead) -> VaultHead:
        """Give the head of a vault; see VaultStore."""
        place = _place(vault)

        async def work(connection: Connection) -> VaultHead:
            await fetch(connection, _BEGIN, (*place, fresh.nonce, fresh.proof))
            [(nonce, proof)] = await fetch(connection, _HEAD, place)
            return VaultHead(nonce, bytes(proof))

        return await self._database.transact(work)

    async def read(self, vault: VaultId, nonce: str, after: int) -> Sequence[SealedValue] | None:
        """Values above a number; see VaultStore."""

        async def work(connection: Connection) -> list[SealedValue] | None:
            ids = await fetch(connection, _ID, (*_place(vault), nonce))
            if not ids:
                return None
            return [_value(row) for row in await fetch(connection, _READ, (ids[0][0], after))]

        return await self._database.run(work)

    async def add(
        self, vault: VaultId, nonce: str, finders: Sequence[bytes], seal: Seal
    ) -> Sequence[SealedValue] | None:
        """Add values; see VaultStore."""

        async def work(connection: Connection) -> list[SealedValue] | None:
            ids = await fetch(connection, _LOCK, (*_place(vault), nonce))
            if not ids:
                return None
            id_ = ids[0][0]
            rows = await fetch(connection, _FIND, (id_, list(finders)))
            known = {value.finder: value for value in map(_value, rows)}
            [(number,)] = await fetch(connection, _NEXT, (id_,))
            added: list[SealedValue] = []
            for index, finder in enumerate(finders):
                if finder not in known:
                    at = number + len(added)
                    known[finder] = SealedValue(at, finder, seal(index, at))
                    added.append(known[finder])
            if added:
                columns = (
                    [value.number for value in added],
                    [value.finder for value in added],
                    [value.sealed for value in added],
                )
                await fetch(connection, _ADD, (id_, *columns))
            return [known[finder] for finder in finders]

        return await self._database.transact(work)

    async def erase(self, vault: VaultId) -> bool:
        """Delete a vault, and write the tables anew without it.

        Raises: StoreBusy also when it is deleted, but traces are left in the tables' files, because
        others use them: then erase again, or run VACUUM FULL at a quiet time.
        """

        async def delete(connection: Connection) -> bool:
            found = await fetch(connection, _LOCK_HEAD, _place(vault))
            for statement in _ERASE if found else ():
                await fetch(connection, statement, found[0])
            return bool(found)

        with anyio.CancelScope(shield=True):
            was_there = await self._database.transact(delete)
            try:
                await self._database.run(_rewrite)
            except AicoreError as exc:
                raise StoreBusy(
                    "The vault is deleted, but its tables are in use, so that traces are left in "
                    "their files. Erase again, or run: VACUUM FULL aicore_vault.value, "
                    "aicore_vault.vault",
                    retry_after_s=60.0,
                ) from exc
            return was_there
        raise AssertionError  # nothing in a shielded scope is swallowed

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
        with anyio.move_on_after(_CLOSE_S, shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if not self._entered:
                    await self._database.close()


def _place(vault: VaultId) -> tuple[str, str]:
    return to_key(vault.business), to_key(vault.conversation)


def _value(row: Sequence[object]) -> SealedValue:
    number, finder, sealed = row
    return SealedValue(int(str(number)), bytes(finder), bytes(sealed))  # type: ignore[call-overload]


async def _rewrite(connection: Connection) -> None:
    # A plain VACUUM leaves the bytes of deleted rows in the free room of their pages.
    for table in ("value", "vault"):
        await fetch(connection, f"VACUUM FULL {table}")
