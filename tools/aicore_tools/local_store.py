"""One SQLite file per domain: migrations, transactions, and effects that happen once."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio import CapacityLimiter, to_thread

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalStore"]

T = TypeVar("T")

_OPERATIONS = """
CREATE TABLE operation (
    business TEXT NOT NULL,
    op_key TEXT NOT NULL,
    tool TEXT NOT NULL,
    args_hash TEXT NOT NULL,
    result_json TEXT NOT NULL,
    done_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (business, op_key)
) STRICT;
"""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SWITCH_S = 5.0
_SWITCH_PAUSE_S = 0.01


class LocalStore:
    """A SQLite file, open inside its `async with`. Work runs in a worker thread.

    `migrations` are SQL scripts, oldest first, never changed once released; `PRAGMA user_version`
    counts those that ran. `business` is the tenant: every row of every table carries it, and the
    functions given to `read`, `write` and `effect` must bind it in every statement.

    Raises on entry:
        BackendConfigError: the path cannot be used, the file is no SQLite database, is damaged,
            or was written by a newer version. The file is left as it was.
    """

    def __init__(self, path: Path, *, migrations: Sequence[str], business: str) -> None:
        self.path = path
        self.business = business
        self._scripts = (_OPERATIONS, *migrations)
        self._write_limiter = CapacityLimiter(1)
        self._read_limiter = CapacityLimiter(1)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        await to_thread.run_sync(self._open, limiter=self._write_limiter)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on one snapshot; it never waits for a write and must not write."""

        def run() -> T:
            connection = _opened(self._reader)
            with _translated(self.path), _transaction(connection, "BEGIN"):
                return query(connection)

        return await to_thread.run_sync(run, limiter=self._read_limiter)

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run `change` in one transaction: all of it is kept, or, if it raises, nothing."""

        def run() -> T:
            connection = _opened(self._writer)
            with _translated(self.path), _transaction(connection, "BEGIN IMMEDIATE"):
                return change(connection)

        return await to_thread.run_sync(run, limiter=self._write_limiter)

    async def effect(
        self, operation: Operation, change: Callable[[sqlite3.Connection], dict[str, Any]]
    ) -> Effect[dict[str, Any]]:
        """Run `change` once per operation key, for ever, also across processes and crashes.

        `change` gives plain JSON, which is stored in the same transaction and given back to
        every repeat. Without a key it simply runs. If it raises, nothing is kept and a repeat
        runs it again.

        Raises:
            Conflict: the key was used before by another tool or with other arguments.
        """

        def run(connection: sqlite3.Connection) -> Effect[dict[str, Any]]:
            earlier = self._find_operation(connection, operation)
            if earlier is not None:
                return earlier
            encoded = json.dumps(change(connection))
            if operation.key is not None:
                connection.execute(
                    "INSERT INTO operation (business, op_key, tool, args_hash, result_json)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (
                        self.business,
                        operation.key,
                        operation.tool,
                        operation.args_hash,
                        encoded,
                    ),
                )
            return Effect(result=json.loads(encoded))  # as a repeat will give it

        return await self.write(run)

    async def find_effect(self, operation: Operation) -> Effect[dict[str, Any]] | None:
        """Look up what `operation` gave before; None if it was not done or has no key.

        For a rule that must not judge a repeat by the state which the first run left behind.

        Raises:
            Conflict: as `effect`.
        """
        return await self.read(lambda connection: self._find_operation(connection, operation))

    def _find_operation(
        self, connection: sqlite3.Connection, operation: Operation
    ) -> Effect[dict[str, Any]] | None:
        if operation.key is None:
            return None
        row = connection.execute(
            "SELECT tool, args_hash, result_json FROM operation WHERE business = ? AND op_key = ?",
            (self.business, operation.key),
        ).fetchone()
        if row is None:
            return None
        if (row["tool"], row["args_hash"]) != (operation.tool, operation.args_hash):
            raise Conflict(
                f"This operation key was used before, by {row['tool']} with other arguments.",
                hint="Send a new key for a new effect; repeat a key only with the same arguments.",
                code="operation_key_reused",
            )
        return Effect(result=json.loads(row["result_json"]), is_replay=True)

    def _open(self) -> None:
        with _translated(self.path):
            self._make_file()
            self._refuse_unusable()
            try:
                self._writer = _connect(self.path)
                self._migrate(self._writer)
                self._reader = _connect(self.path)
                self._reader.execute("PRAGMA query_only = ON")
            except BaseException:
                if self._writer is not None:
                    self._writer.close()
                self._writer = None
                raise

    def _make_file(self) -> None:
        """Create folder and file where they are missing, readable by their owner only."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise BackendConfigError(
                f"Cannot use the database {self.path}: {error.strerror or error}.",
                hint="Name a folder that exists or can be made, and that you may write to.",
            ) from error

    def _refuse_unusable(self) -> None:
        """Look at the file without changing it, before anything may."""
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
        if version > len(self._scripts):
            raise BackendConfigError(
                f"The database {self.path} was written by a newer version of this program"
                f" (format {version}, this one knows {len(self._scripts)}).",
                hint="Update the program, or name another data folder.",
            )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection, "BEGIN IMMEDIATE"):
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            for script in self._scripts[version:]:
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {max(version, len(self._scripts))}")


def _connect(path: Path) -> sqlite3.Connection:
    # Used by one worker thread at a time, not always the same one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    try:
        _use_wal(connection)
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; busy_timeout does not cover two processes doing it at once."""
    deadline = time.monotonic() + _SWITCH_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_PAUSE_S)
        else:
            return


def _opened(connection: sqlite3.Connection | None) -> sqlite3.Connection:
    if connection is None:
        raise RuntimeError("LocalStore is used outside its `async with`.")
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode & 0xFF in _BUSY:
            raise
        raise OutcomeUnknown(
            "The database did not confirm the change.", hint="Look whether it is there."
        ) from error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into the tools' errors."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise  # our own mistake, not the file's
    except sqlite3.Error as error:
        known = _translate(error, path)
        if known is None:
            raise
        raise known from error


def _translate(error: sqlite3.Error, path: Path) -> ToolsError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _BUSY:
        return BackendUnavailable(
            f"The database {path} is held by another process.", retry_after_s=1.0
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BackendConfigError(
            f"The database {path} is damaged or is no SQLite database ({error}).",
            hint="Put a backup in its place, or move the file away to start empty.",
        )
    if code in (
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
    ):
        return BackendConfigError(
            f"Cannot use the database {path}: {error}.",
            hint="Check that the disk is not full and that the folder may be written to.",
        )
    return None


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; a trigger's body stays whole."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
