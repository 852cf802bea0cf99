"""What happened since our last answer, read from the transcript alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aicore.records import Message, ToolCall

__all__ = ["Since", "read_tail"]

# The transcript's placeholder for a call that a person must approve first.
_WAITS = "Not done yet:"


@dataclass(frozen=True, slots=True)
class Since:
    """Our last `state`, the `result` of its call if there is one, and what the customer typed.

    `text` is None when nothing was typed since. `is_waiting`: the call waits for an approval.
    """

    state: Any
    result: Message | None = None
    text: str | None = None
    is_waiting: bool = False


def read_tail(tail: Sequence[Message], name: str) -> Since:
    """Read a transcript: messages of ours are those whose `provider` is `name`."""
    ours = [at for at, one in enumerate(tail) if one.role == "assistant" and one.provider == name]
    last = ours[-1] if ours else -1
    state = tail[last].state if ours else None
    text = _typed(tail, last)
    wait = state.get("wait") if isinstance(state, dict) else None
    if wait not in ("call", "handoff"):
        return Since(state, text=text)
    called = next((at for at in reversed(ours) if tail[at].calls), None)
    if called is None:
        return Since(state, text=text)
    result = _result(tail[called + 1 :], tail[called].calls[0])
    if result is not None and _is_placeholder(result):
        return Since(state, text=text, is_waiting=True)
    if text is not None and text == _asked_before(tail, called):
        text = None  # shown again because its turn goes on; it was heard before the call
    return Since(state, result=result, text=text)


def _asked_before(tail: Sequence[Message], called: int) -> str | None:
    return next((one.text for one in reversed(tail[:called]) if one.role == "user"), None)


def _typed(tail: Sequence[Message], last: int) -> str | None:
    """What the customer typed after the last thing that was said to them.

    When another provider was called in between and stopped in the middle of its work, the
    message it was working on is taken up.
    """
    since = tail[last + 1 :]
    answered = next(
        (at for at in range(len(since) - 1, -1, -1) if since[at].role == "assistant"), -1
    )
    texts = [one.text for one in since[answered + 1 :] if one.role == "user"]
    if not texts and answered >= 0 and since[answered].calls and since[answered].provider:
        texts = [one.text for one in since if one.role == "user"][-1:]
    return "\n".join(texts) if texts else None


def _result(after: Sequence[Message], call: ToolCall) -> Message | None:
    """A call's result; where it came late, it belongs to the same call shown once more."""
    ids = {call.id}
    for message in after:
        if message.role == "assistant" and not message.provider:
            ids |= {one.id for one in message.calls if _is_same(one, call)}
    results = [one for one in after if one.role == "tool" and one.call_id in ids]
    return results[-1] if results else None


def _is_same(one: ToolCall, other: ToolCall) -> bool:
    return one.name == other.name and one.arguments == other.arguments


def _is_placeholder(result: Message) -> bool:
    return result.is_error and result.structured is None and result.text.startswith(_WAITS)
