"""The kinds of events, and how each is written.

An event is one immutable fact of a conversation, numbered from 1. What the model will see, what
a crash left open, what the dashboard shows and what a turn cost are all read from these.

A turn is named by the number (`seq`) of the message that opened it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aicore.records import ApprovalId, DataClass, OperationKey, Principal, ToolCall, Usage

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
    """A provider answered; never asked again for this step.

    `price` is what the usage was charged at, and `route` how a router came to this provider, both
    plain JSON (Price and Route of `aicore.models`). `data_class` is the highest of anything that
    was in the request; None in logs of before it was kept.
    """

    text: str
    calls: Sequence[ToolCall]
    usage: Usage
    provider: str
    model: str
    finish: str
    state: Any = None
    price: Any = None
    route: Any = None
    data_class: DataClass | None = None


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
    """The turn ended without a reply. `code` is the error's code, `message` for staff.

    `route`: whom a router had asked in vain, as in ModelReplied.
    """

    code: str
    message: str
    route: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRetried:
    """A failed turn goes on because its message was delivered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarized:
    """`text` stands for the turns up to the event `covers_seq`, but for those in `carries`.

    `carries` are turns that began up to there and stay in view: at least every one that was open
    or waited for a person. `digest` is what the next summary takes over from this one, plain
    JSON. `provider` made the text, "" if it was made by rule; `usage` is what that took, `model`,
    `price`, `route` and `data_class` as in ModelReplied.
    """

    text: str
    covers_seq: int
    carries: Sequence[int] = ()
    digest: Any = None
    provider: str = ""
    usage: Usage | None = None
    model: str = ""
    price: Any = None
    route: Any = None
    data_class: DataClass | None = None


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
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}


def _call_from_json(value: Mapping[str, Any]) -> ToolCall:
    return ToolCall(value["id"], value["name"], value["arguments"])


def _fields_of(body: Any) -> dict[str, Any]:
    return {name: getattr(body, name) for name in _FIELDS[type(body)]}


def _message_to_json(body: MessageReceived) -> dict[str, Any]:
    return _fields_of(body) | {"principal": [body.principal.kind, body.principal.id]}


def _message_from_json(data: dict[str, Any]) -> MessageReceived:
    data["principal"] = Principal(*data["principal"])
    return MessageReceived(**data)


def _reply_to_json(body: ModelReplied) -> dict[str, Any]:
    data = _fields_of(body)
    data["calls"] = [_call_to_json(call) for call in body.calls]
    data["usage"] = body.usage.to_json()
    return data


def _reply_from_json(data: dict[str, Any]) -> ModelReplied:
    data["calls"] = tuple([_call_from_json(call) for call in data["calls"]])
    data["usage"] = Usage.from_json(data["usage"])
    return ModelReplied(**data)


def _request_to_json(body: ApprovalRequested) -> dict[str, Any]:
    return _fields_of(body) | {"call": _call_to_json(body.call)}


def _request_from_json(data: dict[str, Any]) -> ApprovalRequested:
    data["call"] = _call_from_json(data["call"])
    return ApprovalRequested(**data)


def _summary_to_json(body: Summarized) -> dict[str, Any]:
    data = _fields_of(body)
    if body.usage is not None:
        data["usage"] = body.usage.to_json()
    return data


def _summary_from_json(data: dict[str, Any]) -> Summarized:
    data["carries"] = tuple(data.get("carries", ()))
    if data.get("usage") is not None:
        data["usage"] = Usage.from_json(data["usage"])
    return Summarized(**data)


def _waiting_from_json(data: dict[str, Any]) -> TurnWaiting:
    data["approval_ids"] = tuple(data["approval_ids"])
    return TurnWaiting(**data)


# Kinds whose fields are not all plain JSON; the others are written field by field.
_TO_JSON: dict[type[Any], Callable[[Any], dict[str, Any]]] = {
    MessageReceived: _message_to_json,
    ModelReplied: _reply_to_json,
    ApprovalRequested: _request_to_json,
    Summarized: _summary_to_json,
}
_FROM_JSON: dict[str, Callable[[dict[str, Any]], Body]] = {
    "message_received": _message_from_json,
    "model_replied": _reply_from_json,
    "approval_requested": _request_from_json,
    "turn_waiting": _waiting_from_json,
    "summarized": _summary_from_json,
}
_to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_to_ascii = json.JSONEncoder(separators=(",", ":")).encode
_from_text = json.JSONDecoder().decode


def encode(body: Body) -> tuple[str, str]:
    """Give (kind, JSON text) of a body, for a store to keep.

    The text is always valid UTF-8: a lone surrogate, which Python allows in text and UTF-8 does
    not, is escaped, and `decode` gives it back. (Two that form a pair become the one character
    they mean.)

    Raises: TypeError and ValueError for arguments or results that are not JSON.
    """
    cls = type(body)
    data = _TO_JSON.get(cls, _fields_of)(body)
    text = _to_text(data)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = _to_ascii(data)
    return _NAMES[cls], text


def decode(kind: str, text: str) -> Body:
    """Rebuild a body from what `encode` gave.

    Raises: KeyError for a kind this version does not know; KeyError, TypeError or ValueError for
    a text that is damaged or has fields of a newer version.
    """
    cls = _KINDS[kind]
    data = _from_text(text)
    rebuild = _FROM_JSON.get(kind)
    if rebuild is not None:
        return rebuild(data)
    body: Body = cls(**data)
    return body
