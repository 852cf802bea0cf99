"""An event log on a Redis or Valkey server, for several machines."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from aicore.errors import (
    AicoreError,
    ConfigError,
    Fenced,
    HeadMoved,
    NotOpenError,
    StoreBusy,
    StoreError,
)
from aicore.log import redis_scripts as scripts
from aicore.log.events import Body, Event, MessageReceived, decode, encode, turn_left_open
from aicore.log.fanout import Subscription
from aicore.log.owner import Owner, this_process
from aicore.log.port import Claim, OpenTurn, Received, Stored
from aicore.log.redis_files import rewrite_files
from aicore.log.redis_news import News
from aicore.log.redis_promises import check_promises
from aicore.log.redis_server import RedisServer, Word, split_url
from aicore.log.restoring import check_numbers, inbound_of
from aicore.records import ConversationId

__all__ = ["LEASE_MS", "RedisLog"]

_LOG = logging.getLogger(__name__)
_CLOSE_S = 30.0
_RELEASED_AT_ONCE = 500

LEASE_MS = 120_000
"""How long a process that cannot be asked holds a conversation after its last append."""

Durability = Literal["checked", "asserted"]


class RedisLog:
    """Keeps the conversations of one business in the memory and the append-only file of a server.

    `url` is redis://, rediss://, valkey://, valkeys:// or unix://, with a database number, e.g.
    `redis://:PASSWORD@HOST:6379/0`; several businesses and other programs may share a database.
    The server must force every write to its disk (appendonly yes, appendfsync always) and evict
    nothing: with durability "checked" another one is refused when the log is opened. With
    "asserted" (or `?durability=asserted` in the url) the owner answers for it.

    Leases end by the server's clock; so are the times of events, or by `clock`, which gives
    seconds since 1970 UTC. A call waits up to five seconds for a server that is down, starts or
    fails over, then raises StoreBusy. When that happens after the call was sent, it may still
    have been done: read the log. A lone surrogate in a text is kept as it is; two that form a
    pair come back as the one character they mean.
    """

    def __init__(
        self,
        url: str,
        *,
        business: str = "main",
        clock: Callable[[], float] | None = None,
        durability: Durability = "checked",
    ) -> None:
        self.business = business
        self._url, self._name, is_asserted = split_url(url)
        self._is_asserted = is_asserted or durability == "asserted"
        self._clock = clock
        self._keys = scripts.Keys(business)
        self._entering = anyio.Lock()
        self._entered = 0
        self._open: _Open | None = None

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, once per channel and message id; see EventLog.

        Raises: CustomerError when an id is not valid Unicode text.
        """
        with self._working() as opened:
            await opened.news.begun()
            keys = self._keys
            inbound = _inbound_field(message.channel, message.message_id)
            seq, is_new, number = await opened.run(
                scripts.RECEIVE,
                (
                    keys.log,
                    keys.conversation(conversation),
                    keys.events(conversation),
                    keys.inbound,
                    keys.open_turns,
                    keys.conversations,
                    keys.news,
                ),
                *(conversation, inbound, _mark(), self._now_ms(), *encode(message)),
            )
            await opened.news.told(number)
            return Received(seq, bool(is_new))

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        with self._working() as opened:
            claim = partial(self._claim, opened, conversation)
            status, *answer = await claim("")
            if status == b"held":
                holder = answer[0].decode()
                if opened.knows_dead(holder):
                    status, *answer = await claim(holder)
            if status != b"done":
                raise _refusal(status.decode(), answer, self._name)
            opened.held.add(conversation)
            return Claim(conversation, *answer)

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        with self._working() as opened:
            encoded = [part for body in bodies for part in encode(body)]
            is_open = _is_open(bodies)
            await opened.news.begun()
            owned: Sequence[Word] = (self._now_ms(), opened.owner, LEASE_MS, is_open)
            [number] = await opened.run(
                scripts.APPEND,
                (
                    self._keys.conversation(claim.conversation),
                    self._keys.events(claim.conversation),
                    self._keys.holder(claim.conversation),
                    self._keys.open_turns,
                    self._keys.news,
                ),
                *(claim.conversation, claim.epoch, claim.head, claim.born_ms, turn, _mark()),
                *owned,
                *encoded,
            )
            if is_open == "0":
                opened.held.discard(claim.conversation)
            await opened.news.told(number)
            return replace(claim, head=claim.head + len(bodies))

    async def release(self, claim: Claim) -> None:
        """Let another process claim at once; see EventLog."""
        with self._working() as opened:
            conversation = self._keys.conversation(claim.conversation)
            holder = self._keys.holder(claim.conversation)
            values = (claim.epoch, claim.born_ms)
            await opened.run(scripts.RELEASE, (conversation, holder), *values)

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""
        with self._working() as opened:
            return await self._read(opened.server, conversation, max(after, 0) + 1)

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""
        with self._working() as opened:
            members = await opened.server.ask("SMEMBERS", self._keys.open_turns)
        pairs = [member.decode().split(" ", 1) for member in members]
        found = sorted((conversation, int(turn)) for turn, conversation in pairs)
        return [OpenTurn(ConversationId(conversation), turn) for conversation, turn in found]

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended by anybody to this store from the first `anext` on; see Subscription."""
        return Subscription(self._opened().news, conversation)

    async def conversations(
        self, after: ConversationId | None = None, limit: int = 1000
    ) -> Sequence[Stored]:
        """A page of what the server holds of this business; see EventLog."""
        with self._working() as opened:
            first = "-" if after is None else f"({after}"
            rows = await opened.server.run(
                scripts.CONVERSATIONS,
                (self._keys.conversations,),
                *(self._keys.conversation_prefix, first, limit),
            )
        return [
            Stored(ConversationId(row[0].decode()), *(int(number) for number in row[1:]))
            for row in rows
        ]

    async def restore(self, stored: Stored, events: Sequence[Event]) -> None:
        """Write events exactly as another log had them; see EventLog."""
        with self._working() as opened:
            first = events[0].seq if events else 1
            check_numbers(events, first - 1)
            rows: list[Word] = [part for event in events for part in _restored(event)]
            conversation = stored.conversation
            values = (conversation, stored.epoch, stored.born_ms, _mark(), first)
            await opened.news.begun()
            [number] = await opened.run(
                scripts.RESTORE,
                (
                    self._keys.conversation(conversation),
                    self._keys.events(conversation),
                    self._keys.inbound,
                    self._keys.open_turns,
                    self._keys.conversations,
                    self._keys.news,
                ),
                *values,
                *rows,
            )
            await opened.news.told(number)

    async def erase(self, claim: Claim) -> None:
        """Delete a conversation, and have the server rewrite its files without it.

        Raises: StoreBusy when that takes so long that traces had to stay in the files.
        """
        with self._working() as opened:
            conversation = claim.conversation
            keys = (
                self._keys.log,
                self._keys.conversation(conversation),
                self._keys.events(conversation),
                self._keys.holder(conversation),
                self._keys.inbound,
                self._keys.open_turns,
                self._keys.conversations,
                self._keys.news,
            )
            with anyio.CancelScope(shield=True):  # half of it could not be repeated
                await self._erase(opened, claim, keys)
                opened.held.discard(conversation)
                await rewrite_files(opened.server, opened.files)

    async def _erase(self, opened: _Open, claim: Claim, keys: Sequence[str]) -> None:
        conversation = claim.conversation
        while True:
            events = self._keys.events(conversation)
            entries = await opened.server.ask("LRANGE", events, 0, -1)
            fields = [field for entry in entries if (field := _inbound_field_of(entry))]
            values = (conversation, claim.epoch, claim.born_ms, len(entries))
            try:
                await opened.run(scripts.ERASE, keys, *values, *fields)
            except HeadMoved:
                continue  # a message came in between; its id goes too
            return

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._open is None:
                server = RedisServer(self._url, self._name)
                opened = _Open(server, self._keys, self._read)
                await opened.start(is_asserted=self._is_asserted)
                self._open = opened
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
                    await opened.stop()

    def _opened(self) -> _Open:
        if self._open is None:
            raise NotOpenError(f"The log in {self._name} is not open: use it inside `async with`.")
        return self._open

    @contextmanager
    def _working(self) -> Iterator[_Open]:
        """An open log, which is not closed before this block is left."""
        opened = self._opened()
        opened.calls += 1
        try:
            yield opened
        finally:
            opened.calls -= 1
            if not opened.calls:
                opened.at_rest.set()
                opened.at_rest = anyio.Event()

    def _now_ms(self) -> str:
        """The time for the server to use, or "" for its own."""
        return "" if self._clock is None else str(int(self._clock() * 1000))

    async def _claim(self, opened: _Open, conversation: ConversationId, dead: str) -> Any:
        """Ask for a conversation, which another process may hold unless it is `dead`."""
        keys = (
            self._keys.log,
            self._keys.conversation(conversation),
            self._keys.holder(conversation),
            self._keys.conversations,
        )
        values = (conversation, opened.owner, dead, LEASE_MS, self._now_ms())
        return await opened.server.run(scripts.CLAIM, keys, *values)

    async def _read(
        self, server: RedisServer, conversation: ConversationId, first: int, last: int = 0
    ) -> Sequence[Event]:
        """Events from one number to another, both included; 0 for the newest."""
        key = self._keys.events(conversation)
        entries = await server.ask("LRANGE", key, first - 1, last - 1)
        return [self._event(seq, entry) for seq, entry in enumerate(entries, first)]

    def _event(self, seq: int, entry: bytes) -> Event:
        try:
            _, turn, at_ms, kind, data = entry.decode().split(" ", 4)
            return Event(seq, int(turn), int(at_ms), decode(kind, data))
        except (ArithmeticError, KeyError, TypeError, ValueError) as exc:
            raise StoreError(
                f"Event {seq} in {self._name} cannot be understood: a newer version of "
                "aicore wrote it, or it is damaged. Upgrade aicore, or restore a backup."
            ) from exc


class _Open:
    """What an open log has: connections, a listener, leases, and calls that are not done yet."""

    def __init__(
        self,
        server: RedisServer,
        keys: scripts.Keys,
        read: Callable[..., Awaitable[Sequence[Event]]],
    ) -> None:
        self.server = server
        self.news = News(server, keys.news, partial(read, server))
        self.owner = str(this_process())
        self.held: set[ConversationId] = set()
        self.calls = 0
        self.at_rest = anyio.Event()
        self._keys = keys

    async def start(self, *, is_asserted: bool) -> None:
        """Look at the server and make the log. Raises StoreBusy, and OperatorError in its kinds."""
        try:
            self.files = await check_promises(self.server, is_asserted=is_asserted)
            values = (scripts.LAYOUT, scripts.COMMANDS)
            answer = await self.server.run(scripts.OPEN, (self._keys.log,), *values)
            _check_layout(answer.decode("utf-8", "replace"), self.server.name)
        except BaseException:
            await self.server.stop()
            raise

    async def run(self, script: scripts.Script, keys: Sequence[str], *values: Word) -> Any:
        """Run a script and give its answer, without its status when that is "done".

        Raises: Fenced, HeadMoved, StoreBusy and StoreError for another status.
        """
        status, *answer = await self.server.run(script, keys, *values)
        if status != b"done":
            raise _refusal(status.decode(), answer, self.server.name)
        return answer

    def knows_dead(self, holder: str) -> bool:
        """Tell whether a holder is a process of this machine, and has ended."""
        owner = Owner.parse(holder)
        return owner is not None and owner.is_dead_here()

    async def stop(self) -> None:
        """Let calls end, give back the leases, and close the connections."""
        try:
            while self.calls:
                await self.at_rest.wait()
            await self.news.stop()
            await self._release_all()
        finally:
            await self.server.stop()

    async def _release_all(self) -> None:
        held = [self._keys.holder(conversation) for conversation in self.held]
        try:
            for first in range(0, len(held), _RELEASED_AT_ONCE):
                some = held[first : first + _RELEASED_AT_ONCE]
                await self.run(scripts.RELEASE_ALL, some, self.owner)
        except AicoreError as exc:
            # They end by themselves; closing matters more.
            _LOG.warning("leases_not_released code=%s", exc.code)


def _check_layout(version: str, name: str) -> None:
    if version == str(scripts.LAYOUT):
        return
    if version.isdecimal():
        raise StoreError(
            f"The log in {name} was written by a newer version of aicore (layout {version}, this "
            f"program knows {scripts.LAYOUT}). Upgrade aicore."
        )
    forbidden = version.removeprefix("forbidden ")
    if forbidden != version:
        raise ConfigError(
            f"The user of {name} may not use {forbidden}. Allow these in its ACL: "
            f"{scripts.COMMANDS}."
        )
    raise StoreError(
        f"Another program uses the keys of the log in {name}. Name another database number."
    )


def _refusal(status: str, answer: Sequence[Any], name: str) -> AicoreError:
    """Why a script wrote nothing."""
    match status:
        case "held":
            process = Owner.parse(answer[0].decode())
            holder = f"Process {process.pid} on {process.host}" if process else "Another process"
            return StoreBusy(
                f"{holder} holds this conversation. Wait until it is done, or stop it.",
                retry_after_s=max(answer[1], 0) / 1000,
            )
        case "fenced":
            return Fenced("Another worker has claimed this conversation, or it was erased.")
        case "moved":
            return HeadMoved("Events were added since the claim; read them and append again.")
        case "damaged":
            return StoreError(
                f"A conversation in {name} has not as many events as it should: something deleted "
                "a part of it. Set maxmemory-policy noeviction and restore a backup."
            )
        case "gap":
            return StoreError(
                f"Events are missing before those to restore (this log has {answer[0]}). "
                "Copy the conversation again from its beginning."
            )
        case "elsewhere":
            return StoreError("A message to restore is in another conversation of this log.")
    return StoreError(
        "This log has other events under the id of a conversation to restore. "
        "Restore into an empty log, or erase that conversation first."
    )


def _mark() -> str:
    return secrets.token_urlsafe(scripts.MARK_CHARACTERS * 3 // 4)


def _inbound_field(channel: str, message_id: str | None) -> str:
    return "" if message_id is None else f"{len(channel)}:{channel}{message_id}"


def _inbound_field_of(entry: bytes) -> str:
    """The field of a stored message, as in `_inbound_field`; "" for anything else.

    Of an entry that this version cannot understand the conversation can be erased all the same.
    """
    try:
        _, _, _, kind, data = entry.decode().split(" ", 4)
        body = decode(kind, data)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return ""
    if not isinstance(body, MessageReceived):
        return ""
    return _inbound_field(body.channel, body.message_id)


def _is_open(bodies: Sequence[Body]) -> str:
    is_open = turn_left_open(bodies)
    return "" if is_open is None else str(int(is_open))


def _restored(event: Event) -> tuple[Word, ...]:
    """The four values of an event that RESTORE takes."""
    kind, data = encode(event.body)
    inbound = "".join(_inbound_field(*place[:2]) for place in inbound_of((event,)))
    rest = f"{event.turn} {event.at_ms} {kind} {data}"
    return rest, inbound, event.turn, _is_open((event.body,))
