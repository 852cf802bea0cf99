"""One object of a CalDAV calendar: an event, or a series with its changed occurrences, read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from icalendar import Calendar as Ical
from icalendar import Component

from aicore_tools.calendars.backends.caldav_times import Unreadable, moment_of, timing_of
from aicore_tools.calendars.invitations import is_own
from aicore_tools.calendars.records import (
    Attendee,
    CalendarId,
    Event,
    EventId,
    Response,
    Span,
    Timing,
)
from aicore_tools.calendars.recurrence import Series
from aicore_tools.errors import InvalidInput

__all__ = ["CalendarObject", "Context", "EventName", "Occurrence", "address_of", "original_of"]

HOLD = "X-AICORE-HOLD"
OPERATION = "X-AICORE-OP"
AGENT = "SCHEDULE-AGENT"
HOLD_LASTS = timedelta(minutes=5)
_TOO_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")
_RESPONSES: dict[str, Response] = {
    "ACCEPTED": "accepted",
    "DECLINED": "declined",
    "TENTATIVE": "tentative",
}


@dataclass(frozen=True, slots=True)
class EventName:
    """What an event id says: the calendar, the object in it, the occurrence's original start."""

    calendar: CalendarId
    resource: str
    original: datetime | None = None

    @classmethod
    def read(cls, event: str) -> EventName | None:
        """Read an id; None if it is none of ours."""
        parts = event.split("/")
        if len(parts) not in (2, 3) or not all(parts) or not event.isascii():
            return None
        resource = unquote(parts[1].removesuffix("%"))
        resource += "" if parts[1].endswith("%") else ".ics"
        if resource in (".", "..", ".ics"):
            return None
        if len(parts) == 2:
            return cls(CalendarId(parts[0]), resource)
        original = _stamp(parts[2])
        return cls(CalendarId(parts[0]), resource, original) if original else None

    @property
    def whole(self) -> EventId:
        """The id of the object itself. A name without `.ics` ends with a lone %."""
        has_end = self.resource.endswith(".ics")
        shown = quote(self.resource.removesuffix(".ics"), safe="")
        return EventId(f"{self.calendar}/{shown}{'' if has_end else '%'}")

    def occurrence(self, original: datetime) -> EventId:
        """The id of one occurrence."""
        return EventId(f"{self.whole}/{original.astimezone(UTC):%Y%m%dT%H%M%SZ}")


@dataclass(frozen=True, slots=True)
class Context:
    """Whose calendar an object is in: its zone, for times without one, and the own addresses.

    `schedules`: the server mails invitations.
    """

    zone: ZoneInfo
    addresses: tuple[str, ...] = ()
    schedules: bool = False


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When something happens: `component` says what, `original` is the start by the rule."""

    component: Component
    timing: Timing
    original: datetime | None

    @property
    def is_cancelled(self) -> bool:
        """Whether it is marked as cancelled."""
        return str(self.component.get("STATUS", "")).upper() == "CANCELLED"

    @property
    def takes_time(self) -> bool:
        """Whether who has it is busy then."""
        return str(self.component.get("TRANSP", "")).upper() != "TRANSPARENT"


class CalendarObject:
    """A calendar object as it was read, with its etag. It is not changed.

    Raises:
        Unreadable: it is no calendar object with an event.
    """

    def __init__(self, name: EventName, etag: str, data: bytes | str, context: Context) -> None:
        self.name = EventName(name.calendar, name.resource)
        self.etag = etag
        self.context = context
        try:
            self.ical = Ical.from_ical(data)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unreadable("no calendar object") from error
        events = [part for part in self.ical.subcomponents if part.name == "VEVENT"]
        self.master = next((part for part in events if "RECURRENCE-ID" not in part), None)
        self.overrides = {
            self._original_of(part): part for part in events if "RECURRENCE-ID" in part
        }
        if not events:
            raise Unreadable("no event")

    @property
    def is_series(self) -> bool:
        """Whether it may have several occurrences."""
        return self.master is None or bool(self.rule or "RDATE" in self.master)

    @cached_property
    def rule(self) -> str:
        """The RRULE, or empty."""
        found = self.master.get("RRULE") if self.master else None
        found = found[0] if isinstance(found, list) else found
        return "" if found is None else found.to_ical().decode()

    @cached_property
    def timing(self) -> Timing:
        """When the event or the first occurrence is."""
        return timing_of(self._first_part, self.context.zone)

    @cached_property
    def skipped(self) -> frozenset[datetime]:
        """The starts that were taken out (EXDATE)."""
        return frozenset(one.span.start for one in self._dates("EXDATE"))

    @property
    def series(self) -> Series:
        """The occurrences by the rule, but for those taken out or changed."""
        taken = self.skipped | self.overrides.keys()
        return Series(first=self.timing, rule=self.rule, skipped=frozenset(taken))

    @property
    def mark(self) -> str:
        """The operation that last wrote it; empty if that was not one of ours."""
        return str(self._first_part.get(OPERATION, ""))

    @property
    def is_own(self) -> bool:
        """Whether nobody else invited to it."""
        organizer = address_of(self._first_part.get("ORGANIZER"))
        return not organizer or is_own(organizer, self.context.addresses)

    def is_held(self, now: datetime) -> bool:
        """Whether it holds a time that is not settled yet: see caldav_effects."""
        held = _stamp(str(self._first_part.get(HOLD, "")))
        return held is not None and abs(now - held) < HOLD_LASTS

    def is_forgotten(self, now: datetime) -> bool:
        """Whether it is such a hold that nobody settled in time."""
        return HOLD in self._first_part and not self.is_held(now)

    def occurrences(self, window: Span) -> Iterator[Occurrence]:
        """Give what overlaps the window, in no order; cancelled ones too.

        Raises:
            Unreadable: a time in it cannot be read.
        """
        for occurrence in (*self._by_rule(window), *self._overridden()):
            if occurrence.timing.span.overlaps(window):
                yield occurrence

    def occurrence(self, original: datetime) -> Occurrence | None:
        """Give the occurrence that starts then by the rule, a cancelled one too."""
        override = self.overrides.get(original)
        if override is not None:
            return Occurrence(override, timing_of(override, self.context.zone), original)
        moment = Span(original, original + timedelta(seconds=1))
        found = self._by_rule(moment, keep_skipped=True)
        return next((one for one in found if one.original == original), None)

    def event(self, occurrence: Occurrence | None = None) -> Event:
        """Give the event, the series, or one occurrence of it, as a record."""
        part = occurrence.component if occurrence else self._first_part
        timing = occurrence.timing if occurrence else self.timing
        original = occurrence.original if occurrence else None
        is_whole = original is None
        is_out = original in self.skipped and original not in self.overrides
        is_cancelled = str(part.get("STATUS", "")).upper() == "CANCELLED" or is_out
        return Event(
            id=self.name.whole if original is None else self.name.occurrence(original),
            calendar=self.name.calendar,
            title=_text(part, "SUMMARY"),
            timing=timing,
            status="cancelled" if is_cancelled else "confirmed",
            attendees=_attendees(part, self.context.addresses),
            location=_text(part, "LOCATION"),
            description=_text(part, "DESCRIPTION"),
            repeat=(self.rule or "RDATE") if is_whole and self.is_series else "",
            reminders_min=_reminders(part),
            series=None if original is None else self.name.whole,
            etag=self.etag,
            organizer=address_of(part.get("ORGANIZER")),
            invited=self._invited(part),
            video_url=_link(part, "CONFERENCE") or _link(part, "X-GOOGLE-CONFERENCE"),
            url=_link(part, "URL"),
        )

    def _invited(self, part: Component) -> tuple[str, ...]:
        """Give whom the server itself tells of what happens: SCHEDULE-AGENT, RFC 6638, 7.1."""
        if not (self.context.schedules and self.is_own and "ORGANIZER" in part):
            return ()
        found = part.get("ATTENDEE", [])
        return tuple(
            address_of(value)
            for value in (found if isinstance(found, list) else [found])
            if str(value.params.get(AGENT, "SERVER")).upper() == "SERVER"
            and not is_own(address_of(value), self.context.addresses)
        )

    @property
    def _first_part(self) -> Component:
        return self.master if self.master is not None else next(iter(self.overrides.values()))

    def _by_rule(self, window: Span, *, keep_skipped: bool = False) -> Iterator[Occurrence]:
        if self.master is None:
            return
        if not self.is_series:
            yield Occurrence(self.master, self.timing, None)
            return
        first, seen = self.timing, set[datetime]()
        taken = frozenset(self.overrides) if keep_skipped else self.series.skipped
        extra = [first.span, *(one.span for one in self._dates("RDATE"))]
        for span in (*extra, *self._repeated(window, taken)):
            if span.start not in seen and span.start not in taken:
                seen.add(span.start)
                yield Occurrence(self.master, replace(first, span=span), span.start)

    def _repeated(self, window: Span, taken: frozenset[datetime]) -> Iterator[Span]:
        """Expand the rule; one that repeats within a day is too often to be walked through."""
        if not self.rule or any(f"FREQ={often}" in self.rule for often in _TOO_OFTEN):
            return
        try:
            yield from replace(self.series, skipped=taken).occurrences(window)
        except (InvalidInput, ValueError, TypeError, OverflowError):
            return  # a rule that cannot be read: what is left is the first occurrence

    def _overridden(self) -> Iterator[Occurrence]:
        for original, part in self.overrides.items():
            yield Occurrence(part, timing_of(part, self.context.zone), original)

    def _original_of(self, part: Component) -> datetime:
        return original_of(part, self.context.zone)

    def _dates(self, name: str) -> Iterator[Timing]:
        """Read EXDATE or RDATE; one without an own end is as long as the first occurrence."""
        found: Any = [] if self.master is None else self.master.get(name, [])
        first = self.timing
        for values in found if isinstance(found, list) else [found]:
            for value in getattr(values, "dts", []):
                start, end = value.dt if isinstance(value.dt, tuple) else (value.dt, None)
                params = {**values.params, **value.params}
                moment = moment_of(start, params, ZoneInfo(first.tz))
                last = moment.at + (first.span.end - first.span.start)
                if isinstance(end, timedelta):
                    last = moment.at + end
                elif end is not None:
                    last = moment_of(end, params, ZoneInfo(first.tz)).at
                yield replace(first, span=Span(moment.at, max(last, moment.at)))


def original_of(part: Component, zone: ZoneInfo) -> datetime:
    """Give the start by the rule of a changed occurrence (its RECURRENCE-ID)."""
    value: Any = part["RECURRENCE-ID"]
    return moment_of(getattr(value, "dt", None), value.params, zone).at


def _stamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def address_of(value: Any) -> str:
    """Give the e-mail address in an ATTENDEE or ORGANIZER; empty for none."""
    if value is None or isinstance(value, list):
        return ""
    text = str(value)
    if text[:7].lower() == "mailto:":
        return unquote(text[7:])
    return str(value.params.get("EMAIL", text))


def _attendees(part: Component, own: tuple[str, ...]) -> tuple[Attendee, ...]:
    found = part.get("ATTENDEE", [])
    people: dict[str, Attendee] = {}
    for value in found if isinstance(found, list) else [found]:
        local, at, domain = address_of(value).rpartition("@")
        address = f"{local}{at}{domain.lower() if at else domain}"
        people.setdefault(
            address.casefold(),
            Attendee(
                address=address,
                name=str(value.params.get("CN", "")),
                response=_RESPONSES.get(
                    str(value.params.get("PARTSTAT", "")).upper(), "needs_action"
                ),
                is_optional=str(value.params.get("ROLE", "")).upper() == "OPT-PARTICIPANT",
                is_self=is_own(address, own) and not any(one.is_self for one in people.values()),
            ),
        )
    return tuple(people.values())


def _reminders(part: Component) -> tuple[int, ...]:
    found = set()
    for alarm in part.subcomponents:
        before = getattr(alarm.get("TRIGGER"), "dt", None)
        if alarm.name == "VALARM" and isinstance(before, timedelta) and before <= timedelta():
            found.add(int(-before.total_seconds()) // 60)
    return tuple(sorted(found, reverse=True))


def _text(part: Component, name: str) -> str:
    value = part.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _link(part: Component, name: str) -> str:
    link = _text(part, name)
    return link if link.startswith(("https://", "http://")) else ""
