"""An event log in this process's memory: the default, and the model the others are tested by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aicore.errors import Fenced, HeadMoved, NotOpenError
from aicore.log.events import Body, Event, MessageReceived, turn_left_open
from aicore.log.fanout import Fanout, Subscription
from aicore.log.port import Claim, OpenTurn, Received
from aicore.records import ConversationId

__all__ = ["MemoryLog"]


class _Stored:
    """One conversation."""

    __slots__ = ("epoch", "events", "open")

    def __init__(self) -> None:
        self.epoch = 0
        self.events: list[Event] = []
        self.open: set[int] = set()


class MemoryLog:
    """Keeps conversations until it is garbage collected; durable is nothing.

    May be entered again after it was left, or several times at once, and still has its events.
    No method waits, so none can be cancelled half way. There is no other process that could
    hold a conversation: `claim` never raises StoreBusy and `release` does nothing.
    """

    def __init__(self, *, business: str = "main") -> None:
        self.business = business
        self._conversations: dict[ConversationId, _Stored] = {}
        self._delivered: dict[tuple[str, str], int] = {}
        self._fanout = Fanout()
        self._entered = 0

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, once per channel and message id; see EventLog."""
        self._check_open()
        message_id = message.message_id
        if message_id is not None:
            earlier = self._delivered.get((message.channel, message_id))
            if earlier is not None:
                return Received(earlier, False)
        stored = self._conversations.get(conversation)
        if stored is None:
            stored = self._conversations[conversation] = _Stored()
        seq = len(stored.events) + 1
        event = Event(seq, seq, time.time_ns() // 1_000_000, message)
        stored.events.append(event)
        stored.open.add(seq)
        if message_id is not None:
            self._delivered[message.channel, message_id] = seq
        if self._fanout:
            self._fanout.publish(conversation, (event,))
        return Received(seq, True)

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        self._check_open()
        stored = self._conversations.get(conversation)
        if stored is None:
            stored = self._conversations[conversation] = _Stored()
        stored.epoch += 1
        return Claim(conversation, stored.epoch, len(stored.events))

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        self._check_open()
        stored = self._conversations.get(claim.conversation)
        if stored is None or stored.epoch != claim.epoch:
            raise Fenced("Another worker has claimed this conversation.")
        events = stored.events
        if len(events) != claim.head:
            raise HeadMoved("Events were added since the claim; read them and append again.")
        at_ms = time.time_ns() // 1_000_000
        added = [Event(seq, turn, at_ms, body) for seq, body in enumerate(bodies, claim.head + 1)]
        events.extend(added)
        is_open = turn_left_open(bodies)
        if is_open:
            stored.open.add(turn)
        elif is_open is not None:
            stored.open.discard(turn)
        if self._fanout:
            self._fanout.publish(claim.conversation, added)
        return Claim(claim.conversation, claim.epoch, len(events))

    async def release(self, claim: Claim) -> None:
        """Do nothing: no other process can be waiting."""
        self._check_open()

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""
        self._check_open()
        stored = self._conversations.get(conversation)
        return stored.events[max(after, 0) :] if stored is not None else ()

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""
        self._check_open()
        return [
            OpenTurn(conversation, turn)
            for conversation, stored in self._conversations.items()
            for turn in sorted(stored.open)
        ]

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended from the first `anext` on; see Subscription."""
        self._check_open()
        return Subscription(self._fanout, conversation)

    async def __aenter__(self) -> Self:
        self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = max(self._entered - 1, 0)
        if not self._entered:
            self._fanout.close()

    def _check_open(self) -> None:
        if not self._entered:
            raise NotOpenError("The log is not open: use it inside `async with log:`.")
