"""An event log in one SQLite file: durable, for one machine, for one or several processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from aicore.errors import ConfigError, Fenced, HeadMoved, NotOpenError, StoreBusy, StoreError
from aicore.log.events import Body, Event, MessageReceived, decode, encode, turn_left_open
from aicore.log.fanout import Fanout, Subscription
from aicore.log.owner import Owner, this_process
from aicore.log.port import Claim, OpenTurn, Received
from aicore.log.sqlite_file import open_reader, open_writer
from aicore.log.sqlite_thread import Job, SQLiteThread, commit_together, one_by_one
from aicore.records import ConversationId

__all__ = ["LEASE_MS", "SQLiteLog"]

LEASE_MS = 120_000
"""How long a process that cannot be asked holds a conversation after its last append."""

_EARLIER = "SELECT seq FROM inbound WHERE business = ? AND channel = ? AND message_id = ?"
_ADVANCE = """
    INSERT INTO conversation (business, id, head, epoch) VALUES (?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET head = head + 1 RETURNING head
"""
_ADD_INBOUND = "INSERT INTO inbound VALUES (?, ?, ?, ?, ?)"
_ADD_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)"
_OPEN_TURN = "INSERT OR IGNORE INTO open_turn VALUES (?, ?, ?)"
_CLOSE_TURN = "DELETE FROM open_turn WHERE business = ? AND conversation = ? AND turn = ?"
# A lease that ends later than any lease can was written before the clock was set back.
_CLAIM = """
    INSERT INTO conversation VALUES (:business, :id, 0, 1, :owner, :now + :lease)
    ON CONFLICT DO UPDATE SET epoch = epoch + 1, owner = :owner, lease_until_ms = :now + :lease
    WHERE owner IS NULL OR owner IN (:owner, :dead)
        OR lease_until_ms <= :now OR lease_until_ms > :now + 2 * :lease
    RETURNING epoch, head
"""
_HOLDER = "SELECT owner, lease_until_ms FROM conversation WHERE business = ? AND id = ?"
_APPEND = """
    UPDATE conversation SET head = head + ?, lease_until_ms = ?
    WHERE business = ? AND id = ? AND epoch = ? AND head = ?
"""
_EPOCH = "SELECT epoch FROM conversation WHERE business = ? AND id = ?"
_RELEASE = "UPDATE conversation SET owner = NULL WHERE business = ? AND id = ? AND epoch = ?"
_RELEASE_ALL = "UPDATE conversation SET owner = NULL WHERE business = ? AND id = ? AND owner = ?"
_READ = """
    SELECT seq, turn, at_ms, kind, data FROM event
    WHERE business = ? AND conversation = ? AND seq > ? ORDER BY seq
"""
_OPEN_TURNS = """
    SELECT conversation, turn FROM open_turn WHERE business = ? ORDER BY conversation, turn
"""


class SQLiteLog:
    """Keeps the conversations of one business in the file `path`, which may hold several.

    The file is made if it is missing, readable by its owner only; its folder must exist and be
    on a local disk. `clock` gives seconds since 1970 UTC, for the times of events and leases.
    One process writes with one thread; several processes may share the file, and each
    conversation then belongs to the one that claimed it, until that releases it, closes its
    log, dies (seen at once on the same machine) or appends nothing for LEASE_MS. A clock that
    is set back makes others wait for that long again, at most twice; set forward, it ends
    leases early, and the fence still keeps two writers apart.

    Events survive a loss of power. Claims and releases survive a crash of the process only:
    after a loss of power no holder is left. A lone surrogate in a text is kept as it is; two
    that form a pair come back as the one character they mean.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        business: str = "default",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteLog needs a file. Use MemoryLog for a log in memory.")
        self.business = business
        self._path = Path(path)
        self._clock = clock
        self._fanout = Fanout()
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

        def work(connection: sqlite3.Connection) -> tuple[Received, int]:
            if message.message_id is not None:
                earlier = connection.execute(_EARLIER, key).fetchone()
                if earlier is not None:
                    return Received(earlier[0], False), 0
            place = (self.business, conversation)
            [(seq,)] = connection.execute(_ADVANCE, place).fetchall()
            at_ms = self._now_ms()
            if message.message_id is not None:
                connection.execute(_ADD_INBOUND, (*key, conversation, seq))
            connection.execute(_ADD_EVENT, (*place, seq, seq, data[0], at_ms, data[1]))
            connection.execute(_OPEN_TURN, (*place, seq))
            return Received(seq, True), at_ms

        def then(done: tuple[Received, int]) -> None:
            received, at_ms = done
            if received.is_new and self._fanout:
                seq = received.seq
                self._fanout.publish(conversation, (Event(seq, seq, at_ms, message),))

        return (await opened.writer.run(Job(work, then=then)))[0]

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        opened = self._opened()

        def work(connection: sqlite3.Connection) -> Claim:
            now_ms = self._now_ms()
            epoch, head = opened.take(connection, (self.business, conversation), now_ms)
            return Claim(conversation, epoch, head)

        return await opened.writer.run(Job(work, must_sync=False))

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        opened = self._opened()
        bodies = tuple(bodies)
        encoded = [encode(body) for body in bodies]
        place = (self.business, claim.conversation)
        is_open = turn_left_open(bodies)

        def work(connection: sqlite3.Connection) -> int:
            at_ms = self._now_ms()
            _advance(connection, claim, (len(bodies), at_ms + LEASE_MS, *place))
            rows = [
                (*place, seq, turn, kind, at_ms, data)
                for seq, (kind, data) in enumerate(encoded, claim.head + 1)
            ]
            connection.executemany(_ADD_EVENT, rows)
            if is_open is not None:
                connection.execute(_OPEN_TURN if is_open else _CLOSE_TURN, (*place, turn))
            return at_ms

        def then(at_ms: int) -> None:
            if self._fanout:
                numbered = enumerate(bodies, claim.head + 1)
                added = [Event(seq, turn, at_ms, body) for seq, body in numbered]
                self._fanout.publish(claim.conversation, added)

        await opened.writer.run(Job(work, then=then))
        return Claim(claim.conversation, claim.epoch, claim.head + len(bodies))

    async def release(self, claim: Claim) -> None:
        """Let another process claim at once; see EventLog."""
        opened = self._opened()

        def work(connection: sqlite3.Connection) -> None:
            key = (self.business, claim.conversation, claim.epoch)
            if connection.execute(_RELEASE, key).rowcount:
                opened.held.discard(claim.conversation)

        await opened.writer.run(Job(work, must_sync=False))

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(_READ, (self.business, conversation, after)).fetchall()
            return [self._event(*row) for row in rows]

        return await self._opened().reader.run(Job(work))

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""

        def work(connection: sqlite3.Connection) -> list[OpenTurn]:
            rows = connection.execute(_OPEN_TURNS, (self.business,)).fetchall()
            return [OpenTurn(ConversationId(conversation), turn) for conversation, turn in rows]

        return await self._opened().reader.run(Job(work))

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended by this log from the first `anext` on; see Subscription."""
        self._opened()
        return Subscription(self._fanout, conversation)

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._open is None:
                self._open = await _Open.start(self._path)
            self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if self._open is not None and not self._entered:
                    opened, self._open = self._open, None
                    self._fanout.close()
                    await opened.stop(self.business)

    def _opened(self) -> _Open:
        if self._open is None:
            raise NotOpenError(f"The log {self._path} is not open: use it inside `async with`.")
        return self._open

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _event(self, seq: int, turn: int, at_ms: int, kind: str, data: str) -> Event:
        try:
            return Event(seq, turn, at_ms, decode(kind, data))
        except (KeyError, TypeError, ValueError) as exc:
            raise StoreError(
                f"Event {seq} ({kind}) in {self._path} cannot be understood: a newer version of "
                "aicore wrote it, or it is damaged. Upgrade aicore, or restore a backup."
            ) from exc


class _Open:
    """What an open log has: two threads, and the leases to give back."""

    def __init__(self, writer: SQLiteThread, reader: SQLiteThread) -> None:
        self.writer = writer
        self.reader = reader
        self.owner = str(this_process())
        self.held: set[ConversationId] = set()

    @classmethod
    async def start(cls, path: Path) -> Self:
        """Open the file. Raises StoreError and StoreBusy."""
        writer = SQLiteThread(path, commit_together)
        reader = SQLiteThread(path, one_by_one)
        try:
            await writer.start(open_writer)
            await reader.start(open_reader)
        except BaseException:
            reader.abandon()
            writer.abandon()
            raise
        return cls(writer, reader)

    def take(
        self, connection: sqlite3.Connection, place: tuple[str, ConversationId], now_ms: int
    ) -> tuple[int, int]:
        """Raise a conversation's epoch, and give it with head. Raises StoreBusy."""
        business, conversation = place
        values = {
            "business": business,
            "id": conversation,
            "owner": self.owner,
            "dead": None,
            "now": now_ms,
            "lease": LEASE_MS,
        }
        row = connection.execute(_CLAIM, values).fetchone()
        if row is None:
            values["dead"] = _dead_holder(connection, place, now_ms)
            row = connection.execute(_CLAIM, values).fetchone()
        self.held.add(conversation)
        epoch, head = row
        return epoch, head

    async def stop(self, business: str) -> None:
        """Give back the leases, do what is queued, and close the file."""

        def release_all(connection: sqlite3.Connection) -> None:
            rows = [(business, conversation, self.owner) for conversation in self.held]
            connection.executemany(_RELEASE_ALL, rows)

        try:
            await self.writer.run(Job(release_all, must_sync=False))
        finally:
            # The writer last: the last to leave empties the write-ahead log into the file.
            await self.reader.stop()
            await self.writer.stop()


def _dead_holder(
    connection: sqlite3.Connection, place: tuple[str, ConversationId], now_ms: int
) -> str:
    """Give the owner of a conversation if its process has ended. Raises StoreBusy if not."""
    text, lease_until_ms = connection.execute(_HOLDER, place).fetchone()
    owner = Owner.parse(text)
    if owner.is_dead():
        return str(text)
    raise StoreBusy(
        f"Process {owner.pid} on {owner.host} holds this conversation. Let it finish or stop it, "
        "or wait for its lease to end.",
        retry_after_s=max(lease_until_ms - now_ms, 0) / 1000,
    )


def _advance(
    connection: sqlite3.Connection, claim: Claim, values: tuple[int, int, str, ConversationId]
) -> None:
    """Move head and lease if the claim still holds. Raises Fenced and HeadMoved."""
    place = values[2:]
    moved = connection.execute(_APPEND, (*values, claim.epoch, claim.head))
    if moved.rowcount:
        return
    row = connection.execute(_EPOCH, place).fetchone()
    if row is None or row[0] != claim.epoch:
        raise Fenced("Another worker has claimed this conversation.")
    raise HeadMoved("Events were added since the claim; read them and append again.")
