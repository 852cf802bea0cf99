"""Finds the conversations of somebody in the log, and deletes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from aicore.errors import Fenced, StoreBusy
from aicore.log.events import Event, MessageReceived
from aicore.log.port import EventLog
from aicore.memory.episodes import utterances
from aicore.records import ConversationId

__all__ = ["Forgotten", "Spoken", "erase_conversation", "spoken_by"]

_PAGE = 500
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of somebody: entries of the memory, conversations of the log.

    `held` are conversations that could not be deleted, because a turn is under way in them.
    """

    subject: str
    entries: int
    conversations: int
    held: Sequence[ConversationId]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A conversation that is somebody's, and what others said in it.

    `others` has by subject the ids under which that is forgotten, learned or not.
    """

    conversation: ConversationId
    others: Mapping[str, Sequence[str]]


async def spoken_by(log: EventLog, subject: str) -> Sequence[Spoken]:
    """Every conversation in which somebody spoke.

    Those of customers in which staff spoke as well are theirs, not the staff's. Reads the whole
    log. Raises: StoreBusy, StoreError.
    """
    found: list[Spoken] = []
    after: ConversationId | None = None
    while page := await log.conversations(after, _PAGE):
        for stored in page:
            after = stored.conversation
            events = await log.read(after)
            speakers = _speakers(events)
            is_theirs = subject.startswith("customer:") or len(speakers) == 1
            if subject in speakers and is_theirs:
                found.append(Spoken(after, _said_by_others(after, events, subject)))
    return found


def _speakers(events: Sequence[Event]) -> set[str]:
    return {
        str(event.body.principal) for event in events if isinstance(event.body, MessageReceived)
    }


def _said_by_others(
    conversation: ConversationId, events: Sequence[Event], subject: str
) -> Mapping[str, Sequence[str]]:
    said: dict[str, list[str]] = {}
    for one in utterances(events):
        if one.subject != subject:
            said.setdefault(one.subject, []).append(one.id_in(conversation))
    return said


async def erase_conversation(log: EventLog, conversation: ConversationId) -> bool:
    """Delete one conversation. False when a turn of another process is under way in it.

    An agent that starts claims conversations for a moment, so one claim is not enough.
    Raises: StoreBusy, StoreError.
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            await log.erase(await log.claim(conversation))
        except (StoreBusy, Fenced):
            if pause_s is not None:
                await anyio.sleep(pause_s)
        else:
            return True
    return False
