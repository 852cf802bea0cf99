"""Copies of a SQLite file of ours: taken while it is in use, and put in its place."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import StoreBusy, StoreError

__all__ = ["back_up", "check_sound", "file_version", "new_file", "put_back"]


def file_version(file: SQLiteFile) -> int:
    """The version of a file, 0 when there is none yet. Raises: StoreError, StoreBusy."""
    if not file.path.exists():
        return 0
    with _reading(file) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def check_sound(file: SQLiteFile) -> None:
    """Raise StoreError for a file whose pages do not fit together. Reads all of it."""
    with _reading(file) as connection:
        [first, *_] = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if first != "ok":
        raise StoreError(f"The {file} is damaged. Restore a backup.")


def back_up(file: SQLiteFile, path: Path) -> None:
    """Write a copy of a file that may be in use, as it is at one moment.

    What was at `path` is replaced when the copy is whole and checked, not before.
    Raises: StoreError, StoreBusy.
    """
    if not file.path.exists():
        raise StoreError(f"The {file} does not exist. Name the one to back up.")
    with new_file(path) as partial, _reading(file) as connection:
        _copy(connection, partial)
        check_sound(replace(file, path=partial))


def put_back(file: SQLiteFile, backup: Path, *, holds: str, replaces: bool) -> Path | None:
    """Put a copy of `backup` in the place of a file that nobody has open.

    `holds` is a query that gives a row when the file has something to lose: then it is refused,
    or, with `replaces`, kept beside it; gives where. The backup is checked, and brought to this
    program's version, before anything is touched.
    Raises: StoreError, StoreBusy.
    """
    if not backup.is_file():
        raise StoreError(f"There is no backup {backup}. Name an existing file.")
    with new_file(file.path, is_replacing=False) as partial:
        with _reading(replace(file, path=backup)) as connection:
            _copy(connection, partial)
        restored = replace(file, path=partial)
        with contextlib.closing(restored.open_writer()) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        check_sound(restored)
        kept = _make_room(file, holds, replaces=replaces)
        partial.replace(file.path)
    return kept


@contextlib.contextmanager
def new_file(path: Path, *, is_replacing: bool = True) -> Iterator[Path]:
    """A file to write, readable by its owner only, which becomes `path` when all went well.

    Without `is_replacing` it is for the caller to move. Raises: StoreError, StoreBusy.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    if not path.parent.is_dir():
        raise StoreError(f"The folder for {path} is missing. Create it.")
    if is_replacing and path.exists() and _wal_of(path).exists() and _is_open(path):
        raise StoreBusy(f"{path} is in use as a database. Name another file.")
    try:
        with contextlib.suppress(OSError):
            partial.unlink()
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield partial
        if is_replacing:
            partial.replace(path)
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        for name in (partial, _wal_of(partial), partial.with_name(f"{partial.name}-shm")):
            name.unlink(missing_ok=True)


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)
        # In one file: nothing of it is in a write-ahead log.
        copy.execute("PRAGMA journal_mode = DELETE")


def _make_room(file: SQLiteFile, holds: str, *, replaces: bool) -> Path | None:
    """Move a file aside that nobody has open, or refuse to."""
    if not file.path.exists():
        return None
    try:
        with contextlib.closing(file.open_writer()) as connection:
            is_in_use = _is_in_use(connection)
            has_something = connection.execute(holds).fetchone() is not None
    except StoreError:
        # Damaged, or of another program: kept beside, if that is wanted.
        is_in_use, has_something = False, True
    if is_in_use:
        raise StoreBusy(f"Another process has {file.path} open. Stop the agent first.")
    if not has_something:
        return None
    if not replaces:
        raise StoreError(f"{file.path} is not empty. Give --replace to keep it under another name.")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = file.path.with_name(f"{file.path.name}.{stamp}.replaced")
    for suffix in ("", "-wal", "-shm"):
        old = file.path.with_name(file.path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
    return kept


def _is_open(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return _is_in_use(connection)
    except sqlite3.DatabaseError:
        return False  # no database: nothing that SQLite could have open


def _is_in_use(connection: sqlite3.Connection) -> bool:
    """Leaving write-ahead logging needs the file for oneself: SQLite refuses while others have it.

    https://www.sqlite.org/wal.html#activating_and_configuring_wal_mode
    """
    connection.execute("PRAGMA busy_timeout = 200")
    try:
        mode: str = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        return True
    return mode != "delete"


@contextlib.contextmanager
def _reading(file: SQLiteFile) -> Iterator[sqlite3.Connection]:
    """Read a file, with errors in our words."""
    try:
        with contextlib.closing(file.open_reader()) as connection:
            yield connection
    except sqlite3.Error as exc:
        raise file.translate(exc) from exc


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
