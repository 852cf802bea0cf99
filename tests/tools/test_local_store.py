"""The store under every local backend: migrations, refusals, and effects that happen once."""

import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore_tools.errors import BackendConfigError, BackendUnavailable, Conflict
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation

CHILD = Path(__file__).with_name("store_child.py")
V1 = "CREATE TABLE note (business TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
V2 = """
    ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0;
    CREATE TRIGGER one_star AFTER INSERT ON note BEGIN
        UPDATE note SET stars = 1 WHERE rowid = new.rowid;
        UPDATE note SET text = text || '!' WHERE rowid = new.rowid;
    END;
"""


def store(path: Path, *migrations: str, business: str = "main") -> LocalStore:
    return LocalStore(path, migrations=migrations or (V1,), business=business)


def write_note(connection: sqlite3.Connection) -> dict[str, Any]:
    connection.execute("INSERT INTO note (business, text) VALUES ('main', 'x')")
    return {"notes": count_notes(connection)}


def count_notes(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM note").fetchone()[0]
    return found


def named(key: str | None, text: str = "x", tool: str = "note") -> Operation:
    return Operation.of(tool, {"text": text}, key)


async def test_a_repeat_of_a_key_gives_the_first_result_and_does_nothing(tmp_path: Path) -> None:
    async with store(tmp_path / "a.db") as opened:
        first = await opened.effect(named("k"), write_note)
        second = await opened.effect(named("k"), write_note)
        assert first == Effect(result={"notes": 1}, is_replay=False)
        assert second == Effect(result={"notes": 1}, is_replay=True)
        assert await opened.read(count_notes) == 1
        assert await opened.find_effect(named("k")) == second
        assert await opened.find_effect(named("other")) is None


@pytest.mark.parametrize("other", [named("k", text="y"), named("k", tool="mail")])
async def test_a_key_with_other_arguments_or_tool_is_refused(
    tmp_path: Path, other: Operation
) -> None:
    async with store(tmp_path / "a.db") as opened:
        await opened.effect(named("k"), write_note)
        with pytest.raises(Conflict) as refusal:
            await opened.effect(other, write_note)
        assert refusal.value.code == "operation_key_reused"
        assert await opened.read(count_notes) == 1


async def test_without_a_key_every_call_is_an_effect(tmp_path: Path) -> None:
    async with store(tmp_path / "a.db") as opened:
        for _ in range(2):
            assert not (await opened.effect(named(None), write_note)).is_replay
        assert await opened.read(count_notes) == 2


async def test_the_same_key_of_another_business_is_another_effect(tmp_path: Path) -> None:
    async with store(tmp_path / "a.db") as ours, store(tmp_path / "a.db", business="b") as theirs:
        await ours.effect(named("k"), write_note)
        assert not (await theirs.effect(named("k"), write_note)).is_replay


async def test_an_effect_that_raises_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> dict[str, Any]:
        write_note(connection)
        raise ZeroDivisionError

    async with store(tmp_path / "a.db") as opened:
        with pytest.raises(ZeroDivisionError):
            await opened.effect(named("k"), fail)
        assert await opened.read(count_notes) == 0
        assert not (await opened.effect(named("k"), write_note)).is_replay


async def test_concurrent_calls_with_one_key_are_one_effect(tmp_path: Path) -> None:
    results: list[Effect[dict[str, Any]]] = []

    async def call(opened: LocalStore) -> None:
        results.append(await opened.effect(named("k"), write_note))

    async with store(tmp_path / "a.db") as opened:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call, opened)
        assert await opened.read(count_notes) == 1
    assert sum(not result.is_replay for result in results) == 1
    assert all(result.result == {"notes": 1} for result in results)


async def test_a_read_does_not_wait_for_a_write(tmp_path: Path) -> None:
    writing, release = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> dict[str, Any]:
        write_note(connection)
        writing.set()
        release.wait(5)
        return {}

    async with store(tmp_path / "a.db") as opened, anyio.create_task_group() as group:
        group.start_soon(opened.effect, named("k"), slow)
        with anyio.fail_after(5):
            await anyio.to_thread.run_sync(writing.wait)
            assert await opened.read(count_notes) == 0
        release.set()


async def test_a_read_cannot_write(tmp_path: Path) -> None:
    async with store(tmp_path / "a.db") as opened:
        with pytest.raises(BackendConfigError):
            await opened.read(write_note)


async def test_a_file_from_before_a_migration_gets_it_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with store(path, V1) as opened:
        await opened.effect(named("k"), write_note)
    for _ in range(2):
        async with store(path, V1, V2) as opened:
            assert (await opened.effect(named("k"), write_note)).is_replay
    async with store(path, V1, V2) as opened:
        await opened.effect(named("k2"), write_note)
        rows = await opened.read(
            lambda c: [tuple(r) for r in c.execute("SELECT text, stars FROM note")]
        )
    assert rows == [("x", 0), ("x!", 1)]


async def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with store(path, V1) as opened:
        await opened.effect(named("k"), write_note)
    with pytest.raises(sqlite3.Error):
        async with store(path, V1, "CREATE TABLE more (x TEXT); CREATE TABLE note (x TEXT);"):
            pass
    async with store(path, V1) as opened:
        tables = await opened.read(
            lambda c: [row[0] for row in c.execute("SELECT name FROM sqlite_master")]
        )
        assert "more" not in tables
        assert await opened.read(count_notes) == 1


async def test_a_newer_file_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with store(path, V1, V2):
        pass
    before = path.read_bytes()
    with pytest.raises(BackendConfigError) as refusal:
        async with store(path, V1):
            pass
    assert str(path) in refusal.value.message
    assert "newer" in refusal.value.message
    assert refusal.value.hint
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"These are my holiday notes. " * 500)
    before = path.read_bytes()
    with pytest.raises(BackendConfigError) as refusal:
        async with store(path):
            pass
    assert str(path) in refusal.value.message
    assert refusal.value.hint
    assert path.read_bytes() == before


async def test_damage_found_later_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with store(path) as opened:
        for index in range(200):
            await opened.write(
                lambda c, i=index: c.execute("INSERT INTO note VALUES ('main', ?)", (f"{i}" * 200,))
            )
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xff" * (len(content) - 3 * 4096)
    path.write_bytes(content)
    with pytest.raises(BackendConfigError) as refusal:
        async with store(path) as opened:
            await opened.read(lambda c: c.execute("SELECT sum(length(text)) FROM note").fetchall())
    assert str(path) in refusal.value.message


@pytest.mark.parametrize("path", ["file/a.db", "folder"])
async def test_a_path_that_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BackendConfigError) as refusal:
        async with store(tmp_path / path):
            pass
    assert str(tmp_path / path) in refusal.value.message


async def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    async with store(tmp_path / "new" / "a.db") as opened:
        await opened.effect(named("k"), write_note)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()}
    assert modes == {0o600}


async def test_a_file_held_by_another_process_is_busy_and_not_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with store(path) as opened:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        # The real wait is five seconds; nobody learns more from it.
        opened._writer.execute("PRAGMA busy_timeout = 1")  # type: ignore[union-attr] # it is open
        with pytest.raises(BackendUnavailable) as refusal:
            await opened.effect(named("k"), write_note)
        holder.close()
        assert refusal.value.retryable
        assert refusal.value.outcome == "none"
        assert not (await opened.effect(named("k"), write_note)).is_replay


def start(path: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(path), *args], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_with_the_same_keys_make_one_effect_each(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    children = [start(path, "effect", "k", "5") for _ in range(2)]
    said = [child.communicate(timeout=20)[0].split("\n") for child in children]
    lines = [line for lines in said for line in lines if line]
    assert sorted(lines) == sorted(["1 False", *["1 True"] * 9])


@pytest.mark.parametrize(("what", "replayed"), [("pause-before", False), ("pause-after", True)])
def test_killed_round_the_effect_the_same_key_makes_one(
    tmp_path: Path, what: str, replayed: bool
) -> None:
    path = tmp_path / "a.db"
    child = start(path, what, "k")
    assert child.stdout is not None
    assert child.stdout.readline()
    child.kill()
    child.communicate(timeout=10)
    assert start(path, "effect", "k").communicate(timeout=20)[0] == f"1 {replayed}\n"


async def test_a_copy_of_the_folder_opens_with_all_its_rows(tmp_path: Path) -> None:
    async with store(tmp_path / "one" / "a.db") as opened:
        await opened.effect(named("k"), write_note)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
    async with store(tmp_path / "two" / "a.db") as copied:
        assert (await copied.effect(named("k"), write_note)).is_replay


def test_many_processes_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    """As when a server and a program with the same server in process start together."""
    script = Path(__file__).with_name("store_race.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "100"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout == ""
