"""A conversation as a provider reads it, folded from events, append-only.

Three rules make every transcript one that any provider accepts, and keep its prefix stable:

- a customer's message appears where its turn begins, not where it arrived in the middle of
  another turn;
- every call is followed by exactly one result. A call that waits for approval, or was cut off
  by a failed turn, gets a placeholder; its true result later appears as a second call and
  result of its own (a customer can forge text, but never that);
- nothing that was once shown is changed, except by a summary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from aicore.log.events import (
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    TurnFailed,
    TurnWaiting,
)
from aicore.records import Message, Tail, ToolCall

__all__ = ["Transcript", "short_id"]

_WAITS = "Not done yet: a colleague must approve this call first. The outcome will follow."
_STOPPED = "Not finished: the turn was stopped. Do not assume that it was done."


def short_id(identity: str) -> str:
    """An id of nine letters and digits, always the same for the same identity."""
    return hashlib.sha256(identity.encode()).hexdigest()[:9]


class _Round:
    """One model reply's calls, until each has a result."""

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self.calls = calls
        self.results: dict[str, Message] = {}


class Transcript:
    """Messages in the order a provider reads them, and the summary before them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.summary: Message | None = None
        self._joined: dict[str, tuple[int, bytes]] = {}
        self._arrived: dict[int, str] = {}
        self._round: _Round | None = None
        self._placeheld: dict[str, ToolCall] = {}
        self._turn_starts: list[tuple[int, int]] = []

    def tail(self) -> Tail:
        """The messages so far, for a request."""
        return Tail(self.messages, self._joined)

    def begin(self, turn: int) -> None:
        """Show the message that opened `turn`, if it is not shown yet."""
        text = self._arrived.pop(turn, None)
        if text is not None:
            self._turn_starts.append((turn, len(self.messages)))
            self.messages.append(Message(role="user", text=text))

    def apply(self, event: Event) -> None:
        """Take in the next event of the conversation."""
        body = event.body
        if isinstance(body, MessageReceived):
            self._arrived[event.turn] = body.text
            return
        if isinstance(body, Summarized):
            self._summarize(body)
            return
        self.begin(event.turn)
        if isinstance(body, ModelReplied):
            self._replied(body)
        elif isinstance(body, ToolFinished):
            self._finished(body)
        elif isinstance(body, TurnWaiting):
            self._settle(_WAITS)
            if body.text:
                self.messages.append(Message(role="assistant", text=body.text))
        elif isinstance(body, TurnFailed):
            self._settle(_STOPPED)
        elif isinstance(body, ReplySent):
            self._round = None

    def _replied(self, body: ModelReplied) -> None:
        self.messages.append(
            Message(
                role="assistant",
                text=body.text,
                calls=body.calls,
                provider=body.provider,
                state=body.state,
            )
        )
        self._round = _Round(body.calls) if body.calls else None

    def _finished(self, body: ToolFinished) -> None:
        result = Message(
            role="tool",
            call_id=body.call_id,
            text=body.text,
            is_error=body.is_error,
            structured=body.structured,
        )
        late = self._placeheld.pop(body.call_id, None)
        if late is not None:
            self._show_late(late, result)
        elif self._round is not None:
            self._round.results[body.call_id] = result
            self._close_round()

    def _show_late(self, call: ToolCall, result: Message) -> None:
        again = ToolCall(short_id(f"{call.id} again"), call.name, call.arguments)
        self.messages.append(Message(role="assistant", calls=(again,)))
        self.messages.append(
            Message(
                role="tool",
                call_id=again.id,
                text=result.text,
                is_error=result.is_error,
                structured=result.structured,
            )
        )

    def _close_round(self) -> None:
        if self._round is None or len(self._round.results) < len(self._round.calls):
            return
        self.messages.extend(self._round.results[call.id] for call in self._round.calls)
        self._round = None

    def _settle(self, placeholder: str) -> None:
        """Give every call without a result a placeholder, so that none is orphaned."""
        if self._round is None:
            return
        for call in self._round.calls:
            if call.id not in self._round.results:
                self._placeheld[call.id] = call
                self._round.results[call.id] = Message(
                    role="tool", call_id=call.id, text=placeholder, is_error=True
                )
        self._close_round()

    def _summarize(self, body: Summarized) -> None:
        first_kept = next(
            (at for turn, at in self._turn_starts if turn > body.covers_seq), len(self.messages)
        )
        del self.messages[:first_kept]
        self._joined = {}
        self._turn_starts = [
            (turn, at - first_kept) for turn, at in self._turn_starts if turn > body.covers_seq
        ]
        self.summary = Message(role="user", text=body.text)
