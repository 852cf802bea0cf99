"""A file of an older version is brought forward, in whole steps."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aicore.errors import StoreError
from aicore.log import SQLiteLog, sqlite_schema
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
ADDS_A_COLUMN = ("ALTER TABLE conversation ADD COLUMN due_at_ms INTEGER",)
BREAKS_HALF_WAY = ("CREATE TABLE half (id INTEGER) STRICT", "INSERT INTO nowhere VALUES (1)")


def facts(path: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return version, {sql for (sql,) in rows}


def know(monkeypatch: pytest.MonkeyPatch, *more: tuple[str, ...]) -> None:
    """Make this the program of a later version."""
    schema = sqlite_schema.SCHEMA
    later = replace(schema, migrations=(*schema.migrations, *more))
    monkeypatch.setattr(sqlite_schema, "SCHEMA", later)


@pytest.fixture
async def path(tmp_path: Path, say: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of version 1 with one message."""
    with monkeypatch.context() as first:
        know(first)
        async with SQLiteLog(tmp_path / "log.db") as log:
            await log.receive(SHOP, say("kept"))
    return tmp_path / "log.db"


async def test_an_older_file_is_brought_forward_and_keeps_its_events(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, ADDS_A_COLUMN)
    assert facts(path)[0] == 1
    for _ in range(2):
        async with SQLiteLog(path) as log:
            assert len(await log.read(SHOP)) == 1
            await log.append(await log.claim(SHOP), 1, [])
        version, schema = facts(path)
        assert version == 2
        assert any("due_at_ms" in sql for sql in schema)


async def test_a_step_that_fails_leaves_the_version_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(path)[1]
    with monkeypatch.context() as later:
        know(later, ADDS_A_COLUMN, BREAKS_HALF_WAY)
        with pytest.raises(StoreError):
            async with SQLiteLog(path):
                pass
    version, schema = facts(path)
    assert version == 2
    assert not any("half" in sql for sql in schema)
    assert len(schema) == len(before)


async def test_an_older_program_refuses_the_newer_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        know(later, ADDS_A_COLUMN)
        async with SQLiteLog(path):
            pass
    know(monkeypatch)
    with pytest.raises(StoreError, match="Upgrade aicore"):
        async with SQLiteLog(path):
            pass
