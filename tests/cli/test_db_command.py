"""`aicore db`: what it does to stores, what it says, and with which exit code."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.cli import main
from aicore.databases.sqlite_backup import back_up
from aicore.databases.sqlite_file import SQLiteFile
from aicore.log import EventLog, SQLiteLog, sqlite_schema
from aicore.log.copying import check_log
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.registry import open_log
from aicore.records import ConversationId, Principal

ANN = Principal("customer", "ann")


def said(text: str, message_id: str | None = None) -> MessageReceived:
    return MessageReceived(text=text, principal=ANN, message_id=message_id)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: a configuration whose log is talk.db."""
    (tmp_path / "aicore.toml").write_text('[log]\npath = "talk.db"\nbusiness = "shop"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left_over(folder: Path) -> list[Path]:
    """Files that were being written."""
    return list(folder.glob(".*partial*"))


def db(*words: object) -> int:
    """Run the command; gives its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["db", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def write(url: str, count: int, first: int = 0) -> None:
    async with open_log(url, business="shop") as log:
        for number in range(first, first + count):
            conversation = ConversationId(f"web:{number}")
            await log.receive(conversation, said(f"text {number}", f"m{number}"))
            await log.append(await log.claim(conversation), 1, [ReplySent(text="hi")])


async def contents(url: str) -> dict[str, Any]:
    async with open_log(url, business="shop") as log:
        return await contents_of(log)


async def contents_of(log: EventLog) -> dict[str, Any]:
    names = [one.conversation for one in await log.conversations(limit=10_000)]
    return {name: list(await log.read(name)) for name in names}


def test_a_new_and_an_old_file_are_brought_forward_and_the_versions_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = sqlite_schema.SCHEMA.version
    with closing(sqlite3.connect(folder / "old.db", isolation_level=None)) as connection:
        for statement in sqlite_schema.SCHEMA.migrations[0]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {sqlite_schema.SCHEMA.application_id}")
        connection.execute("PRAGMA user_version = 1")
    assert db("migrate") == 0
    assert f"0 -> {newest}" in capsys.readouterr().out
    assert db("migrate", "--url", "old.db") == 0
    assert f"1 -> {newest}" in capsys.readouterr().out


def test_a_newer_file_is_refused_and_left_as_it_was(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, "talk.db", 1)
    with closing(sqlite3.connect("talk.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (folder / "talk.db").read_bytes()
    for words in (("migrate",), ("check",), ("copy", "talk.db", "copy.db")):
        assert db(*words) == 2
        assert "Upgrade aicore" in capsys.readouterr().err
    assert (folder / "talk.db").read_bytes() == before


def test_the_memorys_store_is_migrated_with_the_log(folder: Path) -> None:
    with (folder / "aicore.toml").open("a") as file:
        file.write('[memory]\npath = "memory.db"\n')
    assert db("migrate") == 0
    assert (folder / "memory.db").stat().st_size > 0


@pytest.mark.parametrize("store", ["postgres", "valkey"])
def test_a_history_moves_to_a_server_and_back(
    folder: Path, request: pytest.FixtureRequest, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = request.getfixturevalue(store)
    url = server.new_database() if store == "postgres" else server.new_url()
    anyio.run(write, "talk.db", 5)
    original = anyio.run(contents, "talk.db")
    assert db("migrate", "--url", url) == 0
    assert db("copy", "talk.db", url) == 0
    assert db("check", "--url", url, "--business", "shop") == 0
    assert "5 conversations, 10 events" in capsys.readouterr().out
    assert db("backup", "copy.db", "--url", url, "--business", "shop") == 0
    assert anyio.run(contents, "copy.db") == anyio.run(contents, url) == original
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_restored_to_an_empty_server_only(folder: Path, postgres: Any) -> None:
    anyio.run(write, "talk.db", 3)
    assert db("backup", "b.db") == 0
    url = postgres.new_database()
    assert db("restore", "b.db", "--url", url, "--business", "shop") == 0
    assert anyio.run(contents, url) == anyio.run(contents, "talk.db")
    anyio.run(write, url, 1, 90)
    assert db("restore", "b.db", "--url", url, "--business", "shop") == 2
    assert db("restore", "b.db", "--url", url, "--replace") == 2


async def test_a_backup_taken_while_it_is_written_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    async with SQLiteLog(path) as log, anyio.create_task_group() as tasks:

        async def write_on() -> None:
            for number in itertools.count():
                conversation = ConversationId(f"web:{number % 20}")
                received = await log.receive(conversation, said("x" * 500, f"m{number}"))
                claim = await log.claim(conversation)
                await log.append(claim, received.seq, [ReplySent(text="hi")])

        tasks.start_soon(write_on)
        file = SQLiteFile(path, sqlite_schema.SCHEMA)
        counts = []
        for number in range(5):
            while len(await log.read(ConversationId("web:0"))) < 4 * number + 2:
                await anyio.lowlevel.checkpoint()
            backup = tmp_path / f"{number}.db"
            await anyio.to_thread.run_sync(back_up, file, backup)
            async with SQLiteLog(backup) as copy:
                checked = await check_log(copy)
            assert checked.faulty == []
            counts.append(checked.events)
        tasks.cancel_scope.cancel()
    assert counts == sorted(set(counts))
    assert not left_over(tmp_path)


def test_a_backup_replaces_an_older_one_and_never_a_file_in_use(folder: Path) -> None:
    anyio.run(write, "talk.db", 3)
    for _ in range(2):
        assert db("backup", "b.db") == 0

    async def backup_over_itself() -> None:
        async with SQLiteLog("other.db"):
            command = [sys.executable, "-m", "aicore", "db", "backup", "other.db"]
            ended = await anyio.run_process(command, check=False)
            assert ended.returncode == 2

    anyio.run(backup_over_itself)
    assert db("backup", "nowhere/b.db") == 2
    assert db("backup", "b.db", "--url", "missing.db") == 2
    assert not (folder / "missing.db").exists()


def test_a_file_with_conversations_is_replaced_only_when_told_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, "talk.db", 3)
    assert db("backup", "b.db") == 0
    backed_up = anyio.run(contents, "talk.db")
    anyio.run(write, "talk.db", 2, 10)
    before = anyio.run(contents, "talk.db")
    assert db("restore", "b.db") == 2
    assert anyio.run(contents, "talk.db") == before
    assert db("restore", "b.db", "--replace") == 0
    [kept] = folder.glob("talk.db.*.replaced")
    assert str(kept) in capsys.readouterr().out
    assert anyio.run(contents, "talk.db") == backed_up
    assert anyio.run(contents, str(kept)) == before
    assert (folder / "talk.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_restored_where_there_is_nothing_yet(folder: Path) -> None:
    anyio.run(write, "old.db", 3)
    assert db("backup", "b.db", "--url", "old.db") == 0
    assert db("restore", "b.db") == 0
    assert anyio.run(contents, "talk.db") == anyio.run(contents, "old.db")
    assert db("restore", "missing.db", "--url", "new.db") == 2
    (folder / "noise.db").write_bytes(b"no database" * 100)
    assert db("restore", "noise.db", "--url", "new.db") == 2
    assert not (folder / "new.db").exists()


def test_a_file_that_an_agent_has_open_is_not_replaced(folder: Path) -> None:
    anyio.run(write, "talk.db", 1)
    assert db("backup", "b.db") == 0

    async def restore_over_it() -> None:
        async with SQLiteLog("talk.db", business="shop") as log:
            await log.receive(ConversationId("web:9"), said("before"))
            command = [sys.executable, "-m", "aicore", "db", "restore", "b.db", "--replace"]
            ended = await anyio.run_process(command, check=False)
            assert ended.returncode == 2
            await log.receive(ConversationId("web:9"), said("after"))
            assert len(await log.read(ConversationId("web:9"))) == 2

    anyio.run(restore_over_it)
    assert len(anyio.run(contents, "talk.db")["web:9"]) == 2


def test_a_conversation_in_use_is_told_and_comes_with_the_next_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, "talk.db", 3)

    async def copy_while_held() -> None:
        async with SQLiteLog("talk.db", business="shop") as log:
            await log.claim(ConversationId("web:1"))
            command = [sys.executable, "-m", "aicore", "db", "copy", "talk.db", "copy.db"]
            ended = await anyio.run_process(command, check=False)
            assert ended.returncode == 1
            assert b"in use" in ended.stdout

    anyio.run(copy_while_held)
    assert len(anyio.run(contents, "copy.db")) == 2
    assert db("copy", "talk.db", "copy.db") == 0
    assert anyio.run(contents, "copy.db") == anyio.run(contents, "talk.db")


def test_a_copy_that_was_killed_goes_on_where_it_was(folder: Path) -> None:
    anyio.run(write, "talk.db", 300)
    command = [sys.executable, "-m", "aicore", "db", "copy", "talk.db", "copy.db"]
    for wanted in (1, 100):
        process = subprocess.Popen(command)
        while process.poll() is None and _count(folder / "copy.db") < wanted:
            os.sched_yield()
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert wanted <= _count(folder / "copy.db") < 300
    assert db("copy", "talk.db", "copy.db") == 0
    assert anyio.run(contents, "copy.db") == anyio.run(contents, "talk.db")


def _count(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        try:
            count: int = connection.execute("SELECT count(*) FROM conversation").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
        return count


def test_a_damaged_history_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(write, "talk.db", 3)
    assert db("check") == 0
    with closing(sqlite3.connect("talk.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM event WHERE conversation = 'web:1' AND seq = 1")
        connection.execute("INSERT INTO open_turn VALUES ('shop', 'web:2', 1)")
    assert db("check") == 1
    out = capsys.readouterr().out
    assert "web:1" in out
    assert "web:2" in out
    assert "web:0" not in out


@pytest.mark.parametrize(
    "words",
    [
        ("copy", "missing.db", "copy.db"),
        ("copy", "talk.db", "postgre://ann:secret@127.0.0.1/x"),
        ("check", "--url", "missing.db"),
        ("check", "--config", "missing.toml"),
        ("migrate", "--url", "nowhere/talk.db"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence_and_makes_nothing(
    folder: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, "talk.db", 1)
    assert db(*words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("aicore: ")
    assert "secret" not in told.err
    assert sorted(path.name for path in folder.iterdir()) == ["aicore.toml", "talk.db"]


def test_a_configuration_that_keeps_nothing_has_nothing_to_work_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "aicore.toml").write_text("")
    for part in (("migrate",), ("check",), ("backup", "b.db"), ("restore", "b.db")):
        assert db(*part) == 2
    assert "log.url" in capsys.readouterr().err
