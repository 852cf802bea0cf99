"""The EventLog port: the only truth about conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from aicore.log.events import Body, Event, MessageReceived
from aicore.records import ConversationId

__all__ = ["Claim", "EventLog", "OpenTurn", "Received", "Stored"]


@dataclass(frozen=True, slots=True)
class Received:
    """`seq` of the message's event; `is_new` is False when it had been delivered before."""

    seq: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a conversation's turns, until somebody else claims it.

    `head` is the last event number the holder has accounted for. `born_ms` is when the
    conversation began, with its first message or claim (0: not known, in stores made before
    it was kept). Another number under the same id is another conversation, because the earlier
    one was erased: it is part of the fence, and no store gives one number to both.
    """

    conversation: ConversationId
    epoch: int
    head: int
    born_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn whose last event is not a closing one."""

    conversation: ConversationId
    turn: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation that the log holds: its last event number, its epoch and when it began."""

    conversation: ConversationId
    head: int
    epoch: int
    born_ms: int


class EventLog(Protocol):
    """Conversations of one business, as append-only numbered events.

    Every method is atomic and durable when it returns. Cancelling a call leaves it either done
    or not done, never half. Raises StoreBusy and StoreError besides what is named.
    """

    @property
    def business(self) -> str:
        """Whose conversations these are; part of every operation key."""

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        """Append an inbound message, needing no claim; the turn is its own seq.

        Advances head, never epoch. A message with the channel and message_id of an earlier one
        appends nothing and gives the earlier seq, whatever conversation it names.
        """

    async def claim(self, conversation: ConversationId) -> Claim:
        """Take over a conversation: raises its epoch, so every older claim is fenced.

        The first claim of an unknown conversation has epoch 1, head 0. Raises StoreBusy when
        another live process holds it.
        """

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        """Append events of a turn, numbered after `claim.head`, all or none.

        Returns the claim with its new head. Raises Fenced when the epoch moved or the
        conversation was erased, HeadMoved when only the head moved; then nothing was written.
        When the last of them closes the turn, another process may claim at once.
        """

    async def release(self, claim: Claim) -> None:
        """Let another process claim at once. A no-op when the claim no longer holds."""

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        """Events with seq > `after`, in order; empty for an unknown conversation."""

    async def open_turns(self) -> Sequence[OpenTurn]:
        """Turns to continue after a crash, oldest first within a conversation."""

    def subscribe(
        self, conversation: ConversationId | None = None
    ) -> AsyncIterator[tuple[ConversationId, Event]]:
        """Events appended from now on, of one conversation or of all.

        Appends of other processes on the same store are told too, within a second. The
        subscription starts with the first `anext`. Not a queue: a consumer that needs every
        event reads from its last seq first.
        """

    async def conversations(
        self, after: ConversationId | None = None, limit: int = 1000
    ) -> Sequence[Stored]:
        """A page of at most `limit`, in the order of their ids (by code point), behind `after`."""

    async def restore(self, stored: Stored, events: Sequence[Event]) -> None:
        """Write events exactly as another log had them: how history moves between stores.

        `events` are some or all of the conversation's: they begin at or before the number behind
        this log's head and have no gap, so a long one is restored in several steps. What this
        log has already must be the same. Inbound ids and open turns come with them, `born_ms`
        is taken over and the epoch becomes the higher of the two; `stored.head` is not looked
        at. Doing it again with the same events changes nothing. All or none.
        Raises: StoreError when this log has other events under these numbers, another
        conversation under this id, or one of the message ids elsewhere; or when there is a gap.
        """

    async def erase(self, claim: Claim) -> None:
        """Delete a conversation for good: events, inbound ids, open turns, and its own row.

        Nothing of it can be found in the store's files or tables afterwards, except where the
        docs of the store say otherwise. The id is unknown from then on; a later message begins
        a new conversation. Events that came since the claim go too.
        Raises: Fenced when the claim does not hold, or the conversation was erased before.
        """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...
