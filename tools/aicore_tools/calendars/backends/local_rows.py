"""How events lie in SQLite: the schema, and rows to records and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
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
    "Entry",
    "Stored",
    "busy_in",
    "find_row",
    "insert_row",
    "occurrence",
    "occurrence_id",
    "occurrences_in",
    "overrides_of",
    "rename_row",
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
    # A number of its own, by which the index of words names a row also after a VACUUM.
    """
ALTER TABLE event RENAME TO event_of_format_1;
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
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
    UNIQUE (business, id),
    CHECK (start_s < end_s)
) STRICT;
INSERT INTO event (
    business, id, calendar, title, start_s, end_s, tz, is_all_day, is_long, status,
    attendees_json, location, description, repeat, skipped_json, series_end_s, reminders_json,
    series_id, version, search_text)
SELECT
    business, id, calendar, title, start_s, end_s, tz, is_all_day, is_long, status,
    attendees_json, location, description, repeat, skipped_json, series_end_s, reminders_json,
    series_id, version, search_text
FROM event_of_format_1 ORDER BY start_s;
DROP TABLE event_of_format_1;
CREATE INDEX event_short ON event (business, calendar, start_s, id, end_s)
    WHERE status = 'confirmed' AND repeat = '' AND is_long = 0;
CREATE INDEX event_long ON event (business, calendar, end_s)
    WHERE status = 'confirmed' AND repeat = '' AND is_long = 1;
CREATE INDEX event_series ON event (business, calendar, start_s)
    WHERE status = 'confirmed' AND repeat <> '';
CREATE INDEX event_override ON event (business, series_id) WHERE series_id IS NOT NULL;
CREATE VIRTUAL TABLE event_text USING fts5 (
    search_text, content = 'event', content_rowid = 'number', tokenize = 'trigram');
INSERT INTO event_text (rowid, search_text) SELECT number, search_text FROM event;
CREATE TRIGGER event_text_insert AFTER INSERT ON event BEGIN
    INSERT INTO event_text (rowid, search_text) VALUES (new.number, new.search_text);
END;
CREATE TRIGGER event_text_update AFTER UPDATE OF search_text ON event
WHEN old.search_text <> new.search_text BEGIN
    INSERT INTO event_text (event_text, rowid, search_text)
    VALUES ('delete', old.number, old.search_text);
    INSERT INTO event_text (rowid, search_text) VALUES (new.number, new.search_text);
END;
""",
)

_COLUMNS = (
    "business, id, calendar, title, start_s, end_s, tz, is_all_day, is_long, status,"
    " attendees_json, location, description, repeat, skipped_json, series_end_s, reminders_json,"
    " series_id, version, search_text"
)
_NAMES = ("number", *(name.strip() for name in _COLUMNS.split(",")))
_PLACES = ", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))
_SETS = ", ".join(f"{name.strip()} = :{name.strip()}" for name in _COLUMNS.split(",")[2:])

_SHORT = """
SELECT event.* FROM {tables}
WHERE business = :business AND calendar = :calendar
  AND status = 'confirmed' AND repeat = '' AND is_long = 0
  AND start_s > :start_s - 86400 AND start_s < :end_s AND end_s > :start_s
  AND (start_s, id) > (:after_s, :after_id) {says}
ORDER BY start_s, id LIMIT :limit
"""
_LONG = """
SELECT event.* FROM {tables}
WHERE business = :business AND calendar = :calendar
  AND status = 'confirmed' AND repeat = '' AND is_long = 1
  AND end_s > :start_s AND start_s < :end_s
  AND (start_s, id) > (:after_s, :after_id) {says}
ORDER BY start_s, id LIMIT :limit
"""
# Three ways to the same rows: in the order of time, all or those that say it; or, where few rows
# of the business say it, from the index of words.
_ALL = {"tables": "event", "says": ""}
_SCANNED = {"tables": "event", "says": "AND instr(search_text, :text) > 0"}
_LOOKED_UP = {
    "tables": "event_text CROSS JOIN event ON event.number = event_text.rowid",
    "says": "AND event_text MATCH :words AND instr(event.search_text, :text) > 0",
}
_SINGLES = {
    name: tuple(sql.format(**parts) for sql in (_SHORT, _LONG))
    for name, parts in (("all", _ALL), ("scanned", _SCANNED), ("looked_up", _LOOKED_UP))
}
_FEW = 500
_SAYING = f"""
SELECT count(*) FROM (SELECT 1 FROM event_text WHERE event_text MATCH ? LIMIT {_FEW + 1})
"""  # noqa: S608 - our own number
_LEAST_CHARS = 3  # what the index of words knows: https://www.sqlite.org/fts5.html, 4.3.5

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


@dataclass(frozen=True, slots=True)
class Entry:
    """What comes in a page, by its place there; what it says is read when it is wanted."""

    start_s: int
    id: str
    read: Callable[[], Event]

    @property
    def place(self) -> tuple[int, str]:
        """Where it comes."""
        return self.start_s, self.id


def singles_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> list[Entry]:
    """Find the single events a query means, at most `limit` + 1 twice over per calendar."""
    way = _way(connection, query.text.casefold())
    entries = []
    for calendar in query.calendars:
        bound = _bound(business, calendar, query)
        for sql in _SINGLES[way]:
            rows = connection.execute(sql, bound)
            entries += [Entry(row["start_s"], row["id"], partial(_event_of, row)) for row in rows]
    return sorted(entries, key=lambda entry: entry.place)


def occurrences_in(stored: Stored, query: EventQuery) -> Iterator[Entry]:
    """Find the occurrences of a series that a query means, one after the other."""
    start = query.after.start if query.after else query.window.start
    for span in stored.series.occurrences(Span(max(start, query.window.start), query.window.end)):
        entry = Entry(
            int(span.start.timestamp()),
            occurrence_id(stored.event.id, span.start),
            partial(occurrence, stored.event, span),
        )
        if query.after is None or entry.place > (int(start.timestamp()), str(query.after.id)):
            yield entry


def _way(connection: sqlite3.Connection, text: str) -> str:
    if not text:
        return "all"
    if len(text) < _LEAST_CHARS:
        return "scanned"
    (count,) = connection.execute(_SAYING, (_words(text),)).fetchone()
    return "looked_up" if count <= _FEW else "scanned"


def _words(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def busy_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> Iterator[Span]:
    """Read when single events are, without reading what they are."""
    for calendar in query.calendars:
        for row in connection.execute(_BUSY, _bound(business, calendar, query)):
            yield _span(row["start_s"], row["end_s"])


def series_in(connection: sqlite3.Connection, business: str, query: EventQuery) -> Iterator[Stored]:
    """Read the series that may have occurrences in the window."""
    for calendar in query.calendars:
        for row in connection.execute(_SERIES, _bound(business, calendar, query)):
            yield _decoded(tuple(row))


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


def rename_row(connection: sqlite3.Connection, business: str, old: EventId, new: EventId) -> None:
    """Give a stored event another id."""
    connection.execute(
        "UPDATE event SET id = ? WHERE business = ? AND id = ?", (new, business, old)
    )


def occurrence_id(series: EventId, start: datetime) -> EventId:
    """Give the id of the occurrence of a series that starts then by its rule."""
    return EventId(
        f"{series}_{start.year:04}{start.month:02}{start.day:02}"
        f"T{start.hour:02}{start.minute:02}{start.second:02}Z"
    )


def occurrence(series: Event, span: Span) -> Event:
    """Give one occurrence of a series as an event of its own."""
    return Event(
        id=occurrence_id(series.id, span.start),
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
        "words": _words(query.text.casefold()),
        "limit": query.limit + 1,
    }


def _event_of(row: sqlite3.Row) -> Event:
    return _stored(row).event


@lru_cache(maxsize=4096)
def _decoded(values: tuple[Any, ...]) -> Stored:
    """Read a row of a series, which many pages look at."""
    return _stored(dict(zip(_NAMES, values, strict=True)))


def _stored(row: sqlite3.Row | dict[str, Any]) -> Stored:
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
