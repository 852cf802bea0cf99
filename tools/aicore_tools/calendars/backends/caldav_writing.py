"""Writing calendar objects: a new one, and a changed copy of one that was read.

What is not understood of a foreign object stays in it. Every body carries the operation that
wrote it (X-AICORE-OP), by which a repeat knows it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from icalendar import Calendar as Ical
from icalendar import Component, vCalAddress, vRecur
from icalendar import Event as IcalEvent
from icalendar import Timezone as IcalTimezone

from aicore_tools.calendars.backends.caldav_object import (
    AGENT,
    HOLD,
    OPERATION,
    CalendarObject,
    Occurrence,
    address_of,
    original_of,
)
from aicore_tools.calendars.backends.caldav_times import moment_of, value_of
from aicore_tools.calendars.changes import moved_timing, shifted, wall_shift
from aicore_tools.calendars.records import Answer, Attendee, EventChange, NewEvent, Span, Timing
from aicore_tools.calendars.recurrence import strict_rule

__all__ = ["Draft", "new_draft"]

_PRODUCT = "-//aicore//calendars//EN"
_STATES = {
    "needs_action": "NEEDS-ACTION",
    "accepted": "ACCEPTED",
    "declined": "DECLINED",
    "tentative": "TENTATIVE",
}
# What iCalendar cannot hold, and XML neither: one of them would make a calendar unreadable.
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
_OF_SERIES = ("RRULE", "RDATE", "EXDATE", "EXRULE")


class Draft:
    """A copy of an object that may be changed, and is then written as a whole."""

    def __init__(self, ical: Component) -> None:
        self.ical = ical

    @classmethod
    def of(cls, found: CalendarObject) -> Draft:
        """Copy what was read."""
        return cls(Ical.from_ical(found.ical.to_ical()))

    @property
    def master(self) -> Component | None:
        """The event itself, without its changed occurrences."""
        return next((part for part in self._events if "RECURRENCE-ID" not in part), None)

    @property
    def _events(self) -> list[Component]:
        return [part for part in self.ical.subcomponents if part.name == "VEVENT"]

    def overrides(self, zone: ZoneInfo) -> dict[datetime, Component]:
        """The changed occurrences by their original starts."""
        return {original_of(part, zone): part for part in self._events if "RECURRENCE-ID" in part}

    def body(self, mark: str, *, held_at: datetime | None = None) -> str:
        """Give the whole as text, written by the operation `mark`; held for the time being."""
        now = datetime.now(UTC).replace(microsecond=0)
        for part in self._events:
            _set(part, "DTSTAMP", now)
            _set(part, "LAST-MODIFIED", now)
            _set(part, OPERATION, mark)
            part.pop(HOLD, None)
            if held_at is not None:
                _set(part, HOLD, held_at.strftime("%Y%m%dT%H%M%SZ"))
        self._write_zones()
        return str(self.ical.to_ical().decode())

    @property
    def is_empty(self) -> bool:
        """Whether no event is left in it."""
        return not self._events

    def override(self, found: CalendarObject, occurrence: Occurrence) -> Component:
        """Give the part of one occurrence; made from the series where it has none yet."""
        original, master = occurrence.original, self.master
        parts = self.overrides(found.context.zone)
        if original is None or original in parts or master is None:
            return parts[original] if original in parts else self._events[0]
        part = IcalEvent.from_ical(master.to_ical())
        for name in (*_OF_SERIES, "RECURRENCE-ID"):
            part.pop(name, None)
        first = found.timing
        part.add("RECURRENCE-ID", value_of(original, first.tz, is_day=first.is_all_day))
        set_timing(part, occurrence.timing)
        self.ical.add_component(part)
        return part

    def skip(self, found: CalendarObject, original: datetime) -> None:
        """Take one occurrence out of the series, with what was changed about it."""
        part = self.overrides(found.context.zone).get(original)
        if part is not None:
            self.ical.subcomponents.remove(part)
        if self.master is not None:
            first = found.timing
            value = value_of(original, first.tz, is_day=first.is_all_day)
            self.master.add("EXDATE", [value])
            bump(self.master)

    def cut(self, found: CalendarObject, start: datetime) -> None:
        """End the series before the occurrence that starts then by the rule."""
        if self.master is None:
            return
        self._only(found, lambda original: original < start)
        if found.rule:
            rule = strict_rule(found.series.rule_before(start), found.timing)
            _set_rule(self.master, rule)
        bump(self.master)

    def move_all(self, found: CalendarObject, old: Timing, new: Timing) -> None:
        """Move the whole series by as much on the clock as one occurrence moves."""
        if self.master is None:
            return
        by = wall_shift(old, new)
        timing = moved_timing(found.timing, by=by, like=new)
        set_timing(self.master, timing)
        self._shift(found, by, found.timing, timing)
        if "RRULE" in self.master:
            _set_rule(self.master, strict_rule(found.rule, timing))

    def continue_from(self, found: CalendarObject, original: datetime, first: Timing) -> None:
        """Keep of the series what begins with that occurrence, which then is at `first`."""
        if self.master is None:
            return
        by = wall_shift(replace(found.timing, span=Span(original, original)), first)
        self._only(found, lambda start: start > original)
        self._shift(found, by, found.timing, first)
        set_timing(self.master, first)
        if found.rule:
            rule = found.series.continued_rule(moved_by=by)
            _set_rule(self.master, strict_rule(rule, first))

    def rename(self, uid: str) -> None:
        """Make it another object than it was."""
        for part in self._events:
            _set(part, "UID", uid)
            _set(part, "SEQUENCE", 0)

    def forget_overrides(self) -> None:
        """Drop the changed occurrences, as of a series that is one no more."""
        self.ical.subcomponents = [
            part for part in self.ical.subcomponents if "RECURRENCE-ID" not in part
        ]

    def answer(self, parts: Iterable[Component], own: str, answer: Answer) -> None:
        """Write the answer of one attendee."""
        for part in parts:
            for value in _listed(part.get("ATTENDEE")):
                if address_of(value).casefold() == own.casefold():
                    value.params["PARTSTAT"] = _STATES[answer.response]
                    value.params.pop("RSVP", None)
            if answer.comment:
                _set(part, "COMMENT", _UNWRITABLE.sub("", answer.comment))

    def events(self) -> list[Component]:
        """All parts: the event itself and its changed occurrences."""
        return self._events

    def call(self, told: Iterable[str], invited: Iterable[str]) -> None:
        """Let the server write to those who are `told`, and to who is `invited` already.

        Who is in neither is left to us (SCHEDULE-AGENT, RFC 6638, section 7.1). Whom the server
        invited cannot be left to us later: it would take them for uninvited, and cancel.
        """
        loud = {address.casefold() for address in (*told, *invited)}
        for part in self._events:
            for value in _listed(part.get("ATTENDEE")):
                value.params.pop(AGENT, None)
                if address_of(value).casefold() not in loud:
                    value.params[AGENT] = "CLIENT"

    def _only(self, found: CalendarObject, keeps: Any) -> None:
        """Keep the taken-out, added and changed occurrences whose original start `keeps` says."""
        zone = found.context.zone
        for original, part in self.overrides(zone).items():
            if not keeps(original):
                self.ical.subcomponents.remove(part)
        self._rewrite_dates(found, lambda start: start if keeps(start) else None)

    def _shift(self, found: CalendarObject, by: timedelta, old: Timing, new: Timing) -> None:
        """Move the original starts of what was taken out, added or changed."""

        def moved(start: datetime) -> datetime:
            return shifted(start, by, old.tz, new.tz)

        for original, part in self.overrides(found.context.zone).items():
            _set(part, "RECURRENCE-ID", value_of(moved(original), new.tz, is_day=new.is_all_day))
        self._rewrite_dates(found, moved, new)

    def _rewrite_dates(
        self, found: CalendarObject, change: Any, timing: Timing | None = None
    ) -> None:
        first = timing or found.timing
        for name in ("EXDATE", "RDATE"):
            if self.master is None or name not in self.master:
                continue
            zone = ZoneInfo(found.timing.tz)
            starts = [
                moment_of(
                    value.dt[0] if isinstance(value.dt, tuple) else value.dt,
                    {**values.params, **value.params},
                    zone,
                ).at
                for values in _listed(self.master.pop(name))
                for value in values.dts
            ]
            kept = [start for one in starts if (start := change(one)) is not None]
            for start in kept:
                self.master.add(name, [value_of(start, first.tz, is_day=first.is_all_day)])

    def _write_zones(self) -> None:
        """Let every zone that is named be defined (RFC 5545, section 3.6.5)."""
        known = {
            str(part.get("TZID")) for part in self.ical.subcomponents if part.name == "VTIMEZONE"
        }
        named: dict[str, int] = {}
        for part in self._events:
            for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"):
                for value in _listed(part.get(name)):
                    tzid = value.params.get("TZID")
                    if tzid and tzid not in known:
                        named.setdefault(str(tzid), _year(part))
        for tzid, year in named.items():
            zone = _vtimezone(tzid, year)
            if zone is not None:
                self.ical.subcomponents.insert(0, IcalTimezone.from_ical(zone))


def new_draft(new: NewEvent, uid: str, organizer: str) -> Draft:
    """Make the object of a new event."""
    ical, part = Ical(), IcalEvent()
    ical.add("PRODID", _PRODUCT)
    ical.add("VERSION", "2.0")
    part.add("UID", uid)
    part.add("CREATED", datetime.now(UTC).replace(microsecond=0))
    part.add("SEQUENCE", 0)
    part.add("STATUS", "CONFIRMED")
    part.add("TRANSP", "OPAQUE")
    set_timing(part, new.timing)
    apply_change(
        part,
        EventChange(
            title=new.title,
            attendees=new.attendees or None,
            location=new.location or None,
            description=new.description or None,
            reminders_min=new.reminders_min or None,
        ),
        organizer,
    )
    part["SEQUENCE"] = 0
    if new.repeat:
        _set_rule(part, strict_rule(new.repeat, new.timing))
    ical.add_component(part)
    return Draft(ical)


def apply_change(part: Component, change: EventChange, organizer: str) -> None:
    """Write what is different into one part, but for its time and rule."""
    for name, text in (
        ("SUMMARY", change.title),
        ("LOCATION", change.location),
        ("DESCRIPTION", change.description),
    ):
        if text is not None:
            _set(part, name, _UNWRITABLE.sub("", text) or None)
    if change.attendees is not None:
        _set_attendees(part, change.attendees, organizer)
    if change.reminders_min is not None:
        _set_reminders(part, change.reminders_min)
    bump(part)


def set_timing(part: Component, timing: Timing) -> None:
    """Write when a part is."""
    part.pop("DURATION", None)
    for name, moment in (("DTSTART", timing.span.start), ("DTEND", timing.span.end)):
        _set(part, name, value_of(moment, timing.tz, is_day=timing.is_all_day))


def set_repeat(part: Component, rule: str, timing: Timing) -> None:
    """Write another rule, or none."""
    if rule:
        _set_rule(part, strict_rule(rule, timing))
        return
    for name in _OF_SERIES:
        part.pop(name, None)


def bump(part: Component) -> None:
    """Count a change, as whoever was invited wants to see (RFC 5545, section 3.8.7.4)."""
    _set(part, "SEQUENCE", int(part.get("SEQUENCE", 0)) + 1)


def _set(part: Component, name: str, value: Any) -> None:
    part.pop(name, None)
    if value is not None:
        part.add(name, value)


def _set_rule(part: Component, rule: str) -> None:
    part.pop("RRULE", None)
    part.add("RRULE", vRecur.from_ical(rule))


def _set_attendees(part: Component, attendees: Iterable[Attendee], organizer: str) -> None:
    before = {address_of(value).casefold(): value for value in _listed(part.get("ATTENDEE"))}
    part.pop("ATTENDEE", None)
    is_any = False
    for one in attendees:
        is_any = True
        value = before.get(one.address.casefold())
        if value is None:
            value = vCalAddress(f"mailto:{quote(one.address, safe='@!$&*+=._~-')}")
            value.params["RSVP"] = "TRUE"
        if one.name:
            value.params["CN"] = one.name.replace('"', "'")
        value.params["PARTSTAT"] = _STATES[one.response]
        value.params["ROLE"] = "OPT-PARTICIPANT" if one.is_optional else "REQ-PARTICIPANT"
        part.add("ATTENDEE", value, encode=False)
    if is_any and organizer and "ORGANIZER" not in part:
        part.add("ORGANIZER", vCalAddress(f"mailto:{organizer}"), encode=False)


def _set_reminders(part: Component, reminders: Iterable[int]) -> None:
    from icalendar import Alarm

    part.subcomponents = [inner for inner in part.subcomponents if inner.name != "VALARM"]
    for before_min in reminders:
        alarm = Alarm()
        alarm.add("ACTION", "DISPLAY")
        alarm.add("DESCRIPTION", str(part.get("SUMMARY", "")))
        alarm.add("TRIGGER", -timedelta(minutes=before_min))
        part.add_component(alarm)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _year(part: Component) -> int:
    start = getattr(part.get("DTSTART"), "dt", None)
    return start.year if isinstance(start, date) else datetime.now(UTC).year


@lru_cache(maxsize=64)
def _vtimezone(tzid: str, year: int) -> bytes | None:
    """Define a zone from a year before to twenty years after."""
    try:
        zone = IcalTimezone.from_tzid(
            tzid, first_date=date(year - 1, 1, 1), last_date=date(year + 20, 1, 1)
        )
    except (ValueError, LookupError):
        return None  # a foreign zone without a definition stays as it came
    return zone.to_ical()  # type: ignore[no-any-return] # icalendar types it loosely
