"""The kinds of events, and how each is written.

An event is one immutable fact of a conversation, numbered from 1. What the model will see, what
a crash left open, what the dashboard shows and what a turn cost are all read from these.

A turn is named by the number (`seq`) of the message that opened it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aicore.records import ApprovalId, OperationKey, Principal, ToolCall, Usage

__all__ = [
    "CLOSING",
    "OPENING",
    "ApprovalDecided",
    "ApprovalRequested",
    "Body",
    "Event",
    "MessageReceived",
    "ModelReplied",
    "ReplySent",
    "Summarized",
    "ToolFinished",
    "ToolStarted",
    "TurnFailed",
    "TurnRetried",
    "TurnWaiting",
    "decode",
    "encode",
    "turn_left_open",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A message came in. `message_id` is the channel's own id, unique per channel, or None."""

    text: str
    principal: Principal
    channel: str = "api"
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied:
    """A provider answered; never asked again for this step."""

    text: str
    calls: Sequence[ToolCall]
    usage: Usage
    provider: str
    model: str
    finish: str
    state: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """The policy wants a person to decide on one exact call."""

    approval_id: ApprovalId
    call: ToolCall
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """A person decided. `by` is the principal, as text, e.g. `staff:ann`."""

    approval_id: ApprovalId
    is_approved: bool
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A call is about to be sent. Written before every effect; not for reads."""

    call_id: str
    tool: str
    operation_key: OperationKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A call has its result. Fields as in ToolResult; `call_id` as in the model's reply."""

    call_id: str
    tool: str
    text: str
    is_error: bool = False
    structured: Any = None
    outcome: str = "done"
    full_text: str | None = None
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaiting:
    """The turn ends for now; `text` is what the customer is told."""

    approval_ids: Sequence[ApprovalId]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySent:
    """The turn's final reply."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed:
    """The turn ended without a reply. `code` is the error's code, `message` for staff."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRetried:
    """A failed turn goes on because its message was delivered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarized:
    """`text` stands for all turns up to and including the event `covers_seq`."""

    text: str
    covers_seq: int


Body = (
    MessageReceived
    | ModelReplied
    | ApprovalRequested
    | ApprovalDecided
    | ToolStarted
    | ToolFinished
    | TurnWaiting
    | ReplySent
    | TurnFailed
    | TurnRetried
    | Summarized
)

OPENING: frozenset[type] = frozenset({MessageReceived, ApprovalDecided, TurnRetried})
"""After one of these its turn is open: a crash now must be continued."""

CLOSING: frozenset[type] = frozenset({TurnWaiting, ReplySent, TurnFailed})
"""After one of these its turn is at rest."""


def turn_left_open(bodies: Sequence[Body]) -> bool | None:
    """Tell whether a turn is open (True) or at rest (False) after these; None: as it was before.

    The rule of every store's index of open turns: the last opening or closing body decides.
    """
    for body in reversed(bodies):
        cls = type(body)
        if cls in CLOSING:
            return False
        if cls in OPENING:
            return True
    return None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a conversation.

    `seq` counts from 1 without gaps; `turn` is the seq of the turn's message (0: no turn);
    `at_ms` is milliseconds since 1970 UTC, by the clock of the store.
    """

    seq: int
    turn: int
    at_ms: int
    body: Body


_KINDS: dict[str, type[Any]] = {
    "message_received": MessageReceived,
    "model_replied": ModelReplied,
    "approval_requested": ApprovalRequested,
    "approval_decided": ApprovalDecided,
    "tool_started": ToolStarted,
    "tool_finished": ToolFinished,
    "turn_waiting": TurnWaiting,
    "reply_sent": ReplySent,
    "turn_failed": TurnFailed,
    "turn_retried": TurnRetried,
    "summarized": Summarized,
}
_NAMES = {cls: kind for kind, cls in _KINDS.items()}
_FIELDS: dict[type[Any], tuple[str, ...]] = {cls: tuple(cls.__dataclass_fields__) for cls in _NAMES}


def _call_to_json(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _call_from_json(value: Mapping[str, Any]) -> ToolCall:
    return ToolCall(value["id"], value["name"], value["arguments"])


def _usage_to_json(usage: Usage) -> dict[str, Any]:
    return {
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "output": usage.output_tokens,
        "cost_usd": None if usage.cost_usd is None else str(usage.cost_usd),
        "reported": usage.is_reported,
    }


def _usage_from_json(value: Mapping[str, Any]) -> Usage:
    cost = value["cost_usd"]
    return Usage(
        input_tokens=value["input"],
        cached_tokens=value["cached"],
        output_tokens=value["output"],
        cost_usd=None if cost is None else Decimal(cost),
        is_reported=value["reported"],
    )


def encode(body: Body) -> tuple[str, str]:
    """Give (kind, JSON text) of a body, for a store to keep."""
    cls = type(body)
    data = {name: getattr(body, name) for name in _FIELDS[cls]}
    if isinstance(body, MessageReceived):
        data["principal"] = [body.principal.kind, body.principal.id]
    elif isinstance(body, ModelReplied):
        data["calls"] = [_call_to_json(call) for call in body.calls]
        data["usage"] = _usage_to_json(body.usage)
    elif isinstance(body, ApprovalRequested):
        data["call"] = _call_to_json(body.call)
    return _NAMES[cls], json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def decode(kind: str, text: str) -> Body:
    """Rebuild a body from what `encode` gave.

    Raises: KeyError for a kind this version does not know.
    """
    cls = _KINDS[kind]
    data = json.loads(text)
    if cls is MessageReceived:
        data["principal"] = Principal(*data["principal"])
    elif cls is ModelReplied:
        data["calls"] = tuple(_call_from_json(call) for call in data["calls"])
        data["usage"] = _usage_from_json(data["usage"])
    elif cls is ApprovalRequested:
        data["call"] = _call_from_json(data["call"])
    elif cls is TurnWaiting:
        data["approval_ids"] = tuple(data["approval_ids"])
    body: Body = cls(**data)
    return body
