"""Cursors: where a page of events ended, good for the question that gave it alone."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime

from aicore_tools.calendars.plans import EventsAsked
from aicore_tools.calendars.records import CalendarId, Cursor, EventId, EventQuery, Span
from aicore_tools.errors import InvalidInput

__all__ = ["from_cursor", "to_cursor"]


def to_cursor(asked: EventsAsked, query: EventQuery, last: Cursor) -> str:
    """Give the text of a cursor: the window and calendars as they were read, and the last event."""
    moments = (query.window.start, query.window.end, last.start)
    body = [
        _named(asked),
        [int(moment.timestamp()) for moment in moments],
        query.calendars,
        last.id,
    ]
    text = json.dumps(body, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def from_cursor(cursor: str, asked: EventsAsked) -> EventQuery:
    """Give the query that goes on behind a cursor, without its text.

    Raises:
        InvalidInput: it is no cursor, or one of another question.
    """
    try:
        named, moments, calendars, last = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        start, end, at = (datetime.fromtimestamp(moment, UTC) for moment in moments)
        query = EventQuery(
            window=Span(start, end),
            calendars=tuple(CalendarId(str(calendar)) for calendar in calendars),
            after=Cursor(at, EventId(str(last))),
        )
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise InvalidInput(
            "cursor: that is none of ours.", hint="Give a next_cursor as it came, or leave it out."
        ) from error
    if named != _named(asked):
        raise InvalidInput(
            "cursor: it belongs to another question.",
            hint="Repeat the same call with it, or leave it out to begin anew.",
        )
    return query


def _named(asked: EventsAsked) -> str:
    question = [asked.start, asked.end, asked.query, list(asked.calendars)]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]
