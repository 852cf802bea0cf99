"""Reading what a caller gives for an event, and saying plainly what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aicore_tools.calendars.records import Attendee, Event, EventChange, Span, Timing
from aicore_tools.errors import InvalidInput
from aicore_tools.times import When, last_moment, named_zone, read_when

__all__ = [
    "CHANGEABLE",
    "TimeGiven",
    "read_attendees",
    "read_change",
    "read_reminders",
    "read_text",
    "read_timing",
]

CHANGEABLE = (
    "title",
    "start",
    "end",
    "tz",
    "location",
    "description",
    "attendees",
    "reminders",
    "repeat",
)
_ONE_LINE = ("title", "location")
_LONGEST = timedelta(days=400)
_MOST_ATTENDEES = 100
_MOST_REMINDERS = 5
_FOUR_WEEKS_MIN = 40_320
_LONGEST_ADDRESS = 254
_ADDRESS = r"[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]+@[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]+"
_ATTENDEE = re.compile(
    rf"(?:(?P<bare>{_ADDRESS})|(?P<name>[^<>@\x00-\x1f\x7f\x85\u2028\u2029]*)<(?P<address>{_ADDRESS})>)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGiven:
    """A time as a caller gives it: nothing in it is checked yet."""

    start: str
    end: str
    tz: str | None = None


def read_timing(given: TimeGiven, zone: ZoneInfo) -> Timing:
    """Read start and end: two times, or two dates for whole days, the last one included.

    Raises:
        InvalidInput: one cannot be read or does not exist, or they do not fit together.
    """
    zone = named_zone(given.tz) if given.tz else zone
    start = read_when(given.start, zone, name="start", exact=True)
    end = read_when(given.end, zone, name="end", exact=True)
    if (start.day is None) != (end.day is None):
        raise InvalidInput("start and end must both be dates (whole days) or both be times.")
    span = Span(start.moment, last_moment(end, zone))
    if span.start >= span.end:
        raise InvalidInput(f"The end ({given.end}) is not after the start ({given.start}).")
    if span.end - span.start > _LONGEST:
        raise InvalidInput("An event cannot be longer than 400 days. Use repeat for a series.")
    return Timing(span=span, tz=zone.key, is_all_day=start.day is not None)


def changed_timing(old: Timing, given: Mapping[str, str]) -> Timing:
    """Read a new time. With `start` alone the length stays; with `tz` alone the moment stays.

    Raises:
        InvalidInput: as `read_timing`.
    """
    tz = given.get("tz", old.tz)
    zone = named_zone(tz)
    first, last = _shown(old, ZoneInfo(old.tz) if old.is_all_day else zone)
    start, end = given.get("start", first), given.get("end", last)
    if "start" in given and "end" not in given:
        end = _end_after(read_when(start, zone, name="start", exact=True), old)
    return read_timing(TimeGiven(start=start, end=end, tz=tz), zone)


def _shown(timing: Timing, zone: ZoneInfo) -> tuple[str, str]:
    """Give start and end as a caller would."""
    start, end = timing.span.start.astimezone(zone), timing.span.end.astimezone(zone)
    if timing.is_all_day:
        return start.date().isoformat(), (end.date() - timedelta(days=1)).isoformat()
    return start.isoformat(), end.isoformat()


def _end_after(start: When, old: Timing) -> str:
    if (start.day is not None) != old.is_all_day:
        raise InvalidInput("Give start and end to turn whole days into times or back.")
    if start.day is None:
        return (start.moment + (old.span.end - old.span.start)).isoformat()
    first, last = _shown(old, ZoneInfo(old.tz))
    return (start.day + (date.fromisoformat(last) - date.fromisoformat(first))).isoformat()


def read_change(given: Mapping[str, Any], old: Event) -> EventChange:
    """Read the fields that are to be different; what is not named stays.

    Raises:
        InvalidInput: a field is unknown or its value is wrong.
    """
    unknown = [name for name in given if name not in CHANGEABLE]
    if unknown or not given:
        raise InvalidInput(
            f"set: there is no field {', '.join(unknown)}." if unknown else "set is empty.",
            hint=f"The fields are: {', '.join(CHANGEABLE)}.",
        )
    times = {name: _string(given[name], name) for name in ("start", "end", "tz") if name in given}
    return EventChange(
        title=read_text(_string(given["title"], "title"), "title", required=True)
        if "title" in given
        else None,
        timing=changed_timing(old.timing, times) if times else None,
        attendees=read_attendees(given["attendees"], old.attendees)
        if "attendees" in given
        else None,
        location=_changed_text(given, "location"),
        description=_changed_text(given, "description"),
        repeat=_changed_text(given, "repeat"),
        reminders_min=read_reminders(given["reminders"]) if "reminders" in given else None,
    )


def read_text(text: str, name: str, *, required: bool = False) -> str:
    """Give the text without blank ends.

    Raises:
        InvalidInput: it is longer than 8000 characters (a title: 300), holds what cannot be
            stored, is empty though `required`, or is a title or location of several lines.
    """
    text = text.strip()
    most = 300 if name == "title" else 8000
    if required and not text:
        raise InvalidInput(f"{name} is empty.")
    if len(text) > most:
        raise InvalidInput(f"{name} is longer than {most} characters.")
    if name in _ONE_LINE and len(text.splitlines()) > 1:
        raise InvalidInput(
            f"{name} holds a line break.",
            hint="Write it on one line; several lines go into the description.",
        )
    if "\0" in text or not _is_encodable(text):
        raise InvalidInput(f"{name} holds characters that cannot be stored.")
    return text


def read_attendees(given: object, before: Sequence[Attendee] = ()) -> tuple[Attendee, ...]:
    """Give the attendees, each once, in the order given; those of `before` keep their answer.

    One is `ann@example.com` or `Ann Lee <ann@example.com>`.

    Raises:
        InvalidInput: too many, or one is no e-mail address.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidInput("attendees: give a list of e-mail addresses.")
    if len(given) > _MOST_ATTENDEES:
        raise InvalidInput(f"attendees: {_MOST_ATTENDEES} at most.")
    known = {one.address.casefold(): one for one in before}
    read: dict[str, Attendee] = {}
    for text in given:
        one = _attendee(_string(text, "attendees"))
        earlier = known.get(one.address.casefold())
        if earlier is not None:
            one = replace(earlier, name=one.name or earlier.name)
        read.setdefault(one.address.casefold(), one)
    return tuple(read.values())


def _attendee(text: str) -> Attendee:
    match = _ATTENDEE.match(read_text(text, "attendees", required=True))
    if match is None or len(match["address"] or match["bare"]) > _LONGEST_ADDRESS:
        raise InvalidInput(
            f"attendees: {text[:80]!r} is no e-mail address.",
            hint="Write ann@example.com or Ann Lee <ann@example.com>; other names go into the"
            " description.",
        )
    local, _, domain = (match["address"] or match["bare"]).rpartition("@")
    return Attendee(address=f"{local}@{domain.lower()}", name=(match["name"] or "").strip(' "'))


def read_reminders(given: object) -> tuple[int, ...]:
    """Give the reminders in minutes before the start, each once, the earliest first.

    Raises:
        InvalidInput: more than five, or one is not 0 to 40320 (four weeks).
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidInput("reminders: give a list of minutes before the start.")
    whole = [one for one in given if isinstance(one, int) and not isinstance(one, bool)]
    wrong = [one for one in whole if not 0 <= one <= _FOUR_WEEKS_MIN]
    if len(whole) != len(given) or wrong or len(given) > _MOST_REMINDERS:
        raise InvalidInput(f"reminders: at most {_MOST_REMINDERS}, each 0 to {_FOUR_WEEKS_MIN}.")
    return tuple(sorted(set(whole), reverse=True))


def _changed_text(given: Mapping[str, Any], name: str) -> str | None:
    return read_text(_string(given[name], name), name) if name in given else None


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name}: give text.")
    return value


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON may carry
        return False
    return True
