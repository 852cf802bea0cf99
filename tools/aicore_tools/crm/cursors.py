"""Cursors: a place in one query's rows, useless for any other query."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from aicore_tools.crm.records import Report, Search
from aicore_tools.errors import InvalidInput

__all__ = ["of_report", "of_search", "pack", "place_of", "unpack"]


def of_search(search: Search) -> str:
    """Name a search without its cursor and limit."""
    return _named(search.type, search.query, list(search.filters), search.sort)


def of_report(report: Report) -> str:
    """Name a report without its cursor, limit and time of asking."""
    return _named(report.kind, report.since, report.owner)


def pack(query: str, place: list[Any]) -> str:
    """Make the cursor of a place, plain JSON, in the rows of `query`."""
    text = json.dumps([query, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(query: str, cursor: str, *, length: int) -> list[Any]:
    """Give the place that was packed, `length` values.

    Raises:
        InvalidInput: it is no cursor, or one of another query.
    """
    place = _decoded(cursor)
    if len(place) != length + 1:
        raise _damaged()
    if place[0] != query:
        raise InvalidInput(
            "This cursor belongs to another query.",
            hint="Repeat the call it came from, changed in nothing but cursor and limit.",
        )
    return place[1:]


def place_of(cursor: str) -> list[Any]:
    """Give the place of a cursor that is kept inside another, whatever its query was.

    Raises:
        InvalidInput: it is no cursor.
    """
    return _decoded(cursor)[1:]


def _decoded(cursor: object) -> list[Any]:
    try:
        text = str(cursor)
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if not isinstance(place, list) or not place or not isinstance(place[0], str):
        raise _damaged()
    return place


def _damaged() -> InvalidInput:
    return InvalidInput(
        "This is no cursor of this server.", hint="Give next_cursor as it was, or leave it out."
    )


def _named(*asked: Any) -> str:
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
