"""Times of iCalendar (RFC 5545, section 3.3), whatever zone a foreign calendar names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Component

from aicore_tools.calendars.records import Span, Timing
from aicore_tools.times import midnight, wall_time

__all__ = ["Moment", "Unreadable", "moment_of", "timing_of", "value_of", "zone_of"]


class Unreadable(ValueError):
    """A foreign object holds no time where one has to be."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of an object: the moment in UTC, the zone it was given in, and whether it is a day."""

    at: datetime
    tz: str
    is_day: bool = False


def zone_of(tzid: str, fallback: ZoneInfo) -> ZoneInfo:
    """Find the IANA zone that a TZID means.

    Knows IANA names, the names of Windows, and IANA names behind a prefix, such as
    `/mozilla.org/20050126_1/Europe/Berlin`. For any other it is `fallback`.
    """
    return _zone(tzid) or fallback


@lru_cache(maxsize=512)
def _zone(tzid: str) -> ZoneInfo | None:
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    name = WINDOWS_TO_OLSON.get(tzid.strip('"'), tzid.strip('"'))
    parts = name.strip("/").split("/")
    for number in range(len(parts)):
        try:
            return ZoneInfo("/".join(parts[number:]))
        except (ValueError, OSError, LookupError):
            continue
    return None


def moment_of(value: Any, params: Any, zone: ZoneInfo) -> Moment:
    """Read a date, or a time: with a TZID, in UTC, or floating, which is in the calendar's zone.

    Raises:
        Unreadable: it is neither, or out of the range that can be reckoned with.
    """
    if isinstance(value, datetime):
        given = value.utcoffset() == timedelta() and not params.get("TZID")
        own = zone_of(str(params.get("TZID") or zone.key), zone)
        if value.tzinfo is not None and given:
            return Moment(_in_range(value.astimezone(UTC)), "UTC")
        local = value.replace(tzinfo=None, microsecond=0)
        _in_range(local)
        return Moment(wall_time(local, own), own.key)
    if isinstance(value, date):
        _in_range(value)
        return Moment(midnight(value, zone), zone.key, is_day=True)
    raise Unreadable("no date and no time")


def timing_of(component: Component, zone: ZoneInfo) -> Timing:
    """Give when a component is.

    Raises:
        Unreadable: it has no start.
    """
    prop = _single(component, "DTSTART")
    if prop is None:
        raise Unreadable("no DTSTART")
    start = moment_of(getattr(prop, "dt", None), prop.params, zone)
    end = max(_end_of(component, start, zone), start.at)
    return Timing(span=Span(start.at, end), tz=start.tz, is_all_day=start.is_day)


def value_of(moment: datetime, tz: str, *, is_day: bool) -> date | datetime:
    """Give what is written for a moment: a date, or a time in its zone."""
    local = moment.astimezone(UTC if tz == "UTC" else ZoneInfo(tz))
    return local.date() if is_day else local


def _end_of(component: Component, start: Moment, zone: ZoneInfo) -> datetime:
    end, duration = _single(component, "DTEND"), _single(component, "DURATION")
    if end is not None:
        return moment_of(getattr(end, "dt", None), end.params, zone).at
    length = getattr(duration, "dt", None)
    if start.is_day:
        days = length.days if isinstance(length, timedelta) and length.days > 0 else 1
        return midnight(start.at.astimezone(zone).date() + timedelta(days=days), zone)
    return start.at + length if isinstance(length, timedelta) else start.at


def _single(component: Component, name: str) -> Any:
    found = component.get(name)
    return found[0] if isinstance(found, list) else found


def _in_range(value: Any) -> Any:
    if not 1900 <= value.year <= 2250:
        raise Unreadable("the year is out of range")
    return value
