"""Copies of a SQLite file: what is in their way is told, and nothing is left half done."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aicore.databases.sqlite_backup import (
    ask,
    back_up,
    check_sound,
    file_version,
    fold,
    put_back,
)
from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import StoreBusy, StoreError
from aicore.log.sqlite_schema import SCHEMA

HOLDS = "SELECT 1 FROM conversation"


@pytest.fixture
def file(tmp_path: Path) -> SQLiteFile:
    """A file with one row, which nobody has open."""
    file = SQLiteFile(tmp_path / "log.db", SCHEMA)
    with closing(file.open_writer()) as connection:
        connection.execute("INSERT INTO conversation VALUES ('main', 'web:1', 0, 1, NULL, 0, 5)")
    return file


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM conversation").fetchone()[0]
        return count


def test_a_backup_holds_what_was_committed_and_nothing_beside_it_is_left(
    file: SQLiteFile, tmp_path: Path
) -> None:
    with closing(file.open_writer()) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO conversation VALUES ('main', 'web:2', 0, 1, NULL, 0, 5)")
        back_up(file, tmp_path / "b.db")
        writer.execute("COMMIT")
    assert rows(tmp_path / "b.db") == 1
    assert rows(file.path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "log.db"]


def test_a_backup_that_cannot_be_written_leaves_the_older_one(
    file: SQLiteFile, tmp_path: Path
) -> None:
    back_up(file, tmp_path / "b.db")
    with file.path.open("r+b") as damaged:
        damaged.seek(4096 * 2)
        damaged.write(b"\xff" * 4096 * 3)
    with pytest.raises(StoreError):
        back_up(file, tmp_path / "b.db")
    with pytest.raises(StoreError):
        check_sound(file)
    assert rows(tmp_path / "b.db") == 1


def test_what_is_no_database_is_replaced_by_a_backup(file: SQLiteFile, tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes(b"an older backup, of another kind" * 40)
    (tmp_path / "b.db-wal").write_bytes(b"")
    back_up(file, tmp_path / "b.db")
    assert rows(tmp_path / "b.db") == 1


def test_a_damaged_file_is_replaced_when_told_and_kept(file: SQLiteFile, tmp_path: Path) -> None:
    back_up(file, tmp_path / "b.db")
    file.path.write_bytes(b"\xff" * 9000)
    with pytest.raises(StoreError):
        put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=False)
    kept = put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=True)
    assert kept is not None
    assert kept.read_bytes() == b"\xff" * 9000
    assert rows(file.path) == 1
    assert file_version(file) == SCHEMA.version


def test_a_file_that_somebody_reads_is_not_replaced(file: SQLiteFile, tmp_path: Path) -> None:
    back_up(file, tmp_path / "b.db")
    with closing(file.open_reader()) as reader:
        reader.execute("SELECT count(*) FROM conversation").fetchone()
        with pytest.raises(StoreBusy):
            put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=True)
    assert sorted(path.name for path in tmp_path.glob("*.db*")) == ["b.db", "log.db"] + [
        path.name for path in sorted(tmp_path.glob("log.db-*"))
    ]


def test_a_file_without_anything_to_lose_is_replaced_without_asking(
    file: SQLiteFile, tmp_path: Path
) -> None:
    back_up(file, tmp_path / "b.db")
    other = SQLiteFile(tmp_path / "other.db", SCHEMA)
    other.open_writer().close()
    assert put_back(other, tmp_path / "b.db", holds=HOLDS, replaces=False) is None
    assert rows(other.path) == 1


def leave_wal_of_later_rows(file: SQLiteFile, path: Path) -> bytes:
    """Lay a write-ahead log beside `path`, as a process that was killed leaves it."""
    with closing(file.open_writer()) as writer:
        for number in range(500):
            values = ("main", f"later:{number}")
            writer.execute("INSERT INTO conversation VALUES (?, ?, 0, 1, NULL, 0, 5)", values)
        for suffix in ("-wal", "-shm"):
            shutil.copy(f"{file.path}{suffix}", f"{path}{suffix}")
    return Path(f"{path}-wal").read_bytes()


@pytest.mark.parametrize("what", ["restored", "backed up"])
@pytest.mark.parametrize("there", ["nothing", "noise"])
def test_what_lies_beside_a_file_that_is_gone_or_damaged_does_not_come_into_the_new_one(
    file: SQLiteFile, tmp_path: Path, what: str, there: str
) -> None:
    back_up(file, tmp_path / "b.db")
    later = SQLiteFile(tmp_path / "later.db", SCHEMA)
    shutil.copy(file.path, later.path)
    target = SQLiteFile(tmp_path / "new.db", SCHEMA)
    wal = leave_wal_of_later_rows(later, target.path)
    if there == "noise":
        target.path.write_bytes(b"\xff" * 9000)
    if what == "restored":
        put_back(target, tmp_path / "b.db", holds=HOLDS, replaces=True)
    else:
        back_up(SQLiteFile(tmp_path / "b.db", SCHEMA), target.path)
    check_sound(target)
    assert rows(target.path) == 1
    assert not list(tmp_path.glob("new.db-*"))
    if there == "nothing":  # else it went into the damaged file, as SQLite does
        [kept] = tmp_path.glob("new.db.*.replaced-wal")
        assert kept.read_bytes() == wal


def test_a_file_of_a_newer_version_that_somebody_has_open_is_not_replaced(
    file: SQLiteFile, tmp_path: Path
) -> None:
    back_up(file, tmp_path / "b.db")
    with closing(file.open_writer()) as newer:
        newer.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreBusy):
            put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=True)
    assert file_version(file) == 99
    kept = put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=True)
    assert kept is not None
    assert file_version(SQLiteFile(kept, SCHEMA)) == 99


def test_what_is_replaced_several_times_in_a_second_is_kept_each_time(
    file: SQLiteFile, tmp_path: Path
) -> None:
    back_up(file, tmp_path / "b.db")
    kept = []
    for number in range(5):
        with closing(file.open_writer()) as connection:
            connection.execute("UPDATE conversation SET born_ms = ?", (number,))
        kept.append(put_back(file, tmp_path / "b.db", holds=HOLDS, replaces=True))
    query = "SELECT born_ms FROM conversation"
    births = [ask(SQLiteFile(one, SCHEMA), query)[0][0] for one in kept if one is not None]
    assert births == list(range(5))


def test_what_a_killed_process_left_half_written_goes_with_the_next_backup(
    file: SQLiteFile, tmp_path: Path
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = f".b.db.{ended.pid}.partial"
    alive = f".b.db.{os.getppid()}.partial"
    other = f".other.db.{ended.pid}.partial"
    for name in (dead, f"{dead}-wal", f"{dead}-journal", alive, other):
        (tmp_path / name).write_bytes(b"what customers said")
    back_up(file, tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.glob(".*")) == sorted([alive, other])


def test_what_another_container_writes_just_now_is_left_to_it(
    file: SQLiteFile, tmp_path: Path
) -> None:
    """Its process number says nothing here; that the file is open does."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    written = SQLiteFile(tmp_path / f".b.db.{ended.pid}.partial", SCHEMA)
    with closing(written.open_writer()):
        back_up(file, tmp_path / "b.db")
        assert written.path.exists()
    back_up(file, tmp_path / "b.db")
    assert not written.path.exists()


def test_a_file_is_folded_into_one_only_when_nobody_has_it_open(file: SQLiteFile) -> None:
    with closing(file.open_writer()) as writer:
        writer.execute("INSERT INTO conversation VALUES ('main', 'web:2', 0, 1, NULL, 0, 5)")
        with pytest.raises(StoreBusy):
            fold(file)
    fold(file)
    assert rows(file.path) == 2
    assert [path.name for path in file.path.parent.iterdir()] == ["log.db"]
