"""Whatever the events of a conversation, and however turns interleave, a provider accepts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from aicore.agent.compaction import Keep, choose_cut
from aicore.agent.loading import needed_from
from aicore.agent.session import Session
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
    TurnFailed,
    TurnRetried,
    TurnWaiting,
)
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Request
from aicore.records import (
    ApprovalId,
    ConversationId,
    Message,
    OperationKey,
    Prefix,
    Principal,
    ToolCall,
    Usage,
)

HEAD = encode_head("m", is_stream=False, options={})
ACTIONS = [
    "receive", "ask", "ask", "call", "start", "finish", "finish", "request", "wait", "decide",
    "fail", "retry", "summarize", "compact", "look",
]  # fmt: skip


@dataclass
class Call:
    id: str
    is_started: bool = False
    is_done: bool = False
    is_asked: bool = False
    is_decided: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.is_asked and not self.is_decided and not self.is_done

    @property
    def may_run(self) -> bool:
        return not self.is_done and not self.is_waiting


@dataclass
class Turn:
    id: int
    is_failed: bool = False
    is_replied: bool = False
    is_at_rest: bool = True
    calls: list[Call] = field(default_factory=list)

    @property
    def has_results(self) -> bool:
        return all(call.is_done for call in self.calls)


class History:
    """Writes events as agents could, one after the other or several that fence each other."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.turns: list[Turn] = []
        self.session = Session(ConversationId("c"))
        self.number = 0

    def write(self, turn: int, *bodies: Body) -> None:
        for one in self.turns:
            if one.id == turn:
                one.is_at_rest = type(bodies[-1]) in CLOSING
        for body in bodies:
            event = Event(len(self.events) + 1, turn, 0, body)
            self.events.append(event)
            self.session.apply([event])

    def act(self, action: str, choice: int) -> None:
        if action == "receive":
            self.turns.append(Turn(len(self.events) + 1))
            text = f"message {self.turns[-1].id}"
            self.write(self.turns[-1].id, MessageReceived(text=text, principal=Principal("staff")))
        elif action == "summarize":
            self.summarize(choice * len(self.events) // 10, choice)
        elif action == "compact":
            self.compact(choice)
        else:
            turns = [turn for turn in self.turns if not turn.is_replied]
            turns = [turn for turn in turns if action == "retry" or not turn.is_failed]
            if turns:
                turn = turns[choice % len(turns)]
                getattr(self, action)(turn, choice)

    def summarize(self, covers: int, choice: int) -> None:
        """At any place, as if by another version: it carries what a summary must carry."""
        unfinished = {turn.id for turn in self.turns if turn.id in self.session.turns}
        some = {turn.id for turn in self.turns if turn.id % 11 < choice}
        carries = sorted(turn for turn in unfinished | some if turn <= covers)
        text = f"All before {covers}."
        self.write(0, Summarized(text=text, covers_seq=covers, carries=tuple(carries)))

    def compact(self, choice: int) -> None:
        """As an agent does."""
        keep = Keep(tokens=choice * 20, turns=1, most_tokens=200, newest_tokens=choice * 60)
        cut = choose_cut(self.session, keep)
        if cut is None:
            return
        shown = [segment.turn for segment in self.session.transcript.segments()]
        text = f"All before {cut.covers_seq}."
        self.write(0, Summarized(text=text, covers_seq=cut.covers_seq, carries=cut.carries))
        left = [segment.turn for segment in self.session.transcript.segments()]
        assert left == [turn for turn in shown if turn not in cut.turns]
        answered = {event.turn for event in self.events if isinstance(event.body, ModelReplied)}
        newest = {turn: at for at, turn in enumerate(shown) if turn in answered}
        stays = newest.keys() - cut.turns - self.session.turns.keys()
        gone = [at for turn, at in newest.items() if turn in cut.turns]
        assert all(newest[turn] > max(gone, default=-1) for turn in stays)
        assert not set(cut.turns) & self.session.turns.keys()

    def may_ask(self, turn: Turn) -> bool:
        """A turn that was cut off in the middle of its calls is continued before any other."""
        others = [one for one in self.turns if one is not turn]
        return (
            not (turn.is_replied or turn.is_failed)
            and turn.has_results
            and all(one.is_at_rest or one.has_results for one in others)
        )

    def ask(self, turn: Turn, choice: int) -> None:
        if not self.may_ask(turn):
            return
        self.check(turn)
        turn.is_replied = True
        self.write(turn.id, self.reply(f"answer {turn.id}"), ReplySent(text="answer"))

    def call(self, turn: Turn, choice: int) -> None:
        if not self.may_ask(turn):
            return
        self.check(turn)
        calls = [Call(f"call{self.number + number}") for number in range(choice % 3 + 1)]
        self.number += len(calls)
        turn.calls += calls
        self.write(turn.id, self.reply("", [ToolCall(call.id, "act", {}) for call in calls]))

    def reply(self, text: str, calls: Sequence[ToolCall] = ()) -> ModelReplied:
        return ModelReplied(
            text=text, calls=calls, usage=Usage(), provider="p", model="m", finish="stop"
        )

    def start(self, turn: Turn, choice: int) -> None:
        for call in turn.calls:
            if call.may_run and not call.is_started:
                call.is_started = True
                key = OperationKey(call.id)
                self.write(turn.id, ToolStarted(call_id=call.id, tool="act", operation_key=key))
                return

    def finish(self, turn: Turn, choice: int) -> None:
        ready = [call for call in turn.calls if call.may_run]
        if ready:
            call = ready[choice % len(ready)]
            call.is_done = True
            self.write(turn.id, ToolFinished(call_id=call.id, tool="act", text=f"of {call.id}"))

    def request(self, turn: Turn, choice: int) -> None:
        for call in turn.calls:
            if call.may_run and not (call.is_started or call.is_asked):
                call.is_asked = True
                asked = ToolCall(call.id, "act", {})
                approval = ApprovalId(call.id)
                self.write(
                    turn.id, ApprovalRequested(approval_id=approval, call=asked, reason="why")
                )
                return

    def wait(self, turn: Turn, choice: int) -> None:
        waiting = [ApprovalId(call.id) for call in turn.calls if call.is_waiting]
        if waiting:
            text = "I have asked." if choice % 2 else ""
            self.write(turn.id, TurnWaiting(approval_ids=waiting, text=text))

    def decide(self, turn: Turn, choice: int) -> None:
        for call in turn.calls:
            if call.is_waiting:
                call.is_decided = True
                decided = ApprovalDecided(
                    approval_id=ApprovalId(call.id), is_approved=choice % 2 > 0, by="staff"
                )
                self.write(turn.id, decided)
                return

    def fail(self, turn: Turn, choice: int) -> None:
        turn.is_failed = not any(call.is_waiting for call in turn.calls)
        self.write(turn.id, TurnFailed(code="provider_unavailable", message="down"))

    def retry(self, turn: Turn, choice: int) -> None:
        """As an agent does: a message that is forgotten is read back first."""
        if turn.is_failed:
            turn.is_failed = False
            if not self.session.transcript.awaits(turn.id):
                events = self.needed(turn)
                self.session.empty()
                self.session.apply(events, {turn.id})
            self.write(turn.id, TurnRetried())

    def look(self, turn: Turn, choice: int) -> None:
        """A request that is made and comes to nothing: cancelled, or the provider is down."""
        if self.may_ask(turn):
            self.check(turn)

    def check(self, turn: Turn) -> None:
        transcript = self.session.transcript
        tail = transcript.tail(turn.id)
        check_accepted(tail)
        if not turn.calls:
            answers = [n for n, one in enumerate(tail) if one.role == "assistant" and one.text]
            since = max(answers, default=-1)
            assert f"message {turn.id}" in [message.text for message in tail[since + 1 :]]
        request = Request(prefix=Prefix("Be kind."), tail=tail, summary=transcript.summary)
        plain = Request(prefix=Prefix("Be kind."), tail=tuple(tail), summary=transcript.summary)
        kept = encode_body(request, HEAD, limit_field="max_tokens")
        assert kept == encode_body(plain, HEAD, limit_field="max_tokens")
        for events in (self.events, self.needed(turn)):
            again = Session(ConversationId("c"))
            again.apply(events)
            assert again.transcript.tail(turn.id) == tail
            assert again.transcript.summary == transcript.summary
            assert again.turns == self.session.turns
            assert again.seq == self.session.seq

    def needed(self, turn: Turn) -> list[Event]:
        """What is folded of a conversation that is read from its end, to go on with a turn."""
        first = needed_from(self.events) or 1
        if turn.id not in self.session.turns:  # it had failed: whoever tries it again reads it
            first = min(first, turn.id)
        return [event for event in self.events if event.seq >= first]


def check_accepted(tail: Sequence[Message]) -> None:
    """What the strictest providers ask of messages."""
    assert tail[-1].role in ("user", "tool")
    ids = [call.id for message in tail for call in message.calls]
    assert len(set(ids)) == len(ids)
    expected: list[str] = []
    for message in tail:
        if message.role == "tool":
            assert message.call_id == expected.pop(0)
            continue
        assert not expected
        expected = [call.id for call in message.calls]
        assert message.text or message.calls
    assert not expected


STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10)), max_size=60)


@settings(max_examples=1000, deadline=None)
@given(STEPS)
def test_any_history_is_accepted_and_read_again_the_same(steps: list[tuple[str, int]]) -> None:
    history = History()
    for action, choice in [("receive", 0), *steps]:
        history.act(action, choice)
    for turn in history.turns:
        history.retry(turn, 0)
    for turn in history.turns:
        if history.may_ask(turn):
            history.check(turn)


def test_an_effect_that_a_failed_turn_left_under_way_is_never_called_undone() -> None:
    """A model that is told "not done" calls again, under another operation key."""
    history = History()
    for action in ("receive", "call", "start", "fail", "receive"):
        history.act(action, 0)
    (placeholder,) = [
        message
        for message in history.session.transcript.tail(history.turns[1].id)
        if message.role == "tool"
    ]
    assert "not known whether" in placeholder.text
