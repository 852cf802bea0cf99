"""What a change makes of an event and of a series; times move on the clock on the wall."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from aicore_tools.calendars.records import Event, EventChange, Span, Timing
from aicore_tools.calendars.recurrence import Series
from aicore_tools.times import wall_time

__all__ = ["applied", "continued", "local_time", "moved_timing", "shifted", "wall_shift"]

T = TypeVar("T")


def applied(event: Event, change: EventChange) -> Event:
    """Give the event with the change made."""
    return replace(
        event,
        title=_either(change.title, event.title),
        timing=_either(change.timing, event.timing),
        attendees=_either(change.attendees, event.attendees),
        location=_either(change.location, event.location),
        description=_either(change.description, event.description),
        repeat=_either(change.repeat, event.repeat),
        reminders_min=_either(change.reminders_min, event.reminders_min),
    )


def moved_timing(timing: Timing, *, by: timedelta, like: Timing) -> Timing:
    """Move by wall time, and take length, zone and all-day from `like`."""
    start = shifted(timing.span.start, by, timing.tz, like.tz)
    if like.is_all_day:
        days = (
            local_time(like.span.end, like.tz).date() - local_time(like.span.start, like.tz).date()
        )
        end = shifted(start, days, like.tz, like.tz)
    else:
        end = start + (like.span.end - like.span.start)
    return Timing(span=Span(start, end), tz=like.tz, is_all_day=like.is_all_day)


def continued(series: Event, old: Timing, first: Timing) -> str:
    """Give the rule of what goes on from `first`, which was the occurrence at `old`."""
    by = wall_shift(old, first)
    return Series(first=series.timing, rule=series.repeat).continued_rule(moved_by=by)


def wall_shift(old: Timing, new: Timing) -> timedelta:
    """Say by how much the start moves on the clock."""
    return local_time(new.span.start, new.tz) - local_time(old.span.start, old.tz)


def shifted(moment: datetime, by: timedelta, old_tz: str, new_tz: str) -> datetime:
    """Move a moment by wall time, and read what the clock then shows in another zone."""
    return wall_time(local_time(moment, old_tz) + by, ZoneInfo(new_tz))


def local_time(moment: datetime, tz: str) -> datetime:
    """Give what the clock shows, without a zone."""
    return moment.astimezone(ZoneInfo(tz)).replace(tzinfo=None)


def _either(new: T | None, old: T) -> T:
    return old if new is None else new
