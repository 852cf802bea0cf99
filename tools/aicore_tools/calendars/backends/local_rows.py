"""How events lie in SQLite: the schema, and rows to records and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aicore_tools.calendars.plain import attendees_from_json, attendees_to_json
from aicore_tools.calendars.records import (
    CalendarId,
    Cursor,
    Event,
    EventId,
    EventQuery,
    Span,
    Timing,
)
from aicore_tools.calendars.recurrence import Series

__all__ = [
    "MIGRATIONS",
    "Stored",
    "busy_in",
    "find_row",
    "insert_row",
    "occurrence",
    "overrides_of",
    "series_in",
    "singles_in",
    "update_row",
]

# An event that is longer than a day has its own index: a search for what overlaps a moment then
# looks at one day of short events and at the few long ones, however many there are.
_LONG_S = 86_400

MIGRATIONS = (
    """
CREATE TABLE event (
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    calendar TEXT NOT NULL,
    title TEXT NOT NULL,
    start_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    tz TEXT NOT NULL,
    is_all_day INTEGER NOT NULL,
    is_long INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('confirmed', 'cancelled')),
    attendees_json TEXT NOT NULL,
    location TEXT NOT NULL,
    description TEXT NOT NULL,
    repeat TEXT NOT NULL,
    skipped_json TEXT NOT NULL,
    series_end_s INTEGER,
    reminders_json TEXT NOT NULL,
    series_id TEXT,
    version INTEGER NOT NULL,
    search_text TEXT NOT NULL,
    PRIMARY KEY (business, id),
    CHECK (start_s < end_s)
) STRICT;
CREATE INDEX event_short ON event (business, calendar, start_s, end_s, id)
    WHERE status = 'confirmed' AND repeat = '' AND is_long = 0;
CREATE INDEX event_long ON event (business, calendar, end_s)
    WHERE status = 'confirmed' AND repeat = '' AND is_long = 1;
CREATE INDEX event_series ON event (business, calendar, start_s)
    WHERE status = 'confirmed' AND repeat <> '';
CREATE INDEX event_override ON event (business, series_id) WHERE series_id IS NOT NULL;
""",
)

_COLUMNS = (
    "business, id, calendar, title, start_s, end_s, tz, is_all_day, is_long, status,"
    " attendees_json, location, description, repeat, skipped_json, series_end_s, reminders_json,"
    " series_id, version, search_text"
)
_PLACES = ", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))
_SETS = ", ".join(f"{name.strip()} = :{name.strip()}" for name in _COLUMNS.split(",")[2:])

_SINGLES = """
SELECT * FROM (
    SELECT * FROM event
    WHERE business = :business AND calendar = :calendar
      AND status = 'confirmed' AND repeat = '' AND is_long = 0
      AND start_s > :start_s - 86400 AND start_s < :end_s AND end_s > :start_s
      AND (start_s, id) > (:after_s, :after_id)
      AND (:text = '' OR instr(search_text, :text) > 0)
    ORDER BY start_s, id LIMIT :limit)
UNION ALL
SELECT * FROM (
    SELECT * FROM event
    WHERE business = :business AND calendar = :calendar
      AND status = 'confirmed' AND repeat = '' AND is_long = 1
      AND end_s > :start_s AND start_s < :end_s
      AND (start_s, id) > (:after_s, :after_id)
      AND (:text = '' OR instr(search_text, :text) > 0)
    ORDER BY start_s, id LIMIT :limit)
"""

_BUSY = """
SELECT start_s, end_s FROM event
WHERE business = :business AND calendar = :calendar
  AND status = 'confirmed' AND repeat = '' AND is_long = 0
  AND start_s > :start_s - 86400 AND start_s < :end_s AND end_s > :start_s
UNION ALL
SELECT start_s, end_s FROM event
WHERE business = :business AND calendar = :calendar
  AND status = 'confirmed' AND repeat = '' AND is_long = 1
  AND end_s > :start_s AND start_s < :end_s
"""

_SERIES = """
SELECT * FROM event
WHERE business = :business AND calendar = :calendar AND status = 'confirmed' AND repeat <> ''
  AND start_s < :end_s AND (series_end_s IS NULL OR series_end_s > :start_s)
  AND (:text = '' OR instr(search_text, :text) > 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event as it is stored: `skipped` are the starts taken out of a series."""

    event: Event
    skipped: frozenset[datetime] = frozenset()

    @property
    def series(self) -> Series:
        """The recurrence; only of an event with a rule."""
        return Series(first=self.event.timing, rule=self.event.repeat, skipped=self.skipped)


def find_row(connection: sqlite3.Connection, business: str, event: EventId) -> Stored | None:
    """Read one stored event: single, series, or changed occurrence."""
    row = connection.execute(
        "SELECT * FROM event WHERE business = ? AND id = ?", (business, event)
    ).fetchone()
    return _stored(row) if row else None


def overrides_of(connection: sqlite3.Connection, business: str, series: EventId) -> list[Stored]:
    """Read the occurrences of a series that were changed or cancelled on their own."""
    rows = connection.execute(
        "SELECT * FROM event WHERE business = ? AND series_id = ? ORDER BY id", (business, series)
    )
    return [_stored(row) for row in rows]


def singles_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> Iterator[Event]:
    """Read the single events a query means, at most `limit` + 1 twice over per calendar."""
    for calendar in query.calendars:
        for row in connection.execute(_SINGLES, _bound(business, calendar, query)):
            yield _stored(row).event


def busy_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> Iterator[Span]:
    """Read when single events are, without reading what they are."""
    for calendar in query.calendars:
        for row in connection.execute(_BUSY, _bound(business, calendar, query)):
            yield _span(row["start_s"], row["end_s"])


def series_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> Iterator[Stored]:
    """Read the series that may have occurrences in the window."""
    for calendar in query.calendars:
        for row in connection.execute(_SERIES, _bound(business, calendar, query)):
            yield _stored(row)


def insert_row(connection: sqlite3.Connection, business: str, stored: Stored) -> None:
    """Write a new event."""
    connection.execute(
        f"INSERT INTO event ({_COLUMNS}) VALUES ({_PLACES})",  # noqa: S608 - our own names
        _values(business, stored),
    )


def update_row(connection: sqlite3.Connection, business: str, stored: Stored) -> None:
    """Write an event over its earlier state."""
    connection.execute(
        f"UPDATE event SET {_SETS} WHERE business = :business AND id = :id",  # noqa: S608 - as above
        _values(business, stored),
    )


def occurrence(series: Event, span: Span) -> Event:
    """Give one occurrence of a series as an event of its own."""
    stamp = span.start.strftime("%Y%m%dT%H%M%SZ")
    return Event(
        id=EventId(f"{series.id}_{stamp}"),
        calendar=series.calendar,
        title=series.title,
        timing=Timing(span=span, tz=series.timing.tz, is_all_day=series.timing.is_all_day),
        status=series.status,
        attendees=series.attendees,
        location=series.location,
        description=series.description,
        reminders_min=series.reminders_min,
        series=series.id,
        etag=series.etag,
    )


def _bound(business: str, calendar: CalendarId, query: EventQuery) -> dict[str, Any]:
    after = query.after or Cursor(datetime.fromtimestamp(-1, UTC), EventId(""))
    return {
        "business": business,
        "calendar": calendar,
        "start_s": int(query.window.start.timestamp()),
        "end_s": int(query.window.end.timestamp()),
        "after_s": int(after.start.timestamp()),
        "after_id": after.id,
        "text": query.text.casefold(),
        "limit": query.limit + 1,
    }


def _stored(row: sqlite3.Row) -> Stored:
    return Stored(
        event=Event(
            id=EventId(row["id"]),
            calendar=CalendarId(row["calendar"]),
            title=row["title"],
            timing=Timing(
                span=_span(row["start_s"], row["end_s"]),
                tz=row["tz"],
                is_all_day=bool(row["is_all_day"]),
            ),
            status=row["status"],
            attendees=attendees_from_json(json.loads(row["attendees_json"])),
            location=row["location"],
            description=row["description"],
            repeat=row["repeat"],
            reminders_min=tuple(json.loads(row["reminders_json"])),
            series=EventId(row["series_id"]) if row["series_id"] else None,
            etag=str(row["version"]),
        ),
        skipped=frozenset(_moment(start_s) for start_s in json.loads(row["skipped_json"])),
    )


def _values(business: str, stored: Stored) -> dict[str, Any]:
    event, span = stored.event, stored.event.timing.span
    start_s, end_s = int(span.start.timestamp()), int(span.end.timestamp())
    last_end = stored.series.last_end() if event.repeat else None
    people = (f"{one.name}\n{one.address}" for one in event.attendees)
    said = (event.title, event.location, event.description, *people)
    return {
        "business": business,
        "id": event.id,
        "calendar": event.calendar,
        "title": event.title,
        "start_s": start_s,
        "end_s": end_s,
        "tz": event.timing.tz,
        "is_all_day": int(event.timing.is_all_day),
        "is_long": int(end_s - start_s > _LONG_S),
        "status": event.status,
        "attendees_json": json.dumps(attendees_to_json(event.attendees)),
        "location": event.location,
        "description": event.description,
        "repeat": event.repeat,
        "skipped_json": json.dumps(sorted(int(start.timestamp()) for start in stored.skipped)),
        "series_end_s": int(last_end.timestamp()) if last_end else None,
        "reminders_json": json.dumps(event.reminders_min),
        "series_id": event.series,
        "version": int(event.etag),
        "search_text": "\n".join(said).casefold(),
    }


def _moment(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _span(start_s: int, end_s: int) -> Span:
    return Span(_moment(start_s), _moment(end_s))
