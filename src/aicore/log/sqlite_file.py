"""The SQLite file of a log: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from aicore.errors import CustomerError, StoreBusy, StoreError

__all__ = ["APPLICATION_ID", "VERSION", "open_reader", "open_writer", "translate"]

APPLICATION_ID = 0x6169_6C67
"""Marks our files in SQLite's header ("ailg"), https://www.sqlite.org/pragma.html."""

_BUSY_S = 5.0
_SHORTEST_PAGE = 512
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables; RETURNING came earlier

# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE conversation (
            business TEXT NOT NULL,
            id TEXT NOT NULL,
            head INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            owner TEXT,
            lease_until_ms INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (business, id)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE event (
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            seq INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            kind TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (business, conversation, seq),
            FOREIGN KEY (business, conversation) REFERENCES conversation
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE inbound (
            business TEXT NOT NULL,
            channel TEXT NOT NULL,
            message_id TEXT NOT NULL,
            conversation TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (business, channel, message_id)
        ) STRICT, WITHOUT ROWID
        """,
        # An index over event: the turns whose last opening or closing event is an opening one.
        """
        CREATE TABLE open_turn (
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            turn INTEGER NOT NULL,
            PRIMARY KEY (business, conversation, turn),
            FOREIGN KEY (business, conversation) REFERENCES conversation
        ) STRICT, WITHOUT ROWID
        """,
    ),
)
VERSION = len(_MIGRATIONS)
"""The newest version of the file that this program can use."""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing: made if missing, brought to VERSION, in WAL mode.

    Raises: StoreError for a file that is not ours, newer, damaged or out of reach, and then
    leaves it as it was; StoreBusy when another process holds it.
    """
    try:
        _check_place(path)
        if path.exists():
            _check_size(path)
            # Only looking: it neither locks nor changes what may be another program's file.
            with contextlib.closing(_connect(path, "mode=ro&immutable=1")) as connection:
                _check_known(connection, path)
            return _prepare(_connect(path, "mode=rw"), path)
        connection = _connect(path, "mode=rwc")
        path.chmod(0o600)  # conversations are nobody else's business on this machine
        return _prepare(connection, path)
    except (sqlite3.Error, OSError) as exc:
        raise translate(exc, path) from exc


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading, beside its writer. Raises as `open_writer` does."""
    try:
        return _connect(path, "mode=ro")
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)


def _check_place(path: Path) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"This Python brings SQLite {sqlite3.sqlite_version}, and the log needs 3.37 or "
            "newer. Use a newer Python build."
        )
    if not path.parent.is_dir():
        raise StoreError(f"The folder {path.parent} for the log {path.name} is missing. Create it.")
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Name a file for the log.")


def _check_size(path: Path) -> None:
    """SQLite takes a file shorter than its shortest page for an empty database."""
    if 0 < path.stat().st_size < _SHORTEST_PAGE:
        raise StoreError(f"{path} is not a SQLite database. Name another file for the log.")


def _check_known(connection: sqlite3.Connection, path: Path) -> None:
    # Through SQLite, never with `open`: closing such a file would drop the locks that another
    # log of this process has on it, https://www.sqlite.org/howtocorrupt.html section 2.2.
    if _application_id(connection) != APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        # Asked again: another log may be making the file just now. And one that a crash left
        # empty has no mark either.
        application_id = _application_id(connection)
        if application_id != APPLICATION_ID and (application_id or tables):
            raise StoreError(f"{path} belongs to another program. Name another file for the log.")
    _check_version(connection, path)


def _application_id(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return number


def _prepare(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _check_known(connection, path)
        _use_wal(connection, path)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer version of aicore (file version {version}, this "
            f"program knows {VERSION}). Upgrade aicore."
        )
    return version


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
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
            f"{path} cannot use write-ahead logging (SQLite says {mode}). "
            "Put the log on a local disk."
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    while _check_version(connection, path) < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked again: another process may have done it while this one waited.
            version = _check_version(connection, path)
            if version < VERSION:
                for statement in _MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
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
    sqlite3.SQLITE_NOTADB: "It is not a SQLite database, or damaged. Restore a backup.",
    sqlite3.SQLITE_CORRUPT: "It is damaged. Restore a backup, or recover it with sqlite3 .recover.",
    sqlite3.SQLITE_IOERR: "Its disk cannot be read or written. Check the disk.",
}


def translate(exc: Exception, path: Path) -> Exception:
    """Give the error to raise for one of SQLite's or of the system's; others come back as is."""
    error = _meaning(exc, path)
    if error is not exc:
        error.__cause__ = exc
    return error


def _meaning(exc: Exception, path: Path) -> Exception:
    if isinstance(exc, UnicodeEncodeError):
        return CustomerError("A conversation or message id is not valid Unicode text.")
    if isinstance(exc, OSError):
        return StoreError(
            f"The log {path} cannot be used: {exc.strerror or exc}. Check its rights."
        )
    if not isinstance(exc, sqlite3.Error):
        return exc
    # A result code's last byte is its kind: https://www.sqlite.org/rescode.html
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY_CODES:
        return StoreBusy(
            f"The log {path} is held by another process. Try again.", retry_after_s=1.0
        )
    remedy = _REMEDIES.get(code, f"SQLite says: {exc}.")
    return StoreError(f"The log {path} cannot be used. {remedy}")
