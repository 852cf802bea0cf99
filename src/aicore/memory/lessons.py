"""What there is to learn in a stretch of a conversation: decided from its events alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import anyio

from aicore.log.events import Event, ReplySent
from aicore.memory.episodes import Utterance, class_at, episodes_of, utterances
from aicore.memory.extraction import Heard
from aicore.memory.neighbours import REACH
from aicore.memory.port import Entry
from aicore.memory.speakers import Customers
from aicore.records import ConversationId

__all__ = ["Lesson", "Talk", "is_enough", "lesson_of"]

_SAID_BEFORE = 3
_FOLLOWERS = 2
# So few that they take less than a millisecond, which a turn may wait.
_HEARD_AT_ONCE = 64
_LEARNED_AT_ONCE = 8
_SPEAKERS = frozenset({"customer", "staff", "owner"})


class Talk:
    """A conversation as what was said in it, by subject: `threads`.

    `customers` are those of the whole conversation, for whoever heard it to set.
    """

    def __init__(self, conversation: ConversationId) -> None:
        self.conversation = conversation
        self.threads: dict[str, list[Utterance]] = {}
        self.customers = Customers()
        self._ids: dict[int, str] = {}

    async def hear(self, events: Sequence[Event]) -> None:
        """Take in what was said, once, in turns with what else the event loop has to do."""
        for place, one in enumerate(utterances(events)):
            self.threads.setdefault(one.subject, []).append(one)
            self._ids[one.seq] = one.id_in(self.conversation)
            if place % _HEARD_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()

    def ids(self, subject: str) -> list[str]:
        """The ids under which what a subject said, or was told, is remembered and forgotten."""
        return [self._ids[one.seq] for one in self.threads[subject]]

    def owners(self, subject: str) -> Collection[str]:
        """Under whose names what a subject said may have been forgotten."""
        is_customer = subject.startswith("customer:")
        return {subject} if is_customer else {subject, *self.customers.subjects}

    def leave_out(self, subject: str, gone: Collection[str]) -> None:
        """Go on as if those of these ids had never been said."""
        said = self.threads[subject]
        kept = [one for one in said if self._ids[one.seq] not in gone]
        if kept:
            self.threads[subject] = kept
        else:
            del self.threads[subject]

    def made_of(self, subject: str, entries: Sequence[Entry]) -> list[str]:
        """The ids of what episodes of a subject, in order, and their contexts were made of."""
        thread = self.threads[subject]
        first = bisect_left(thread, entries[0].source.seq, key=_seq)
        last = bisect_left(thread, entries[-1].source.seq, key=_seq)
        return [self._ids[one.seq] for one in thread[max(first - REACH, 0) : last + REACH + 1]]


@dataclass(slots=True, kw_only=True)
class Lesson:
    """What a stretch of a conversation teaches.

    `episodes` by subject, of utterances that are ripe: those behind which others of their
    subject have come. `seq` is the last event up to which all are, `waits_ms` how long the others
    wait if nothing comes. `heard` are messages that facts may be in.
    """

    episodes: dict[str, list[Entry]] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    seq: int
    waits_ms: int | None = None


async def lesson_of(
    talk: Talk, stretch: range, *, heard_until: int, now_ms: int, quiet_ms: int
) -> Lesson:
    """What is learned of the events numbered in `stretch`; facts only behind `heard_until`.

    An utterance is ripe when two of its subject came after it, since what was said around it
    helps to find it, or when its subject has been quiet for `quiet_ms`. Other tasks get their
    turn meanwhile.
    """
    lesson = Lesson(seq=stretch[-1])
    for subject, thread in talk.threads.items():
        # A clock that was set back or forth makes things wait no longer than this.
        left_ms = quiet_ms - abs(now_ms - thread[-1].at_ms)
        ripe = len(thread) if left_ms <= 0 else max(len(thread) - _FOLLOWERS, 0)
        first = bisect_left(thread, stretch[0], key=_seq)
        for place in range(first, bisect_left(thread, stretch.stop, lo=first, key=_seq)):
            one = thread[place]
            if place < ripe:
                entries = episodes_of(talk.conversation, thread, place)
                lesson.episodes.setdefault(subject, []).extend(entries)
            else:
                lesson.seq = min(lesson.seq, one.seq - 1)
                lesson.waits_ms = max(left_ms, lesson.waits_ms or 0)
            if one.seq > heard_until and one.said_by in _SPEAKERS:
                before = _said_before(thread, place)
                data_class = class_at(thread, place)
                lesson.heard.append(Heard(one, before, data_class, talk.conversation))
            if place % _LEARNED_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
    lesson.heard.sort(key=lambda heard: heard.said.seq)
    return lesson


def _seq(said: Utterance) -> int:
    return said.seq


def is_enough(events: Sequence[Event], start: int, after: int) -> bool:
    """Whether events behind `start` tell who spoke, and before what, in those behind `after`."""
    if any(
        event.turn <= start
        for event in events
        if event.seq > after and type(event.body) is ReplySent
    ):
        return False
    said = list(utterances(events))
    known = Counter(one.subject for one in said if one.seq <= after)
    return all(known[one.subject] >= _FOLLOWERS for one in said if one.seq > after)


def _said_before(thread: Sequence[Utterance], place: int) -> tuple[str, ...]:
    """What the assistant said last, the last last."""
    before = thread[max(place - 2 * _SAID_BEFORE, 0) : place]
    return tuple([one.text for one in before if one.said_by == "assistant"][-_SAID_BEFORE:])
