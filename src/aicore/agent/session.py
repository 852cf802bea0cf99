"""What an agent keeps of a conversation between turns: a fold of its events, nothing else."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import anyio

from aicore.agent.loading import read_needed
from aicore.agent.replies import CallRecord, Reply
from aicore.agent.tool_search import meant
from aicore.agent.transcript import Transcript, has_left, short_id
from aicore.errors import HeadMoved
from aicore.log.events import (
    CLOSING,
    ApprovalDecided,
    ApprovalRequested,
    Body,
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    ToolStarted,
    TurnRetried,
    TurnWaiting,
)
from aicore.log.port import Claim, EventLog
from aicore.records import (
    ApprovalId,
    ConversationId,
    DataClass,
    OperationKey,
    Principal,
    ToolCall,
    ToolResult,
    Usage,
)
from aicore.trust.data_classes import highest

if TYPE_CHECKING:
    from aicore.agent.labels import Labels

__all__ = ["CallState", "Journal", "Session", "Sessions", "TurnState"]

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class CallState:
    """How far one call has come. `index` counts the turn's calls from 0."""

    call: ToolCall
    index: int
    operation_key: OperationKey | None = None
    result: ToolResult | None = None
    approval_id: ApprovalId | None = None
    decision: ApprovalDecided | None = None

    @property
    def is_waiting(self) -> bool:
        """A person has been asked and has not decided."""
        return self.approval_id is not None and self.decision is None and self.result is None

    @property
    def is_ready(self) -> bool:
        """Not finished, and nobody is being waited for."""
        return self.result is None and not self.is_waiting


@dataclass(slots=True)
class TurnState:
    """How far one turn has come, folded from its events."""

    id: int
    message: MessageReceived
    at_ms: int = 0
    is_open: bool = True
    rounds: int = 0
    calls: list[CallState] = field(default_factory=list)
    usage: Usage | None = None
    said: list[str] = field(default_factory=list)
    is_replied: bool = False

    @property
    def principal(self) -> Principal:
        """Who speaks in this turn."""
        return self.message.principal

    @property
    def waiting(self) -> list[ApprovalId]:
        """Approvals that nobody has decided yet."""
        return [c.approval_id for c in self.calls if c.is_waiting and c.approval_id is not None]

    def call(self, call_id: str) -> CallState:
        """The state of one call. Raises KeyError."""
        for state in reversed(self.calls):
            if state.call.id == call_id:
                return state
        raise KeyError(call_id)

    def add_usage(self, usage: Usage) -> None:
        """Count one model request."""
        self.usage = usage if self.usage is None else self.usage + usage

    def reply(self) -> Reply:
        """The turn so far, as callers see it."""
        return Reply(
            text="\n\n".join(self.said),
            calls=tuple(CallRecord(c.call, c.result) for c in self.calls),
            usage=self.usage or Usage(),
            waiting=tuple(self.waiting),
            turn=self.id,
        )

    def apply(self, body: Body) -> None:
        """Take in the turn's next event."""
        if isinstance(body, ModelReplied):
            self._replied(body)
        elif isinstance(body, ToolStarted):
            self.call(body.call_id).operation_key = body.operation_key
        elif isinstance(body, ToolFinished):
            self.call(body.call_id).result = _result(body)
        elif isinstance(body, ApprovalRequested):
            self.call(body.call.id).approval_id = body.approval_id
        elif isinstance(body, ApprovalDecided):
            self._decided(body)
        elif isinstance(body, TurnWaiting) and body.text:
            self.said.append(body.text)
        self.is_replied = isinstance(body, ReplySent)
        self.is_open = type(body) not in CLOSING

    def _replied(self, body: ModelReplied) -> None:
        self.rounds += 1
        self.add_usage(body.usage)
        if body.text:
            self.said.append(body.text)
        for call in body.calls:
            self.calls.append(CallState(meant(call), len(self.calls)))

    def _decided(self, body: ApprovalDecided) -> None:
        self.said.clear()
        for state in self.calls:
            if state.approval_id == body.approval_id:
                state.decision = body


def _result(body: ToolFinished) -> ToolResult:
    return ToolResult(
        text=body.text,
        is_error=body.is_error,
        structured=body.structured,
        outcome=body.outcome,  # type: ignore[arg-type]  # written from a ToolResult
        full_text=body.full_text,
    )


class Session:
    """One conversation in memory, up to event `seq`: its transcript and unfinished turns.

    `turns` holds those that are open or wait for a person. One at rest is read back from the log
    when it is asked for. `attended` are turns whose sender waits here for them to be run.
    Events before `loaded_from` were not folded: what they left in view is in the summary.
    One that failed is taken up where it stopped when it is tried again; once it has left the
    view it is forgotten, and then it is read back, too.
    `cut_results` tells by which event a result came that was cut, for those that were folded.
    `scale` corrects estimates of tokens by what the provider reported last; `guessed_context` is
    how many it seems to read (None: it has refused nothing as too long).
    `born_ms` tells it from an erased conversation of the same id (0: not claimed yet).
    `data_class` is the highest of anything in it that `labels` has judged, or the log says.
    """

    def __init__(self, conversation: ConversationId, labels: Labels | None = None) -> None:
        self.conversation = conversation
        self._labels = labels
        self.lock = anyio.Lock()
        self.attended: set[int] = set()
        self.is_compacting = False
        self.scale = 1.0
        self.guessed_context: int | None = None
        self.born_ms = 0
        self.empty()

    def empty(self) -> None:
        """Forget every event, as if none had been read."""
        self.seq = 0
        self.loaded_from = 1
        self.transcript = Transcript()
        self.turns: dict[int, TurnState] = {}
        self._failed: dict[int, TurnState] = {}
        self.cut_results: dict[str, int] = {}
        self._call_ids: set[str] = set()
        self._class: DataClass = "public"
        self._unjudged: list[Body] = []

    @property
    def data_class(self) -> DataClass:
        """How careful to be with the conversation, so far; judges what is new in it."""
        if self._labels is not None and self._unjudged:
            self._class = highest(self._class, *map(self._labels.of, self._unjudged))
            self._unjudged.clear()
        return self._class

    @property
    def visible_from_seq(self) -> int:
        """What a model is sent begins at this event, but for turns that a summary carries."""
        summarized = self.transcript.summarized
        return 1 if summarized is None else summarized.covers_seq + 1

    def in_view(self, seq: int) -> bool:
        """Whether a model is sent what the event `seq` says, for messages and later events."""
        summarized = self.transcript.summarized
        return seq >= self.visible_from_seq or (
            summarized is not None and seq in summarized.carries
        )

    def apply(self, events: Sequence[Event], retried: Collection[int] = ()) -> None:
        """Fold events in; those already seen are skipped. `retried` are turns that will go on."""
        if len(events) > 1:
            retried = {*retried, *(one.turn for one in events if type(one.body) is TurnRetried)}
        for event in events:
            if self.seq == 0:
                self.loaded_from = event.seq
            if event.seq > self.seq:
                self._apply(event, retried)

    def _apply(self, event: Event, retried: Collection[int] = ()) -> None:
        self.seq = event.seq
        body = event.body
        self.transcript.apply(event, retried)
        self._note_class(body)
        if isinstance(body, MessageReceived):
            self.turns[event.turn] = TurnState(event.turn, body, event.at_ms)
            return
        if isinstance(body, Summarized):
            shown = self.transcript.messages
            self._call_ids = {call.id for message in shown for call in message.calls}
            for turn_id in [one for one in self._failed if has_left(one, body, retried)]:
                del self._failed[turn_id]
            return
        if isinstance(body, ToolFinished) and body.full_text is not None:
            self.cut_results[body.call_id] = event.seq
        failed = self._failed.pop(event.turn, None)
        if failed is not None and isinstance(body, TurnRetried):
            self.turns.setdefault(event.turn, failed)
        turn = self.turns.get(event.turn)
        if turn is None:
            return
        turn.apply(body)
        if isinstance(body, ModelReplied):
            self._call_ids.update(call.id for call in body.calls)
        if not turn.is_open and not turn.waiting:
            del self.turns[event.turn]
            if not turn.is_replied:
                self._failed[event.turn] = turn

    def _note_class(self, body: Body) -> None:
        if isinstance(body, ModelReplied | Summarized) and body.data_class is not None:
            self._class = highest(self._class, body.data_class)
        if self._labels is not None:
            self._unjudged.append(body)

    def must_judge_all(self, events: Sequence[Event]) -> bool:
        """Whether the class of what the last summary took out of view is not in the log.

        It was written where nobody asked for classes: by another provider.
        """
        last = next(
            (one.body for one in reversed(events) if isinstance(one.body, Summarized)), None
        )
        return self._labels is not None and last is not None and last.data_class is None

    def note(self, seq: int, message: MessageReceived) -> None:
        """Take in a message that was just recorded as event `seq`, unless others came between.

        It spares a read of what is known; where it does not fit, the next turn reads.
        """
        if seq == self.seq + 1:
            self._apply(Event(seq, seq, int(time.time() * 1000), message))

    def open_turns(self) -> list[TurnState]:
        """Turns to run, oldest first."""
        return [turn for _, turn in sorted(self.turns.items()) if turn.is_open]

    def unique_calls(self, calls: Sequence[ToolCall], turn: TurnState) -> tuple[ToolCall, ...]:
        """The same calls with ids that are safe, and new in this conversation.

        Local servers repeat ids (`call_0` in every answer); results are matched by id, so a
        repeated one would answer the wrong call. Mistral takes ids of nine letters and digits
        only, the others take anything. Once turns have left the view their ids are not known any
        more, so from then on every call gets one of its own.
        """
        are_known = self.transcript.summarized is None
        seen: set[str] = set()
        unique = []
        for index, call in enumerate(calls, len(turn.calls)):
            call_id, identity = call.id if are_known else "", f"{turn.id} {index}"
            while call_id in self._call_ids or call_id in seen or not _SAFE_ID.fullmatch(call_id):
                call_id, identity = short_id(identity), f"{identity} again"
            seen.add(call_id)
            unique.append(
                call if call_id == call.id else ToolCall(call_id, call.name, call.arguments)
            )
        return tuple(unique)


class Journal:
    """Writes the events of claimed turns: to the log first, then into the session."""

    def __init__(self, log: EventLog, session: Session, claim: Claim) -> None:
        self._log = log
        self._session = session
        self._claim = claim
        self._is_at_rest = False

    async def catch_up(self) -> None:
        """Read what others wrote since the session was last used.

        What is in memory of a conversation that was erased, or set back to a backup, is
        forgotten first.
        """
        session, claim = self._session, self._claim
        if session.born_ms not in (0, claim.born_ms) or claim.head < session.seq:
            session.empty()
        session.born_ms = claim.born_ms
        if claim.head != session.seq:
            await self._reread()

    async def read_back_to(self, turn: int) -> None:
        """Fold the conversation anew from a turn on whose message is not in memory any more."""
        session = self._session
        events = await self._needed(self._claim.head, turn)
        session.empty()
        session.apply(events, {turn})

    async def _reread(self) -> None:
        session = self._session
        if session.seq == 0:
            events = await self._needed(self._claim.head)
        else:
            events = await self._log.read(session.conversation, session.seq)
            if any(map(self._is_unknown, events)):
                session.empty()
                events = await self._needed(events[-1].seq)
        session.apply(events)
        self._claim = replace(self._claim, head=session.seq)

    async def _needed(self, head: int, turn: int | None = None) -> Sequence[Event]:
        session = self._session
        events = await read_needed(self._log, session.conversation, head, turn)
        if session.must_judge_all(events):
            events = await self._log.read(session.conversation)
        return events

    def _is_unknown(self, event: Event) -> bool:
        """Whether somebody else took up a turn that we have forgotten."""
        session = self._session
        is_older = event.turn <= session.seq
        return (
            is_older
            and type(event.body) is TurnRetried
            and not session.transcript.awaits(event.turn)
        )

    async def append(self, turn: int, *bodies: Body) -> None:
        """Write `bodies` in one durable step.

        Messages that arrived meanwhile wait for turns of their own, so they never invalidate
        this step: it is written again after them.
        Raises: Fenced when another worker took the conversation over, or it was erased.
        """
        while True:
            before = self._claim.head
            try:
                self._claim = await self._log.append(self._claim, turn, bodies)
                break
            except HeadMoved:
                await self._reread()
        self._is_at_rest = type(bodies[-1]) in CLOSING
        now_ms = int(time.time() * 1000)
        for seq, body in enumerate(bodies, before + 1):
            self._session.apply((Event(seq, turn, now_ms, body),))

    async def release(self) -> None:
        """Let other processes have the conversation; an event that ended a turn did so already."""
        if not self._is_at_rest:
            await self._log.release(self._claim)


class Sessions:
    """The sessions in memory: the least recently used idle ones are let go."""

    def __init__(self, labels: Labels | None = None, *, capacity: int = 1024) -> None:
        self._labels = labels
        self._capacity = capacity
        self._sessions: OrderedDict[ConversationId, Session] = OrderedDict()

    def get(self, conversation: ConversationId) -> Session:
        """The session of a conversation, empty if it was not in memory."""
        session = self._sessions.get(conversation)
        if session is None:
            self._shrink()
            session = self._sessions[conversation] = Session(conversation, self._labels)
        else:
            self._sessions.move_to_end(conversation)
        return session

    def _shrink(self) -> None:
        """Make room for one more. One that is used is never let go: its lock must stay the one."""
        excess = len(self._sessions) + 1 - self._capacity
        if excess <= 0:
            return
        idle = (
            key
            for key, one in self._sessions.items()
            if not (one.lock.locked() or one.is_compacting)
        )
        for key in list(islice(idle, excess)):
            del self._sessions[key]
