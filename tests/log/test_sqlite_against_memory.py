"""The log in a file does what the log in memory does, over any history."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from aicore.errors import AicoreError
from aicore.log import Claim, EventLog, MemoryLog, SQLiteLog
from aicore.log.events import (
    CLOSING,
    ApprovalDecided,
    Body,
    MessageReceived,
    ReplySent,
    ToolStarted,
    TurnFailed,
    TurnRetried,
    TurnWaiting,
)
from aicore.records import ApprovalId, ConversationId, OperationKey, Principal

Claims = tuple[Claim, Claim]
CONVERSATIONS = tuple(ConversationId(name) for name in ("web:1", "web:2"))
WORKING = st.builds(
    ToolStarted, call_id=st.text(), tool=st.text(), operation_key=st.just(OperationKey("k"))
)
REOPENING = st.just(TurnRetried()) | st.builds(
    ApprovalDecided,
    approval_id=st.just(ApprovalId("a")),
    is_approved=st.booleans(),
    by=st.just("staff:ann"),
)
RESTING = (
    st.builds(ReplySent, text=st.text())
    | st.builds(TurnFailed, code=st.text(), message=st.text())
    | st.builds(TurnWaiting, approval_ids=st.just(()), text=st.text())
)
MESSAGES = st.builds(
    MessageReceived,
    text=st.text(),
    principal=st.just(Principal("customer", "ann")),
    channel=st.sampled_from(["sms", "mail"]),
    message_id=st.none() | st.sampled_from(["", "1", "2", "3\0"]),
)


class TwoLogs(RuleBasedStateMachine):
    """Does everything to both, and compares."""

    claims: Bundle[Claims] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.sqlite = SQLiteLog(Path(self.folder.name, "log.db"))
        self.memory = MemoryLog()
        self.run(self.sqlite.__aenter__())
        self.run(self.memory.__aenter__())

    def teardown(self) -> None:
        self.run(self.sqlite.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def both(self, method: str, *arguments: Any) -> Any:
        """The outcome of a call, the same in both logs."""
        ours, model = (self.outcome(log, method, arguments) for log in (self.sqlite, self.memory))
        assert ours == model
        return ours

    def both_with(self, method: str, claim: Claims, *arguments: Any) -> Any:
        """The same for a call with a claim: each log gets its own, as births differ."""
        ours = self.outcome(self.sqlite, method, (claim[0], *arguments))
        model = self.outcome(self.memory, method, (claim[1], *arguments))
        assert ours == model
        return ours, model

    def outcome(self, log: EventLog, method: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return self.run(getattr(log, method)(*arguments))
        except AicoreError as exc:
            return type(exc)

    @rule(conversation=st.sampled_from(CONVERSATIONS), message=MESSAGES)
    def receive(self, conversation: ConversationId, message: MessageReceived) -> None:
        self.both("receive", conversation, message)

    @rule(target=claims, conversation=st.sampled_from(CONVERSATIONS))
    def claim(self, conversation: ConversationId) -> Any:
        return tuple(self.run(log.claim(conversation)) for log in (self.sqlite, self.memory))

    @rule(
        target=claims,
        claim=claims,
        data=st.data(),
        work=st.lists(WORKING, max_size=2),
        rest=st.lists(RESTING, max_size=1),
    )
    def append(self, claim: Claims, data: Any, work: list[Body], rest: list[Body]) -> Any:
        """Go on with a turn as an agent does: one at rest is opened again first."""
        events = self.run(self.memory.read(claim[0].conversation))
        turns = sorted({event.turn for event in events}) or [1]
        turn = data.draw(st.sampled_from(turns), label="turn")
        last = [type(event.body) for event in events if event.turn == turn][-1:]
        opening = [data.draw(REOPENING)] if set(last) & CLOSING or not last else []
        outcome = self.both_with("append", claim, turn, [*opening, *work, *rest])
        return outcome if isinstance(outcome[0], Claim) else claim

    @rule(claim=consumes(claims))
    def release(self, claim: Claims) -> None:
        self.both_with("release", claim)

    @rule(claim=claims)
    def erase(self, claim: Claims) -> None:
        self.both_with("erase", claim)

    @invariant()
    def same_conversations(self) -> None:
        ours, model = (
            [(one.conversation, one.head, one.epoch) for one in self.run(log.conversations())]
            for log in (self.sqlite, self.memory)
        )
        assert ours == model

    @rule()
    def reopen(self) -> None:
        self.run(self.sqlite.__aexit__(None, None, None))
        self.run(self.sqlite.__aenter__())

    @invariant()
    def same_events(self) -> None:
        for conversation in CONVERSATIONS:
            ours, model = (
                [(e.seq, e.turn, e.body) for e in self.run(log.read(conversation))]
                for log in (self.sqlite, self.memory)
            )
            assert ours == model
            assert [seq for seq, *_ in ours] == list(range(1, len(ours) + 1))

    @invariant()
    def open_turns_are_those_whose_last_event_does_not_close(self) -> None:
        defined = set()
        for conversation in CONVERSATIONS:
            last = {e.turn: e.body for e in self.run(self.memory.read(conversation))}
            defined |= {(conversation, t) for t, body in last.items() if type(body) not in CLOSING}
        for log in (self.sqlite, self.memory):
            turns = [(turn.conversation, turn.turn) for turn in self.run(log.open_turns())]
            assert set(turns) == defined
            assert len(turns) == len(defined)


TwoLogs.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, database=None
)
test_any_history = TwoLogs.TestCase
