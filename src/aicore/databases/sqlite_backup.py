"""Copies of a SQLite file of ours: taken while it is in use, and put in its place."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import StoreBusy, StoreError

__all__ = ["ask", "back_up", "check_sound", "file_version", "fold", "new_file", "put_back"]

_BESIDE = ("-wal", "-shm", "-journal")


def file_version(file: SQLiteFile) -> int:
    """The version of a file, 0 when there is none yet. Raises: StoreError, StoreBusy."""
    if not file.path.exists():
        return 0
    [(version,)] = ask(file, "PRAGMA user_version")
    return int(version)


def ask(file: SQLiteFile, query: str) -> list[Any]:
    """Give the rows of a query, without changing the file. Raises: StoreError, StoreBusy."""
    with _reading(file) as connection:
        return connection.execute(query).fetchall()


def check_sound(file: SQLiteFile) -> None:
    """Raise StoreError for a file whose pages do not fit together. Reads all of it."""
    with _reading(file) as connection:
        [first, *_] = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if first != "ok":
        raise StoreError(f"The {file} is damaged. Restore a backup.")


def fold(file: SQLiteFile) -> None:
    """Bring what is beside a file that nobody has open into it, and check all of it.

    Closing a database does that too, but says nothing when the disk is full.
    Raises: StoreError, StoreBusy.
    """
    try:
        with contextlib.closing(sqlite3.connect(file.path)) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.Error as exc:
        raise file.translate(exc) from exc
    if mode != "delete":
        raise StoreBusy(f"The {file} is held by another process. Try again.")
    check_sound(file)


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
        restored.open_writer().close()
        fold(restored)
        kept = _make_room(file, holds, replaces=replaces)
        _move_in(partial, file.path)
    return kept


@contextlib.contextmanager
def new_file(path: Path, *, is_replacing: bool = True) -> Iterator[Path]:
    """A file to write, readable by its owner only, which becomes `path` when all went well.

    Without `is_replacing` it is for the caller to move. What a process that was killed left of
    the same is removed. Raises: StoreError, StoreBusy.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    if not path.parent.is_dir():
        raise StoreError(f"The folder for {path} is missing. Create it.")
    if is_replacing and path.exists() and _beside(path, "-wal").exists() and _is_open(path):
        raise StoreBusy(f"{path} is in use as a database. Name another file.")
    try:
        _remove_abandoned(path)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield partial
        if is_replacing:
            _move_in(partial, path)
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        for suffix in ("", *_BESIDE):
            _beside(partial, suffix).unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the partial files of processes that ended before they could."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.partial")
    names = [one.name for one in path.parent.iterdir()]
    for name in names:
        match = pattern.match(name)
        if match is None or name.removeprefix(match[0]) not in ("", *_BESIDE):
            continue
        partial = path.with_name(match[0])
        is_own = int(match[1]) == os.getpid()
        if is_own or not (_is_alive(int(match[1])) or _is_written(partial)):
            path.with_name(name).unlink(missing_ok=True)


def _is_written(partial: Path) -> bool:
    """Whether a process that cannot be seen here, as in another container, writes a file."""
    try:
        return partial.exists() and _is_open(partial)
    except StoreError:
        return False  # cut off in the middle of a page


def _is_alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # on Windows, os.kill would end it
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _move_in(partial: Path, path: Path) -> None:
    """Put a whole file in its place: SQLite would apply to it what lies beside that.

    A write-ahead log whose database is gone or damaged may hold what is nowhere else, so it is
    kept under another name.
    """
    kept = _kept_name(path)
    for suffix in _BESIDE:
        old = _beside(path, suffix)
        if not old.exists():
            continue
        if suffix == "-shm" or not old.stat().st_size:
            old.unlink()  # only an index of the write-ahead log
        else:
            old.rename(_beside(kept, suffix))
    partial.replace(path)


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)
        # In one file: nothing of it is in a write-ahead log.
        copy.execute("PRAGMA journal_mode = DELETE")


def _make_room(file: SQLiteFile, holds: str, *, replaces: bool) -> Path | None:
    """Move a file aside that nobody has open, or refuse to."""
    if not file.path.exists():
        return None
    if _is_open(file.path):
        raise StoreBusy(f"Another process has {file.path} open. Stop the agent first.")
    try:
        with contextlib.closing(file.open_writer()) as connection:
            has_something = connection.execute(holds).fetchone() is not None
    except (StoreError, sqlite3.DatabaseError):
        has_something = True  # damaged, newer, or of another program: kept, if that is wanted
    if not has_something:
        return None
    if not replaces:
        raise StoreError(f"{file.path} is not empty. Give --replace to keep it under another name.")
    kept = _kept_name(file.path)
    for suffix in ("", *_BESIDE):
        old = _beside(file.path, suffix)
        if old.exists():
            old.rename(_beside(kept, suffix))
    return kept


def _kept_name(path: Path) -> Path:
    """A name of its own for what is at a path, or beside it, and must make room."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept, number = path.with_name(f"{path.name}.{stamp}.replaced"), 1
    while any(_beside(kept, suffix).exists() for suffix in ("", *_BESIDE)):
        number += 1
        kept = path.with_name(f"{path.name}.{stamp}-{number}.replaced")
    return kept


def _is_open(path: Path) -> bool:
    """Whether anybody has a file open as a database.

    In write-ahead mode every connection keeps a shared lock, and this asks for the exclusive one:
    https://www.sqlite.org/pragma.html#pragma_locking_mode. If nobody has it open, its write-ahead
    log goes into it, as whenever SQLite closes a file. Raises: StoreError when it cannot be asked.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA busy_timeout = 200")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return False  # nothing that SQLite could have open
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return True
        raise StoreError(
            f"Whether a process has {path} open cannot be asked ({exc}). Stop the agent and move "
            "the file away, with those beside it."
        ) from exc
    return False


@contextlib.contextmanager
def _reading(file: SQLiteFile) -> Iterator[sqlite3.Connection]:
    """Read a file, with errors in our words."""
    try:
        with contextlib.closing(file.open_reader()) as connection:
            yield connection
    except sqlite3.Error as exc:
        raise file.translate(exc) from exc


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
