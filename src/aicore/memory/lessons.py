"""What there is to learn in a stretch of a conversation: decided from its events alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aicore.log.events import Event, ReplySent
from aicore.memory.episodes import Utterance, episodes_of, utterances
from aicore.memory.extraction import Heard
from aicore.memory.port import Entry
from aicore.records import ConversationId

__all__ = ["Lesson", "is_enough", "lesson_of"]

_SAID_BEFORE = 3
_FOLLOWERS = 2
_SPEAKERS = frozenset({"customer", "staff", "owner"})


@dataclass(slots=True, kw_only=True)
class Lesson:
    """What a stretch of a conversation teaches.

    `episodes` by subject, of utterances that are ripe: those behind which others of their
    subject have come. `seq` is the last event up to which all are, `waits_ms` how long the others
    wait if nothing comes. `heard` are messages that facts may be in, `customer` the only customer
    who speaks, if there is one.
    """

    episodes: dict[str, list[Entry]] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    seq: int
    waits_ms: int | None = None
    customer: str | None = None


def lesson_of(
    conversation: ConversationId,
    events: Sequence[Event],
    *,
    after: int,
    heard_until: int,
    now_ms: int,
    quiet_ms: int,
) -> Lesson:
    """What is learned of the events behind `after`, and facts of those behind `heard_until`.

    An utterance is ripe when two of its subject came after it, since what was said around it
    helps to find it, or when its subject has been quiet for `quiet_ms`.
    """
    threads: dict[str, list[Utterance]] = {}
    for one in utterances(events):
        threads.setdefault(one.subject, []).append(one)
    customers = [subject for subject in threads if subject.startswith("customer:")]
    lesson = Lesson(seq=events[-1].seq, customer=customers[0] if len(customers) == 1 else None)
    for subject, thread in threads.items():
        # A clock that was set back or forth makes things wait no longer than this.
        left_ms = quiet_ms - abs(now_ms - thread[-1].at_ms)
        ripe = len(thread) if left_ms <= 0 else max(len(thread) - _FOLLOWERS, 0)
        for place, one in enumerate(thread):
            if one.seq > after and place < ripe:
                entries = episodes_of(conversation, thread, place)
                lesson.episodes.setdefault(subject, []).extend(entries)
            elif one.seq > after:
                lesson.seq = min(lesson.seq, one.seq - 1)
                lesson.waits_ms = max(left_ms, lesson.waits_ms or 0)
            if one.seq > heard_until and one.said_by in _SPEAKERS:
                earlier = [u.text for u in thread[:place] if u.said_by == "assistant"]
                lesson.heard.append(Heard(one, tuple(earlier[-_SAID_BEFORE:])))
    lesson.heard.sort(key=lambda heard: heard.said.seq)
    return lesson


def is_enough(events: Sequence[Event], start: int, after: int) -> bool:
    """Whether events behind `start` tell who spoke, and before what, in those behind `after`."""
    if any(
        event.turn <= start
        for event in events
        if event.seq > after and type(event.body) is ReplySent
    ):
        return False
    said = utterances(events)
    known = [one.subject for one in said if one.seq <= after]
    return all(known.count(one.subject) >= _FOLLOWERS for one in said if one.seq > after)
