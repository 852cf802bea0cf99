"""Cursors: where a page of events ended, good for the question that gave it alone."""

from __future__ import annotations

from datetime import UTC, datetime

from aicore_tools.calendars.plans import EventsAsked
from aicore_tools.calendars.records import CalendarId, Cursor, EventId, EventQuery, Span
from aicore_tools.cursors import damaged, pack, unpack

__all__ = ["from_cursor", "to_cursor"]


def to_cursor(asked: EventsAsked, query: EventQuery, last: Cursor) -> str:
    """Give the text of a cursor: the window and calendars as they were read, and the last event."""
    moments = (query.window.start, query.window.end, last.start)
    place = [[int(moment.timestamp()) for moment in moments], query.calendars, last.id]
    return pack(_question(asked), place)


def from_cursor(cursor: str, asked: EventsAsked) -> EventQuery:
    """Give the query that goes on behind a cursor, without its text.

    Raises:
        InvalidInput: it is no cursor, or one of another question.
    """
    place = unpack(_question(asked), cursor)
    try:
        moments, calendars, last = place
        start, end, at = (datetime.fromtimestamp(moment, UTC) for moment in moments)
        return EventQuery(
            window=Span(start, end),
            calendars=tuple(CalendarId(str(calendar)) for calendar in calendars),
            after=Cursor(at, EventId(str(last))),
        )
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise damaged() from error


def _question(asked: EventsAsked) -> object:
    return (asked.start, asked.end, asked.query, list(asked.calendars))
