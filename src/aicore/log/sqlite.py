"""An event log in one SQLite file: durable, for one machine, for one or several processes."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from aicore.databases.sqlite_file import SQLiteFile
from aicore.databases.sqlite_thread import Job, SQLiteThread, commit_together, one_by_one
from aicore.errors import AicoreError, ConfigError, NotOpenError, StoreBusy
from aicore.log import sqlite_schema
from aicore.log.events import Body, Event, MessageReceived, encode, turn_left_open
from aicore.log.fanout import Subscription
from aicore.log.port import Claim, OpenTurn, Received, Stored
from aicore.log.sqlite_history import (
    ADD_EVENT,
    ADD_INBOUND,
    CLOSE_TURN,
    OPEN_TURN,
    History,
    remove_traces,
)
from aicore.log.sqlite_lease import Leases
from aicore.log.sqlite_news import News, note_news
from aicore.records import ConversationId

__all__ = ["SQLiteLog"]

_LOG = logging.getLogger(__name__)
_CLOSE_S = 30.0

_EARLIER = "SELECT seq FROM inbound WHERE business = ? AND channel = ? AND message_id = ?"
_ADVANCE = """
    INSERT INTO conversation (business, id, head, epoch, born_ms)
    VALUES (:business, :id, 1, 0, max(
        :now, (SELECT coalesce(max(last_born_ms), -1) + 1 FROM erased WHERE business = :business)
    ))
    ON CONFLICT DO UPDATE SET head = head + 1 RETURNING head
"""
_OPEN_TURNS = """
    SELECT conversation, turn FROM open_turn WHERE business = ? ORDER BY conversation, turn
"""


class SQLiteLog:
    """Keeps the conversations of one business in the file `path`, which may hold several.

    The file is made if it is missing, readable by its owner only; its folder must exist and be
    on a local disk. `clock` gives seconds since 1970 UTC, for the times of events and leases.
    One process writes with one thread; several processes may share the file, and each
    conversation then belongs to the one that claimed it, until that ends the turn, releases it,
    closes its log, dies (seen at once on the same machine) or appends nothing for two minutes. A
    clock that is set back makes others wait for at most four; set forward, it ends leases early,
    and the fence still keeps two writers apart.

    Events survive a loss of power. Claims and releases survive a crash of the process only:
    after a loss of power no holder is left. A lone surrogate in a text is kept as it is; two
    that form a pair come back as the one character they mean.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        business: str = "main",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteLog needs a file. Use MemoryLog for a log in memory.")
        self.business = business
        self._path = Path(path)
        self._clock = clock
        self._history = History(self._path, business)
        self._news = News(business, self._history)
        self._entering = anyio.Lock()
        self._entered = 0
        self._open: _Open | None = None

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, once per channel and message id; see EventLog.

        Raises: CustomerError when an id is not valid Unicode text.
        """
        opened = self._opened()
        data = encode(message)
        key = (self.business, message.channel, message.message_id)

        def work(connection: sqlite3.Connection) -> tuple[Received, int, int]:
            if message.message_id is not None:
                earlier = connection.execute(_EARLIER, key).fetchone()
                if earlier is not None:
                    return Received(earlier[0], False), 0, 0
            place = (self.business, conversation)
            at_ms = self._now_ms()
            values = {"business": self.business, "id": conversation, "now": at_ms}
            [(seq,)] = connection.execute(_ADVANCE, values).fetchall()
            if message.message_id is not None:
                connection.execute(ADD_INBOUND, (*key, conversation, seq))
            connection.execute(ADD_EVENT, (*place, seq, seq, data[0], at_ms, data[1]))
            connection.execute(OPEN_TURN, (*place, seq))
            return Received(seq, True), at_ms, note_news(connection, place, seq, seq)

        def then(done: tuple[Received, int, int]) -> None:
            received, at_ms, number = done
            if received.is_new and self._news:
                seq = received.seq
                self._news.tell(number, conversation, (Event(seq, seq, at_ms, message),))

        return (await opened.writer.run(Job(work, then=then)))[0]

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        opened = self._opened()

        def work(connection: sqlite3.Connection) -> Claim:
            return opened.leases.claim(connection, conversation)

        return await opened.writer.run(Job(work, must_sync=False))

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        opened = self._opened()
        bodies = tuple(bodies)
        encoded = [encode(body) for body in bodies]
        place = (self.business, claim.conversation)
        is_open = turn_left_open(bodies)

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            at_ms = opened.leases.advance(
                connection, claim, len(bodies), is_at_rest=is_open is False
            )
            rows = [
                (*place, seq, turn, kind, at_ms, data)
                for seq, (kind, data) in enumerate(encoded, claim.head + 1)
            ]
            connection.executemany(ADD_EVENT, rows)
            if is_open is not None:
                connection.execute(OPEN_TURN if is_open else CLOSE_TURN, (*place, turn))
            if not rows:
                return at_ms, 0
            return at_ms, note_news(connection, place, claim.head + 1, claim.head + len(rows))

        def then(done: tuple[int, int]) -> None:
            at_ms, number = done
            if number and self._news:
                numbered = enumerate(bodies, claim.head + 1)
                added = [Event(seq, turn, at_ms, body) for seq, body in numbered]
                self._news.tell(number, claim.conversation, added)

        await opened.writer.run(Job(work, then=then))
        return replace(claim, head=claim.head + len(bodies))

    async def release(self, claim: Claim) -> None:
        """Let another process claim at once; see EventLog."""
        opened = self._opened()

        def work(connection: sqlite3.Connection) -> None:
            opened.leases.release(connection, claim)

        await opened.writer.run(Job(work, must_sync=False))

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            return self._history.read(connection, conversation, after)

        return await self._opened().reader.run(Job(work))

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""

        def work(connection: sqlite3.Connection) -> list[OpenTurn]:
            rows = connection.execute(_OPEN_TURNS, (self.business,)).fetchall()
            return [OpenTurn(ConversationId(conversation), turn) for conversation, turn in rows]

        return await self._opened().reader.run(Job(work))

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended by any process from the first `anext` on; see Subscription.

        Raises StoreBusy and StoreError besides what that raises.
        """
        self._opened()
        return Subscription(self._news, conversation)

    async def conversations(
        self, after: ConversationId | None = None, limit: int = 1000
    ) -> Sequence[Stored]:
        """A page of what the file holds of this business; see EventLog."""

        def work(connection: sqlite3.Connection) -> list[Stored]:
            return self._history.conversations(connection, after, limit)

        return await self._opened().reader.run(Job(work))

    async def restore(self, stored: Stored, events: Sequence[Event]) -> None:
        """Write events exactly as another log had them; see EventLog."""

        def work(connection: sqlite3.Connection) -> tuple[Sequence[Event], int]:
            added = self._history.restore(connection, stored, events)
            if not added:
                return added, 0
            place = (self.business, stored.conversation)
            return added, note_news(connection, place, added[0].seq, added[-1].seq)

        def then(done: tuple[Sequence[Event], int]) -> None:
            added, number = done
            if number:
                self._news.tell(number, stored.conversation, added)

        await self._opened().writer.run(Job(work, then=then))

    async def erase(self, claim: Claim) -> None:
        """Delete a conversation, and every trace of it in the file and beside it.

        Raises: StoreBusy when somebody reads the file for so long that traces had to stay in
        its write-ahead log; they go with the next erasure, or when the file is next opened.
        """
        opened = self._opened()

        def work(connection: sqlite3.Connection) -> None:
            opened.leases.check(connection, claim)
            self._history.erase(connection, claim.conversation, self._now_ms())
            opened.leases.forget(claim)

        await anyio.lowlevel.checkpoint()
        with anyio.CancelScope(shield=True):
            rewriting = Job(remove_traces, is_alone=True)
            is_clean = await opened.writer.run_both(Job(work), rewriting)
        if not is_clean:
            raise StoreBusy(
                "The conversation is erased, but another program reads the file, so that traces "
                f"stay in {self._path}-wal. Close that program, or try again.",
                retry_after_s=10.0,
            )

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._open is None:
                opened = _Open(self._path, Leases(self.business, self._now_ms))
                await opened.start()
                self._open = opened
                self._news.reader = opened.reader
            self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if self._open is not None and not self._entered:
                    opened, self._open = self._open, None
                    self._news.reader = None
                    self._news.close()
                    await opened.stop()

    def _opened(self) -> _Open:
        if self._open is None:
            raise NotOpenError(f"The log {self._path} is not open: use it inside `async with`.")
        return self._open

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Open:
    """What an open log has: two threads, and leases."""

    def __init__(self, path: Path, leases: Leases) -> None:
        self._file = SQLiteFile(path, sqlite_schema.SCHEMA)
        self.writer = SQLiteThread(self._file, commit_together)
        self.reader = SQLiteThread(self._file, one_by_one)
        self.leases = leases

    async def start(self) -> None:
        """Open the file. Raises StoreError and StoreBusy."""
        try:
            await self.writer.start(self._file.open_writer)
            await self.reader.start(self._file.open_reader)
            await self._finish_erasing()
        except BaseException:
            self.reader.abandon()
            self.writer.abandon()
            raise

    async def stop(self) -> None:
        """Do what is queued, give back the leases, and close the file."""
        try:
            await self._release_all()
            await self.reader.stop()
        finally:
            self.reader.abandon()
            # The writer last: the last to leave empties the write-ahead log into the file.
            await self.writer.stop()

    async def _finish_erasing(self) -> None:
        """Remove what a crash left behind an erasure."""
        try:
            is_clean = await self.writer.run(Job(remove_traces, is_alone=True))
        except AicoreError as exc:
            _LOG.warning("traces_not_removed code=%s | the next start tries again", exc.code)
        else:
            if not is_clean:
                _LOG.warning("traces_not_removed | another program reads the file")

    async def _release_all(self) -> None:
        try:
            await self.writer.run(Job(self.leases.release_all, must_sync=False))
        except AicoreError as exc:
            # They end by themselves; closing the file matters more.
            _LOG.warning("leases_not_released code=%s", exc.code)
