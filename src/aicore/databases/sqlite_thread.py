"""A thread that owns a SQLite connection and does, in order, what the event loop asks."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import anyio

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import AicoreError, NotOpenError

__all__ = ["Job", "SQLiteThread", "commit_together", "one_by_one"]

T = TypeVar("T")

_MAX_GROUP = 64


class Job(Generic[T]):
    """One piece of work, and how it ended: `result`, or `error`.

    `work` runs in the thread and may run twice (the first time is then rolled back); an
    AicoreError is raised before it writes anything. `then` runs on the event loop when the work
    is committed, even if nobody waits any more. `must_sync` is False for work that may be
    forgotten when the machine loses power. `is_alone` work runs once, by itself, without a
    transaction around it.
    """

    __slots__ = ("_ticket", "ended", "error", "is_alone", "must_sync", "result", "then", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        then: Callable[[T], None] | None = None,
        must_sync: bool = True,
        is_alone: bool = False,
    ) -> None:
        self.work = work
        self.then = then
        self.must_sync = must_sync
        self.is_alone = is_alone
        self.ended = anyio.Event()
        self.result: T
        self.error: Exception | None = None
        self._ticket = threading.Lock()

    def take(self) -> bool:
        """Decide who has the job: the thread, to do it, or its caller, to drop it. Once."""
        return self._ticket.acquire(blocking=False)


Perform = Callable[[sqlite3.Connection, Sequence[Job[Any]]], None]


def one_by_one(connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    """Do each job by itself, without a transaction: for reading."""
    for job in jobs:
        try:
            job.result = job.work(connection)
        except Exception as exc:  # noqa: BLE001  # boundary: goes to the caller of the job
            job.error = exc


def commit_together(connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    """Do jobs in one transaction with one commit; a job that breaks it is then left alone.

    One commit is one wait for the disk, so writers that come together share it.
    """
    _commit(connection, [job for job in jobs if not job.is_alone])
    one_by_one(connection, [job for job in jobs if job.is_alone])


def _commit(connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    if not jobs:
        return
    try:
        _transact(connection, jobs)
    except Exception as exc:  # noqa: BLE001  # boundary: goes to the caller of the job
        if len(jobs) == 1 or isinstance(exc, _NotBegunError):
            for job in jobs:
                job.error = exc.reason if isinstance(exc, _NotBegunError) else exc
            return
        for job in jobs:
            job.error = None
            _commit(connection, (job,))


class _NotBegunError(Exception):
    """No transaction could be begun: trying each job alone would only wait again."""

    def __init__(self, reason: sqlite3.Error) -> None:
        super().__init__()
        self.reason = reason


def _transact(connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    try:
        _roll_back(connection)
        _set_sync(connection, must_sync=any(job.must_sync for job in jobs))
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as exc:
        raise _NotBegunError(exc) from exc
    try:
        for job in jobs:
            try:
                job.result = job.work(connection)
            except AicoreError as exc:
                job.error = exc
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # it is tried again before the next transaction
            _roll_back(connection)
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _set_sync(connection: sqlite3.Connection, *, must_sync: bool) -> None:
    # Not `execute`: it keeps prepared statements, and this one works only while prepared.
    connection.executescript(f"PRAGMA synchronous = {'FULL' if must_sync else 'NORMAL'}")


class SQLiteThread:
    """Runs jobs in a thread of its own, so that the event loop never waits for the disk."""

    def __init__(self, file: SQLiteFile, perform: Perform) -> None:
        self._file = file
        self._perform = perform
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = anyio.Event()
        self._ending = threading.Lock()
        self._is_ending = False

    async def start(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Start the thread and open its connection. Raises as `connect` does."""
        opening = Job(lambda _: None)
        name = f"aicore-{self._file.schema.what}-{self._file.path.name}"
        threading.Thread(target=self._main, args=(connect, opening), name=name, daemon=True).start()
        await opening.ended.wait()
        if opening.error is not None:
            raise opening.error

    async def run(self, job: Job[T]) -> T:
        """Do a job and give its result, or raise its error.

        When cancelled, the job is either never done, or it is waited for: in no case is it done
        later. Raises NotOpenError when the thread ends, and in another event loop than it was
        started in.
        """
        self._queue(job)
        return await self._done(job)

    async def run_both(self, first: Job[Any], second: Job[T]) -> T:
        """Do two jobs, queued together, and give the result of the second, as `run` does.

        So the second is done even if the thread is asked to end before the first is done. Raises
        the error of the first if it has one; the second is done all the same, then.
        """
        self._queue(first, second)
        await self._done(first)
        return await self._done(second)

    def _queue(self, *jobs: Job[Any]) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise NotOpenError(
                f"The {self._file} was opened in another event loop. Open it in this one."
            )
        with self._ending:
            if self._is_ending:
                raise NotOpenError(f"The {self._file} was closed. Open it again.")
            for job in jobs:
                self._jobs.put(job)

    async def _done(self, job: Job[T]) -> T:
        try:
            await job.ended.wait()
        except anyio.get_cancelled_exc_class():
            if not job.take():
                with anyio.CancelScope(shield=True):
                    await job.ended.wait()
            raise
        if job.error is not None:
            raise job.error
        return job.result

    async def stop(self) -> None:
        """Do what is queued, close the connection and end."""
        self.abandon()
        if asyncio.get_running_loop() is self._loop:
            await self._closed.wait()

    def abandon(self) -> None:
        """Ask the thread to end when it has done what is queued, without waiting for that."""
        with self._ending:
            self._is_ending = True
            self._jobs.put(None)

    def _main(self, connect: Callable[[], sqlite3.Connection], opening: Job[None]) -> None:
        try:
            connection = connect()
        except Exception as exc:  # noqa: BLE001  # boundary: goes to the caller of `start`
            opening.error = exc
            self._call_loop(_end, (opening,))
            return
        with contextlib.closing(connection):
            if self._call_loop(_end, (opening,)):
                self._serve(connection)
        self._call_loop(self._closed.set)

    def _serve(self, connection: sqlite3.Connection) -> None:
        is_wanted = True
        while is_wanted:
            group, is_wanted = self._next_group()
            if group:
                self._perform(connection, group)
                for job in group:
                    if job.error is not None:
                        job.error = self._file.translate(job.error)
                is_wanted &= self._call_loop(_end, group)

    def _next_group(self) -> tuple[list[Job[Any]], bool]:
        """Wait for a job and take those behind it; False with the last group."""
        group: list[Job[Any]] = []
        while not group or (len(group) < _MAX_GROUP and not self._jobs.empty()):
            job = self._jobs.get()
            if job is None:
                return group, False
            if job.take():
                group.append(job)
        return group, True

    def _call_loop(self, function: Callable[..., object], *args: object) -> bool:
        """Run a function on the event loop; False when that is gone, and everybody with it."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return False
        return True


def _end(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        if job.error is None and job.then is not None:
            job.then(job.result)
        job.ended.set()
