"""Vaults in one SQLite file, beside the log: for one machine, for one or several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from aicore.databases.sqlite_file import Schema, SQLiteFile, scrub
from aicore.databases.sqlite_thread import Job, SQLiteThread, commit_together
from aicore.errors import ConfigError, NotOpenError, StoreBusy
from aicore.trust.vault_store import Seal, SealedValue, VaultHead, VaultId

__all__ = ["SQLiteVaultStore"]

T = TypeVar("T")

_CLOSE_S = 30.0
# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE vault (
            id INTEGER PRIMARY KEY,
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            nonce TEXT NOT NULL,
            proof BLOB NOT NULL,
            UNIQUE (business, conversation)
        ) STRICT
        """,
        """
        CREATE TABLE value (
            vault INTEGER NOT NULL REFERENCES vault,
            number INTEGER NOT NULL,
            finder BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (vault, number),
            UNIQUE (vault, finder)
        ) STRICT, WITHOUT ROWID
        """,
        # A row while there are deleted rows whose bytes may still be in the file.
        "CREATE TABLE trace (id INTEGER PRIMARY KEY) STRICT",
    ),
)
_SCHEMA = Schema("vault", 0x6169_7661, _MIGRATIONS)

_BEGIN = """
    INSERT INTO vault (business, conversation, nonce, proof) VALUES (?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_HEAD = "SELECT nonce, proof FROM vault WHERE business = ? AND conversation = ?"
_ID = "SELECT id FROM vault WHERE business = ? AND conversation = ? AND nonce = ?"
_READ = "SELECT number, finder, sealed FROM value WHERE vault = ? AND number > ? ORDER BY number"
_FIND = "SELECT number, finder, sealed FROM value WHERE vault = ? AND finder = ?"
_NEXT = "SELECT coalesce(max(number), 0) + 1 FROM value WHERE vault = ?"
_ADD = "INSERT INTO value (vault, number, finder, sealed) VALUES (?, ?, ?, ?)"
_ERASE = (
    """
    DELETE FROM value
    WHERE vault = (SELECT id FROM vault WHERE business = ? AND conversation = ?)
    """,
    "DELETE FROM vault WHERE business = ? AND conversation = ?",
)


class SQLiteVaultStore:
    """Keeps vaults in the file `path`; see VaultStore.

    The file is made if it is missing, readable by its owner only; its folder must exist and be on
    a local disk. `erase` writes the whole file anew; one that a crash interrupted is finished when
    the file is next opened.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteVaultStore needs a file. Name one in an existing folder.")
        self._file = SQLiteFile(Path(path), _SCHEMA)
        self._entering = anyio.Lock()
        self._entered = 0
        self._thread: SQLiteThread | None = None

    async def begin(self, vault: VaultId, fresh: VaultHead) -> VaultHead:
        """Give the head of a vault; see VaultStore."""
        place = (vault.business, vault.conversation)

        def work(connection: sqlite3.Connection) -> VaultHead:
            found = connection.execute(_HEAD, place).fetchone()
            if found is None:
                connection.execute(_BEGIN, (*place, fresh.nonce, fresh.proof))
                return fresh
            return VaultHead(*found)

        return await self._run(work)

    async def read(self, vault: VaultId, nonce: str, after: int) -> Sequence[SealedValue] | None:
        """Values above a number; see VaultStore."""

        def work(connection: sqlite3.Connection) -> list[SealedValue] | None:
            id_ = _id(connection, vault, nonce)
            if id_ is None:
                return None
            return [SealedValue(*row) for row in connection.execute(_READ, (id_, after))]

        return await self._run(work)

    async def add(
        self, vault: VaultId, nonce: str, finders: Sequence[bytes], seal: Seal
    ) -> Sequence[SealedValue] | None:
        """Add values; see VaultStore."""

        def work(connection: sqlite3.Connection) -> list[SealedValue] | None:
            id_ = _id(connection, vault, nonce)
            if id_ is None:
                return None
            return [
                _find_or_add(connection, id_, finder, partial(seal, index))
                for index, finder in enumerate(finders)
            ]

        return await self._run(work)

    async def erase(self, vault: VaultId) -> bool:
        """Delete a vault, and every trace of it in the file and beside it.

        Raises: StoreBusy also when it is deleted, but another process reads for so long that
        traces stay in the file: then erase again.
        """
        place = (vault.business, vault.conversation)

        def work(connection: sqlite3.Connection) -> bool:
            connection.execute("INSERT INTO trace DEFAULT VALUES")
            return [connection.execute(one, place).rowcount for one in _ERASE][1] > 0

        with anyio.CancelScope(shield=True):
            rewriting = Job(_remove_traces, is_alone=True)
            deleting = Job(work)
            is_clean = await self._opened().run_both(deleting, rewriting)
        if not is_clean:
            raise StoreBusy(
                f"The vault is deleted, but traces of it stay in the {self._file} while another "
                "process reads it. End that reading, then erase again.",
                retry_after_s=5.0,
            )
        return deleting.result

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._thread is None:
                thread = SQLiteThread(self._file, commit_together)
                await thread.start(self._file.open_writer)
                try:
                    await thread.run(Job(_remove_traces, is_alone=True))
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

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._opened().run(Job(work))

    def _opened(self) -> SQLiteThread:
        if self._thread is None:
            raise NotOpenError(f"The {self._file} is not open: use it inside `async with`.")
        return self._thread


def _id(connection: sqlite3.Connection, vault: VaultId, nonce: str) -> int | None:
    found = connection.execute(_ID, (vault.business, vault.conversation, nonce)).fetchone()
    return None if found is None else found[0]


def _find_or_add(
    connection: sqlite3.Connection, id_: int, finder: bytes, seal: Callable[[int], bytes]
) -> SealedValue:
    found = connection.execute(_FIND, (id_, finder)).fetchone()
    if found is not None:
        return SealedValue(*found)
    number = connection.execute(_NEXT, (id_,)).fetchone()[0]
    added = SealedValue(number, finder, seal(number))
    connection.execute(_ADD, (id_, added.number, added.finder, added.sealed))
    return added


def _remove_traces(connection: sqlite3.Connection) -> bool:
    newest = connection.execute("SELECT max(id) FROM trace").fetchone()[0]
    if newest is None:
        return True
    is_clean = scrub(connection)
    if is_clean:
        # Not those of another process that came meanwhile.
        connection.execute("DELETE FROM trace WHERE id <= ?", (newest,))
    return is_clean
