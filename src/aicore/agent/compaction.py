"""Keeps what a model is sent bounded: older turns give way to a summary, rarely and in big steps.

Nothing is deleted or rewritten: a summary is one more event, and the transcript is what the
events say. It is made after a reply has gone out, while nobody waits; only where a request would
not fit otherwise it is made at once, by rule. A crash in between loses nothing but the work.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import anyio
import anyio.abc

from aicore.agent.context import ContextLimits
from aicore.agent.session import Journal, Session
from aicore.agent.summary import About, Summarizer
from aicore.agent.tokens import estimate, estimate_message, estimate_prefix
from aicore.agent.transcript import Segment
from aicore.errors import AicoreError, ContextOverflow
from aicore.log.events import Event, Summarized
from aicore.log.port import EventLog
from aicore.models.port import Origin, Provider, Request
from aicore.records import Prefix, Usage

__all__ = ["Compaction", "Cut", "Keep", "choose_cut", "estimate_request"]

_log = logging.getLogger(__name__)

Work = Callable[[Session, Journal], Awaitable[None]]
WithClaim = Callable[[Session, Work], Awaitable[None]]

_AT_ONCE = 4
"""How many conversations are summarized at the same time: models have rate limits."""
_SUMMARY_SHARE = 0.1
_SMALLEST_SUMMARY = 300
"""In tokens, of which its heading takes a third."""
_LEAST_SHARE = 0.25
"""So much of the room at least a compaction must win, or nothing is said anew for it."""
_FULL_SHARE = 0.75
"""So much of the room may be taken after one, or it is soon to be done again."""
_LEFT_SHARE = 0.4
_SMALLEST_TOKENS = 200
_OVERDUE = 2.0
"""So many times too long, a conversation is not left to the background any more."""
_SURELY = 1.5
"""An estimate that is over by this much is right about it being too long."""
_MARGIN = 0.8
"""A guess of what a provider reads is so much of what it refused."""
_HOPELESS = 0.01
"""What is less of a request than this does not make it fit by going: the message is too long."""
_OUTPUT_TOKENS = 1_000
"""Kept free for the answer where no limit is set; less in a small context, or a full one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Turns that leave the view, about how many tokens they had, and what the event must say."""

    turns: frozenset[int]
    covers_seq: int
    carries: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What stays in view of finished turns, in tokens by our estimate.

    About `tokens` of the newest, and `turns` that were answered, but never more than
    `most_tokens`; the newest answered one alone may have `newest_tokens`. `has_state`: the turn
    with the newest state of a provider stays, however long it is.
    """

    tokens: int
    turns: int
    most_tokens: int
    newest_tokens: int
    has_state: bool = True


def choose_cut(session: Session, keep: Keep) -> Cut | None:
    """Choose which turns leave the view; None where nothing can.

    Whole turns go, oldest first; unfinished ones stay, wherever they are. Of those that were
    answered nothing older stays than one that goes: what was said last would seem unsaid. One
    without an answer that is longer than may stay goes, and takes none of those before it along.
    """
    kept = _kept(session, keep)
    segments = session.transcript.segments()
    gone = [segment for segment in segments if segment.turn not in kept]
    if not gone:
        return None
    covers = max(segment.seq for segment in gone)
    behind = [one for one in segments if one.turn in kept and one.seq > covers]
    # As far as what stays allows: the last events of the last turn that goes are covered, too.
    ends = [one.seq - 1 for one in behind]
    ends += [turn - 1 for turn in {*(one.turn for one in behind), *session.turns} if turn > covers]
    covers = max(covers, min(ends, default=session.seq))
    carried = {one.turn for one in segments if one.turn in kept and one.seq <= covers}
    carried |= {turn for turn in session.turns if turn <= covers}
    tokens = sum(_tokens_of(session, segment) for segment in gone)
    return Cut(frozenset(one.turn for one in gone), covers, tuple(sorted(carried)), tokens)


def _tokens_of(session: Session, segment: Segment) -> int:
    return sum(map(estimate_message, session.transcript.messages[segment.at : segment.end]))


def _kept(session: Session, keep: Keep) -> set[int]:
    sizes, answered = _finished(session)
    kept = _with_state(session) & sizes.keys() if keep.has_state else set()
    used = sum(sizes[turn] for turn in kept)
    for turn, size in sizes.items():
        if turn in kept:
            continue
        if used + size > keep.tokens and len(kept & answered) >= keep.turns:
            break
        is_newest = turn in answered and not kept & answered
        if used + size <= (keep.newest_tokens if is_newest else keep.most_tokens):
            kept.add(turn)
            used += size
        elif turn in answered:
            break
    return kept | session.turns.keys()


def _finished(session: Session) -> tuple[dict[int, int], set[int]]:
    """Tokens of each finished turn that is shown, the newest first; which of them were answered."""
    transcript = session.transcript
    sizes: dict[int, int] = {}
    answered = set()
    for segment in reversed(transcript.segments()):
        if segment.turn in session.turns:
            continue
        size = _tokens_of(session, segment)
        sizes[segment.turn] = sizes.get(segment.turn, 0) + size
        if any(message.provider for message in transcript.messages[segment.at : segment.end]):
            answered.add(segment.turn)
    return sizes, answered


def _with_state(session: Session) -> set[int]:
    """The turns with the newest message of each provider that reads its state from there."""
    transcript = session.transcript
    newest = {
        message.provider: segment.turn
        for segment in transcript.segments()
        for message in transcript.messages[segment.at : segment.end]
        if message.state is not None
    }
    return set(newest.values())


class Compaction:
    """Decides when, and does it; one for all conversations of an agent."""

    def __init__(self, limits: ContextLimits, provider: Provider, log: EventLog) -> None:
        self._limits = limits
        self._provider = provider
        self._log = log
        self._summarizer = Summarizer(provider if limits.summary == "model" else None)
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    def note_answer(self, session: Session, estimate: int, usage: Usage) -> None:
        """Learn from an answer what the provider can read, and how far estimates are off."""
        if session.guessed_context is not None:
            was_read = int(estimate * session.scale)
            if was_read > session.guessed_context:
                session.guessed_context = int(was_read / _MARGIN)
        if not usage.is_reported or usage.input_tokens <= 0:
            return
        scale = usage.input_tokens / estimate
        if 0.25 <= scale <= 4:  # anything else is no count of this prompt
            session.scale = max(scale, 0.5)

    async def make_room(
        self, session: Session, journal: Journal, request: Request, estimate: int
    ) -> bool:
        """Compact at once, by rule, if `request` would not fit; True if it must be built again.

        `estimate` is what `estimate_request` gives for it.
        Raises: ContextOverflow when what cannot be taken out of it is longer than the provider
        says it can read. Where it does not say, it is asked.
        """
        context = self._context(session)
        used = self._used(session, request, estimate)
        history = self._history(session)
        told = self._provider.capabilities.context_tokens
        if told is not None and used - history > _SURELY * max(session.scale, 1.0) * told:
            raise ContextOverflow(
                f"The message is longer than {self._provider.name} can read, with about "
                f"{used - history} tokens. Send it in parts, or use a model that reads more."
            )
        room = self._room(session, request.prefix)
        is_too_long = context is not None and used > context
        if not is_too_long and history <= _OVERDUE * room:
            return False
        if context is not None and is_too_long:
            left = context - (used - history) - self._unfinished(session)
            room = min(room, max(left, _SMALLEST_TOKENS))
        cut = self._cut(session, room, self._limits.keep_turns, is_too_long=is_too_long)
        is_told = told is not None and used > told
        if cut is None or not (is_told or self._is_worth_it(session, cut, room)):
            return False
        await self._at_once(session, journal, cut, room)
        return True

    async def after_overflow(self, session: Session, journal: Journal, request: Request) -> bool:
        """Compact at once because the provider said "too long"; False if nothing can go."""
        used = self._used(session, request, estimate_request(session, request))
        session.guessed_context = min(session.guessed_context or used, int(used * _MARGIN))
        room = min(self._room(session, request.prefix), self._history(session) // 2)
        cut = self._cut(session, max(room, _SMALLEST_TOKENS), 1, is_too_long=True)
        if cut is None or cut.tokens * session.scale < _HOPELESS * used:
            return False
        await self._at_once(session, journal, cut, room)
        return True

    def is_due(self, session: Session, prefix: Prefix) -> bool:
        """Whether a conversation has become so long that it should be compacted."""
        return not session.is_compacting and self._history(session) > self._room(session, prefix)

    async def compact(self, session: Session, prefix: Prefix, with_claim: WithClaim) -> None:
        """Compact a conversation in the background; errors are logged, and it is tried again.

        `with_claim` does some work with the conversation for us alone. That is asked for only
        when the summary is ready, so that messages are served while a model writes it.
        """
        try:
            async with self._limiter:
                await self._compact(session, prefix, with_claim)
        except AicoreError as error:
            _log.info("not_compacted error=<%s> | the next turn tries again", error.code)
        except Exception:  # noqa: BLE001  boundary of a background task: must not end the agent
            _log.exception("compaction_failed | the next turn tries again")
        finally:
            session.is_compacting = False

    async def _compact(self, session: Session, prefix: Prefix, with_claim: WithClaim) -> None:
        room = self._room(session, prefix)
        cut = self._cut(session, room, self._limits.keep_turns)
        if cut is None or not self._is_worth_it(session, cut, room):
            return
        before, born_ms = session.transcript.summarized, session.born_ms
        events = await self._events_of(session, cut)
        tokens = self._summary_tokens(session, room)
        summary = await self._summarizer.write(before, events, tokens, self._about(session))

        async def add(session: Session, journal: Journal) -> None:
            is_cut_elsewhere = (session.transcript.summarized, session.born_ms) != (before, born_ms)
            is_working = any(turn.rounds for turn in session.open_turns())
            if is_cut_elsewhere or is_working or cut.turns & session.turns.keys():
                return  # what was read has changed: after the next turn, again
            await self._add(session, journal, cut, summary)

        await with_claim(session, add)

    def _about(self, session: Session) -> About:
        origin = Origin(
            business=self._log.business, conversation=session.conversation, task="summary"
        )
        return About(origin, session.data_class)

    async def _at_once(self, session: Session, journal: Journal, cut: Cut, room: int) -> None:
        events = await self._events_of(session, cut)
        tokens = self._summary_tokens(session, room)
        summary = await self._summarizer.by_rule(session.transcript.summarized, events, tokens)
        await self._add(session, journal, cut, summary)

    def _is_worth_it(self, session: Session, cut: Cut, room: int) -> bool:
        """Whether it is well below its limit afterwards, or as much has gone as if it were.

        Else a view that is full of what must stay were cut turn by turn, and each time the
        provider had to read all of it anew.
        """
        old = session.transcript.summary_tokens
        won = (cut.tokens + old - self._summary_tokens(session, room)) * session.scale
        left = self._history(session) - won
        return won >= room * (_LEAST_SHARE if left <= room * _FULL_SHARE else 0.5)

    async def _add(self, session: Session, journal: Journal, cut: Cut, summary: Summarized) -> None:
        unfinished = {turn for turn in session.turns if turn <= cut.covers_seq}
        carries = tuple(sorted(unfinished.union(cut.carries)))
        data_class = session.data_class if self._provider.capabilities.reads_class else None
        await journal.append(
            0,
            replace(summary, covers_seq=cut.covers_seq, carries=carries, data_class=data_class),
        )

    async def _events_of(self, session: Session, cut: Cut) -> Sequence[Event]:
        """All events of the turns that go."""
        events = await self._log.read(session.conversation, min(cut.turns) - 1)
        return [event for event in events if event.turn in cut.turns]

    def _cut(
        self, session: Session, room: int, keep_turns: int, *, is_too_long: bool = False
    ) -> Cut | None:
        # What the customer was told last matters most: it goes only where it does not fit.
        newest = room / 2 if is_too_long else room * _OVERDUE
        scaled = room / session.scale
        summary = self._summary_tokens(session, room)
        keep = Keep(
            tokens=int(min(self._limits.keep_tokens / session.scale, scaled / 4)),
            turns=keep_turns,
            most_tokens=int(min(scaled / 2, scaled * _FULL_SHARE - summary)),
            newest_tokens=int(newest / session.scale),
            # Who finds its own state too long to read gains nothing by our keeping it.
            has_state=not is_too_long,
        )
        return choose_cut(session, keep)

    def _unfinished(self, session: Session) -> int:
        segments = session.transcript.segments()
        shown = [one for one in segments if one.turn in session.turns]
        return int(sum(_tokens_of(session, one) for one in shown) * session.scale)

    def _summary_tokens(self, session: Session, room: int) -> int:
        """How long a summary may be by our estimate, with its heading."""
        smallest = min(_SMALLEST_SUMMARY, room // 2)
        return int(max(room * _SUMMARY_SHARE, smallest) / session.scale)

    def _context(self, session: Session) -> int | None:
        told, guessed = self._provider.capabilities.context_tokens, session.guessed_context
        if told is None or guessed is None:
            return guessed if told is None else told
        return min(told, guessed)

    def _room(self, session: Session, prefix: Prefix) -> int:
        """How many tokens messages and summary may have."""
        room = self._limits.compact_at_tokens
        context = self._context(session)
        if context is not None:
            fixed = estimate_prefix(prefix)
            share = int(context * self._limits.compact_at_share) - fixed
            # Where tools and instructions fill most of the context, a part of what they leave.
            least = max(int((context - fixed) * _LEFT_SHARE), _SMALLEST_TOKENS)
            room = min(room, max(share, least))
        return room

    def _history(self, session: Session) -> int:
        transcript = session.transcript
        return int((transcript.tokens + transcript.summary_tokens) * session.scale)

    def _used(self, session: Session, request: Request, estimate: int) -> int:
        """Tokens of a request, and what must stay free for its answer."""
        context = self._context(session)
        answer = request.max_output_tokens or _OUTPUT_TOKENS
        if context is not None and request.max_output_tokens is None:
            free = context - estimate_prefix(request.prefix)
            answer = max(min(answer, context // 8, free // 4), 0)
        return int(estimate * session.scale) + answer


def estimate_request(session: Session, request: Request) -> int:
    """About how many tokens a request has, before what a provider's counts have taught."""
    transcript = session.transcript
    tokens = estimate_prefix(request.prefix) + transcript.summary_tokens + transcript.tokens
    ahead = request.tail[len(transcript.messages) :]
    return tokens + sum(map(estimate_message, ahead)) + estimate(request.volatile)
