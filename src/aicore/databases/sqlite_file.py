"""A SQLite file of ours: how it is opened and brought forward, and what its errors mean."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from aicore.errors import CustomerError, StoreBusy, StoreError

__all__ = ["SQLiteFile", "Schema", "scrub"]

_BUSY_S = 5.0
_SHORTEST_PAGE = 512
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables; RETURNING came earlier


@dataclass(frozen=True, slots=True)
class Schema:
    """What a kind of file holds: `migrations` has the statements of each version, from 1 on.

    `what` names the kind in errors, as in "the log"; `application_id` marks such files in
    SQLite's header, https://www.sqlite.org/pragma.html#pragma_application_id.
    """

    what: str
    application_id: int
    migrations: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The newest version that this program can use."""
        return len(self.migrations)


@dataclass(frozen=True, slots=True)
class SQLiteFile:
    """One file of a schema, not open yet."""

    path: Path
    schema: Schema

    def __str__(self) -> str:
        return f"{self.schema.what} {self.path}"

    def open_writer(self) -> sqlite3.Connection:
        """Open the file for writing: made if missing, brought to the newest version, in WAL mode.

        Raises: StoreError for a file that is not ours, newer, damaged or out of reach, and then
        leaves it as it was; StoreBusy when another process holds it.
        """
        try:
            return _open_writer(self)
        except (sqlite3.Error, OSError) as exc:
            raise self.translate(exc) from exc

    def open_reader(self) -> sqlite3.Connection:
        """Open the file for reading, beside its writer. Raises as `open_writer` does."""
        try:
            return _connect(self.path, "mode=ro")
        except sqlite3.Error as exc:
            raise self.translate(exc) from exc

    def translate(self, exc: Exception) -> Exception:
        """Give the error to raise for one of SQLite's or the system's; others come back as is."""
        error = _meaning(exc, self)
        if error is not exc:
            error.__cause__ = exc
        return error


def _open_writer(file: SQLiteFile) -> sqlite3.Connection:
    path = file.path
    _check_place(file)
    if path.exists():
        _check_size(file)
        # Only looking: it neither locks nor changes what may be another program's file.
        with contextlib.closing(_connect(path, "mode=ro&immutable=1")) as connection:
            _check_known(connection, file)
        return _prepare(_connect(path, "mode=rw"), file)
    connection = _connect(path, "mode=rwc")
    path.chmod(0o600)  # conversations are nobody else's business on this machine
    return _prepare(connection, file)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)


def scrub(connection: sqlite3.Connection) -> bool:
    """Rewrite a file without what was deleted from it, and empty its write-ahead log.

    Outside a transaction. Nothing of what was deleted is in any byte of either then. Waits up to
    5 s for readers that still see an older state; False when one stays. Needs free space of
    twice the file's size, and time by it.
    """
    # `secure_delete` alone is not enough: where SQLite splits a page it leaves old bytes in the
    # unused part of it, and deletes the rows elsewhere.
    connection.execute("VACUUM")
    give_up_s = time.monotonic() + _BUSY_S
    while True:
        # The first column is 0 when all was done: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
        # Where another connection does the same just now, SQLite says so at once, without waiting.
        is_blocked = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0
        if not is_blocked or time.monotonic() > give_up_s:
            return not is_blocked
        time.sleep(0.01)


def _check_place(file: SQLiteFile) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"This Python brings SQLite {sqlite3.sqlite_version}, and aicore needs 3.37 or "
            "newer. Use a newer Python build."
        )
    if not file.path.parent.is_dir():
        raise StoreError(f"The folder for the {file} is missing. Create it.")
    if file.path.is_dir():
        raise StoreError(f"{file.path} is a folder. Name a file for the {file.schema.what}.")


def _check_size(file: SQLiteFile) -> None:
    """SQLite takes a file shorter than its shortest page for an empty database."""
    if 0 < file.path.stat().st_size < _SHORTEST_PAGE:
        raise StoreError(
            f"{file.path} is not a SQLite database. Name another file for the {file.schema.what}."
        )


def _check_known(connection: sqlite3.Connection, file: SQLiteFile) -> None:
    # Through SQLite, never with `open`: closing such a file would drop the locks that another
    # log of this process has on it, https://www.sqlite.org/howtocorrupt.html section 2.2.
    if _application_id(connection) != file.schema.application_id:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        # Asked again: another log may be making the file just now. And one that a crash left
        # empty has no mark either.
        application_id = _application_id(connection)
        if application_id != file.schema.application_id and (application_id or tables):
            ours = _OURS.get(application_id)
            whose = f"is aicore's {ours}" if ours else "belongs to another program"
            raise StoreError(f"{file.path} {whose}. Name another file for the {file.schema.what}.")
    _check_version(connection, file)


_OURS = {
    0x6169_6C65: "ledger",
    0x6169_6C67: "log",
    0x6169_6D65: "memory",
    0x6169_7661: "vault",
    0x6169_7665: "vectors",
}
"""What the marks of our own files stand for, so that one in another's place is named."""


def _application_id(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return number


def _prepare(connection: sqlite3.Connection, file: SQLiteFile) -> sqlite3.Connection:
    try:
        _check_known(connection, file)
        _use_wal(connection, file)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        _migrate(connection, file)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, file: SQLiteFile) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > file.schema.version:
        raise StoreError(
            f"{file.path} was written by a newer version of aicore (file version {version}, this "
            f"program knows {file.schema.version}). Upgrade aicore."
        )
    return version


def _use_wal(connection: sqlite3.Connection, file: SQLiteFile) -> None:
    """Switch to write-ahead logging; SQLite does not wait here when two processes do it at once."""
    give_up_s = time.monotonic() + _BUSY_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise StoreError(
            f"{file.path} cannot use write-ahead logging (SQLite says {mode}). "
            "Put it on a local disk."
        )


def _migrate(connection: sqlite3.Connection, file: SQLiteFile) -> None:
    while _check_version(connection, file) < file.schema.version:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked again: another process may have done it while this one waited.
            version = _check_version(connection, file)
            if version < file.schema.version:
                for statement in file.schema.migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {file.schema.application_id}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_REMEDIES = {
    sqlite3.SQLITE_FULL: "The disk is full. Free space, then try again.",
    sqlite3.SQLITE_READONLY: "The file or its folder is read-only. Allow writing to both.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened. Check the rights of the file and its folder.",
    sqlite3.SQLITE_PERM: "It cannot be opened. Check the rights of the file and its folder.",
    sqlite3.SQLITE_NOTADB: (
        "It is not a SQLite database, or damaged. Name another file, or restore a backup."
    ),
    sqlite3.SQLITE_CORRUPT: "It is damaged. Restore a backup, or recover it with sqlite3 .recover.",
    sqlite3.SQLITE_IOERR: "Its disk cannot be read or written. Check the disk.",
}


# What SQLite says of a full disk where it cannot make the files beside the database.
_MAYBE_FULL = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
_LEAST_FREE = 65_536


def _is_full(file: SQLiteFile) -> bool:
    try:
        return shutil.disk_usage(file.path.parent).free < _LEAST_FREE
    except OSError:
        return False


def _meaning(exc: Exception, file: SQLiteFile) -> Exception:
    if isinstance(exc, UnicodeEncodeError):
        return CustomerError("A conversation or message id is not valid Unicode text.")
    if isinstance(exc, OSError):
        return StoreError(f"The {file} cannot be used: {exc.strerror or exc}. Check its rights.")
    if not isinstance(exc, sqlite3.Error):
        return exc
    # A result code's last byte is its kind: https://www.sqlite.org/rescode.html
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY_CODES:
        return StoreBusy(
            f"The {file} is held by another process. Try again.",
            retry_after_s=1.0,
        )
    if code in _MAYBE_FULL and _is_full(file):
        code = sqlite3.SQLITE_FULL
    remedy = _REMEDIES.get(code, f"SQLite says: {exc}.")
    return StoreError(f"The {file} cannot be used. {remedy}")
