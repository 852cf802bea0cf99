"""What every log checks before it takes in the events of another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from aicore.errors import StoreError
from aicore.log.events import Event, MessageReceived, turn_left_open
from aicore.log.port import Stored

__all__ = ["check_known", "check_numbers", "inbound_of", "turns_left"]


def check_numbers(events: Sequence[Event], head: int) -> None:
    """Refuse events with a gap among them, or between them and `head`. Raises: StoreError."""
    first = events[0].seq if events else 1
    numbers = range(first, first + len(events))
    if not 1 <= first <= head + 1 or [event.seq for event in events] != list(numbers):
        raise StoreError(
            f"Events are missing before or among those to restore (this log has {head}). "
            "Copy the conversation again from its beginning."
        )


def check_known(
    stored: Stored, born_ms: int, known: Sequence[Event], given: Iterable[Event]
) -> None:
    """Refuse to mix two conversations.

    `born_ms` is that of the conversation that this log has with events, and `known` those of its
    events that have the numbers of the first of `given`.
    Raises: StoreError.
    """
    if born_ms != stored.born_ms or any(a != b for a, b in zip(known, given, strict=False)):
        raise StoreError(
            "This log has other events under the id of a conversation to restore. "
            "Restore into an empty log, or erase that conversation first."
        )


def inbound_of(events: Iterable[Event]) -> Iterator[tuple[str, str, int]]:
    """Channel, message id and event number of each message that has an id."""
    for event in events:
        if isinstance(event.body, MessageReceived) and event.body.message_id is not None:
            yield event.body.channel, event.body.message_id, event.seq


def turns_left(events: Iterable[Event]) -> dict[int, bool]:
    """Which turns these events leave open (True) or at rest; others stay as they were."""
    left: dict[int, bool] = {}
    for event in events:
        is_open = turn_left_open((event.body,))
        if is_open is not None:
            left[event.turn] = is_open
    return left
