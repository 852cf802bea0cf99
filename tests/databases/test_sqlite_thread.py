"""The thread beside the event loop: what comes together is committed together."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.databases.sqlite_file import SQLiteFile
from aicore.databases.sqlite_thread import Job, SQLiteThread, commit_together, one_by_one
from aicore.errors import Fenced, NotOpenError, StoreError
from aicore.log.sqlite_schema import SCHEMA

Work = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def connection(tmp_path: Path) -> Any:
    connection = SQLiteFile(tmp_path / "log.db", SCHEMA).open_writer()
    connection.execute("CREATE TABLE t (number INTEGER PRIMARY KEY) STRICT")
    yield connection
    connection.close()


def add(*numbers: int, then: Exception | None = None) -> Work:
    def work(connection: sqlite3.Connection) -> int:
        for number in numbers:
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        if then is not None:
            raise then
        return sum(numbers)

    return work


def numbers_in(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM t ORDER BY number")]


async def test_jobs_that_come_together_are_one_commit(connection: sqlite3.Connection) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    jobs = [Job(add(number)) for number in range(5)]
    commit_together(connection, jobs)
    assert statements.count("COMMIT") == 1
    assert [job.result for job in jobs] == [0, 1, 2, 3, 4]
    assert numbers_in(connection) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [ValueError("a bug"), sqlite3.OperationalError("odd")])
async def test_a_job_that_fails_half_way_harms_only_itself(
    connection: sqlite3.Connection, error: Exception
) -> None:
    jobs = [Job(add(1)), Job(add(2, 3, then=error)), Job(add(4)), Job(add(1))]
    commit_together(connection, jobs)
    assert numbers_in(connection) == [1, 4]
    assert jobs[0].error is jobs[2].error is None
    assert jobs[1].error is error
    assert isinstance(jobs[3].error, sqlite3.IntegrityError)
    assert not connection.in_transaction


async def test_a_refused_job_does_not_undo_its_neighbours(connection: sqlite3.Connection) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    jobs = [Job(add(1)), Job(add(then=Fenced("no"))), Job(add(2))]
    commit_together(connection, jobs)
    assert numbers_in(connection) == [1, 2]
    assert isinstance(jobs[1].error, Fenced)
    assert statements.count("COMMIT") == 1


async def test_a_commit_that_fails_is_nobodys_success(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    connection.execute(
        "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    )
    orphan: Job[Any] = Job(lambda c: c.execute("INSERT INTO child VALUES (7)"))
    jobs = [Job(add(1)), orphan, Job(add(2))]
    commit_together(connection, jobs)
    assert isinstance(orphan.error, sqlite3.IntegrityError)
    assert numbers_in(connection) == [1, 2]
    assert connection.execute("SELECT count(*) FROM child").fetchone() == (0,)


async def test_jobs_that_meet_a_lock_wait_for_it_together(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    statements: list[str] = []
    connection.execute("PRAGMA busy_timeout = 10")
    connection.set_trace_callback(statements.append)
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        jobs = [Job(add(number)) for number in range(3)]
        commit_together(connection, jobs)
    assert all(isinstance(job.error, sqlite3.OperationalError) for job in jobs)
    assert statements.count("BEGIN IMMEDIATE") == 1


@pytest.mark.parametrize(
    ("must_sync", "level"), [([True], 2), ([False], 1), ([False, True], 2), ([False, False], 1)]
)
async def test_a_commit_waits_for_the_disk_if_one_of_its_jobs_must(
    connection: sqlite3.Connection, must_sync: list[bool], level: int
) -> None:
    """Level 2 is FULL and 1 NORMAL: https://www.sqlite.org/pragma.html#pragma_synchronous."""
    for _ in range(3):
        commit_together(connection, [Job(add(), must_sync=not must_sync[0])])
        jobs = [
            Job(lambda c: c.execute("PRAGMA synchronous").fetchone()[0], must_sync=must)
            for must in must_sync
        ]
        commit_together(connection, jobs)
        assert [job.result for job in jobs] == [level] * len(jobs)


async def _started(path: Path) -> SQLiteThread:
    file = SQLiteFile(path, SCHEMA)
    thread = SQLiteThread(file, commit_together)
    await thread.start(file.open_writer)
    return thread


async def test_each_caller_gets_its_own_result_or_error(tmp_path: Path) -> None:
    thread = await _started(tmp_path / "log.db")
    outcomes: dict[int, Any] = {}

    async def call(number: int) -> None:
        def work(connection: sqlite3.Connection) -> int:
            if number % 3 == 0:
                connection.execute("INSERT INTO nowhere VALUES (1)")
            return number

        try:
            outcomes[number] = await thread.run(Job(work))
        except StoreError as exc:
            outcomes[number] = exc

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(call, number)
    await thread.stop()
    errors = [outcomes[number] for number in range(0, 30, 3)]
    assert all(isinstance(error, StoreError) for error in errors)
    assert len(set(map(id, errors))) == 10
    assert isinstance(errors[0].__cause__, sqlite3.OperationalError)
    assert [n for n in range(30) if outcomes[n] == n] == [n for n in range(30) if n % 3]


async def test_a_job_dropped_before_it_began_is_never_done(tmp_path: Path) -> None:
    thread = await _started(tmp_path / "log.db")
    done: list[str] = []
    has_begun = anyio.Event()
    may_end = threading.Event()
    loop = asyncio.get_running_loop()

    def slow(connection: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(has_begun.set)
        assert may_end.wait(5)
        done.append("slow")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run, Job(slow))
        await has_begun.wait()
        with anyio.move_on_after(0):
            await thread.run(Job(lambda _: done.append("dropped")))
        may_end.set()
    await thread.run(Job(lambda _: done.append("next")))
    await thread.stop()
    assert done == ["slow", "next"]


async def test_stopping_does_first_what_was_asked_before(tmp_path: Path) -> None:
    thread = await _started(tmp_path / "log.db")
    done: list[int] = []
    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(thread.run, Job(lambda _, number=number: done.append(number)))  # type: ignore[misc]  # bound now
        await anyio.lowlevel.checkpoint()
        await thread.stop()
    assert done == list(range(200))


async def test_a_reading_thread_goes_on_after_an_error(tmp_path: Path) -> None:
    writer = await _started(tmp_path / "log.db")
    file = SQLiteFile(tmp_path / "log.db", SCHEMA)
    reader = SQLiteThread(file, one_by_one)
    await reader.start(file.open_reader)
    with pytest.raises(StoreError):
        await reader.run(Job(lambda c: c.execute("SELECT * FROM nowhere")))
    with pytest.raises(StoreError):
        await reader.run(Job(lambda c: c.execute("DELETE FROM event")))
    assert await reader.run(Job(lambda c: c.execute("SELECT 1").fetchone())) == (1,)
    await reader.stop()
    await writer.stop()


def test_a_thread_whose_loop_is_gone_ends_by_itself(tmp_path: Path) -> None:
    """A program that forgets to close its log still ends, without a word on stderr."""
    closed: list[bool] = []

    class Seen(sqlite3.Connection):
        def close(self) -> None:
            closed.append(True)
            super().close()

    path = tmp_path / "forgotten.db"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, factory=Seen, isolation_level=None)

    async def forget() -> SQLiteThread:
        thread = SQLiteThread(SQLiteFile(path, SCHEMA), commit_together)
        await thread.start(connect)
        return thread

    forgotten = asyncio.run(forget())
    [thread] = [t for t in threading.enumerate() if t.name == "aicore-log-forgotten.db"]
    with pytest.raises(NotOpenError):
        asyncio.run(_use(forgotten))
    forgotten._jobs.put(Job(lambda _: None))
    thread.join(5)
    assert closed == [True]


async def _use(thread: SQLiteThread) -> None:
    await thread.run(Job(lambda _: None))


def test_a_thread_can_be_stopped_from_another_loop(tmp_path: Path) -> None:
    thread = asyncio.run(_started(tmp_path / "log.db"))
    asyncio.run(thread.stop())


async def test_work_that_needs_to_be_alone_runs_outside_the_transaction_of_the_others(
    connection: sqlite3.Connection,
) -> None:
    def rewrite(connection: sqlite3.Connection) -> bool:
        was_within = connection.in_transaction
        connection.execute("VACUUM")  # SQLite refuses it within one
        return was_within

    jobs: list[Job[Any]] = [
        Job(add(1)),
        Job(rewrite, is_alone=True),
        Job(add(2, then=sqlite3.OperationalError("odd"))),
        Job(add(3)),
    ]
    commit_together(connection, jobs)
    assert jobs[1].result is False
    assert [type(job.error) for job in jobs] == [
        type(None),
        type(None),
        sqlite3.OperationalError,
        type(None),
    ]
    assert numbers_in(connection) == [1, 3]


async def test_what_is_asked_of_a_thread_that_ends_is_refused_and_two_jobs_stay_together(
    tmp_path: Path,
) -> None:
    file = SQLiteFile(tmp_path / "log.db", SCHEMA)
    thread = SQLiteThread(file, commit_together)
    await thread.start(file.open_writer)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            told: list[str] = []

            async def both() -> None:
                first = Job(lambda _: told.append("first"))
                told.append(await thread.run_both(first, Job(lambda _: "second", is_alone=True)))

            tasks.start_soon(both)
            await anyio.lowlevel.checkpoint()
            await thread.stop()
        assert told == ["first", "second"]
        with pytest.raises(NotOpenError):
            await thread.run(Job(lambda _: None))
