"""Google Calendar: the calendars of one Google account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from aicore_tools.calendars.backends.google_events import body_of, event_of, marked, named
from aicore_tools.calendars.backends.google_plans import (
    TELL,
    Found,
    Plan,
    cancelling,
    changing,
)
from aicore_tools.calendars.backends.google_reading import GoogleReading
from aicore_tools.calendars.backends.google_steps import NEW, Steps, partly_done
from aicore_tools.calendars.clashing import clashing, spans_of
from aicore_tools.calendars.invitations import notices, own_attendee
from aicore_tools.calendars.plain import (
    booked_from_json,
    booked_to_json,
    event_from_json,
    event_to_json,
)
from aicore_tools.calendars.records import (
    Answer,
    Booked,
    Calendar,
    CalendarId,
    Event,
    EventChange,
    EventId,
    EventPage,
    EventQuery,
    NewEvent,
    Scope,
    Span,
    Terms,
)
from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.google_client import Api, GoogleClient
from aicore_tools.journal import Claim, EffectJournal
from aicore_tools.operations import Effect, Operation

__all__ = ["CALENDAR", "GoogleAgenda"]

CALENDAR = Api(
    name="calendar",
    version="v3",
    path="/calendar/v3/",
    scopes=("calendar.calendarlist.readonly", "calendar.events", "calendar.freebusy"),
)
_LEFT = "{} occurrences that had been changed on their own could not be carried along."
_NO_WORDS = "Google mails its own words: the message was not sent along."


class GoogleAgenda:
    """The Agenda of one Google account.

    `calendars` are the ids that may be used, the default one first (`primary` is the account's
    own); empty: all of the account. `addresses` are the business's own beside the account's. The
    journal of its effects is the file `journal`.
    """

    def __init__(
        self,
        journal: Path,
        connection: Connection,
        *,
        business: str,
        calendars: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> None:
        self._client = GoogleClient(connection, CALENDAR)
        self._reading = GoogleReading(self._client, chosen=calendars, addresses=addresses)
        self._steps = Steps(self._client, self._finished)
        self._journal = EffectJournal(
            journal, business=business, procedures=[self._steps.procedure]
        )
        self._booking = anyio.Lock()

    async def __aenter__(self) -> Self:
        await self._journal.__aenter__()
        try:
            await self._client.__aenter__()
        except BaseException as error:
            await self._journal.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)
        await self._journal.__aexit__(kind, error, trace)

    async def probe(self) -> Probe:
        """Ask for the calendars, and say what the scopes allow."""
        (first, *_) = await self._reading.calendars()
        granted = self._client.granted()
        can = []
        if granted & {"calendar", "calendar.events", "calendar.events.owned"}:
            can.append("read, book, change and cancel events; Google mails the attendees")
        elif granted & {"calendar.readonly", "calendar.events.readonly"}:
            can.append("read events")
        if granted & {"calendar", "calendar.readonly", "calendar.freebusy"}:
            can.append("see what is taken")
        warnings: tuple[str, ...] = ()
        if not self._client.is_delegated:
            warnings = (
                "If the app at Google is in testing, this connection ends after seven days.",
            )
        return Probe(
            name=first.address or first.id,
            can=tuple(can) or ("nothing that this server does",),
            warnings=warnings,
            is_test=bool(self._client.base_url),
        )

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars, the default one first."""
        return await self._reading.calendars()

    async def get(self, event: EventId) -> Event:
        """Give one event, series or occurrence, cancelled ones too."""
        return (await self._reading.find(event)).event

    async def events(self, query: EventQuery) -> EventPage:
        """Give what overlaps the window, ordered by start and then id."""
        return await self._reading.events(query)

    async def busy(self, window: Span, calendars: Sequence[CalendarId]) -> Sequence[Span]:
        """Give the stretches that are taken."""
        return await self._reading.busy(window, calendars)

    async def earlier(self, operation: Operation) -> Effect[Booked] | None:
        """Give what `operation` did before; looks it up where that is not known."""
        effect = await self._journal.earlier(operation)
        if effect is None:
            return None
        with partly_done():
            await self._reading.calendars()  # whose addresses are our own
        return effect.map(self._read_back)

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Book: look for clashes, insert under the claim's key, and look again.

        Google has no transaction over that. What clashes after all is withdrawn, so that of two
        at the same moment at most one stays; it may be that neither does.
        """
        event = Event(
            id=EventId(""),
            calendar=new.calendar,
            title=new.title,
            timing=new.timing,
            attendees=new.attendees,
            repeat=new.repeat,
        )
        insert = {
            "do": "insert",
            "calendar": new.calendar,
            "body": body_of(new),
            "tell": TELL[terms.notify],
            "video": new.wants_video,
        }
        plan = Plan(steps=[insert], event=event, shown=NEW)
        async with self._booking:
            earlier = await self.earlier(operation)
            if earlier is not None:
                return earlier
            calendar = await self._reading.calendar(new.calendar)
            clashes = await self._clashes(plan.event, None, terms)
            request = self._request(plan, calendar, terms, clashes)
            return await self._effect(operation, {**request, "recheck": terms.on_clash == "reject"})

    async def change(
        self,
        event: EventId,
        change: EventChange,
        *,
        scope: Scope,
        etag: str,
        terms: Terms,
        operation: Operation,
    ) -> Effect[Booked]:
        """Change by a patch that holds the etag; a series that is split begins anew besides."""
        async with self._booking:
            earlier = await self.earlier(operation)
            if earlier is not None:
                return earlier
            found = await self._reading.find(event, with_exceptions=scope != "this")
            if found.event.status == "cancelled":
                raise Conflict(f"The event {event} is cancelled.", code="cancelled")
            _refuse_stale(found, etag)
            plan = changing(found, change, scope, TELL[terms.notify])
            clashes: list[Event] = []
            if change.timing is not None or change.repeat is not None:
                whole = found.series if scope != "this" else None
                own = found.event.id if whole is None else whole.id
                clashes = await self._clashes(plan.event, own, terms)
            calendar = await self._reading.calendar(found.event.calendar)
            return await self._effect(operation, self._request(plan, calendar, terms, clashes))

    async def cancel(
        self, event: EventId, *, scope: Scope, etag: str, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Cancel by a deletion that holds the etag; of a series, also by ending it."""
        earlier = await self.earlier(operation)
        if earlier is not None:
            return earlier
        found = await self._reading.find(event, with_exceptions=scope == "following")
        if found.event.status != "cancelled":
            _refuse_stale(found, etag)
        plan = cancelling(found, scope, TELL[terms.notify])
        calendar = await self._reading.calendar(found.event.calendar)
        return await self._effect(operation, self._request(plan, calendar, terms))

    async def respond(
        self,
        event: EventId,
        answer: Answer,
        *,
        scope: Literal["this", "all"],
        operation: Operation,
    ) -> Effect[Booked]:
        """Write the own attendee's answer; Google tells the organizer."""
        earlier = await self.earlier(operation)
        if earlier is not None:
            return earlier
        found = await self._reading.find(event, with_exceptions=scope == "all")
        if found.event.status == "cancelled":
            raise Conflict(f"The event {event} is cancelled.", code="cancelled")
        mine = own_attendee(found.event)
        if mine is None:
            raise InvalidInput(f"Nobody of this account is invited to {event}.")
        if scope == "this" and found.is_series:
            raise InvalidInput(f"{event} is a whole series.", hint="Say scope=all.")
        step = {
            "do": "answer",
            "calendar": found.event.calendar,
            "address": mine.address.casefold(),
            "response": answer.response,
            "comment": answer.comment,
            "tell": "all",
        }
        keys = [found.raw["id"]]
        if scope == "all" and found.series_raw is not None:
            changed = [each["id"] for each in found.exceptions if each["status"] != "cancelled"]
            keys = [found.series_raw["id"], *changed]
        plan = Plan(
            steps=[{**step, "event": key} for key in keys], event=found.event, shown=keys[0]
        )
        calendar = await self._reading.calendar(found.event.calendar)
        request = self._request(plan, calendar, Terms())
        organizer = found.event.organizer
        told = [organizer] if "@" in organizer and organizer not in self._reading.own else []
        return await self._effect(operation, {**request, "told": told})

    # --- effects

    async def _clashes(self, event: Event, own: EventId | None, terms: Terms) -> list[Event]:
        """Look for what else is at that time.

        Raises:
            Conflict: there is something, and clashes are refused.
        """
        if terms.on_clash == "ignore":
            return []
        spans = spans_of(event.timing, event.repeat)
        found = await clashing(self._reading.taking, event.calendar, spans, own=own)
        if found and terms.on_clash == "reject":
            raise Conflict("That time is taken.", code="slot_taken")
        return found

    def _request(
        self, plan: Plan, calendar: Calendar, terms: Terms, clashes: Sequence[Event] = ()
    ) -> dict[str, Any]:
        people = marked(plan.event, self._reading.own).attendees
        told, warnings = notices(people, terms, calendar) if plan.steps else ((), ())
        if terms.message and told:
            warnings = (*warnings, _NO_WORDS)
        return {
            "steps": [dict(step) for step in plan.steps],
            "event": event_to_json(plan.event),
            "shown": {"calendar": calendar.id, "event": plan.shown} if plan.shown else None,
            "clashes": [event_to_json(each) for each in clashes],
            "told": list(told),
            "warnings": list(warnings),
        }

    async def _effect(self, operation: Operation, request: dict[str, Any]) -> Effect[Booked]:
        effect = await self._journal.effect(operation, "steps", request)
        return effect.map(self._read_back)

    async def _finished(self, claim: Claim, last: Mapping[str, Any]) -> dict[str, Any]:
        """Make the result; of a booking that must not clash, look at the time once more.

        Raises:
            Conflict: the time was taken at the same moment; the booking is withdrawn.
        """
        request = claim.request
        event = event_from_json(request["event"])
        if last:
            event = await self._as_it_is(event, last)
        is_open = event.status != "cancelled" and not claim.notes.get("checked")
        if request.get("recheck") and is_open:
            await self._recheck(claim, event)
            with partly_done():
                await claim.note(checked=True)
        left = claim.notes.get("left", 0)
        booked = Booked(
            event=event,
            clashes=tuple(event_from_json(each) for each in request["clashes"]),
            told=tuple(request["told"]),
            warnings=(*request["warnings"], *((_LEFT.format(left),) if left else ())),
        )
        return booked_to_json(booked)

    async def _as_it_is(self, event: Event, last: Mapping[str, Any]) -> Event:
        """Give the planned event as Google has it; of a deleted one that may be its id alone."""
        with partly_done():
            calendar = await self._reading.calendar(event.calendar)
        if "start" in last:
            return event_of(last, calendar, self._reading.own)
        return replace(event, id=named(last["id"], calendar), status="cancelled")

    async def _recheck(self, claim: Claim, event: Event) -> None:
        with partly_done():
            spans = spans_of(event.timing, event.repeat)
            found = await clashing(self._reading.taking, event.calendar, spans, own=event.id)
        if found:
            await self._steps.undo(claim, len(claim.request["steps"]))
            raise Conflict("That time is taken.", code="slot_taken")

    def _read_back(self, stored: dict[str, Any]) -> Booked:
        booked, own = booked_from_json(stored), self._reading.own
        return replace(
            booked,
            event=marked(booked.event, own),
            clashes=tuple(marked(each, own) for each in booked.clashes),
        )


def _refuse_stale(found: Found, etag: str) -> None:
    if found.event.etag != etag:
        raise Conflict(
            f"The event {found.event.id} was changed meanwhile.",
            hint="Read it again with calendar_events, then change it.",
            code="changed_meanwhile",
        )
