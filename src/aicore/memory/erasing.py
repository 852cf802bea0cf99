"""Deletes the conversations of somebody from the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from aicore.errors import Fenced, StoreBusy
from aicore.log.events import MessageReceived
from aicore.log.port import EventLog
from aicore.records import ConversationId

__all__ = ["Forgotten", "erase_conversations"]

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


async def erase_conversations(
    log: EventLog, subject: str
) -> tuple[set[ConversationId], list[ConversationId], set[str]]:
    """Delete every conversation in which somebody spoke, with all that was said in it.

    Those of customers in which staff spoke as well are theirs, not the staff's.
    Returns those deleted, those that somebody holds, and who else spoke in the deleted ones.
    Reads the whole log. Raises: StoreBusy, StoreError.
    """
    erased: set[ConversationId] = set()
    held: list[ConversationId] = []
    others: set[str] = set()
    after: ConversationId | None = None
    while page := await log.conversations(after, _PAGE):
        for stored in page:
            after = stored.conversation
            speakers = await _speakers(log, after)
            is_theirs = subject.startswith("customer:") or len(speakers) == 1
            if subject not in speakers or not is_theirs:
                continue
            if await _erase(log, after):
                erased.add(after)
                others |= speakers - {subject}
            else:
                held.append(after)
    return erased, held, others


async def _speakers(log: EventLog, conversation: ConversationId) -> set[str]:
    return {
        str(event.body.principal)
        for event in await log.read(conversation)
        if isinstance(event.body, MessageReceived)
    }


async def _erase(log: EventLog, conversation: ConversationId) -> bool:
    """Delete one conversation. False when a turn of another process is under way in it.

    An agent that starts claims conversations for a moment, so one claim is not enough.
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
