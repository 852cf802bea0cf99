"""A conversation as a provider reads it, folded from events, append-only.

Whatever the events, and in whatever order turns interleave, the result is one that any provider
accepts, with a stable prefix:

- a customer's message appears where its turn begins, not where it arrived in the middle of
  another turn; it appears again when the turn goes on after somebody else was answered;
- every call is followed by exactly one result. A call that waits for approval, or was cut off,
  gets a placeholder; its true result later appears as a second call and result of its own (a
  customer can forge text, but never that);
- nothing that was once shown is changed, except by a summary. That takes whole segments away
  (a segment is what one turn showed without another in between), never part of one; turns that
  it carries stay, so that what comes late finds its call.

Only events change a transcript, so one that was kept and one that is read from the log again
are the same.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from aicore.agent.tokens import estimate_message
from aicore.log.events import (
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnWaiting,
)
from aicore.records import Message, Tail, ToolCall

__all__ = ["Segment", "Transcript", "has_left", "short_id"]

_WAITS = "Not done yet: a colleague must approve this call first. The outcome will follow."
_STOPPED = "Not finished: the turn was stopped. Do not assume that it was done."
_IN_DOUBT = (
    "It is not known whether this was done: the turn was stopped while it was under way. Do not "
    "repeat it: look up first what happened, or ask a colleague."
)


def short_id(identity: str) -> str:
    """An id of nine letters and digits, always the same for the same identity."""
    digest = hashlib.sha256(identity.encode()).digest()
    # Two letters stand for more than one value each, which costs nothing that matters here.
    return base64.b64encode(digest, b"Aa")[:9].decode("ascii")


class _Round:
    """One model reply's calls, until each has a result."""

    def __init__(self, turn: int, calls: Sequence[ToolCall]) -> None:
        self.turn = turn
        self.calls = calls
        self.started: set[str] = set()
        self.results: dict[str, Message] = {}


class Segment(NamedTuple):
    """What one turn showed without another in between.

    `seq` is the event that began it, `at` and `end` are indices of messages. Calls and their
    results are never in different segments.
    """

    seq: int
    turn: int
    at: int
    end: int


class Transcript:
    """Messages in the order a provider reads them, and the summary before them.

    `summarized` is the event that the summary comes from; `tokens` is about how many the
    messages have, `summary_tokens` those of the summary.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.summary: Message | None = None
        self.summarized: Summarized | None = None
        self.tokens = 0
        self.summary_tokens = 0
        self._seq = 0
        self._joined: dict[str, tuple[int, bytes]] = {}
        self._ahead: Message | None = None
        self._unanswered: dict[int, Message] = {}
        self._shown: set[int] = set()
        self._in_view: set[int] = set()
        self._starts: list[tuple[int, int, int]] = []
        self._round: _Round | None = None
        self._placeheld: dict[str, ToolCall] = {}

    def tail(self, turn: int) -> Tail:
        """The messages that a model is sent to go on with `turn`, one that has no reply yet."""
        opening = self._opening(turn)
        if opening is not self._ahead and self._ahead is not None:
            self._joined = {}
        self._ahead = opening
        if opening is None:
            return Tail(self.messages, self._joined)
        return Tail((*self.messages, opening), self._joined)

    def awaits(self, turn: int) -> bool:
        """Whether the message of a turn is here, for it to go on."""
        return turn in self._unanswered

    def segments(self) -> list[Segment]:
        """The messages by turn, in the order in which they are shown."""
        bounds = [*(at for _, _, at in self._starts), len(self.messages)]
        ends = bounds[1:]
        return [Segment(*start, end) for start, end in zip(self._starts, ends, strict=True)]

    def apply(self, event: Event, retried: Collection[int] = ()) -> None:
        """Take in the next event of the conversation.

        Messages without an answer that a summary takes out of view are forgotten, but for those
        of `retried` turns, which go on later.
        """
        body = event.body
        self._seq = event.seq
        if isinstance(body, MessageReceived):
            self._unanswered[event.turn] = Message(role="user", text=body.text)
            return
        if isinstance(body, Summarized):
            self._summarize(body, retried)
            return
        if self._round is not None and self._round.turn != event.turn:
            self._settle(_STOPPED)
        if isinstance(body, ModelReplied):
            self._replied(event, body)
        elif isinstance(body, ToolStarted | ToolFinished):
            self._called(event.turn, body)
        elif isinstance(body, TurnWaiting):
            self._settle(_WAITS)
            if body.text:
                self._show(event.turn, Message(role="assistant", text=body.text))
        elif isinstance(body, TurnFailed):
            self._failed(event)
        elif isinstance(body, ReplySent):
            self._unanswered.pop(event.turn, None)
            self._shown.discard(event.turn)

    def _show(self, turn: int, *messages: Message) -> None:
        if self._ahead is not None and messages[0] is not self._ahead:
            self._joined = {}
        self._ahead = None
        if not self._starts or self._starts[-1][1] != turn:
            self._starts.append((self._seq, turn, len(self.messages)))
        self.messages.extend(messages)
        self.tokens += sum(map(estimate_message, messages))

    def _opening(self, turn: int) -> Message | None:
        """The turn's message, where a model would not see it, or not since its last answer."""
        is_seen = turn in self._in_view and self.messages[-1].role != "assistant"
        return None if is_seen else self._unanswered.get(turn)

    def _begin(self, event: Event) -> None:
        opening = self._opening(event.turn)
        if opening is not None:
            self._shown.add(event.turn)
            self._in_view.add(event.turn)
            self._show(event.turn, opening)

    def _replied(self, event: Event, body: ModelReplied) -> None:
        self._settle(_STOPPED)
        self._begin(event)
        self._show(
            event.turn,
            Message(
                role="assistant",
                text=body.text,
                calls=body.calls,
                provider=body.provider,
                state=body.state,
            ),
        )
        self._in_view = {event.turn}
        if body.calls:
            self._round = _Round(event.turn, body.calls)

    def _failed(self, event: Event) -> None:
        self._settle(_STOPPED)
        if event.turn not in self._shown:
            self._begin(event)

    def _called(self, turn: int, body: ToolStarted | ToolFinished) -> None:
        if isinstance(body, ToolFinished):
            self._finished(turn, body)
        elif self._round is not None:
            self._round.started.add(body.call_id)

    def _finished(self, turn: int, body: ToolFinished) -> None:
        late = self._placeheld.pop(body.call_id, None)
        if late is not None:
            call_id = short_id(f"{late.id} again")
            again = ToolCall(call_id, late.name, late.arguments)
            self._settle(_STOPPED)
            self._show(turn, Message(role="assistant", calls=(again,)), _result(body, call_id))
            self._in_view.add(turn)
        elif self._round is not None:
            self._round.results[body.call_id] = _result(body, body.call_id)
            if len(self._round.results) == len(self._round.calls):
                self._close_round(self._round)

    def _settle(self, placeholder: str) -> None:
        """Give every call without a result a placeholder, so that none is orphaned."""
        if self._round is None:
            return
        for call in self._round.calls:
            if call.id not in self._round.results:
                text = _IN_DOUBT if call.id in self._round.started else placeholder
                self._placeheld[call.id] = call
                self._round.results[call.id] = Message(
                    role="tool", call_id=call.id, text=text, is_error=True
                )
        self._close_round(self._round)

    def _close_round(self, closed: _Round) -> None:
        self._show(closed.turn, *(closed.results[call.id] for call in closed.calls))
        self._round = None

    def _summarize(self, body: Summarized, retried: Collection[int]) -> None:
        self._settle(_STOPPED)
        messages: list[Message] = []
        starts = []
        for seq, turn, at, end in self.segments():
            if seq > body.covers_seq or turn in body.carries:
                starts.append((seq, turn, len(messages)))
                messages += self.messages[at:end]
        self.messages = messages
        self.tokens = sum(map(estimate_message, messages))
        self._starts = starts
        self._joined = {}
        self._shown.intersection_update(turn for _, turn, _ in starts)
        self._in_view &= self._shown
        for turn in [one for one in self._unanswered if has_left(one, body, retried)]:
            del self._unanswered[turn]
        self.summarized = body
        self.summary = Message(role="user", text=body.text)
        self.summary_tokens = estimate_message(self.summary)


def has_left(turn: int, body: Summarized, retried: Collection[int]) -> bool:
    """Whether a summary ends the part of a turn that has no reply, as far as is known."""
    return turn <= body.covers_seq and turn not in body.carries and turn not in retried


def _result(body: ToolFinished, call_id: str) -> Message:
    return Message(
        role="tool",
        call_id=call_id,
        text=body.text,
        is_error=body.is_error,
        structured=body.structured,
    )
