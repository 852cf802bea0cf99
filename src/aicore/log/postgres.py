"""An event log in PostgreSQL: durable, for many processes on many machines."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import anyio

from aicore.databases.postgres import Connection, Postgres, fetch
from aicore.errors import AicoreError, Fenced, HeadMoved, StoreBusy, StoreError
from aicore.log import postgres_statements as statements
from aicore.log.events import Body, Event, MessageReceived, decode, encode, turn_left_open
from aicore.log.fanout import Subscription
from aicore.log.owner import Owner, this_process
from aicore.log.port import Claim, OpenTurn, Received, Stored
from aicore.log.postgres_history import History
from aicore.log.postgres_listener import Listener, channel_of
from aicore.log.postgres_schema import SCHEMA, from_key, to_key
from aicore.records import ConversationId

__all__ = ["LEASE_S", "PostgresLog"]

_LOG = logging.getLogger(__name__)
_CLOSE_S = 30.0

LEASE_S = 120.0
"""How long a process that cannot be asked holds a conversation after its last append."""


class PostgresLog:
    """Keeps the conversations of one business in a database, which may hold several.

    `url` is a libpq connection string: postgresql://user:password@host:port/database. The tables
    are made when they are missing, in a schema `aicore_log`. `clock` gives seconds since 1970 UTC
    for the times of events; without one it is the server's, which always decides leases.

    Any number of processes may share the database. A conversation belongs to the one that
    claimed it until that ends the turn, releases it, closes its log, dies (seen at once on the
    same machine) or appends nothing for two minutes; the fence keeps two writers apart even
    when both believe to be the one.

    What was acknowledged survives a loss of power of the server. When the server goes away in
    mid-call, StoreBusy is raised and the call may have been done or not: deliver the message
    again, or read before appending again.
    """

    def __init__(
        self, url: str, *, business: str = "main", clock: Callable[[], float] | None = None
    ) -> None:
        self.business = business
        self._key = to_key(business)
        self._clock = clock
        self._channel = channel_of(business)
        self._database = Postgres(url, SCHEMA)
        self._listener = Listener(self._database, business, self._event)
        self._history = History(self._database, business, self._event)
        self._process: Owner | None = None
        self._owner = ""
        self._held: set[ConversationId] = set()
        self._entering = anyio.Lock()
        self._entered = 0

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, once per channel and message id; see EventLog.

        Raises: CustomerError when an id is not valid Unicode text or too long.
        """
        kind, data = encode(message)
        message_id = message.message_id
        values = self._values(
            conversation,
            channel_of_log=self._channel,
            channel=to_key(message.channel),
            message_id=None if message_id is None else to_key(message_id),
            kind=kind,
            data=data,
            now_ms=self._now_ms(),
        )
        [row] = await self._database.fetch(statements.RECEIVE, values)
        is_new, seq, born_ms, at_ms, _ = row
        if is_new:
            self._listener.publish_own(conversation, born_ms, [Event(seq, seq, at_ms, message)])
        return Received(seq, is_new)

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        values = self._values(
            conversation, owner=self._owner, dead=None, lease_s=LEASE_S, now_ms=self._now_ms()
        )

        async def work(connection: Connection) -> Claim:
            rows = await fetch(connection, statements.CLAIM, values)
            if not rows:
                dead = await self._dead_holder(connection, conversation)
                rows = await fetch(connection, statements.CLAIM, values | {"dead": dead})
            if not rows:
                raise StoreBusy("Another process took this conversation just now. Wait for it.")
            self._held.add(conversation)
            [(epoch, head, born_ms)] = rows
            return Claim(conversation, epoch, head, born_ms)

        return await self._database.run(work)

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        bodies = tuple(bodies)
        encoded = [encode(body) for body in bodies]
        is_open = turn_left_open(bodies)
        values = self._claimed(
            claim,
            head=claim.head,
            count=len(bodies),
            turn=turn,
            kinds=[kind for kind, _ in encoded],
            data=[data for _, data in encoded],
            is_open=is_open,
            # A turn at rest needs no lease: other processes may go on at once.
            lease_s=0.0 if is_open is False else LEASE_S,
            channel_of_log=self._channel,
            now_ms=self._now_ms(),
        )

        async def work(connection: Connection) -> int:
            rows = await fetch(connection, statements.APPEND, values)
            if not rows:
                if not await fetch(connection, statements.HOLDS, values):
                    raise Fenced("Another worker has claimed this conversation, or it was erased.")
                raise HeadMoved("Events were added since the claim; read them and append again.")
            at_ms: int = rows[0][0]
            return at_ms

        at_ms = await self._database.run(work)
        if is_open is False:
            self._held.discard(claim.conversation)
        added = [Event(seq, turn, at_ms, body) for seq, body in enumerate(bodies, claim.head + 1)]
        self._listener.publish_own(claim.conversation, claim.born_ms, added)
        return replace(claim, head=claim.head + len(bodies))

    async def release(self, claim: Claim) -> None:
        """Let another process claim at once; see EventLog."""
        if await self._database.fetch(statements.RELEASE, self._claimed(claim)):
            self._held.discard(claim.conversation)

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""
        values = self._values(conversation, after=after)
        rows = await self._database.fetch(statements.READ, values)
        return [self._event(*row) for row in rows]

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""
        rows = await self._database.fetch(statements.OPEN_TURNS, {"business": self._key})
        return [OpenTurn(ConversationId(from_key(key)), turn) for key, turn in rows]

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended from the first `anext` on, by any process; see Subscription.

        Those of other processes are told once the listening connection stands, some
        milliseconds after the first `anext`.
        """
        self._database.check_open()
        return Subscription(self._listener, conversation)

    async def conversations(
        self, after: ConversationId | None = None, limit: int = 1000
    ) -> Sequence[Stored]:
        """A page of what is kept of this business; see EventLog."""
        key = None if after is None else to_key(after)
        values = {"business": self._key, "after": key, "limit": limit}
        rows = await self._database.fetch(statements.CONVERSATIONS, values)
        return [Stored(ConversationId(from_key(one)), *numbers) for one, *numbers in rows]

    async def restore(self, stored: Stored, events: Sequence[Event]) -> None:
        """Write events exactly as another log had them; see EventLog."""
        added = await self._history.restore(stored, events)
        self._listener.publish_own(stored.conversation, stored.born_ms, added)

    async def erase(self, claim: Claim) -> None:
        """Delete a conversation for good; see EventLog and docs/log-postgres.md.

        The rows are gone at once. Tables of up to 256 MiB together are then written anew, so
        that the deleted text is in no table file either; larger ones need VACUUM FULL by hand.
        The write-ahead log and backups keep what they had until they are recycled.
        Raises: Fenced; StoreBusy when the rows are gone and the tables could not be written anew.
        """
        await self._history.erase(claim)
        self._held.discard(claim.conversation)

    async def __aenter__(self) -> Self:
        async with self._entering:
            if not self._entered:
                await self._database.open()
                self._own()
            self._entered += 1
        return self

    def _own(self) -> None:
        """Be the same owner as before, unless this process was forked since."""
        if self._process is None or self._process.pid != os.getpid():
            self._process = this_process()
            self._owner = str(self._process)
            self._held.clear()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if not self._entered:
                    await self._close()

    async def _close(self) -> None:
        held = [to_key(conversation) for conversation in self._held]
        self._held.clear()
        try:
            if held:
                values = {"business": self._key, "held": held, "owner": self._owner}
                await self._database.fetch(statements.RELEASE_ALL, values)
        except AicoreError as error:
            # They run out, and were nothing but a courtesy to other processes.
            _LOG.warning("The leases in %s were not given back: %s", self._database, error)
        await self._database.close()
        await self._listener.stop()

    def _values(self, conversation: ConversationId, **more: Any) -> dict[str, Any]:
        return {"business": self._key, "conversation": to_key(conversation), **more}

    def _claimed(self, claim: Claim, **more: Any) -> dict[str, Any]:
        return self._values(claim.conversation, epoch=claim.epoch, born_ms=claim.born_ms, **more)

    async def _dead_holder(
        self, connection: Connection, conversation: ConversationId
    ) -> str | None:
        """Give the holder of a conversation if its process has ended. Raises StoreBusy if not."""
        rows = await fetch(connection, statements.HOLDER, self._values(conversation))
        if not rows:
            return None  # given back meanwhile
        [(text, left_s)] = rows
        owner = Owner.parse(text)
        if owner is not None and owner.is_dead_here():
            return str(text)
        process = f"Process {owner.pid} on {owner.host}" if owner else "Another process"
        raise StoreBusy(
            f"{process} holds this conversation. Wait until it is done, or stop it.",
            retry_after_s=max(left_s, 0.0),
        )

    def _now_ms(self) -> int | None:
        return None if self._clock is None else int(self._clock() * 1000)

    def _event(self, seq: int, turn: int, at_ms: int, kind: str, data: str) -> Event:
        try:
            return Event(seq, turn, at_ms, decode(kind, data))
        except (ArithmeticError, KeyError, TypeError, ValueError) as exc:
            raise StoreError(
                f"Event {seq} ({kind}) in {self._database} cannot be understood: a newer version "
                "of aicore wrote it, or it is damaged. Upgrade aicore, or restore a backup."
            ) from exc
