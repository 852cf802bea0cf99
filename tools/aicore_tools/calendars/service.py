"""The rules of the calendars: what may be booked and what a person should know. Port only."""

from __future__ import annotations

import base64
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aicore_tools.calendars.availability import Availability, FreeAsked, FreeTimes, read_window
from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.port import Agenda
from aicore_tools.calendars.reading import (
    TimeGiven,
    read_attendees,
    read_change,
    read_reminders,
    read_text,
    read_timing,
)
from aicore_tools.calendars.records import (
    Booked,
    Calendar,
    CalendarId,
    Cursor,
    Event,
    EventChange,
    EventId,
    EventPage,
    EventQuery,
    NewEvent,
    Scope,
    Span,
    Terms,
    Timing,
)
from aicore_tools.calendars.recurrence import checked_rule
from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.operations import Effect, Operation
from aicore_tools.times import read_when

__all__ = ["Booking", "CalendarService", "Edit", "EventsAsked", "EventsGiven", "Outcome"]

MAX_EVENTS = 250
_DEFAULT_WINDOW = timedelta(days=30)
_LIKELY_SAME = 0.7  # the ratio at which @cocal/google-calendar-mcp 2.6.3 warns


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsAsked:
    """A question for events as a caller gives it; without a window the next 30 days.

    A `cursor` brings its own window, text and calendars.
    """

    start: str | None = None
    end: str | None = None
    query: str = ""
    calendars: Sequence[str] = ()
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsGiven:
    """Events in order, and the cursor of the next page, None at the end."""

    events: tuple[Event, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A booking as a caller gives it."""

    title: str
    time: TimeGiven
    attendees: Sequence[str] = ()
    location: str = ""
    description: str = ""
    repeat: str = ""
    reminders: Sequence[int] = ()
    calendar: str | None = None
    wants_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change as a caller gives it; without an `etag` it holds for the present state."""

    event: str
    set: Mapping[str, Any]
    scope: Scope = "this"
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an effect gave, and what a person should know about it."""

    event: Event
    clashes: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()


class CalendarService:
    """Finds free times and books them.

    `zone` is where a time without an offset is taken to be; `hours` are by the clock there.
    """

    def __init__(
        self,
        agenda: Agenda,
        *,
        zone: ZoneInfo,
        hours: OpeningHours,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._agenda = agenda
        self._zone = zone
        self._availability = Availability(agenda, zone=zone, hours=hours, clock=clock)

    @property
    def now(self) -> datetime:
        """The present moment, as the clock of the business shows it."""
        return self._availability.now.astimezone(self._zone)

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars, the default one first."""
        return await self._agenda.calendars()

    async def free(self, asked: FreeAsked) -> FreeTimes:
        """Find free slots; see `Availability.free`."""
        return await self._availability.free(asked)

    async def event(self, event: str) -> Event:
        """Give one event.

        Raises:
            NotFound: there is none of that id.
        """
        return await self._agenda.get(EventId(event))

    async def events(self, asked: EventsAsked) -> EventsGiven:
        """Give a page of events.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotFound: there is no such calendar.
        """
        if not 1 <= asked.limit <= MAX_EVENTS:
            raise InvalidInput(f"limit: give 1 to {MAX_EVENTS}, not {asked.limit}.")
        query = _from_cursor(asked.cursor) if asked.cursor else await self._query(asked)
        page = await self._agenda.events(replace(query, limit=asked.limit))
        return EventsGiven(events=page.events, next_cursor=_to_cursor(query, page))

    async def create(self, booking: Booking, terms: Terms, operation: Operation) -> Effect[Outcome]:
        """Book an event. Warns of a likely double, of a closed business and of a past time.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotFound: there is no such calendar.
            Conflict: clashes are refused and the time is taken; the hint names free ones.
        """
        effect = await self._agenda.earlier(operation)
        warnings: tuple[str, ...] = ()
        if effect is None:
            new = await self._read(booking)
            warnings = await self._doubts(new)
            try:
                effect = await self._agenda.create(new, terms, operation)
            except Conflict as error:
                raise await self._with_next_free(error, new.calendar, new.timing) from error
        return effect.map(lambda booked: _outcome(booked, terms, warnings))

    async def update(self, edit: Edit, terms: Terms, operation: Operation) -> Effect[Outcome]:
        """Change an event.

        Raises:
            InvalidInput: a field is unknown or wrong, or `this` is asked of a whole series.
            NotFound: there is none of that id.
            Conflict: it is cancelled, was changed meanwhile, or as `create`.
        """
        effect = await self._agenda.earlier(operation)
        if effect is None:
            present = await self._agenda.get(EventId(edit.event))
            change = self._read_edit(edit, present)
            timing = change.timing or present.timing
            try:
                effect = await self._agenda.change(
                    present.id,
                    change,
                    scope=edit.scope,
                    etag=edit.etag or present.etag,
                    terms=terms,
                    operation=operation,
                )
            except Conflict as error:
                raise await self._with_next_free(error, present.calendar, timing) from error
        return effect.map(lambda booked: _outcome(booked, terms))

    async def cancel(
        self, event: str, *, scope: Scope, terms: Terms, operation: Operation
    ) -> Effect[Outcome]:
        """Cancel an event. What is cancelled already stays so.

        Raises:
            InvalidInput: `this` is asked of a whole series.
            NotFound: there is none of that id.
        """
        effect = await self._agenda.cancel(
            EventId(event), scope=scope, terms=terms, operation=operation
        )
        return effect.map(lambda booked: _outcome(booked, terms))

    async def _query(self, asked: EventsAsked) -> EventQuery:
        names = asked.calendars or [known.id for known in await self._agenda.calendars()]
        start = asked.start or self.now.isoformat()
        first = read_when(start, self._zone, name="start").moment
        end = asked.end or (first + _DEFAULT_WINDOW).isoformat()
        return EventQuery(
            window=read_window(start, end, self._zone),
            calendars=tuple(await self._availability.chosen(names)),
            text=read_text(asked.query, "query"),
        )

    async def _read(self, booking: Booking) -> NewEvent:
        named = [booking.calendar] if booking.calendar else []
        timing = read_timing(booking.time, self._zone)
        return NewEvent(
            calendar=(await self._availability.chosen(named))[0],
            title=read_text(booking.title, "title", required=True),
            timing=timing,
            attendees=read_attendees(booking.attendees),
            location=read_text(booking.location, "location"),
            description=read_text(booking.description, "description"),
            repeat=checked_rule(booking.repeat, timing) if booking.repeat.strip() else "",
            reminders_min=read_reminders(booking.reminders),
            wants_video=booking.wants_video,
        )

    def _read_edit(self, edit: Edit, present: Event) -> EventChange:
        change = read_change(edit.set, present.timing)
        if not change.repeat:
            return change
        if present.series is not None and edit.scope == "this":
            raise InvalidInput("repeat: one occurrence cannot repeat. Use scope=following or all.")
        return replace(change, repeat=checked_rule(change.repeat, change.timing or present.timing))

    async def _doubts(self, new: NewEvent) -> tuple[str, ...]:
        """Say what makes the booking look like a mistake; none of it stands in the way."""
        span, doubts = new.timing.span, []
        if span.start < self._availability.now:
            doubts.append("It starts in the past.")
        if not new.timing.is_all_day and not self._availability.is_open(span):
            doubts.append("It is outside the opening hours.")
        around = Span(span.start - timedelta(hours=12), span.end + timedelta(hours=12))
        page = await self._agenda.events(EventQuery(window=around, calendars=(new.calendar,)))
        doubts += [
            f"It may be there already: {event.title!r} ({event.id})."
            for event in page.events
            if _is_alike(event.title, new.title)
        ]
        return tuple(doubts)

    async def _with_next_free(
        self, error: Conflict, calendar: CalendarId, timing: Timing
    ) -> Conflict:
        if error.code != "slot_taken":
            return error
        later = await self._availability.next_free(calendar, timing)
        zone = ZoneInfo(timing.tz)
        times = ", ".join(span.start.astimezone(zone).isoformat() for span in later)
        hint = f"Next free: {times}." if times else "Ask calendar_free for another time."
        return Conflict(error.message, hint=hint, code=error.code)


def _outcome(booked: Booked, terms: Terms, warnings: tuple[str, ...] = ()) -> Outcome:
    event = booked.event
    if terms.notify != "none" and event.attendees and not booked.was_notified:
        warnings = (*warnings, "Nobody was notified: this calendar sends no mail.")
    clashes = () if terms.on_clash == "ignore" else booked.clashes
    return Outcome(event=event, clashes=clashes, warnings=warnings)


def _is_alike(one: str, other: str) -> bool:
    matcher = difflib.SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False)
    return matcher.quick_ratio() >= _LIKELY_SAME and matcher.ratio() >= _LIKELY_SAME


def _to_cursor(query: EventQuery, page: EventPage) -> str | None:
    if page.next is None:
        return None
    moments = (query.window.start, query.window.end, page.next.start)
    body = [[int(moment.timestamp()) for moment in moments], query.calendars, query.text]
    text = json.dumps([*body, page.next.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _from_cursor(cursor: str) -> EventQuery:
    try:
        moments, calendars, text, last = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        start, end, at = (datetime.fromtimestamp(moment, UTC) for moment in moments)
        return EventQuery(
            window=Span(start, end),
            calendars=tuple(CalendarId(str(calendar)) for calendar in calendars),
            text=str(text),
            after=Cursor(at, EventId(str(last))),
        )
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise InvalidInput(
            "cursor: that is none of ours.", hint="Give a next_cursor as it came, or leave it out."
        ) from error
