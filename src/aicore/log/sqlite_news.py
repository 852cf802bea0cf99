"""What is appended to a SQLite file by any process, told in order to whoever listens here."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import partial

import anyio

from aicore.databases.sqlite_thread import Job, SQLiteThread
from aicore.log.events import Event
from aicore.log.fanout import Fanout
from aicore.log.sqlite_history import History
from aicore.records import ConversationId

__all__ = ["News", "note_news"]

_KEPT = 10_000
_PRUNED_EVERY = 1_000
_AT_ONCE = 500
_LOOK_EVERY_S = 0.25
_ADD = "INSERT INTO news (business, conversation, first, last) VALUES (?, ?, ?, ?)"
_PRUNE = "DELETE FROM news WHERE id <= ?"
_NEWEST = "SELECT coalesce(max(id), 0) FROM news"
_SINCE = """
    SELECT id, business, conversation, first, last FROM news WHERE id > ? ORDER BY id LIMIT ?
"""

Told = tuple[int, ConversationId, Sequence[Event]]


def note_news(
    connection: sqlite3.Connection, place: tuple[str, ConversationId], first: int, last: int
) -> int:
    """Note that events were appended, in their transaction; gives the number of the note.

    Notes of all processes are numbered without gaps. The last `_KEPT` stay.
    """
    number = connection.execute(_ADD, (*place, first, last)).lastrowid or 0
    if number % _PRUNED_EVERY == 0:
        connection.execute(_PRUNE, (number - _KEPT,))
    return number


class News(Fanout):
    """The live subscriptions of one log, which are told of other processes' appends too.

    Own appends are told at once, as long as no other process's came between; else the file is
    read, and while somebody waits it is looked at four times a second. Nobody listens: nothing
    is read.
    """

    look_every_s = _LOOK_EVERY_S

    def __init__(self, business: str, history: History) -> None:
        super().__init__()
        self.reader: SQLiteThread | None = None
        self._business = business
        self._history = history
        self._looking = anyio.Lock()
        self._told: int | None = None  # the last number; None: not known where to begin
        self._is_behind = False
        self._next_look_s = 0.0

    def begin(self) -> None:
        """Tell what comes from now on."""
        self._told = None
        self._is_behind = True

    def tell(self, number: int, conversation: ConversationId, events: Sequence[Event]) -> None:
        """Announce an append of this log, in its place among those of others."""
        if not self:
            return
        if self._told is None or number == self._told + 1:
            self._told = number
            self.publish(conversation, events)
        elif number > self._told:
            self._is_behind = True
            self.wake()

    async def look(self) -> None:
        """Announce what was appended since the last look. Raises StoreBusy and StoreError."""
        async with self._looking:
            now_s = anyio.current_time()
            if self.reader is None or not (self._is_behind or now_s >= self._next_look_s):
                return
            self._is_behind = False
            self._next_look_s = now_s + _LOOK_EVERY_S / 2
            if self._told is None:
                newest = await self.reader.run(Job(_newest))
                self._told = newest if self._told is None else self._told
            else:
                work = partial(self._since, told=self._told, wanted=self.wanted())
                await self._tell_all(self.reader, Job(work))

    async def _tell_all(self, reader: SQLiteThread, job: Job[list[Told]]) -> None:
        for number, conversation, events in await reader.run(job):
            if self._told is None or number <= self._told:
                continue  # told meanwhile, when this log appended it
            if number > self._told + 1:
                self.cut_off()  # what came between is kept no more
                return
            self._told = number
            self.publish(conversation, events)
        self._is_behind = self._is_behind or len(job.result) == _AT_ONCE

    def _since(
        self,
        connection: sqlite3.Connection,
        *,
        told: int,
        wanted: Collection[ConversationId] | None,
    ) -> list[Told]:
        connection.execute("BEGIN")  # one state of the file for all that is read
        try:
            rows = connection.execute(_SINCE, (told, _AT_ONCE)).fetchall()
            return [(row[0], row[2], self._events(connection, wanted, *row[1:])) for row in rows]
        finally:
            connection.execute("ROLLBACK")

    def _events(
        self,
        connection: sqlite3.Connection,
        wanted: Collection[ConversationId] | None,
        business: str,
        conversation: ConversationId,
        first: int,
        last: int,
    ) -> Sequence[Event]:
        if business != self._business or (wanted is not None and conversation not in wanted):
            return ()
        return self._history.read(connection, conversation, first - 1, last)


def _newest(connection: sqlite3.Connection) -> int:
    newest: int = connection.execute(_NEWEST).fetchone()[0]
    return newest
