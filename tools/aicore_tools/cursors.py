"""Cursors of lists: a place in the rows of one question, refused by any other."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from aicore_tools.errors import InvalidInput

__all__ = ["damaged", "pack", "rebound", "unpack"]


def pack(question: object, place: Any) -> str:
    """Give the text of a cursor.

    `question` is all that decides which rows there are and in which order, but neither cursor nor
    page size; anything whose `repr` tells one question from another. `place` is plain JSON.
    """
    text = json.dumps([_named(question), place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(question: object, cursor: str) -> Any:
    """Give the place that was packed for this question.

    Raises:
        InvalidInput: it is no cursor, or one of another question.
    """
    named, place = _decoded(cursor)
    if named != _named(question):
        raise InvalidInput(
            "cursor: it belongs to another call.",
            hint="Repeat the call it came from, changed in nothing but cursor and limit.",
        )
    return place


def rebound(cursor: str, question: object) -> str:
    """Give a cursor that was kept inside another to a question that asks for the same rows.

    Raises:
        InvalidInput: it is no cursor.
    """
    return pack(question, _decoded(cursor)[1])


def damaged() -> InvalidInput:
    """Make the error for a cursor that holds no place of whoever reads it."""
    return InvalidInput(
        "cursor: that is none of ours.", hint="Give next_cursor as it was, or leave it out."
    )


def _decoded(cursor: str) -> tuple[str, Any]:
    try:
        decoded = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise damaged() from None
    match decoded:
        case [str(named), place]:
            return named, place
    raise damaged()


def _named(question: object) -> str:
    return hashlib.sha256(repr(question).encode()).hexdigest()[:12]
