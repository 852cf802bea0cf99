"""What an Anthropic model thought, kept with its answer and given back unchanged.

Thinking is signed. Claude's newer models refuse it (HTTP 400) as soon as anything in front of it
is not what it was when they thought so: tools, system, an earlier message, the volatile text at
the end of that request, or an earlier thought that is missing
(https://platform.claude.com/docs/en/build-with-claude/preserved-thinking). Requests without any
thinking are always taken. So each answer keeps the volatile text it followed, which goes back to
its place, and a digest of all that was in front: thinking goes back only where that is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from aicore.errors import ModelError
from aicore.models.port import Request
from aicore.records import Message

__all__ = ["THINKING_TYPES", "Layout", "Thinking", "is_thinking_refused", "without_thinking"]

THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})

_REFUSED = re.compile(
    r"signature\W{1,5}in\W{1,5}thinking|bound to a different conversation"
    r"|thinking\W.{0,80}cannot be modified",
    re.IGNORECASE,
)

Layout = tuple[Mapping[str, Any] | int | None, ...]
"""An answer's blocks in order: thinking as it came, a number of characters of its text, or None
for its next call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """An answer's thinking. `after` is the digest of what it followed, `context` included."""

    after: str
    context: str
    layout: Layout

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for `Completion.state`."""
        return {"after": self.after, "context": self.context, "layout": list(self.layout)}

    @classmethod
    def of(cls, message: Message, provider: str) -> Self | None:
        """Read it from a message; None where there is none, or none of this provider."""
        state = message.state
        if message.provider != provider or not isinstance(state, dict):
            return None
        after, context, layout = (state.get(key) for key in ("after", "context", "layout"))
        if not isinstance(after, str) or not isinstance(context, str):
            return None
        if not isinstance(layout, list) or not _fits(layout, message):
            return None
        return cls(after=after, context=context, layout=tuple(layout))


def is_thinking_refused(error: ModelError, request: Request, provider: str) -> bool:
    """Tell whether a request failed by thinking that may have gone back with it.

    A signature is not valid for another model or account, which a name does not always tell.
    """
    has_some = any(Thinking.of(message, provider) for message in request.tail)
    return has_some and _REFUSED.search(str(error)) is not None


def without_thinking(request: Request) -> Request:
    """The same request without any state."""
    return replace(request, tail=[replace(one, state=None) for one in request.tail])


def _fits(layout: list[Any], message: Message) -> bool:
    thoughts = [part for part in layout if isinstance(part, dict)]
    texts = [part for part in layout if isinstance(part, int)]
    return (
        len(thoughts) + len(texts) + len(message.calls) == len(layout)
        and all(thought.get("type") in THINKING_TYPES for thought in thoughts)
        and all(size >= 0 for size in texts)
        and sum(texts) == len(message.text)
    )
