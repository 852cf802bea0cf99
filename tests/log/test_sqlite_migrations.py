"""A file of an older version is brought forward, in whole steps."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aicore.errors import StoreError
from aicore.log import OpenTurn, SQLiteLog, Stored, sqlite_schema
from aicore.log.events import MessageReceived, TurnRetried
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
ADDS_A_COLUMN = ("ALTER TABLE conversation ADD COLUMN due_at_ms INTEGER",)
BREAKS_HALF_WAY = ("CREATE TABLE half (id INTEGER) STRICT", "INSERT INTO nowhere VALUES (1)")


def facts(path: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return version, {sql for (sql,) in rows}


def know(monkeypatch: pytest.MonkeyPatch, *more: tuple[str, ...]) -> None:
    """Make this the program of a later version than today's."""
    schema = sqlite_schema.SCHEMA
    later = replace(schema, migrations=(*schema.migrations, *more))
    monkeypatch.setattr(sqlite_schema, "SCHEMA", later)


VERSION_1 = (
    ("INSERT INTO conversation VALUES (?, ?, 2, 3, NULL, 0)", ("main", "web:1")),
    ("INSERT INTO conversation VALUES (?, ?, 0, 1, NULL, 0)", ("main", "web:2")),
    (
        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *("main", "web:1", 1, 1, "message_received", 86_400_000),
            '{"text":"kept","principal":["customer","ann"],"channel":"api","message_id":"m1"}',
        ),
    ),
    (
        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
        ("main", "web:1", 2, 1, "turn_retried", 86_400_001, "{}"),
    ),
    ("INSERT INTO inbound VALUES (?, ?, ?, ?, ?)", ("main", "api", "m1", "web:1", 1)),
    ("INSERT INTO open_turn VALUES (?, ?, ?)", ("main", "web:1", 1)),
)
"""Rows as the first release wrote them."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1 with one message, and one conversation that was claimed only."""
    schema = sqlite_schema.SCHEMA
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in schema.migrations[0]:
            connection.execute(statement)
        for statement, values in VERSION_1:
            connection.execute(statement, values)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute("PRAGMA user_version = 1")
    return tmp_path / "log.db"


async def test_a_file_of_the_first_release_is_brought_forward_and_works(
    path: Path, say: Any
) -> None:
    assert facts(path)[0] == 1
    for _ in range(2):
        async with SQLiteLog(path) as log:
            assert [type(event.body) for event in await log.read(SHOP)] == [
                MessageReceived,
                TurnRetried,
            ]
            assert await log.open_turns() == [OpenTurn(SHOP, 1)]
            assert not (await log.receive(SHOP, say("again", "m1"))).is_new
        assert facts(path)[0] == sqlite_schema.SCHEMA.version
    async with SQLiteLog(path) as log:
        assert await log.conversations() == [Stored(SHOP, 2, 3, 86_400_000), Stored(OTHER, 0, 1, 0)]
        for conversation in (SHOP, OTHER):
            await log.append(await log.claim(conversation), 1, [TurnRetried()])
        for conversation in (SHOP, OTHER):
            await log.erase(await log.claim(conversation))
        assert not await log.conversations()


async def test_an_older_file_is_brought_forward_and_keeps_its_events(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, ADDS_A_COLUMN)
    newest = sqlite_schema.SCHEMA.version
    for _ in range(2):
        async with SQLiteLog(path) as log:
            assert len(await log.read(SHOP)) == 2
            await log.append(await log.claim(SHOP), 1, [])
        version, schema = facts(path)
        assert version == newest
        assert any("due_at_ms" in sql for sql in schema)


async def test_a_step_that_fails_leaves_the_version_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SQLiteLog(path):
        pass
    known, before = facts(path)
    with monkeypatch.context() as later:
        know(later, ADDS_A_COLUMN, BREAKS_HALF_WAY)
        with pytest.raises(StoreError):
            async with SQLiteLog(path):
                pass
    version, schema = facts(path)
    assert version == known + 1
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
