"""What only a memory in a SQLite file promises: its file, its errors, erasing that is cut short."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.databases import sqlite_file
from aicore.errors import AicoreError, ConfigError, CustomerError, StoreBusy, StoreError
from aicore.memory import sqlite_threads
from aicore.memory.port import Entry, Learned, Namespace, Query, Source
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_schema import SCHEMA
from aicore.memory.sqlite_vectors import SQLiteVectors
from aicore.records import ConversationId

ANN = Namespace("shop", "customer:ann")
WEB = ConversationId("web:1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def entry(id_: str, text: str) -> Entry:
    return Entry(
        id=id_,
        kind="fact",
        text=text,
        source=Source(said_by="customer"),
        at_ms=0,
        data_class="personal",
        valid_from_ms=0,
    )


def holds(path: Path, word: str) -> bool:
    return any(word.encode() in one.read_bytes() for one in path.parent.iterdir())


def contents(path: Path) -> bytes:
    return path.read_bytes()


def rights(path: Path) -> int:
    return path.stat().st_mode


async def error_of(store: Any) -> AicoreError:
    with pytest.raises(AicoreError) as raised:
        async with store:
            pass
    return raised.value


def _garbage(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def _another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entry (id)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {SCHEMA.application_id}")
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")


@pytest.mark.parametrize("make", [_garbage, _another_program, _newer])
async def test_what_is_not_a_memory_of_this_version_is_refused_as_it_is(
    path: Path, make: Any
) -> None:
    make(path)
    before = contents(path)
    error = await error_of(SQLiteMemory(path))
    assert isinstance(error, StoreError)
    assert str(path) in str(error)
    assert contents(path) == before


async def test_vectors_and_words_do_not_share_a_file(path: Path) -> None:
    async with SQLiteMemory(path):
        pass
    assert isinstance(await error_of(SQLiteVectors(path, model="tiny")), StoreError)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await error_of(SQLiteMemory(tmp_path / "nowhere" / "memory.db"))
    assert isinstance(error, StoreError)
    assert str(tmp_path / "nowhere") in str(error)


@pytest.mark.parametrize("make", [SQLiteMemory, lambda path: SQLiteVectors(path, model="tiny")])
def test_a_memory_in_memory_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make(":memory:")


async def test_only_its_owner_may_read_the_file(path: Path) -> None:
    async with SQLiteMemory(path):
        assert rights(path) & 0o077 == 0


async def test_a_text_that_cannot_be_an_id_is_refused(path: Path) -> None:
    async with SQLiteMemory(path) as store:
        with pytest.raises(CustomerError):
            await store.add(ANN, [entry("\ud800", "tea")])
        assert await store.add(ANN, [entry("f1", "tea")]) == 1


async def test_a_full_disk_is_told_and_passes(path: Path) -> None:
    async with SQLiteMemory(path) as store:
        await store._threads.write(lambda c: c.execute("PRAGMA max_page_count = 60").fetchall())
        with pytest.raises(StoreError, match="full"):
            await store.add(ANN, [entry("big", "tea " * 300_000)], Learned(WEB, 1))
        assert await store.list(ANN) == []
        assert await store.learned("shop", WEB) is None
        assert await store.add(ANN, [entry("small", "tea")]) == 1
        await store._threads.write(lambda c: c.execute("PRAGMA max_page_count = 9999").fetchall())
        assert await store.add(ANN, [entry("big", "tea " * 300_000)]) == 1


async def test_another_process_that_writes_for_long_is_busy_and_passes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    async with SQLiteMemory(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                await store.add(ANN, [entry("f1", "tea")])
            other.execute("ROLLBACK")
        assert await store.add(ANN, [entry("f1", "tea")]) == 1


async def test_a_reader_that_stays_is_told_and_erasing_again_is_enough(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    async with SQLiteMemory(path) as store:
        await store.add(ANN, [entry("f1", "My PIN is quokka")])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entry").fetchall()
            with pytest.raises(StoreBusy):
                await store.forget(ANN, ["f1"])
            assert await store.search(ANN, Query(text="quokka")) == []
            assert holds(path, "quokka")
        assert await store.forget(ANN, ["f1"]) == 0
        assert not holds(path, "quokka")


async def test_a_reader_that_ends_in_time_does_not_disturb(path: Path) -> None:
    async with SQLiteMemory(path) as store:
        await store.add(ANN, [entry("f1", "My PIN is quokka")])
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with closing(reader):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entry").fetchall()
            ending = threading.Timer(0.2, reader.execute, ("ROLLBACK",))
            ending.start()
            assert await store.erase(ANN) == 1
            ending.join()
            assert not holds(path, "quokka")


_KILLED = """
import os, sys, anyio
from aicore.databases import sqlite_file
from aicore.memory import sqlite_threads
from aicore.memory.port import Namespace
from aicore.memory.sqlite import SQLiteMemory

async def main():
    async with SQLiteMemory(sys.argv[1]) as store:
        sqlite_threads.scrub = lambda connection: os._exit(9)
        await store.erase(Namespace("shop", "customer:ann"))

anyio.run(main)
"""


async def test_erasing_that_a_crash_cut_short_is_finished_at_the_next_start(path: Path) -> None:
    async with SQLiteMemory(path) as store:
        await store.add(ANN, [entry("f1", "My PIN is quokka")])
    command = [sys.executable, "-c", _KILLED, str(path)]
    assert (await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)).returncode == 9
    assert holds(path, "quokka")
    async with SQLiteMemory(path) as store:
        assert not holds(path, "quokka")
        assert await store.list(ANN) == []


async def test_what_another_process_erases_meanwhile_is_not_taken_for_cleaned(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrub = sqlite_threads.scrub

    def scrub_while_others_erase(connection: sqlite3.Connection) -> bool:
        is_clean = scrub(connection)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("INSERT INTO trace (since_ms) VALUES (5)")
        return is_clean

    monkeypatch.setattr(sqlite_threads, "scrub", scrub_while_others_erase)
    async with SQLiteMemory(path) as store:
        await store.add(ANN, [entry("f1", "My PIN is quokka")])
        await store.forget(ANN, ["f1"])
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT since_ms FROM trace").fetchall() == [(5,)]
    monkeypatch.undo()
    async with SQLiteMemory(path):
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT since_ms FROM trace").fetchall() == []


async def test_a_cancelled_erase_leaves_no_trace_or_everything(path: Path) -> None:
    for turns in range(6):
        async with SQLiteMemory(path) as store:
            await store.add(ANN, [entry("f1", "My PIN is quokka")])
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(store.erase, ANN)
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
            is_there = bool(await store.list(ANN))
            assert holds(path, "quokka") == is_there


async def test_opened_twice_it_stays_open_until_closed_twice(path: Path) -> None:
    store = SQLiteMemory(path)
    async with store:
        async with store:
            await store.add(ANN, [entry("f1", "tea")])
        assert [one.id for one in await store.list(ANN)] == ["f1"]


async def test_vectors_let_go_of_what_was_searched_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicore.memory import sqlite_vectors

    monkeypatch.setattr(sqlite_vectors, "_CACHE_BYTES", 3 * 4 * 25)
    async with SQLiteVectors(tmp_path / "vectors.db", model="tiny") as index:
        spaces = [Namespace("shop", f"customer:{number}") for number in range(5)]
        for space in spaces:
            await index.put(space, {f"{n}": (1, n, 0) for n in range(10)})
        for space in (*spaces, *spaces):
            assert [one.id for one in await index.nearest(space, (1, 0, 0), 1)] == ["0"]
        assert list(index._cache._matrices) == spaces[-2:]


async def test_numbers_that_are_none_hide_no_others(tmp_path: Path) -> None:
    nan, infinite = float("nan"), float("inf")
    async with SQLiteVectors(tmp_path / "vectors.db", model="tiny") as index:
        await index.put(ANN, {"bad": (nan, infinite, 0), "zero": (0, 0, 0), "good": (1, 0, 0)})
        found = await index.nearest(ANN, (1, 0, 0), 3)
    assert found[0].id == "good"
    assert [one.similarity for one in found[1:]] == [0, 0]


async def test_a_class_of_the_first_version_has_its_new_name(path: Path) -> None:
    async with SQLiteMemory(path) as store:
        await store.add(ANN, [entry("f1", "quokka"), entry("f2", "wombat")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE entry SET data_class = 'sensitive' WHERE id = 'f1'")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    async with SQLiteMemory(path) as store:
        classes = {one.id: one.data_class for one in await store.list(ANN)}
        assert classes == {"f1": "special", "f2": "personal"}
        hidden = Query(text="quokka", k=5, data_classes={"personal"})
        assert await store.search(ANN, hidden) == []
