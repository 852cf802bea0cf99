"""A SQLite file of the memory while it is open: a thread that writes, one that reads, erasing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import anyio

from aicore.databases.sqlite_file import SQLiteFile, scrub
from aicore.databases.sqlite_thread import Job, SQLiteThread, commit_together, one_by_one
from aicore.errors import NotOpenError, StoreBusy

__all__ = ["TRACE", "SQLiteThreads"]

T = TypeVar("T")

TRACE = "CREATE TABLE trace (id INTEGER PRIMARY KEY, since_ms INTEGER NOT NULL) STRICT"
"""Holds a row while there are deleted rows whose bytes may still be in the file."""

_CLOSE_S = 30.0


class SQLiteThreads:
    """The threads of one file, which has a table TRACE. Opened as often as it is closed."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._entering = anyio.Lock()
        self._entered = 0
        self._threads: tuple[SQLiteThread, SQLiteThread] | None = None

    async def open(self, check: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Open the file, unless it is; finish erasing that was interrupted; then run `check`.

        Raises: StoreError, StoreBusy, and what `check` raises; the file is closed then.
        """
        async with self._entering:
            if self._threads is None:
                self._threads = await self._start(check)
            self._entered += 1

    async def close(self) -> None:
        """Do what is queued and close the file, when everybody who opened it has closed it."""
        with anyio.move_on_after(_CLOSE_S, shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if self._threads is not None and not self._entered:
                    (writer, reader), self._threads = self._threads, None
                    # The writer last: the last to leave empties the write-ahead log.
                    await reader.stop()
                    await writer.stop()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work in a transaction. It may be forgotten when the machine loses power."""
        return await self._opened()[0].run(Job(work, must_sync=False))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work that sees one state of the file throughout."""

        def within(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")

        return await self._opened()[1].run(Job(within))

    async def erase(self, delete: Callable[[sqlite3.Connection], T]) -> T:
        """Delete in a transaction, then rewrite the file without what was deleted.

        Raises: StoreBusy also when it is deleted, but another process reads for so long that
        traces stay in the file.
        """

        def work(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                now_ms = int(time.time() * 1000)
                connection.execute("INSERT INTO trace (since_ms) VALUES (?)", (now_ms,))
                result = delete(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._remove_traces(connection)
            return result

        return await self._opened()[0].run(Job(work, is_alone=True))

    async def _start(
        self, check: Callable[[sqlite3.Connection], None] | None
    ) -> tuple[SQLiteThread, SQLiteThread]:
        writer = SQLiteThread(self._file, commit_together)
        reader = SQLiteThread(self._file, one_by_one)
        try:
            await writer.start(self._file.open_writer)
            await reader.start(self._file.open_reader)
            await writer.run(Job(self._finish_erasing, is_alone=True))
            if check is not None:
                await writer.run(Job(check))
        except BaseException:
            reader.abandon()
            writer.abandon()
            raise
        return writer, reader

    def _finish_erasing(self, connection: sqlite3.Connection) -> None:
        if _newest_trace(connection) is not None:
            self._remove_traces(connection)

    def _remove_traces(self, connection: sqlite3.Connection) -> None:
        newest = _newest_trace(connection)
        if not scrub(connection):
            raise StoreBusy(
                f"What was erased from the {self._file} is deleted, but traces of it stay in the "
                "file while another process reads it. End that reading, then erase again.",
                retry_after_s=5.0,
            )
        # Not those of another process that came meanwhile.
        connection.execute("DELETE FROM trace WHERE id <= ?", (newest,))

    def _opened(self) -> tuple[SQLiteThread, SQLiteThread]:
        if self._threads is None:
            raise NotOpenError(f"The {self._file} is not open: use it inside `async with`.")
        return self._threads


def _newest_trace(connection: sqlite3.Connection) -> int | None:
    newest: int | None = connection.execute("SELECT max(id) FROM trace").fetchone()[0]
    return newest
