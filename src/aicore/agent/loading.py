"""Reading a long conversation from its end: what the last summary left in view, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from aicore.log.events import Event, Summarized
from aicore.log.port import EventLog
from aicore.records import ConversationId

__all__ = ["needed_from", "read_needed"]

_FIRST_EVENTS = 512
"""More than lies between two compactions of most conversations."""
_GROWTH = 4


async def read_needed(
    log: EventLog, conversation: ConversationId, head: int, turn: int | None = None
) -> Sequence[Event]:
    """The events to fold for a conversation that is not in memory: a run that ends at its head.

    It reaches back to `turn` where one is given.
    """
    count = _FIRST_EVENTS
    while True:
        after = max(head - count, 0)
        events = await log.read(conversation, after)
        first = needed_from(events)
        if turn is not None:
            first = turn if first is None else min(first, turn)
        if after == 0 or (first is not None and first > after):
            return [event for event in events if first is None or event.seq >= first]
        count *= _GROWTH


def needed_from(events: Sequence[Event]) -> int | None:
    """From which event on a fold gives the same requests as one of the whole conversation.

    `events` are a run up to the head. None: there is no summary in it. What the last summary
    took out of view matters no more, but for the turns it carries and those that went on after
    it, which are folded from their first event. (A failed turn that is tried again later is not
    among them: whoever tries it reads back to it.)
    """
    last = next((one.body for one in reversed(events) if isinstance(one.body, Summarized)), None)
    if last is None:
        return None
    going_on = (one.turn for one in events if one.seq > last.covers_seq and one.turn)
    return min((last.covers_seq + 1, *last.carries, *going_on))
