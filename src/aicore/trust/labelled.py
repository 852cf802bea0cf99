"""Personal values by where they come from: fields that a tool's server says hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from email.utils import getaddresses
from typing import Any

from aicore.records import Message, Tool

__all__ = ["labelled_in", "labelled_values"]

_DEEPEST = 12
_LONGEST = 200
_SHORTEST = 2


def labelled_values(structured: Any, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give (kind, value) of every field of a tool's result that `fields` names, at any depth.

    A PARTY, as in `Ann Lee <ann@example.com>`, gives a NAME and an EMAIL, or one of them, of each
    that is named. Whole numbers are values too.
    """
    if fields:
        yield from _walk(structured, fields, "", 0)


def labelled_in(tail: Sequence[Message], tools: Sequence[Tool]) -> Iterator[tuple[str, str]]:
    """The same of all results in a transcript, by the tools that gave them."""
    by_name = {tool.name: tool.personal_fields for tool in tools if tool.personal_fields}
    called: dict[str, str] = {}
    for message in tail:
        called |= {call.id: call.name for call in message.calls}
        fields = by_name.get(called.get(message.call_id, "")) if message.role == "tool" else None
        if fields and message.structured is not None:
            yield from labelled_values(message.structured, fields)


def _walk(
    value: Any, fields: Mapping[str, str], kind: str, depth: int
) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            # A record under a labelled name is not one value; its own fields are labelled.
            inner = fields.get(str(key), "")
            yield from _walk(one, fields, inner, depth + 1)
    elif isinstance(value, str):
        if kind:
            yield from _of_kind(kind, value.strip())
    elif isinstance(value, Sequence):
        for one in value:
            yield from _walk(one, fields, kind, depth + 1)
    elif kind and isinstance(value, int) and not isinstance(value, bool):
        yield from _of_kind(kind, str(value))


def _of_kind(kind: str, value: str) -> Iterator[tuple[str, str]]:
    found = _of_party(value) if kind == "PARTY" else [(kind, value)]
    for one, text in found:
        if _SHORTEST <= len(text) <= _LONGEST:
            yield one, text


def _of_party(value: str) -> list[tuple[str, str]]:
    people = [(name, address) for name, address in getaddresses([value]) if "@" in address]
    if people:
        return [
            one for name, address in people for one in (("NAME", name.strip()), ("EMAIL", address))
        ]
    # A name alone; what has digits is a time or a number.
    return [] if any(map(str.isdigit, value)) else [("NAME", value)]
