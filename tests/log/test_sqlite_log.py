"""What only a log in a SQLite file promises: its file, its errors, its place beside the loop."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.databases import sqlite_file
from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import AicoreError, ConfigError, CustomerError, StoreBusy, StoreError
from aicore.log import SQLiteLog
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.sqlite_schema import SCHEMA
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId, Principal

SHOP = ConversationId("web:1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@contextmanager
def other_connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def make(path: Path) -> None:
    async with SQLiteLog(path) as log:
        await log.receive(SHOP, MessageReceived(text="hello", principal=Principal("customer")))


async def error_of(log: SQLiteLog) -> AicoreError:
    with pytest.raises(AicoreError) as raised:
        async with log:
            pass
    return raised.value


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await error_of(SQLiteLog(tmp_path / "nowhere" / "log.db"))
    assert isinstance(error, StoreError)
    assert str(tmp_path / "nowhere") in str(error)


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    error = await error_of(SQLiteLog(tmp_path))
    assert isinstance(error, StoreError)
    assert str(tmp_path) in str(error)


def test_a_log_in_memory_is_refused_with_the_right_name() -> None:
    with pytest.raises(ConfigError, match="MemoryLog"):
        SQLiteLog(":memory:")


def _garbage(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def _short_garbage(path: Path) -> None:
    path.write_bytes(b"x")


def _foreign_tables(path: Path) -> None:
    with other_connection(path) as connection:
        connection.execute("CREATE TABLE conversation (id)")


def _foreign_wal(path: Path) -> None:
    with other_connection(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (id)")


def _foreign_mark(path: Path) -> None:
    with other_connection(path) as connection:
        connection.execute("PRAGMA application_id = 42")


def _foreign_crashed(path: Path) -> None:
    """Its program died: the file has a write-ahead log that is not ours to empty."""
    original = path.with_name("original.db")
    with other_connection(original) as connection:
        connection.execute("PRAGMA application_id = 42")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (id)")
        shutil.copy(original, path)
        shutil.copy(f"{original}-wal", f"{path}-wal")


def _newer(path: Path) -> None:
    with other_connection(path) as connection:
        connection.execute("CREATE TABLE event (id)")
        connection.execute(f"PRAGMA application_id = {SCHEMA.application_id}")
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")


async def test_the_memorys_file_in_the_logs_place_is_named_as_that(path: Path) -> None:
    async with SQLiteMemory(path):
        pass
    with pytest.raises(StoreError, match="is aicore's memory"):
        async with SQLiteLog(path):
            pass


@pytest.mark.parametrize(
    "spoil",
    [
        _garbage,
        _short_garbage,
        _foreign_tables,
        _foreign_wal,
        _foreign_mark,
        _foreign_crashed,
        _newer,
    ],
)
async def test_a_file_that_is_not_ours_is_refused_and_left_as_it_was(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(path)
    before = _state(path)
    error = await error_of(SQLiteLog(path))
    assert isinstance(error, StoreError)
    assert str(path) in str(error)
    assert _state(path) == before


def _state(path: Path) -> tuple[object, ...]:
    stat = path.stat()
    return path.read_bytes(), stat.st_mtime_ns, stat.st_mode, _names(path.parent)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _empty(path: Path) -> None:
    path.touch()


async def test_a_newer_file_says_to_upgrade(path: Path) -> None:
    _newer(path)
    assert "Upgrade aicore" in str(await error_of(SQLiteLog(path)))


async def test_a_damaged_file_says_so_and_where(path: Path) -> None:
    await make(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096 * 3))
    async with SQLiteLog(path) as log:
        with pytest.raises(StoreError) as raised:
            await log.receive(
                SHOP, MessageReceived(text="x", principal=Principal("customer"), message_id="m")
            )
        with pytest.raises(StoreError) as read:
            await log.read(SHOP)
    assert str(path) in str(raised.value)
    assert str(path) in str(read.value)


async def test_a_file_cut_short_says_so(path: Path) -> None:
    await make(path)
    os.truncate(path, 4096 * 2)
    error = None
    try:
        async with SQLiteLog(path) as log:
            await log.read(SHOP)
    except StoreError as exc:
        error = exc
    assert str(path) in str(error)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("from_the_future", "{}"),
        ("reply_sent", '{"text":"x","tone":"kind"}'),
        ("reply_sent", "{}"),
        ("reply_sent", "[]"),
        ("reply_sent", "not json"),
        ("message_received", "null"),
        ("model_replied", '{"calls":[],"usage":{}}'),
        (
            "model_replied",
            '{"calls":[],"usage":{"cost_usd":"much","input":1,"cached":1,"output":1,"reported":0}}',
        ),
    ],
)
async def test_an_event_of_a_newer_version_stops_reading_with_the_remedy(
    path: Path, kind: str, data: str
) -> None:
    await make(path)
    with other_connection(path) as connection:
        connection.execute("UPDATE event SET kind = ?, data = ?", (kind, data))
    async with SQLiteLog(path) as log:
        with pytest.raises(StoreError, match="Upgrade aicore") as raised:
            await log.read(SHOP)
    assert str(path) in str(raised.value)


async def test_a_file_nobody_else_can_read_and_nothing_beside_it_after_closing(path: Path) -> None:
    await make(path)
    assert _mode(path) == 0o600
    assert _names(path.parent) == ["log.db"]
    with other_connection(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA application_id").fetchone() == (SCHEMA.application_id,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA.version,)


async def test_an_empty_file_is_taken(path: Path) -> None:
    _empty(path)
    await make(path)


@pytest.mark.parametrize("name", ["a b?c#d%41.db", "mücke.db", "-x.db"])
async def test_odd_file_names_are_the_file_names(tmp_path: Path, name: str) -> None:
    await make(tmp_path / name)
    assert _names(tmp_path) == [name]


async def test_a_name_relative_to_the_folder_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    await make(Path("log.db"))
    assert _names(path.parent) == ["log.db"]


async def test_eight_logs_may_make_one_file_at_once(path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(make, path)
    async with SQLiteLog(path) as log:
        assert len(await log.read(SHOP)) == 8


async def test_a_copy_taken_with_the_open_files_is_whole(path: Path, tmp_path: Path) -> None:
    """As after a loss of power: what was acknowledged is in the file and its log."""
    copy = tmp_path / "copy"
    copy.mkdir()
    async with SQLiteLog(path) as log:
        for _ in range(20):
            await log.receive(SHOP, MessageReceived(text="x", principal=Principal("customer")))
        for name in ("log.db", "log.db-wal"):
            shutil.copy(path.with_name(name), copy / name)
    async with SQLiteLog(copy / "log.db") as log:
        assert len(await log.read(SHOP)) == 20


_LOCKED = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000000 + 2)
"""


async def test_opening_a_second_log_keeps_the_first_ones_lock_on_the_file(path: Path) -> None:
    """POSIX drops a process's locks when it closes any handle of the file.

    Without its lock on SQLite's shared range another process would take this one for gone, and
    throw away the write-ahead log under it: https://www.sqlite.org/howtocorrupt.html, 2.2.
    """

    async def others_can_lock() -> bool:
        ended = await anyio.run_process([sys.executable, "-c", _LOCKED, str(path)], check=False)
        return ended.returncode == 0

    async with SQLiteLog(path) as log:
        await log.claim(SHOP)
        assert not await others_can_lock()
        async with SQLiteLog(path) as second:
            await second.read(SHOP)
        assert not await others_can_lock()
    assert await others_can_lock()


async def test_a_full_disk_is_told_and_passes(path: Path, say: Any) -> None:
    async with SQLiteLog(path) as log:
        await _limit_pages(log, 40)
        with pytest.raises(StoreError, match="full"):
            await log.receive(SHOP, say("x" * 1_000_000, message_id="big"))
        assert not await log.read(SHOP)
        assert (await log.receive(SHOP, say("small", message_id="m"))).seq == 1
        await _limit_pages(log, 100_000)
        assert (await log.receive(SHOP, say("x" * 1_000_000, message_id="big"))).seq == 2


async def _limit_pages(log: SQLiteLog, pages: int) -> None:
    """Let SQLite run into the end of the disk, on the log's own connection."""
    opened = log._open
    assert opened is not None
    await opened.writer.run(sqlite_job(f"PRAGMA max_page_count = {pages}"))


def sqlite_job(statement: str) -> Any:
    from aicore.databases.sqlite_thread import Job

    return Job(lambda connection: connection.execute(statement).fetchall())


async def test_a_read_only_file_is_told(path: Path, say: Any) -> None:
    async with SQLiteLog(path) as log:
        opened = log._open
        assert opened is not None
        await opened.writer.run(sqlite_job("PRAGMA query_only = ON"))
        with pytest.raises(StoreError, match="read-only"):
            await log.receive(SHOP, say())


_AS_NOBODY = """
import anyio, os, sys
from aicore.errors import StoreError
from aicore.log import SQLiteLog

async def main():
    async with SQLiteLog(sys.argv[2]):
        pass  # load all code while we may
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        async with SQLiteLog(sys.argv[1]):
            print("opened")
    except StoreError as exc:
        print("StoreError", exc)

anyio.run(main)
"""


async def test_a_file_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # the test's own folder is closed to others
        path = Path(folder, "log.db")
        await make(path)
        os.chmod(path, 0o444)  # noqa: PTH101  # quick, on a file of the test
        os.chmod(folder, 0o555)  # noqa: PTH101  # as above
        arguments = [str(path), str(tmp_path / "other.db")]
        ended = await anyio.run_process([sys.executable, "-c", _AS_NOBODY, *arguments])
        os.chmod(folder, 0o755)  # noqa: PTH101  # as above
    assert ended.stdout.decode().startswith("StoreError")
    assert str(path) in ended.stdout.decode()


async def test_a_lock_that_is_let_go_in_time_only_delays(path: Path, say: Any) -> None:
    seen: list[Any] = []

    async def deliver(log: SQLiteLog) -> None:
        seen.append(await log.receive(SHOP, say()))

    async with SQLiteLog(path) as log:
        with other_connection(path) as other, anyio.fail_after(4):
            async with anyio.create_task_group() as tasks:
                other.execute("BEGIN IMMEDIATE")
                tasks.start_soon(deliver, log)
                # The loop goes on, and so does reading.
                for _ in range(10):
                    assert not await log.read(SHOP)
                assert not seen
                other.execute("COMMIT")
    assert seen[0].is_new


async def test_a_lock_that_stays_is_told_as_busy(
    path: Path, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    async with SQLiteLog(path) as log:
        with other_connection(path) as other:
            other.execute("BEGIN IMMEDIATE")
            errors = []

            async def deliver() -> None:
                with pytest.raises(StoreBusy) as raised:
                    await log.receive(SHOP, say())
                errors.append(raised.value)

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(deliver)
            other.execute("COMMIT")
        assert len(set(map(id, errors))) == 3
        assert str(path) in str(errors[0])
        assert (await log.receive(SHOP, say())).seq == 1


async def test_a_new_file_that_another_process_locks_is_told_as_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    with other_connection(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert isinstance(await error_of(SQLiteLog(path)), StoreBusy)
        other.execute("ROLLBACK")
    await make(path)


async def test_a_closing_log_that_cannot_give_back_its_claims_still_closes(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    with other_connection(path) as other:
        async with SQLiteLog(path) as log:
            await log.claim(SHOP)
            other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")
    assert "leases_not_released" in caplog.text


async def test_an_id_that_is_not_text_is_the_callers_mistake(path: Path, say: Any) -> None:
    async with SQLiteLog(path) as log:
        with pytest.raises(CustomerError):
            await log.receive(ConversationId("web:\ud800"), say())
        with pytest.raises(CustomerError):
            await log.receive(SHOP, say(message_id="\udc00"))
        assert not await log.read(SHOP)


async def test_a_body_that_is_not_json_is_refused_before_anything_is_written(
    path: Path,
) -> None:
    class Odd:
        pass

    async with SQLiteLog(path) as log:
        claim = await log.claim(SHOP)
        with pytest.raises(TypeError):
            await log.append(claim, 1, [ReplySent(text="x"), ReplySent(text=Odd())])  # type: ignore[arg-type]  # the mistake
        assert await log.append(claim, 1, []) == claim


async def test_cancelling_the_opening_leaves_a_log_that_can_be_opened(path: Path) -> None:
    for steps in range(12):
        log = SQLiteLog(path)
        async with anyio.create_task_group() as tasks:

            async def enter(log: SQLiteLog = log) -> None:
                async with log:
                    await anyio.sleep_forever()

            tasks.start_soon(enter)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        async with log:
            assert not await log.read(SHOP)
    await anyio.to_thread.run_sync(_join_threads, "aicore-log-log.db")


def _join_threads(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(5)
            assert not thread.is_alive()


async def test_a_log_that_could_not_be_opened_leaves_no_thread(path: Path) -> None:
    _garbage(path)
    await error_of(SQLiteLog(path))
    await anyio.to_thread.run_sync(_join_threads, "aicore-log-log.db")


async def test_a_new_file_that_another_log_is_just_switching_only_delays(path: Path) -> None:
    """SQLite refuses at once, without its own waiting, when two switch a file at one time."""
    has_tried_twice = threading.Event()
    tries: list[str] = []

    def tried(statement: str) -> None:
        tries.append(statement)
        if len(tries) == 2:
            has_tried_twice.set()

    def switch() -> None:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.set_trace_callback(tried)
            sqlite_file._use_wal(connection, SQLiteFile(path, SCHEMA))
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    with other_connection(path) as other, anyio.fail_after(5):
        other.execute("PRAGMA user_version = 0")
        other.execute("BEGIN")
        other.execute("SELECT * FROM sqlite_schema").fetchall()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, switch)
            assert await anyio.to_thread.run_sync(has_tried_twice.wait, 4)
            other.execute("COMMIT")


async def test_a_call_cancelled_while_it_waits_for_the_disk_is_over_when_it_returns(
    path: Path, say: Any
) -> None:
    """Either it was done, or it never will be: nothing is written behind the caller's back."""
    async with SQLiteLog(path) as log:
        with other_connection(path) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.receive, SHOP, say(message_id="begun"))
                await _until_taken(log)
                tasks.start_soon(log.receive, SHOP, say(message_id="queued"))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                other.execute("COMMIT")
        with anyio.CancelScope(shield=True):
            assert [event.body.message_id for event in await log.read(SHOP)] == ["begun"]  # type: ignore[union-attr]  # messages only
            assert not (await log.receive(SHOP, say(message_id="begun"))).is_new
            assert (await log.receive(SHOP, say(message_id="queued"))).is_new


async def _until_taken(log: SQLiteLog) -> None:
    """Wait until the thread has taken what was queued."""
    opened = log._open
    assert opened is not None
    with anyio.fail_after(5):
        await anyio.lowlevel.checkpoint()
        while not opened.writer._jobs.empty():
            await anyio.lowlevel.checkpoint()


async def test_committed_events_are_announced_even_if_their_caller_was_cancelled(
    path: Path, say: Any
) -> None:
    seen: list[Any] = []

    async def listen(log: SQLiteLog) -> None:
        seen.extend([event async for _, event in log.subscribe()])

    async with anyio.create_task_group() as listening, SQLiteLog(path) as log:
        listening.start_soon(listen, log)
        await anyio.wait_all_tasks_blocked()
        with other_connection(path) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.receive, SHOP, say(message_id="begun"))
                await _until_taken(log)
                tasks.cancel_scope.cancel()
                other.execute("COMMIT")
        stored = await log.read(SHOP)
    assert seen == list(stored)
    assert len(seen) == 1


def test_importing_the_core_does_not_load_sqlite() -> None:
    program = "import sys, aicore.log; print('sqlite3' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout.strip() == b"False"


async def test_a_turn_at_rest_is_left_to_other_processes_at_once(path: Path) -> None:
    """A person decides in one process on what another process asked."""
    async with SQLiteLog(path) as one, SQLiteLog(path) as other:
        received = await one.receive(
            SHOP, MessageReceived(text="hello", principal=Principal("customer"))
        )
        claim = await one.claim(SHOP)
        with pytest.raises(StoreBusy):
            await other.claim(SHOP)
        await one.append(claim, received.seq, [ReplySent(text="hi")])
        assert (await other.claim(SHOP)).head == 2
