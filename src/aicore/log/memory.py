"""An event log in this process's memory: the default, and the model the others are tested by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aicore.errors import Fenced, HeadMoved, NotOpenError, StoreError
from aicore.log.events import Body, Event, MessageReceived, turn_left_open
from aicore.log.fanout import Fanout, Subscription
from aicore.log.port import Claim, OpenTurn, Received, Stored
from aicore.log.restoring import check_known, check_numbers, inbound_of, turns_left
from aicore.records import ConversationId

__all__ = ["MemoryLog"]


class _Kept:
    """One conversation."""

    __slots__ = ("born_ms", "epoch", "events", "open")

    def __init__(self, born_ms: int) -> None:
        self.born_ms = born_ms
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
        self._conversations: dict[ConversationId, _Kept] = {}
        self._delivered: dict[tuple[str, str], tuple[ConversationId, int]] = {}
        self._last_erased_ms = 0
        self._fanout = Fanout()
        self._entered = 0

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, once per channel and message id; see EventLog."""
        self._check_open()
        message_id = message.message_id
        if message_id is not None:
            earlier = self._delivered.get((message.channel, message_id))
            if earlier is not None:
                return Received(earlier[1], False)
        kept = self._kept(conversation)
        seq = len(kept.events) + 1
        event = Event(seq, seq, time.time_ns() // 1_000_000, message)
        kept.events.append(event)
        kept.open.add(seq)
        if message_id is not None:
            self._delivered[message.channel, message_id] = conversation, seq
        if self._fanout:
            self._fanout.publish(conversation, (event,))
        return Received(seq, True)

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation; see EventLog."""
        self._check_open()
        kept = self._kept(conversation)
        kept.epoch += 1
        return Claim(conversation, kept.epoch, len(kept.events), kept.born_ms)

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, all or none; see EventLog."""
        self._check_open()
        kept = self._held(claim)
        events = kept.events
        if len(events) != claim.head:
            raise HeadMoved("Events were added since the claim; read them and append again.")
        at_ms = time.time_ns() // 1_000_000
        added = [Event(seq, turn, at_ms, body) for seq, body in enumerate(bodies, claim.head + 1)]
        events.extend(added)
        is_open = turn_left_open(bodies)
        if is_open:
            kept.open.add(turn)
        elif is_open is not None:
            kept.open.discard(turn)
        if self._fanout:
            self._fanout.publish(claim.conversation, added)
        return Claim(claim.conversation, claim.epoch, len(events), claim.born_ms)

    async def release(self, claim: Claim) -> None:
        """Do nothing: no other process can be waiting."""
        self._check_open()

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order."""
        self._check_open()
        kept = self._conversations.get(conversation)
        return kept.events[max(after, 0) :] if kept is not None else ()

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue, oldest first within a conversation."""
        self._check_open()
        return [
            OpenTurn(conversation, turn)
            for conversation, kept in self._conversations.items()
            for turn in sorted(kept.open)
        ]

    def subscribe(self, conversation: ConversationId | None = None) -> Subscription:
        """Events appended from the first `anext` on; see Subscription."""
        self._check_open()
        return Subscription(self._fanout, conversation)

    async def conversations(
        self, after: ConversationId | None = None, limit: int = 1000
    ) -> Sequence[Stored]:
        """A page of what is kept, in the order of ids; see EventLog."""
        self._check_open()
        behind = sorted(one for one in self._conversations if after is None or one > after)
        page = [(one, self._conversations[one]) for one in behind[:limit]]
        return [Stored(one, len(kept.events), kept.epoch, kept.born_ms) for one, kept in page]

    async def restore(self, stored: Stored, events: Sequence[Event]) -> None:
        """Write events exactly as another log had them; see EventLog."""
        self._check_open()
        conversation = stored.conversation
        kept = self._conversations.get(conversation) or _Kept(stored.born_ms)
        head = len(kept.events)
        check_numbers(events, head)
        if head:
            first = events[0].seq if events else head + 1
            check_known(stored, kept.born_ms, kept.events[first - 1 :], events)
        added = [event for event in events if event.seq > head]
        delivered = {
            (channel, message_id): (conversation, seq)
            for channel, message_id, seq in inbound_of(added)
        }
        if not delivered.keys().isdisjoint(self._delivered):
            raise StoreError("A message to restore is in another conversation of this log.")
        self._delivered |= delivered
        self._conversations[conversation] = kept
        kept.born_ms = stored.born_ms
        kept.epoch = max(kept.epoch, stored.epoch)
        kept.events.extend(added)
        for turn, is_open in turns_left(added).items():
            (kept.open.add if is_open else kept.open.discard)(turn)
        self._fanout.publish(conversation, added)

    async def erase(self, claim: Claim) -> None:
        """Forget a conversation; see EventLog."""
        self._check_open()
        kept = self._held(claim)
        for channel, message_id, _ in inbound_of(kept.events):
            self._delivered.pop((channel, message_id), None)
        del self._conversations[claim.conversation]
        self._last_erased_ms = max(self._last_erased_ms, kept.born_ms)

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

    def _kept(self, conversation: ConversationId) -> _Kept:
        """What is kept of a conversation, which begins now if there is none."""
        kept = self._conversations.get(conversation)
        if kept is None:
            born_ms = max(time.time_ns() // 1_000_000, self._last_erased_ms + 1)
            kept = self._conversations[conversation] = _Kept(born_ms)
        return kept

    def _held(self, claim: Claim) -> _Kept:
        """The conversation of a claim that holds. Raises: Fenced."""
        kept = self._conversations.get(claim.conversation)
        if kept is None or (kept.epoch, kept.born_ms) != (claim.epoch, claim.born_ms):
            raise Fenced("Another worker has claimed this conversation, or it was erased.")
        return kept

    def _check_open(self) -> None:
        if not self._entered:
            raise NotOpenError("The log is not open: use it inside `async with log:`.")
