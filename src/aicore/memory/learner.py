"""Learns from the log in the background: what was said, and the facts in it.

How far a conversation was learned is kept with what was learned, in one step, so a crash at any
moment loses nothing and doubles nothing: the log is read again from there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from aicore.errors import AicoreError
from aicore.log.events import Event
from aicore.log.port import EventLog
from aicore.memory.backlog import Backlog, Due
from aicore.memory.extraction import Extraction
from aicore.memory.facts import facts_of, take_in
from aicore.memory.lessons import Lesson, Talk, is_enough, lesson_of
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Entry, Learned, Namespace
from aicore.memory.speakers import Speakers
from aicore.records import ConversationId

__all__ = ["Learner"]

_log = logging.getLogger(__name__)

_AT_ONCE = 4
_QUEUE = 10_000
_READ_BACK = 16
_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 300.0
_EMBED_RETRY_S = 60.0
_PAGE = 500
# Events that are looked at, and that are written, in one go.
_STRETCH = 64
_WRITTEN_AT_ONCE = 256
# What is new waits so long for more of its conversation, and together with others.
_PAUSE_S = 2.0
_TOGETHER_S = 0.25


class Learner:
    """Learns from the conversations of one log; never in the way of a turn.

    Facts are learned at once, and what was said as soon as what was said around it is there: see
    `lesson_of`. Until then it is at the end of its conversation, which its own prompt shows anyway.
    """

    def __init__(
        self,
        log: EventLog,
        places: Places,
        extraction: Extraction,
        *,
        quiet_s: float = 600.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._events = log
        self._speakers = Speakers(log)
        self._places = places
        self._extraction = extraction
        self._quiet_ms = int(quiet_s * 1000)
        self._now_ms = now_ms
        self._backlog = Backlog(_QUEUE)
        self._heard: dict[ConversationId, Learned] = {}
        self._marks: dict[ConversationId, Learned] = {}
        self._is_behind = True
        self._has_dropped = False
        self._fell_behind = anyio.Event()

    async def settled(self) -> None:
        """Have learned at once what can be, and wait for it.

        What waits for its neighbours does not count.
        """
        while self._is_behind or not self._backlog.is_idle or not self._places.owed.is_idle:
            self._backlog.hurry()
            await self._backlog.wait_for_change()

    def learn_later(self, conversation: ConversationId, born_ms: int) -> None:
        """Have a conversation learned from in seconds, with what else it says meanwhile.

        Where too many wait, the log is asked again.
        """
        at_s = _TOGETHER_S * math.ceil((anyio.current_time() + _PAUSE_S) / _TOGETHER_S)
        if not self._backlog.put_soon(conversation, born_ms, at_s):
            self._fall_behind()

    async def run(self) -> None:
        """Learn until cancelled; first from what came while nobody did."""
        async with anyio.create_task_group() as group:
            for _ in range(_AT_ONCE):
                group.start_soon(self._work)
            if self._places.vectors is not None:
                group.start_soon(self._embed_rest)
                group.start_soon(self._places.embed_owed, self._backlog.wake)
            failures = 0
            while True:
                self._fell_behind = anyio.Event()
                try:
                    await self._catch_up()
                    failures = 0
                except AicoreError as error:
                    failures += 1
                    _log.warning("not_caught_up error=<%s> | it is tried again", error.code)
                    await anyio.sleep(_retry_s(failures))
                    continue
                with anyio.move_on_after(self._quiet_ms / 1000 if self._has_dropped else None):
                    await self._fell_behind.wait()

    async def learn(self, due: Due) -> int | None:
        """Learn what is new in a conversation; give the ms until more is ripe, if any waits.

        Raises: StoreBusy, StoreError, ProviderUnavailable.
        """
        conversation = due.conversation
        after = await self._learned_until(due)
        events = await self._read(conversation, after)
        if not events or events[-1].seq <= after:
            return None
        talk, last = await self._talk(conversation, events), events[-1]
        waits_ms = None
        course = _Course(after)
        for start in range(after + 1, last.seq + 1, _STRETCH):
            stretch = range(start, min(start + _STRETCH, last.seq + 1))
            lesson = await self._lesson(talk, stretch, due)
            course.kept += await self._learn_facts(talk, lesson, due.failures)
            course.go_on(lesson, stretch)
            if lesson.waits_ms is not None:
                waits_ms = max(waits_ms or 0, lesson.waits_ms)
            if course.is_long or stretch.stop > last.seq:
                await self._learn_episodes(talk, course, due)
                if course.kept and not await self._is_still_there(conversation, last):
                    for namespace, entries in course.kept:
                        await self._places.forget(namespace, [entry.id for entry in entries])
                    return None
                _note(self._heard, Learned(conversation, stretch[-1], due.born_ms))
                _note(self._marks, Learned(conversation, course.written, due.born_ms))
                course.kept.clear()
        return waits_ms

    async def _talk(self, conversation: ConversationId, events: Sequence[Event]) -> Talk:
        """A conversation without what was forgotten of it, by its subject or its customers."""
        talk = Talk(conversation)
        await talk.hear(events)
        if any(not subject.startswith("customer:") for subject in talk.threads):
            # Another customer may have spoken long before.
            talk.customers = await self._speakers.customers(conversation)
        store, business = self._places.store, self._events.business
        for subject in list(talk.threads):
            ids, gone = talk.ids(subject), set[str]()
            for owner in talk.owners(subject):
                gone |= set(await store.forgotten(Namespace(business, owner), ids))
            if gone:
                talk.leave_out(subject, gone)
        return talk

    async def _lesson(self, talk: Talk, stretch: range, due: Due) -> Lesson:
        heard = self._heard.get(due.conversation)
        return await lesson_of(
            talk,
            stretch,
            heard_until=heard.seq if heard is not None and heard.born_ms == due.born_ms else 0,
            now_ms=self._now_ms(),
            quiet_ms=self._quiet_ms,
        )

    async def _learned_until(self, due: Due) -> int:
        """Up to which event a conversation was learned; another process may have gone further."""
        known = self._marks.get(due.conversation)
        if known is None or known.born_ms != due.born_ms:
            store, business = self._places.store, self._events.business
            known = await store.learned(business, due.conversation)
        return known.seq if known is not None and known.born_ms == due.born_ms else 0

    async def _read(self, conversation: ConversationId, after: int) -> Sequence[Event]:
        """The events behind `after`, and enough before them to know who spoke, and what before."""
        back = _READ_BACK
        while True:
            start = max(0, after - back)
            events = await self._events.read(conversation, start)
            if start == 0 or is_enough(events, start, after):
                return events
            back *= 8

    async def _learn_facts(
        self, talk: Talk, lesson: Lesson, failures: int
    ) -> list[tuple[Namespace, Sequence[Entry]]]:
        if not lesson.heard:
            return []
        found = await self._extraction.extract(lesson.heard, failures=failures)
        kept: list[tuple[Namespace, Sequence[Entry]]] = []
        for heard, stated in zip(lesson.heard, found, strict=True):
            for subject, candidates, is_told in (
                (heard.said.subject, stated.own, False),
                (talk.customers.only, stated.told, True),
            ):
                if subject is None or not candidates:
                    continue
                namespace = Namespace(self._events.business, subject)
                facts = facts_of(
                    talk.conversation, heard.said, candidates, self._now_ms(), is_told=is_told
                )
                new = await take_in(self._places.store, namespace, facts)
                self._places.embed_later(namespace, new)
                kept.append((namespace, new))
        return kept

    async def _learn_episodes(self, talk: Talk, course: _Course, due: Due) -> None:
        """Add what was said; how far was learned is noted with the last of it."""
        if course.seq == course.written:
            return
        business = self._events.business
        mark = Learned(due.conversation, course.seq, due.born_ms)
        said = [(Namespace(business, one), entries) for one, entries in course.episodes.items()]
        last = said[-1][0] if said else Namespace(business, KNOWLEDGE)
        for namespace, entries in said or [(last, [])]:
            at_last = mark if namespace == last else None
            made_of = talk.made_of(namespace.subject, entries) if entries else ()
            await self._places.store.add(namespace, entries, at_last, made_of=made_of)
            self._places.embed_later(namespace, entries)
        course.kept += said
        course.episodes, course.written = {}, course.seq

    async def _is_still_there(self, conversation: ConversationId, last: Event) -> bool:
        """Whether a conversation was not erased while it was learned from."""
        events = await self._events.read(conversation, last.seq - 1)
        return bool(events) and (events[0].seq, events[0].at_ms) == (last.seq, last.at_ms)

    async def _work(self) -> None:
        while True:
            due = await self._backlog.take()
            try:
                await self._learn_or_retry(due)
            finally:
                self._backlog.give_back(due.conversation)

    async def _learn_or_retry(self, due: Due) -> None:
        try:
            waits_ms = await self.learn(due)
        except Exception as error:  # noqa: BLE001  boundary: must not end the agent
            wait_s = _retry_s(due.failures + 1)
            code = error.code if isinstance(error, AicoreError) else type(error).__name__
            _log.warning("not_learned error=<%s> | tried again in %d s", code, wait_s)
            at_s = anyio.current_time() + wait_s
            if not self._backlog.put(replace(due, at_s=at_s, failures=due.failures + 1)):
                self._fall_behind()
            return
        if waits_ms is not None:
            at_s = anyio.current_time() + waits_ms / 1000
            is_noted = self._backlog.put_if_new(replace(due, at_s=at_s, failures=0))
            self._has_dropped = self._has_dropped or not is_noted

    def _fall_behind(self) -> None:
        self._is_behind = True
        self._fell_behind.set()

    async def _embed_rest(self) -> None:
        """Make vectors that are missing, now and when some could not be made."""
        while True:
            try:
                await self._places.embed_rest(self._events.business)
            except AicoreError as error:
                _log.warning("vectors_missing error=<%s> | tried again later", error.code)
                self._places.lacks.note()
            await self._places.lacks.wait()
            await anyio.sleep(_EMBED_RETRY_S)

    async def _catch_up(self) -> None:
        """Ask the log which conversations have more than was learned, and have them learned."""
        store, business = self._places.store, self._events.business
        after: ConversationId | None = None
        self._has_dropped = False
        while page := await self._events.conversations(after, _PAGE):
            for stored in page:
                after = stored.conversation
                learned = await store.learned(business, after)
                learned_to = learned and (learned.born_ms, learned.seq)
                if learned_to != (stored.born_ms, stored.head):
                    due = Due(after, stored.born_ms, anyio.current_time())
                    while not self._backlog.put_if_new(due):
                        await self._backlog.wait_for_change()
        self._is_behind = False
        self._backlog.wake()


class _Course:
    """How far learning from a conversation has come, in the course of its stretches.

    All is `written` up to an event, all that is ripe is in `episodes` up to `seq`. `kept` is what
    was written since it was last seen that the conversation is still there.
    """

    def __init__(self, after: int) -> None:
        self.written = self.seq = after
        self.episodes: dict[str, list[Entry]] = {}
        self.kept: list[tuple[Namespace, Sequence[Entry]]] = []

    @property
    def is_long(self) -> bool:
        """Whether enough has come together to be written."""
        return self.seq - self.written >= _WRITTEN_AT_ONCE

    def go_on(self, lesson: Lesson, stretch: range) -> None:
        """Take what a stretch taught, unless something before it is not ripe yet."""
        if self.seq == stretch[0] - 1 and lesson.seq > self.seq:
            self.seq = lesson.seq
            for subject, entries in lesson.episodes.items():
                self.episodes.setdefault(subject, []).extend(entries)


def _retry_s(failures: int) -> float:
    return float(min(_FIRST_RETRY_S * 2 ** min(failures - 1, 16), _LAST_RETRY_S))


def _note(notes: dict[ConversationId, Learned], learned: Learned) -> None:
    """Remember how far a conversation was learned, of the last ones; others are looked up."""
    notes.pop(learned.conversation, None)
    notes[learned.conversation] = learned
    if len(notes) > _QUEUE:
        del notes[next(iter(notes))]
