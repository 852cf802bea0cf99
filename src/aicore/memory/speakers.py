"""Which customers a conversation is with, from its first event on: whose memory it may touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aicore.log.events import Event, MessageReceived
from aicore.log.port import EventLog
from aicore.memory.episodes import subject_of
from aicore.records import ConversationId

__all__ = ["Customers", "Speakers"]

_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Customers:
    """The customers who have spoken in a conversation; `are_strangers`: one had no id."""

    subjects: frozenset[str] = frozenset()
    are_strangers: bool = False

    def __bool__(self) -> bool:
        return bool(self.subjects) or self.are_strangers

    @property
    def only(self) -> str | None:
        """The one customer, where it is certain that there is no other."""
        if self.are_strangers or len(self.subjects) != 1:
            return None
        return next(iter(self.subjects))

    def also_in(self, events: Sequence[Event]) -> Customers:
        """These and those who speak in further events."""
        found = {
            subject_of(event.body.principal)
            for event in events
            if isinstance(event.body, MessageReceived) and event.body.principal.kind == "customer"
        }
        named = frozenset(subject for subject in found if subject is not None)
        return Customers(self.subjects | named, self.are_strangers or None in found)


@dataclass(frozen=True, slots=True)
class _Read:
    """Up to which event a conversation was read, when that one was written, and who spoke."""

    seq: int
    at_ms: int
    customers: Customers


class Speakers:
    """Tells of the conversations of a log which customers they are with.

    A conversation is read once; after that what is new in it.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._read: dict[ConversationId, _Read] = {}

    async def customers(self, conversation: ConversationId) -> Customers:
        """Every customer who has spoken in a conversation, however long ago.

        Raises: StoreBusy, StoreError.
        """
        known = self._read.pop(conversation, None)
        events: Sequence[Event] = ()
        if known is not None:
            events = await self._log.read(conversation, known.seq - 1)
        first = (events[0].seq, events[0].at_ms) if events else None
        if known is None or first != (known.seq, known.at_ms):
            # Not read yet, or another conversation of that id since.
            known = _Read(0, 0, Customers())
            events = await self._log.read(conversation)
        customers = known.customers.also_in(events)
        if events:
            self._read[conversation] = _Read(events[-1].seq, events[-1].at_ms, customers)
            if len(self._read) > _KEPT:
                del self._read[next(iter(self._read))]
        return customers
