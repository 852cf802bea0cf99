"""Whole conversations in a SQLite file: read, listed, restored from another log, and erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from aicore.databases.sqlite_file import scrub
from aicore.errors import StoreError
from aicore.log.events import Event, decode, encode
from aicore.log.port import Stored
from aicore.log.restoring import check_known, check_numbers, inbound_of, turns_left
from aicore.records import ConversationId

__all__ = [
    "ADD_EVENT",
    "ADD_INBOUND",
    "CLOSE_TURN",
    "OPEN_TURN",
    "History",
    "remove_traces",
]

ADD_EVENT = """
    INSERT INTO event (business, conversation, seq, turn, kind, at_ms, data)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
ADD_INBOUND = """
    INSERT INTO inbound (business, channel, message_id, conversation, seq) VALUES (?, ?, ?, ?, ?)
"""
OPEN_TURN = "INSERT OR IGNORE INTO open_turn (business, conversation, turn) VALUES (?, ?, ?)"
CLOSE_TURN = "DELETE FROM open_turn WHERE business = ? AND conversation = ? AND turn = ?"
_READ = """
    SELECT seq, turn, at_ms, kind, data FROM event
    WHERE business = ? AND conversation = ? AND seq > ? AND seq <= ? ORDER BY seq
"""
_NO_END = 2**63 - 1
_CONVERSATIONS = """
    SELECT id, head, epoch, born_ms FROM conversation
    WHERE business = ? AND id >= ? AND id IS NOT ? ORDER BY id LIMIT ?
"""
_ONE = "SELECT head, born_ms FROM conversation WHERE business = ? AND id = ?"
_IS_DELIVERED = "SELECT 1 FROM inbound WHERE business = ? AND channel = ? AND message_id = ?"
_SET = """
    INSERT INTO conversation (business, id, head, epoch, born_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        head = excluded.head, epoch = max(epoch, excluded.epoch), born_ms = excluded.born_ms
"""
_NOTE_BIRTH = """
    INSERT INTO erased (business, last_born_ms)
    SELECT business, born_ms FROM conversation WHERE business = ? AND id = ?
    ON CONFLICT DO UPDATE SET last_born_ms = max(last_born_ms, excluded.last_born_ms)
"""
_ERASE = (
    "UPDATE news SET business = '', conversation = '' WHERE business = ? AND conversation = ?",
    "DELETE FROM open_turn WHERE business = ? AND conversation = ?",
    # By no index: the whole file is rewritten after it.
    "DELETE FROM inbound WHERE business = ? AND conversation = ?",
    "DELETE FROM event WHERE business = ? AND conversation = ?",
    "DELETE FROM conversation WHERE business = ? AND id = ?",
)


def remove_traces(connection: sqlite3.Connection) -> bool:
    """Rewrite the file if anything was deleted from it; False if a reader prevents that."""
    newest = connection.execute("SELECT max(id) FROM trace").fetchone()[0]
    if newest is None:
        return True
    is_clean = scrub(connection)
    if is_clean:
        # Not those of another process that came meanwhile.
        connection.execute("DELETE FROM trace WHERE id <= ?", (newest,))
    return is_clean


class History:
    """The conversations of one business in the file `path`. All methods run in a thread of its."""

    def __init__(self, path: Path, business: str) -> None:
        self._path = path
        self._business = business

    def read(
        self,
        connection: sqlite3.Connection,
        conversation: ConversationId,
        after: int,
        last: int = _NO_END,
    ) -> list[Event]:
        """Events behind a number. Raises: StoreError for one that cannot be understood."""
        rows = connection.execute(_READ, (self._business, conversation, after, last)).fetchall()
        return [self._event(*row) for row in rows]

    def conversations(
        self, connection: sqlite3.Connection, after: ConversationId | None, limit: int
    ) -> list[Stored]:
        """A page of conversations, in the order of their ids."""
        rows = connection.execute(_CONVERSATIONS, (self._business, after or "", after, limit))
        return [Stored(ConversationId(one), *numbers) for one, *numbers in rows.fetchall()]

    def restore(
        self, connection: sqlite3.Connection, stored: Stored, events: Sequence[Event]
    ) -> Sequence[Event]:
        """Write events as they are, and give those that are new here. Raises: StoreError."""
        place = (self._business, stored.conversation)
        head, born_ms = connection.execute(_ONE, place).fetchone() or (0, 0)
        check_numbers(events, head)
        if head:
            known = self.read(
                connection, stored.conversation, events[0].seq - 1 if events else head
            )
            check_known(stored, born_ms, known, events)
        added = [event for event in events if event.seq > head]
        self._check_undelivered(connection, added)
        values = (head + len(added), stored.epoch, stored.born_ms)
        connection.execute(_SET, (*place, *values))
        self._add(connection, place, added)
        return added

    def erase(
        self, connection: sqlite3.Connection, conversation: ConversationId, now_ms: int
    ) -> None:
        """Delete a conversation and all that belongs to it; `remove_traces` must follow."""
        place = (self._business, conversation)
        connection.execute(_NOTE_BIRTH, place)
        connection.execute("INSERT INTO trace (since_ms) VALUES (?)", (now_ms,))
        for statement in _ERASE:
            connection.execute(statement, place)

    def _check_undelivered(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        for channel, message_id, _ in inbound_of(events):
            key = (self._business, channel, message_id)
            if connection.execute(_IS_DELIVERED, key).fetchone() is not None:
                raise StoreError("A message to restore is in another conversation of this log.")

    def _add(
        self, connection: sqlite3.Connection, place: tuple[str, ConversationId], events: list[Event]
    ) -> None:
        rows = []
        for event in events:
            kind, data = encode(event.body)
            rows.append((*place, event.seq, event.turn, kind, event.at_ms, data))
        connection.executemany(ADD_EVENT, rows)
        inbound = [
            (self._business, channel, message_id, place[1], seq)
            for channel, message_id, seq in inbound_of(events)
        ]
        connection.executemany(ADD_INBOUND, inbound)
        for turn, is_open in turns_left(events).items():
            connection.execute(OPEN_TURN if is_open else CLOSE_TURN, (*place, turn))

    def _event(self, seq: int, turn: int, at_ms: int, kind: str, data: str) -> Event:
        try:
            return Event(seq, turn, at_ms, decode(kind, data))
        except (ArithmeticError, KeyError, TypeError, ValueError) as exc:
            raise StoreError(
                f"Event {seq} ({kind}) in {self._path} cannot be understood: a newer version of "
                "aicore wrote it, or it is damaged. Upgrade aicore, or restore a backup."
            ) from exc
