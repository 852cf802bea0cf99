"""The rules of the calendars: what may be booked and what a person should know. Port only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from aicore_tools.calendars.availability import Availability, FreeAsked, FreeTimes, read_window
from aicore_tools.calendars.changes import applied, continued, moved_timing, wall_shift
from aicore_tools.calendars.clashing import clashing, spans_of
from aicore_tools.calendars.cursors import from_cursor, to_cursor
from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.invitations import (
    EVERYBODY,
    InviteeRules,
    notices,
    own_attendee,
    unsent,
)
from aicore_tools.calendars.plans import (
    Booking,
    CancelPlan,
    CreatePlan,
    Edit,
    EventsAsked,
    EventsGiven,
    RespondPlan,
    UpdatePlan,
)
from aicore_tools.calendars.port import Agenda
from aicore_tools.calendars.reading import (
    read_attendees,
    read_change,
    read_reminders,
    read_text,
    read_timing,
)
from aicore_tools.calendars.records import (
    Answer,
    Attendee,
    Booked,
    Calendar,
    CalendarId,
    Event,
    EventChange,
    EventId,
    EventQuery,
    NewEvent,
    Scope,
    Span,
    Terms,
    Timing,
)
from aicore_tools.calendars.recurrence import checked_rule
from aicore_tools.connections import Probe
from aicore_tools.errors import Conflict, InvalidInput, NotAllowed, NotFound
from aicore_tools.operations import Effect, Operation
from aicore_tools.times import read_when

__all__ = ["CalendarService"]

MAX_EVENTS = 250
_DEFAULT_WINDOW = timedelta(days=30)
_DONE = "It is cancelled already: nothing is done, and nobody is told."
_LIKELY_SAME = 0.7  # the ratio at which @cocal/google-calendar-mcp 2.6.3 warns


class CalendarService:
    """Finds free times and books them.

    `zone` is where a time without an offset is taken to be; `hours` are by the clock there.
    `invitees` are the people who may be invited and written to. Every effect is planned first:
    a plan reads and checks everything, and changes nothing.
    """

    def __init__(
        self,
        agenda: Agenda,
        *,
        zone: ZoneInfo,
        hours: OpeningHours,
        invitees: InviteeRules = EVERYBODY,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._agenda = agenda
        self._zone = zone
        self._invitees = invitees
        self._availability = Availability(agenda, zone=zone, hours=hours, clock=clock)

    @property
    def now(self) -> datetime:
        """The present moment, as the clock of the business shows it."""
        return self._availability.now.astimezone(self._zone)

    async def probe(self) -> Probe:
        """Prove that the backend can be reached; see `Agenda.probe`."""
        return await self._agenda.probe()

    async def earlier(self, operation: Operation) -> Effect[Booked] | None:
        """Give what an operation gave before; see `Agenda.earlier`."""
        return await self._agenda.earlier(operation)

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
            InvalidInput: an argument cannot be read or is out of range, or the cursor is one of
                another question.
            NotFound: there is no such calendar.
        """
        if not 1 <= asked.limit <= MAX_EVENTS:
            raise InvalidInput(f"limit: give 1 to {MAX_EVENTS}, not {asked.limit}.")
        if asked.cursor:
            query = replace(from_cursor(asked.cursor, asked), text=read_text(asked.query, "query"))
        else:
            query = await self._query(asked)
        page = await self._agenda.events(replace(query, limit=asked.limit))
        cursor = to_cursor(asked, query, page.next) if page.next else None
        return EventsGiven(events=page.events, next_cursor=cursor)

    async def plan_create(self, booking: Booking, terms: Terms) -> CreatePlan:
        """Plan a booking. Warns of a likely double, of a closed business and of a past time.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotFound: there is no such calendar.
            NotAllowed: somebody may not be invited, or the calendar can only be read.
            Conflict: clashes are refused and the time is taken; the hint names free ones.
        """
        named = [booking.calendar] if booking.calendar else []
        calendar = await self._writable((await self._availability.chosen(named))[0])
        new = _read_booking(booking, calendar.id, self._zone)
        if new.wants_video and not calendar.makes_video:
            raise InvalidInput(
                "This calendar makes no video rooms.",
                hint="Leave video out and put a link into location.",
            )
        self._invitees.check(one.address for one in new.attendees)
        clashes = await self._clashes(calendar.id, spans_of(new.timing, new.repeat), None)
        await self._refuse_taken(clashes, terms, calendar.id, new.timing)
        told, untold = notices(new.attendees, terms, calendar)
        return CreatePlan(
            new=new,
            terms=terms,
            clashes=() if terms.on_clash == "ignore" else tuple(clashes),
            told=told,
            warnings=(*await self._doubts(new), *untold),
        )

    async def create(self, plan: CreatePlan, operation: Operation) -> Effect[Booked]:
        """Book what was planned.

        Raises:
            InvalidInput: the backend cannot do what is asked.
            Conflict: clashes are refused and the time was taken meanwhile.
        """
        try:
            effect = await self._agenda.create(plan.new, plan.terms, operation)
        except Conflict as error:
            raise await self._with_next_free(error, plan.new.calendar, plan.new.timing) from error
        return effect.map(lambda booked: _with_warnings(booked, plan.warnings))

    async def plan_update(self, edit: Edit, terms: Terms) -> UpdatePlan:
        """Plan a change.

        Raises:
            InvalidInput: a field is unknown or wrong, or `this` is asked of a whole series.
            NotFound: there is none of that id.
            NotAllowed: as `plan_create`.
            Conflict: it is cancelled, was changed meanwhile, or as `plan_create`.
        """
        present = await self._agenda.get(EventId(edit.event))
        calendar = await self._writable(present.calendar)
        _refuse_stale(present, edit)
        _refuse_whole_series(present, edit.scope)
        change = _read_edit(edit, present)
        after = applied(present, change)
        told, untold = notices(_all_people(present, after), terms, calendar, before=present)
        known = {one.address for one in present.attendees}
        added = [one.address for one in after.attendees if one.address not in known]
        self._invitees.check([*added, *told])
        clashes: list[Event] = []
        if change.timing is not None or change.repeat is not None:
            spans = await self._spans_after(present, after, change, edit.scope)
            own = present.id if edit.scope == "this" else present.series or present.id
            clashes = await self._clashes(calendar.id, spans, own)
            await self._refuse_taken(clashes, terms, calendar.id, after.timing)
        return UpdatePlan(
            before=present,
            after=after,
            change=change,
            scope=edit.scope,
            etag=edit.etag or present.etag,
            terms=terms,
            clashes=() if terms.on_clash == "ignore" else tuple(clashes),
            told=told,
            warnings=untold,
        )

    async def update(self, plan: UpdatePlan, operation: Operation) -> Effect[Booked]:
        """Change what was planned.

        Raises:
            Conflict: it was changed meanwhile, or clashes are refused and the time was taken.
        """
        try:
            return await self._agenda.change(
                plan.before.id,
                plan.change,
                scope=plan.scope,
                etag=plan.etag,
                terms=plan.terms,
                operation=operation,
            )
        except Conflict as error:
            timing = plan.after.timing
            raise await self._with_next_free(error, plan.before.calendar, timing) from error

    async def plan_cancel(self, event: str, *, scope: Scope, terms: Terms) -> CancelPlan:
        """Plan a cancellation. What is cancelled already stays so, and nobody is told again.

        Raises:
            InvalidInput: `this` is asked of a whole series, or the message cannot be read.
            NotFound: there is none of that id.
            NotAllowed: somebody may not be written to, or the calendar can only be read.
        """
        present = await self._agenda.get(EventId(event))
        calendar = await self._writable(present.calendar)
        terms = replace(terms, message=read_text(terms.message, "message"))
        if await self._is_cancelled(present, scope):
            terms = replace(terms, message="")
            return CancelPlan(
                event=present, scope=scope, terms=terms, is_done=True, warnings=(_DONE,)
            )
        _refuse_whole_series(present, scope)
        told, untold = notices(present.attendees, terms, calendar, before=present, is_end=True)
        self._invitees.check(told)
        warnings = (*untold, *unsent(terms, calendar))
        return CancelPlan(event=present, scope=scope, terms=terms, told=told, warnings=warnings)

    async def cancel(self, plan: CancelPlan, operation: Operation) -> Effect[Booked]:
        """Cancel what was planned.

        Raises:
            Conflict: it was changed meanwhile.
        """
        if plan.is_done:
            return Effect(result=Booked(event=plan.event, warnings=plan.warnings))
        return await self._agenda.cancel(
            plan.event.id,
            scope=plan.scope,
            etag=plan.event.etag,
            terms=plan.terms,
            operation=operation,
        )

    async def plan_respond(
        self, event: str, answer: Answer, *, scope: Literal["this", "all"]
    ) -> RespondPlan:
        """Plan an answer to an invitation.

        Raises:
            InvalidInput: nobody of the business is invited, or `this` is asked of a whole series.
            NotFound: there is none of that id.
            NotAllowed: the organizer may not be written to, or the calendar can only be read.
            Conflict: it is cancelled.
        """
        present = await self._agenda.get(EventId(event))
        await self._writable(present.calendar)
        _refuse_whole_series(present, scope)
        _refuse_cancelled(present)
        if own_attendee(present) is None:
            raise InvalidInput(
                f"Nobody of this account is invited to {present.id}: there is nothing to answer.",
                hint="The business's own addresses are set at the start (--address).",
            )
        comment = read_text(answer.comment, "comment")
        if comment and present.organizer:
            self._invitees.check([present.organizer])
        return RespondPlan(event=present, answer=replace(answer, comment=comment), scope=scope)

    async def respond(self, plan: RespondPlan, operation: Operation) -> Effect[Booked]:
        """Answer as planned.

        Raises:
            Conflict: it was changed or cancelled meanwhile.
        """
        return await self._agenda.respond(
            plan.event.id, plan.answer, scope=plan.scope, operation=operation
        )

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

    async def _writable(self, calendar: CalendarId) -> Calendar:
        known = await self._agenda.calendars()
        found = next((one for one in known if one.id == calendar), known[0])
        if not found.can_write:
            raise NotAllowed(
                f"The calendar {calendar} can only be read.", hint="Choose another calendar."
            )
        return found

    async def _is_cancelled(self, present: Event, scope: Scope) -> bool:
        """Say whether all that `scope` means is cancelled already.

        Of `following` that is known where the whole series is.
        """
        if present.status != "cancelled":
            return False
        if scope == "this" or present.series is None:
            return True
        try:
            return (await self._agenda.get(present.series)).status == "cancelled"
        except NotFound:
            return True

    async def _clashes(
        self, calendar: CalendarId, spans: Sequence[Span], own: EventId | None
    ) -> list[Event]:
        return await clashing(self._agenda.events, calendar, spans, own=own)

    async def _spans_after(
        self, present: Event, after: Event, change: EventChange, scope: Scope
    ) -> list[Span]:
        """Say when everything is that moves along with the named event."""
        if scope == "this" or present.series is None:
            return spans_of(after.timing, after.repeat)
        series = await self._agenda.get(present.series)
        if scope == "following":
            rule = change.repeat or continued(series, present.timing, after.timing)
            return spans_of(after.timing, rule)
        by = wall_shift(present.timing, after.timing)
        timing = moved_timing(series.timing, by=by, like=after.timing)
        return spans_of(timing, series.repeat if change.repeat is None else change.repeat)

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

    async def _refuse_taken(
        self, clashes: Sequence[Event], terms: Terms, calendar: CalendarId, timing: Timing
    ) -> None:
        if clashes and terms.on_clash == "reject":
            taken = Conflict("That time is taken.", code="slot_taken")
            raise await self._with_next_free(taken, calendar, timing)

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


def _read_booking(booking: Booking, calendar: CalendarId, zone: ZoneInfo) -> NewEvent:
    timing = read_timing(booking.time, zone)
    return NewEvent(
        calendar=calendar,
        title=read_text(booking.title, "title", required=True),
        timing=timing,
        attendees=read_attendees(booking.attendees),
        location=read_text(booking.location, "location"),
        description=read_text(booking.description, "description"),
        repeat=checked_rule(booking.repeat, timing) if booking.repeat.strip() else "",
        reminders_min=read_reminders(booking.reminders),
        wants_video=booking.wants_video,
    )


def _read_edit(edit: Edit, present: Event) -> EventChange:
    change = read_change(edit.set, present)
    if not change.repeat:
        return change
    if present.series is not None and edit.scope == "this":
        raise InvalidInput("repeat: one occurrence cannot repeat. Use scope=following or all.")
    return replace(change, repeat=checked_rule(change.repeat, change.timing or present.timing))


def _refuse_stale(present: Event, edit: Edit) -> None:
    if edit.etag and edit.etag != present.etag:
        raise Conflict(
            f"The event {present.id} was changed meanwhile.",
            hint="Read it again with calendar_events, then change it.",
            code="changed_meanwhile",
        )
    _refuse_cancelled(present)


def _refuse_cancelled(present: Event) -> None:
    if present.status == "cancelled":
        raise Conflict(f"The event {present.id} is cancelled.", code="cancelled")


def _refuse_whole_series(present: Event, scope: str) -> None:
    if present.repeat and scope == "this":
        raise InvalidInput(
            f"{present.id} is a whole series.",
            hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
        )


def _all_people(before: Event, after: Event) -> list[Attendee]:
    """Give those who are invited afterwards, and those who no longer are: both hear of it."""
    stay = {one.address for one in after.attendees}
    return [*after.attendees, *(one for one in before.attendees if one.address not in stay)]


def _with_warnings(booked: Booked, doubts: Iterable[str]) -> Booked:
    return replace(booked, warnings=tuple(dict.fromkeys((*doubts, *booked.warnings))))


def _is_alike(one: str, other: str) -> bool:
    matcher = difflib.SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False)
    return matcher.quick_ratio() >= _LIKELY_SAME and matcher.ratio() >= _LIKELY_SAME
