"""Changing a part of a series: one occurrence becomes a row of its own, or the series splits."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from aicore_tools.calendars.backends.local_rows import (
    Stored,
    find_row,
    insert_row,
    occurrence,
    overrides_of,
    update_row,
)
from aicore_tools.calendars.records import Event, EventChange, EventId, Span, Timing
from aicore_tools.calendars.recurrence import checked_rule
from aicore_tools.errors import NotFound
from aicore_tools.times import wall_time

__all__ = [
    "Found",
    "applied",
    "bumped",
    "cancel_from",
    "changed_series",
    "find",
    "split",
    "take_out",
]

T = TypeVar("T")


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


def applied(event: Event, change: EventChange) -> Event:
    """Give the event with the change made."""
    return Event(
        id=event.id,
        calendar=event.calendar,
        title=_either(change.title, event.title),
        timing=_either(change.timing, event.timing),
        status=event.status,
        attendees=_either(change.attendees, event.attendees),
        location=_either(change.location, event.location),
        description=_either(change.description, event.description),
        repeat=_either(change.repeat, event.repeat),
        reminders_min=_either(change.reminders_min, event.reminders_min),
        series=event.series,
        etag=event.etag,
    )


def changed_series(found: Found, change: EventChange) -> Stored:
    """Give the whole series with the change made; a new time moves all by as much on the clock."""
    series = _series_of(found)
    skipped = series.skipped
    if change.timing is not None:
        old, new = series.event.timing, change.timing
        by = _wall_shift(found.event.timing, new)
        change = replace(change, timing=_moved(old, by=by, like=new))
        skipped = frozenset(_shifted(start, by, old.tz, new.tz) for start in skipped)
    return _checked(Stored(event=applied(bumped(series.event), change), skipped=skipped))


def split(
    connection: sqlite3.Connection, business: str, found: Found, change: EventChange
) -> Stored:
    """End the series before the occurrence and start another there, with the change made."""
    series, start = _series_of(found), found.original_start
    if start is None:
        raise ValueError("Only an occurrence can split a series.")
    old, first = series.event.timing, change.timing or found.event.timing
    by = _local(first.span.start, first.tz) - _local(start, old.tz)
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
        _shifted(skipped, by, old.tz, first.tz) for skipped in series.skipped if skipped > start
    )
    stored = _checked(Stored(event=applied(rest, replace(change, timing=first)), skipped=later))
    ended = replace(bumped(series.event), repeat=series.series.rule_before(start))
    update_row(connection, business, Stored(event=ended, skipped=series.skipped))
    insert_row(connection, business, stored)
    _hand_over(connection, business, found, stored.event.id)
    return stored


def _hand_over(
    connection: sqlite3.Connection, business: str, found: Found, series: EventId
) -> None:
    """Give the occurrences that were changed on their own after the split to the new series."""
    for override in overrides_of(connection, business, _series_of(found).event.id):
        original = _start(override.event.id.rpartition("_")[2])
        if found.original_start is None or original is None or original < found.original_start:
            continue
        event = replace(bumped(override.event), series=series)
        if override.event.id == found.event.id:  # it is the first of the new series now
            event = replace(event, status="cancelled")
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


def _either(new: T | None, old: T) -> T:
    return old if new is None else new


def _wall_shift(old: Timing, new: Timing) -> timedelta:
    return _local(new.span.start, new.tz) - _local(old.span.start, old.tz)


def _moved(timing: Timing, *, by: timedelta, like: Timing) -> Timing:
    """Move by wall time, and take length, zone and all-day from `like`."""
    start = _shifted(timing.span.start, by, timing.tz, like.tz)
    if like.is_all_day:
        days = _local(like.span.end, like.tz).date() - _local(like.span.start, like.tz).date()
        end = _shifted(start, days, like.tz, like.tz)
    else:
        end = start + (like.span.end - like.span.start)
    return Timing(span=Span(start, end), tz=like.tz, is_all_day=like.is_all_day)


def _shifted(moment: datetime, by: timedelta, old_tz: str, new_tz: str) -> datetime:
    return wall_time(_local(moment, old_tz) + by, ZoneInfo(new_tz))


def _local(moment: datetime, tz: str) -> datetime:
    return moment.astimezone(ZoneInfo(tz)).replace(tzinfo=None)


def _start(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
