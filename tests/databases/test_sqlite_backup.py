"""Copies of a SQLite file: what is in their way is told, and nothing is left half done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aicore.databases.sqlite_backup import back_up, check_sound, file_version, put_back
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
