"""What other processes append to a log in PostgreSQL, told to those who subscribe in this one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence

import anyio

from aicore.databases.postgres import Connection, Postgres, fetch
from aicore.errors import AicoreError
from aicore.log.events import Event
from aicore.log.fanout import Fanout
from aicore.log.postgres_schema import from_key, to_key
from aicore.records import ConversationId

__all__ = ["Listener", "channel_of"]

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_SILENCE_S = 30.0

_NOW = "SELECT pg_current_snapshot()::text"
_RANGE = """
    SELECT e.seq, e.turn, e.at_ms, e.kind, e.data
    FROM event e JOIN conversation c ON c.business = e.business AND c.id = e.conversation
    WHERE e.business = %s AND e.conversation = %s AND c.born_ms = %s AND e.seq BETWEEN %s AND %s
    ORDER BY e.seq
"""
# Those whose newest append was not yet to be seen in the old snapshot. Numbers from the future
# are those of another server, which the tables were restored from.
_MOVED_SINCE = """
    SELECT c.id, c.born_ms, c.head, (
        SELECT min(e.seq) FROM event e
        WHERE e.business = c.business AND e.conversation = c.id
            AND NOT pg_visible_in_snapshot(e.added, %(old)s::pg_snapshot)
            AND e.added < pg_snapshot_xmax(pg_current_snapshot())
    )
    FROM conversation c
    WHERE c.business = %(business)s AND c.moved >= pg_snapshot_xmin(%(old)s::pg_snapshot)
"""

_Key = tuple[ConversationId, int]
"""A conversation and its birth: after it was erased, its numbers begin again."""


def channel_of(business: str) -> str:
    """The name under which appends of a business are told."""
    return f"aicore_log_{hashlib.blake2b(business.encode(), digest_size=8).hexdigest()}"


class Listener(Fanout):
    """Hands events to subscribers: this log's own at once, others' as PostgreSQL tells them.

    While somebody subscribes, a task keeps one connection that listens. Notifications are only
    numbers: what is handed on was read from the tables, in order and without a gap. After a lost
    connection, what was missed is read: everything that its last snapshot did not show.
    """

    def __init__(
        self,
        database: Postgres,
        business: str,
        to_event: Callable[[int, int, int, str, str], Event],
    ) -> None:
        super().__init__()
        self._database = database
        self._business = business
        self._to_event = to_event
        self._task: asyncio.Task[None] | None = None
        self._told: dict[_Key, int] = {}
        self._waiting: dict[_Key, list[Event]] = {}
        self._snapshot: str | None = None
        self._quiet_since: str | None = None
        self._told_before: dict[_Key, int] = {}
        self._tried = anyio.Event()

    def begin(self) -> None:
        """Start to listen, for the first of all subscriptions."""
        if self._task is None:
            self._tried = anyio.Event()
            # Not in a task group: that belongs to one task, and a log may be entered by several.
            self._task = asyncio.create_task(self._run())  # noqa: TID251

    async def look(self) -> None:
        """Wait until others' appends are told; while the server is away, only own ones are."""
        if self._task is not None:
            await self._tried.wait()

    async def stop(self) -> None:
        """End the listening and all subscriptions; they still get what this log appended."""
        task, self._task = self._task, None
        self._tried.set()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for key, events in self._waiting.items():
            self.publish(key[0], events)
        self.close()
        self._forget()

    def publish_own(
        self, conversation: ConversationId, born_ms: int, events: Sequence[Event]
    ) -> None:
        """Hand on what this log appended, unless earlier events may still be on their way.

        Those of a conversation of which nothing was told yet wait for their notification, once
        notifications can be missed.
        """
        if self._task is None or not events:
            return
        key = (conversation, born_ms)
        last = self._told.get(key)
        if last == events[0].seq - 1 or (last is None and self._snapshot is None):
            self._tell(key, events)
        elif last is None or last < events[0].seq:
            self._waiting.setdefault(key, []).extend(events)

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self:
            try:
                async with await self._database.connect() as connection:
                    await self._begin(connection)
                    pause_s = _FIRST_PAUSE_S
                    while self:
                        await self._next(connection)
            except Exception as exc:  # noqa: BLE001  # boundary: the task goes on until all left
                self._tried.set()
                kind = type(exc).__name__
                _LOG.warning("Listening to %s broke off (%s): again soon.", self._database, kind)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._forget()
        self._task = None

    async def _begin(self, connection: Connection) -> None:
        """Listen, then hand on what came since the last connection was lost."""
        await fetch(connection, f"LISTEN {channel_of(self._business)}")
        # Before looking: what is committed meanwhile would be in a later one, and its
        # notification is lost if this connection breaks as well.
        [(snapshot,)] = await fetch(connection, _NOW)
        if self._snapshot is not None:
            values = {"business": self._business, "old": self._snapshot}
            for key, born_ms, head, unseen in await fetch(connection, _MOVED_SINCE, values):
                conversation = ConversationId(from_key(key))
                first = self._told.get((conversation, born_ms), (unseen or head + 1) - 1) + 1
                await self._read(connection, (conversation, born_ms), first, head)
        self._snapshot = snapshot
        self._tried.set()

    async def _next(self, connection: Connection) -> None:
        """Wait for notifications, and hand on what they announce."""
        arrived = [
            notification.payload
            async for notification in connection.notifies(timeout=_SILENCE_S, stop_after=1)
        ]
        for payload in arrived:
            born_ms, first, last, id_key = payload.split(" ", 3)
            key = (ConversationId(from_key(id_key)), int(born_ms))
            told = self._told.get(key, int(first) - 1)
            await self._read(connection, key, told + 1, int(last))
        if arrived:
            self._quiet_since = None
        else:
            await self._be_quiet(connection)

    async def _be_quiet(self, connection: Connection) -> None:
        """Ask whether the server is still there, and drop what need not be known any more.

        Nothing has arrived since the last time, so all that was committed before it was told.
        """
        if self._quiet_since is not None:
            self._snapshot = self._quiet_since
            before = self._told_before
            self._told = {key: last for key, last in self._told.items() if before.get(key) != last}
        self._told_before = dict(self._told)
        [(self._quiet_since,)] = await fetch(connection, _NOW)

    async def _read(self, connection: Connection, key: _Key, first: int, last: int) -> None:
        if first > last:
            return
        own = [event for event in self._waiting.get(key, ()) if first <= event.seq <= last]
        if len(own) == last - first + 1:
            self._tell(key, own)
            return
        conversation, born_ms = key
        values = (self._business, to_key(conversation), born_ms, first, last)
        rows = await fetch(connection, _RANGE, values)
        try:
            events = [self._to_event(*row) for row in rows]
        except AicoreError:
            _LOG.exception("An event that another process wrote is not handed on.")
            events = []
        # This log's own may have been handed on meanwhile.
        told = self._told.get(key, first - 1)
        self._tell(key, [event for event in events if event.seq > told])
        self._told[key] = max(self._told[key], last)

    def _tell(self, key: _Key, events: Sequence[Event]) -> None:
        last = events[-1].seq if events else self._told.get(key, 0)
        self._told.pop(key, None)  # to the end of the order: known last
        self._told[key] = last
        waiting = [event for event in self._waiting.pop(key, ()) if event.seq > last]
        if waiting:
            self._waiting[key] = waiting
        self.publish(key[0], events)

    def _forget(self) -> None:
        self._told.clear()
        self._waiting.clear()
        self._snapshot = None
        self._quiet_since = None
        self._told_before.clear()
