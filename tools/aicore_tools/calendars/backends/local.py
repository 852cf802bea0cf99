"""LocalAgenda: the calendars of one business in one SQLite file."""

from __future__ import annotations

import heapq
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from aicore_tools.calendars.backends.local_rows import (
    MIGRATIONS,
    Stored,
    busy_in,
    insert_row,
    occurrences_in,
    overrides_of,
    series_in,
    singles_in,
    update_row,
)
from aicore_tools.calendars.backends.local_series import (
    Found,
    bumped,
    cancel_from,
    changed_series,
    find,
    move_overrides,
    split,
    take_out,
)
from aicore_tools.calendars.changes import applied
from aicore_tools.calendars.clashing import MOST_CLASHES, clashes_with, spans_of, without_own
from aicore_tools.calendars.invitations import (
    NOBODY_TOLD,
    answered,
    marked,
    notices,
    own_attendee,
    unsent,
)
from aicore_tools.calendars.plain import booked_from_json, booked_to_json
from aicore_tools.calendars.records import (
    Answer,
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
)
from aicore_tools.connections import Probe
from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalAgenda"]

_NO_LIMIT = 2**31

_Change: TypeAlias = Callable[[sqlite3.Connection], Booked]


class LocalAgenda:
    """The Agenda port on SQLite. It sends no mail and makes no video rooms.

    `calendars` are the ids that may be used, the default one first; all of them are in `tz`.
    `addresses` are the business's own, by which an attendee is told to be itself.
    """

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        tz: str,
        calendars: Sequence[str] = ("main",),
        addresses: Sequence[str] = (),
    ) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._business = business
        self._addresses = tuple(addresses)
        self._calendars = tuple(
            Calendar(
                id=CalendarId(name),
                tz=tz,
                is_default=number == 0,
                address=addresses[0] if addresses else "",
            )
            for number, name in enumerate(calendars)
        )

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._store.__aexit__(kind, error, trace)

    async def probe(self) -> Probe:
        """Read the file."""
        await self._store.read(lambda connection: connection.execute("SELECT 1 FROM event LIMIT 1"))
        return Probe(
            name=str(self._store.path),
            can=("read and write the calendars in this file",),
            warnings=("It sends no mail: attendees are told nothing.",),
        )

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars that were named at the start."""
        return self._calendars

    async def get(self, event: EventId) -> Event:
        """Read one event."""
        found = await self._store.read(lambda connection: find(connection, self._business, event))
        return self._marked(found.event)

    async def events(self, query: EventQuery) -> EventPage:
        """Read a page of events."""
        page = await self._store.read(lambda connection: self._page(connection, query))
        return replace(page, events=tuple(self._marked(event) for event in page.events))

    async def busy(self, window: Span, calendars: Sequence[CalendarId]) -> Sequence[Span]:
        """Read what is taken."""
        query = EventQuery(window=window, calendars=tuple(calendars))

        def spans(connection: sqlite3.Connection) -> list[Span]:
            found = list(busy_in(connection, self._business, query))
            for stored in series_in(connection, self._business, query):
                found += stored.series.occurrences(window)
            return sorted(found)

        return await self._store.read(spans)

    async def earlier(self, operation: Operation) -> Effect[Booked] | None:
        """Look up what an operation gave."""
        effect = await self._store.find_effect(operation)
        return effect.map(self._read_back) if effect else None

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Book in one transaction: the look for clashes, the event, and the operation's mark."""
        event = Event(
            id=EventId(f"ev{secrets.token_hex(8)}"),
            calendar=new.calendar,
            title=new.title,
            timing=new.timing,
            attendees=new.attendees,
            location=new.location,
            description=new.description,
            repeat=new.repeat,
            reminders_min=new.reminders_min,
            etag="1",
        )

        def book(connection: sqlite3.Connection) -> Booked:
            insert_row(connection, self._business, Stored(event=event))
            return self._settled(connection, Stored(event=event), terms)

        return await self._effect(operation, book)

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
        """Change in one transaction."""

        def apply(connection: sqlite3.Connection) -> Booked:
            found = find(connection, self._business, event)
            _refuse_stale(found, etag)
            _refuse_cancelled(found)
            stored = self._changed(connection, found, change, scope)
            if change.timing is None and change.repeat is None:
                return self._noticed(stored.event, terms)
            return self._settled(connection, stored, terms)

        return await self._effect(operation, apply)

    async def cancel(
        self, event: EventId, *, scope: Scope, etag: str, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Cancel in one transaction."""

        def apply(connection: sqlite3.Connection) -> Booked:
            found = find(connection, self._business, event)
            if found.event.status == "confirmed":
                _refuse_stale(found, etag)
            if _is_cancelled(found, scope):
                return Booked(event=found.event)
            booked = self._noticed(self._cancelled(connection, found, scope), terms)
            untold = (*booked.warnings, *unsent(terms, self._calendars[0]))
            return replace(booked, warnings=untold)

        return await self._effect(operation, apply)

    async def respond(
        self,
        event: EventId,
        answer: Answer,
        *,
        scope: Literal["this", "all"],
        operation: Operation,
    ) -> Effect[Booked]:
        """Write the own attendee's answer in one transaction; the organizer hears nothing."""

        def apply(connection: sqlite3.Connection) -> Booked:
            found = find(connection, self._business, event)
            _refuse_cancelled(found)
            if own_attendee(self._marked(found.event)) is None:
                raise InvalidInput(
                    f"Nobody of the business is invited to {event}.",
                    hint="The business's own addresses are set at the start (--address).",
                )
            attendees = answered(self._marked(found.event), answer.response).attendees
            stored = self._changed(connection, found, EventChange(attendees=attendees), scope)
            if scope == "all" and found.series is not None:
                self._answer_overrides(connection, found.series.event.id, answer)
            return Booked(event=stored.event, warnings=(NOBODY_TOLD,) if answer.comment else ())

        return await self._effect(operation, apply)

    def _answer_overrides(
        self, connection: sqlite3.Connection, series: EventId, answer: Answer
    ) -> None:
        for override in overrides_of(connection, self._business, series):
            event = answered(self._marked(override.event), answer.response)
            update_row(connection, self._business, Stored(event=bumped(event)))

    async def _effect(self, operation: Operation, change: _Change) -> Effect[Booked]:
        effect = await self._store.effect(
            operation, lambda connection: booked_to_json(change(connection))
        )
        return effect.map(self._read_back)

    def _read_back(self, stored: dict[str, Any]) -> Booked:
        booked = booked_from_json(stored)
        return replace(
            booked,
            event=self._marked(booked.event),
            clashes=tuple(self._marked(event) for event in booked.clashes),
        )

    def _marked(self, event: Event) -> Event:
        return marked(event, self._addresses)

    def _noticed(self, event: Event, terms: Terms, clashes: Sequence[Event] = ()) -> Booked:
        told, warnings = notices(self._marked(event).attendees, terms, self._calendars[0])
        return Booked(event=event, clashes=tuple(clashes), told=told, warnings=warnings)

    def _in_order(self, connection: sqlite3.Connection, query: EventQuery) -> Iterator[Event]:
        """Read single events and occurrences; no further than is asked for."""
        singles = singles_in(connection, self._business, query)
        if len(singles) > query.limit:
            # What comes after the last single event of the page is not of this page.
            last = datetime.fromtimestamp(singles[query.limit].start_s + 1, UTC)
            end = min(query.window.end, max(last, query.window.start + timedelta(seconds=1)))
            query = replace(query, window=Span(query.window.start, end))
        series = series_in(connection, self._business, query)
        merged = heapq.merge(
            singles,
            *(occurrences_in(each, query) for each in series),
            key=lambda entry: entry.place,
        )
        return (entry.read() for entry in islice(merged, query.limit + 1))

    def _page(self, connection: sqlite3.Connection, query: EventQuery) -> EventPage:
        events = tuple(self._in_order(connection, query))
        page = events[: query.limit]
        has_more = len(events) > query.limit
        return EventPage(events=page, next=_cursor(page[-1]) if has_more else None)

    def _settled(self, connection: sqlite3.Connection, stored: Stored, terms: Terms) -> Booked:
        """Compare an event that was just written with all others in its calendar."""
        clashes = self._clashes(connection, stored)
        if clashes and terms.on_clash == "reject":
            raise Conflict("That time is taken.", code="slot_taken")
        shown = () if terms.on_clash == "ignore" else clashes[:MOST_CLASHES]
        return self._noticed(stored.event, terms, shown)

    def _clashes(self, connection: sqlite3.Connection, stored: Stored) -> list[Event]:
        own = stored.event
        spans = spans_of(own.timing, own.repeat, stored.skipped)
        if not spans:
            return []
        window = Span(spans[0].start, max(span.end for span in spans))
        query = EventQuery(window=window, calendars=(own.calendar,), limit=_NO_LIMIT)
        return clashes_with(spans, without_own(self._in_order(connection, query), own.id))

    def _changed(
        self, connection: sqlite3.Connection, found: Found, change: EventChange, scope: Scope
    ) -> Stored:
        """Write the change and give the event it is now about."""
        if found.series is None:
            event = applied(bumped(found.event), change)
            update_row(connection, self._business, Stored(event=event))
            return Stored(event=event)
        if scope == "this":
            return Stored(event=self._changed_once(connection, found, change))
        if scope == "following" and not found.is_first:
            return split(connection, self._business, found, change)
        stored = changed_series(found, change)
        update_row(connection, self._business, stored)
        move_overrides(connection, self._business, found, change)
        return stored

    def _changed_once(
        self, connection: sqlite3.Connection, found: Found, change: EventChange
    ) -> Event:
        _refuse_whole_series(found)
        if found.row is None:
            return take_out(connection, self._business, found, applied(found.event, change))
        event = applied(bumped(found.event), change)
        update_row(connection, self._business, Stored(event=event))
        return event

    def _cancelled(self, connection: sqlite3.Connection, found: Found, scope: Scope) -> Event:
        event = replace(found.event, status="cancelled")
        if found.series is not None and scope != "this":
            self._cancel_series(connection, found, scope)
        elif found.event.status == "cancelled":
            return event
        elif found.row is None:
            return take_out(connection, self._business, found, event)
        else:
            _refuse_whole_series(found)
            event = bumped(event)
            update_row(connection, self._business, Stored(event=event, skipped=found.row.skipped))
        return event

    def _cancel_series(self, connection: sqlite3.Connection, found: Found, scope: Scope) -> None:
        start = None if scope == "all" or found.is_first else found.original_start
        if start is not None and found.row is None:
            # The occurrence keeps a row, so that it can still be read.
            event = replace(found.event, status="cancelled")
            take_out(connection, self._business, found, event)
            found = find(connection, self._business, event.id)
        if found.series is not None and found.series.event.status == "confirmed":
            cancel_from(connection, self._business, found.series, start)


def _cursor(event: Event) -> Cursor:
    return Cursor(event.timing.span.start, event.id)


def _refuse_stale(found: Found, etag: str) -> None:
    if found.event.etag != etag:
        raise Conflict(
            f"The event {found.event.id} was changed meanwhile.",
            hint="Read it again with calendar_events, then change it.",
            code="changed_meanwhile",
        )


def _refuse_cancelled(found: Found) -> None:
    if found.event.status == "cancelled":
        raise Conflict(f"The event {found.event.id} is cancelled.", code="cancelled")


def _is_cancelled(found: Found, scope: Scope) -> bool:
    """Say whether all that `scope` means was cancelled before."""
    if found.event.status != "cancelled" or scope == "this" or found.series is None:
        return found.event.status == "cancelled"
    return found.series.event.status == "cancelled"


def _refuse_whole_series(found: Found) -> None:
    if found.is_series:
        raise InvalidInput(
            f"{found.event.id} is a whole series.",
            hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
        )
