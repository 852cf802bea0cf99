"""What callers get back: a Reply, or a stream of typed events that ends in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aicore.models.port import TextDelta
from aicore.records import ApprovalId, ToolCall, ToolResult, Usage

__all__ = [
    "CallFinished",
    "CallRecord",
    "CallStarted",
    "Replied",
    "Reply",
    "StreamEvent",
    "TextDelta",
    "Waiting",
]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A tool call of the turn with its result; `result` is None while it waits for approval."""

    call: ToolCall
    result: ToolResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a turn came out.

    `text` is everything said to the customer in the turn, paragraphs in order. `calls` are all
    calls in the order the model made them. `waiting` names the approvals the turn waits for;
    empty when it is finished. `turn` is the turn's number, for looking it up in the log.
    """

    text: str
    calls: Sequence[CallRecord] = ()
    usage: Usage = Usage()  # noqa: RUF009  frozen, so sharing one is safe
    waiting: Sequence[ApprovalId] = ()
    turn: int = 0


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call passed the policy and is being sent."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call has its result; calls refused before sending have only this event."""

    call: ToolCall
    result: ToolResult


@dataclass(frozen=True, slots=True)
class Waiting:
    """The turn stops here until `Agent.decide` is called for each approval."""

    approvals: Sequence[ApprovalId]


@dataclass(frozen=True, slots=True)
class Replied:
    """The last event of every stream."""

    reply: Reply


StreamEvent = TextDelta | CallStarted | CallFinished | Waiting | Replied
