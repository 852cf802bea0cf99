"""Changing a part of a series: one occurrence becomes a row of its own, or the series splits."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from aicore_tools.calendars.backends.local_rows import (
    Stored,
    find_row,
    insert_row,
    occurrence,
    occurrence_id,
    overrides_of,
    rename_row,
    update_row,
)
from aicore_tools.calendars.changes import (
    applied,
    local_time,
    moved_timing,
    shifted,
    wall_shift,
)
from aicore_tools.calendars.records import Event, EventChange, EventId, Span
from aicore_tools.calendars.recurrence import checked_rule
from aicore_tools.errors import NotFound

__all__ = [
    "Found",
    "bumped",
    "cancel_from",
    "changed_series",
    "find",
    "move_overrides",
    "split",
    "take_out",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event that was asked for by id.

    `row` is its own row, None for an occurrence that has none. `series` is the row of the series
    it belongs to or is, and `original_start` the start that the series' rule gives it.
    """

    event: Event
    row: Stored | None = None
    series: Stored | None = None
    original_start: datetime | None = None

    @property
    def is_series(self) -> bool:
        """Whether the id names the whole series."""
        return bool(self.event.repeat)

    @property
    def is_first(self) -> bool:
        """Whether nothing of the series lies before it."""
        return self.series is not None and (
            self.is_series or self.original_start == self.series.event.timing.span.start
        )


def find(connection: sqlite3.Connection, business: str, event: EventId) -> Found:
    """Find a single event, a series or an occurrence.

    Raises:
        NotFound: there is none of that id.
    """
    row = find_row(connection, business, event)
    if row is not None and row.event.series is None:
        return Found(event=row.event, row=row, series=row if row.event.repeat else None)
    series_id, _, stamp = event.rpartition("_")
    series_id = row.event.series if row and row.event.series else EventId(series_id)
    series, start = find_row(connection, business, series_id), _start(stamp)
    if row is not None:
        return Found(event=row.event, row=row, series=series, original_start=start)
    if series is not None and series.event.repeat and start is not None:
        for span in series.series.occurrences(Span(start, start + timedelta(seconds=1))):
            if span.start == start:
                event_found = occurrence(series.event, span)
                return Found(event=event_found, series=series, original_start=start)
    raise NotFound(f"There is no event {event}.", hint="Look for it with calendar_events.")


def bumped(event: Event) -> Event:
    """Give the event with the etag of its next state."""
    return replace(event, etag=str(int(event.etag) + 1))


def take_out(connection: sqlite3.Connection, business: str, found: Found, event: Event) -> Event:
    """Give an occurrence a row of its own, holding `event`, and take it out of its series."""
    if found.series is None or found.original_start is None:
        raise ValueError("Only an occurrence can be taken out of a series.")
    series = found.series
    skipped = series.skipped | {found.original_start}
    update_row(connection, business, Stored(event=bumped(series.event), skipped=skipped))
    event = replace(event, etag="1")
    insert_row(connection, business, Stored(event=event))
    return event


def cancel_from(
    connection: sqlite3.Connection, business: str, series: Stored, start: datetime | None
) -> None:
    """End a series before `start` and cancel what was changed on its own after; None: all of it."""
    event = bumped(series.event)
    if start is None:
        event = replace(event, status="cancelled")
    else:
        event = replace(event, repeat=series.series.rule_before(start))
    update_row(connection, business, Stored(event=event, skipped=series.skipped))
    for override in overrides_of(connection, business, series.event.id):
        original = _start(override.event.id.rpartition("_")[2])
        is_after = start is None or (original is not None and original >= start)
        if is_after and override.event.status == "confirmed":
            cancelled = replace(bumped(override.event), status="cancelled")
            update_row(connection, business, Stored(event=cancelled))


def changed_series(found: Found, change: EventChange) -> Stored:
    """Give the whole series with the change made; a new time moves all by as much on the clock."""
    series = _series_of(found)
    skipped = series.skipped
    if change.timing is not None:
        old, new = series.event.timing, change.timing
        by = wall_shift(found.event.timing, new)
        change = replace(change, timing=moved_timing(old, by=by, like=new))
        skipped = frozenset(shifted(start, by, old.tz, new.tz) for start in skipped)
    return _checked(Stored(event=applied(bumped(series.event), change), skipped=skipped))


def split(
    connection: sqlite3.Connection, business: str, found: Found, change: EventChange
) -> Stored:
    """End the series before the occurrence and start another there, with the change made."""
    series, start = _series_of(found), found.original_start
    if start is None:
        raise ValueError("Only an occurrence can split a series.")
    old, first = series.event.timing, change.timing or found.event.timing
    by = local_time(first.span.start, first.tz) - local_time(start, old.tz)
    rest = Event(
        id=EventId(f"ev{secrets.token_hex(8)}"),
        calendar=series.event.calendar,
        title=series.event.title,
        timing=first,
        attendees=series.event.attendees,
        location=series.event.location,
        description=series.event.description,
        repeat=series.series.continued_rule(moved_by=by),
        reminders_min=series.event.reminders_min,
        etag="1",
    )
    later = frozenset(
        shifted(skipped, by, old.tz, first.tz) for skipped in series.skipped if skipped > start
    )
    stored = _checked(Stored(event=applied(rest, replace(change, timing=first)), skipped=later))
    ended = replace(bumped(series.event), repeat=series.series.rule_before(start))
    update_row(connection, business, Stored(event=ended, skipped=series.skipped))
    insert_row(connection, business, stored)
    _hand_over(
        connection,
        business,
        found,
        stored.event.id,
        lambda original: shifted(original, by, old.tz, first.tz),
    )
    return stored


def move_overrides(
    connection: sqlite3.Connection, business: str, found: Found, change: EventChange
) -> None:
    """Name what was changed on its own anew, when the starts of its whole series have moved.

    Its id holds its original start; two of one id would otherwise be possible.
    """
    if change.timing is None:
        return
    series = _series_of(found)
    by, old, new = wall_shift(found.event.timing, change.timing), series.event.timing, change.timing
    overrides = [
        (override, shifted(original, by, old.tz, new.tz))
        for override, original in _overrides(connection, business, series.event.id)
    ]
    _rename(connection, business, series.event.id, overrides)


def _hand_over(
    connection: sqlite3.Connection,
    business: str,
    found: Found,
    series: EventId,
    move: Callable[[datetime], datetime],
) -> None:
    """Give the occurrences that were changed on their own after the split to the new series."""
    later = []
    for override, original in _overrides(connection, business, _series_of(found).event.id):
        if found.original_start is None or original < found.original_start:
            continue
        if override.event.id == found.event.id:  # the first of the new series stands for it now
            gone = replace(bumped(override.event), status="cancelled")
            update_row(connection, business, Stored(event=gone))
        else:
            later.append((override, move(original)))
    _rename(connection, business, series, later)


def _overrides(
    connection: sqlite3.Connection, business: str, series: EventId
) -> Iterator[tuple[Stored, datetime]]:
    for override in overrides_of(connection, business, series):
        original = _start(override.event.id.rpartition("_")[2])
        if original is not None:
            yield override, original


def _rename(
    connection: sqlite3.Connection,
    business: str,
    series: EventId,
    overrides: Sequence[tuple[Stored, datetime]],
) -> None:
    """Give overrides the ids of other original starts, out of each other's way."""
    for number, (override, _) in enumerate(overrides):
        rename_row(connection, business, override.event.id, EventId(f"{series}~{number}"))
    for number, (override, original) in enumerate(overrides):
        identity = occurrence_id(series, original)
        rename_row(connection, business, EventId(f"{series}~{number}"), identity)
        event = replace(bumped(override.event), id=identity, series=series)
        update_row(connection, business, Stored(event=event))


def _series_of(found: Found) -> Stored:
    if found.series is None:
        raise ValueError("The event belongs to no series.")
    return found.series


def _checked(stored: Stored) -> Stored:
    event = stored.event
    if not event.repeat:
        return Stored(event=event)
    rule = checked_rule(event.repeat, event.timing)
    return Stored(event=replace(event, repeat=rule), skipped=stored.skipped)


def _start(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
