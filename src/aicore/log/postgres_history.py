"""Whole conversations in PostgreSQL: restored from another log, and erased."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import anyio

from aicore.databases.postgres import Connection, Postgres, fetch
from aicore.errors import AicoreError, Fenced, StoreBusy, StoreError
from aicore.log.events import Event, encode
from aicore.log.port import Claim, Stored
from aicore.log.postgres_listener import channel_of
from aicore.log.postgres_schema import SCHEMA, to_key
from aicore.log.postgres_statements import READ
from aicore.log.restoring import check_known, check_numbers, inbound_of, turns_left

__all__ = ["History"]

_LOG = logging.getLogger(__name__)

MAX_REWRITE_BYTES = 256 * 1024 * 1024
"""Tables larger than this together are not rewritten by an erase: it would block them long."""

_BEGIN = """
    INSERT INTO conversation (business, id, head, epoch, born_ms) VALUES (%s, %s, 0, 0, %s)
    ON CONFLICT DO NOTHING
"""
_LOCK = """
    SELECT head, born_ms FROM conversation WHERE business = %s AND id = %s FOR UPDATE
"""
_SET = """
    UPDATE conversation SET
        head = %s, epoch = greatest(epoch, %s), born_ms = %s,
        moved = greatest(moved, pg_current_xact_id())
    WHERE business = %s AND id = %s
"""
_ADD_EVENTS = """
    INSERT INTO event (business, conversation, seq, turn, kind, at_ms, data, added)
    SELECT %s, %s, seq, turn, kind, at_ms, data, pg_current_xact_id()
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[])
        AS e (seq, turn, kind, at_ms, data)
"""
_ARE_DELIVERED = """
    SELECT true FROM inbound
    JOIN unnest(%s::text[], %s::text[]) AS m (channel, message_id) USING (channel, message_id)
    WHERE business = %s LIMIT 1
"""
_ADD_INBOUND = """
    INSERT INTO inbound (business, conversation, channel, message_id, seq)
    SELECT %s, %s, channel, message_id, seq
    FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS m (channel, message_id, seq)
"""
_OPEN = """
    INSERT INTO open_turn (business, conversation, turn)
    SELECT %s, %s, turn FROM unnest(%s::bigint[]) AS t (turn) ON CONFLICT DO NOTHING
"""
_CLOSE = "DELETE FROM open_turn WHERE business = %s AND conversation = %s AND turn = ANY(%s)"
_TELL = "SELECT pg_notify(%s, concat_ws(' ', %s::bigint, %s::bigint, %s::bigint, %s::text))"

_LOCK_HELD = """
    SELECT true FROM conversation
    WHERE business = %s AND id = %s AND epoch = %s AND born_ms = %s FOR UPDATE
"""
_ERASE = (
    "DELETE FROM inbound WHERE business = %s AND conversation = %s",
    "DELETE FROM open_turn WHERE business = %s AND conversation = %s",
    "DELETE FROM event WHERE business = %s AND conversation = %s",
    "DELETE FROM conversation WHERE business = %s AND id = %s",
)
_REMEMBER = """
    INSERT INTO erasure AS e (business, born_ms) VALUES (%s, %s)
    ON CONFLICT (business) DO UPDATE SET born_ms = greatest(e.born_ms, excluded.born_ms)
"""
_TABLES = ("event", "inbound", "open_turn", "conversation")
_SIZE = "SELECT sum(pg_table_size(name::regclass))::bigint FROM unnest(%s::text[]) AS t (name)"

ToEvent = Callable[[int, int, int, str, str], Event]


class History:
    """The conversations of one business."""

    def __init__(self, database: Postgres, business: str, to_event: ToEvent) -> None:
        self._database = database
        self._business = business
        self._key = to_key(business)
        self._to_event = to_event
        self._rewriting = anyio.Lock()
        self._rewrites_begun = 0

    async def restore(self, stored: Stored, events: Sequence[Event]) -> Sequence[Event]:
        """Write events as they are, and give those that are new here. Raises: StoreError."""
        place = (self._key, to_key(stored.conversation))

        async def work(connection: Connection) -> Sequence[Event]:
            await fetch(connection, _BEGIN, (*place, stored.born_ms))
            [(head, born_ms)] = await fetch(connection, _LOCK, place)
            check_numbers(events, head)
            if head:
                known = await self._read(connection, place, events[0].seq - 1 if events else head)
                check_known(stored, born_ms, known, events)
            added = [event for event in events if event.seq > head]
            await fetch(connection, _SET, (head + len(added), stored.epoch, stored.born_ms, *place))
            if added:
                await self._add(connection, place, added)
                numbers = (stored.born_ms, added[0].seq, added[-1].seq)
                await fetch(connection, _TELL, (channel_of(self._business), *numbers, place[1]))
            return added

        return await self._database.transact(work)

    async def erase(self, claim: Claim) -> None:
        """Delete a conversation and all that belongs to it. Raises: Fenced."""
        place = (self._key, to_key(claim.conversation))

        async def work(connection: Connection) -> None:
            held = await fetch(connection, _LOCK_HELD, (*place, claim.epoch, claim.born_ms))
            if not held:
                raise Fenced("Another worker has claimed this conversation, or it was erased.")
            for statement in _ERASE:
                await fetch(connection, statement, place)
            await fetch(connection, _REMEMBER, (self._key, claim.born_ms))

        with anyio.CancelScope(shield=True):
            await self._database.transact(work)
            try:
                await self._rewrite()
            except AicoreError as exc:
                raise StoreBusy(
                    "The conversation is erased, but the tables are in use, so that traces are "
                    "left in their files. Erase another one, or run VACUUM FULL at a quiet time."
                ) from exc

    async def _rewrite(self) -> None:
        """Write the tables anew, without what is deleted. Those who wait share the next time."""
        begun_before = self._rewrites_begun
        async with self._rewriting:
            if self._rewrites_begun == begun_before:
                self._rewrites_begun += 1
                await self._database.run(_rewrite)

    async def _read(
        self, connection: Connection, place: tuple[str, str], after: int
    ) -> list[Event]:
        values = {"business": place[0], "conversation": place[1], "after": after}
        return [self._to_event(*row) for row in await fetch(connection, READ, values)]

    async def _add(
        self, connection: Connection, place: tuple[str, str], events: Sequence[Event]
    ) -> None:
        messages = list(inbound_of(events))
        channels = [to_key(channel) for channel, _, _ in messages]
        ids = [to_key(message_id) for _, message_id, _ in messages]
        if await fetch(connection, _ARE_DELIVERED, (channels, ids, self._key)):
            raise StoreError("A message to restore is in another conversation of this log.")
        encoded = [encode(event.body) for event in events]
        columns = (
            [event.seq for event in events],
            [event.turn for event in events],
            [kind for kind, _ in encoded],
            [event.at_ms for event in events],
            [data for _, data in encoded],
        )
        await fetch(connection, _ADD_EVENTS, (*place, *columns))
        numbers = [seq for _, _, seq in messages]
        await fetch(connection, _ADD_INBOUND, (*place, channels, ids, numbers))
        left = turns_left(events)
        await fetch(
            connection, _OPEN, (*place, [turn for turn, is_open in left.items() if is_open])
        )
        closed = [turn for turn, is_open in left.items() if not is_open]
        await fetch(connection, _CLOSE, (*place, closed))


async def _rewrite(connection: Connection) -> None:
    # A plain VACUUM leaves the bytes of deleted rows in the free room of their pages.
    [(size,)] = await fetch(connection, _SIZE, (list(_TABLES),))
    is_full = size <= MAX_REWRITE_BYTES
    for table in _TABLES:
        await fetch(connection, f"VACUUM {'FULL ' if is_full else ''}{table}")
    if not is_full:
        _LOG.warning(
            "The erased rows are gone, but the tables are too large to be written anew while "
            "others wait. At a quiet time, run: VACUUM FULL %s",
            ", ".join(f"{SCHEMA.name}.{table}" for table in _TABLES),
        )
