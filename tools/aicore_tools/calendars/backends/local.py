"""LocalAgenda: the calendars of one business in one SQLite file."""

from __future__ import annotations

import heapq
import secrets
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from aicore_tools.calendars.backends.local_rows import (
    MIGRATIONS,
    Stored,
    booked_from_json,
    booked_to_json,
    busy_in,
    insert_row,
    occurrence,
    series_in,
    singles_in,
    update_row,
)
from aicore_tools.calendars.backends.local_series import (
    Found,
    applied,
    bumped,
    cancel_from,
    changed_series,
    find,
    split,
    take_out,
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
)
from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalAgenda"]

_SERIES_LOOKAHEAD = timedelta(days=366)
_MOST_CLASHES = 20
_NO_LIMIT = 2**31

_Change: TypeAlias = Callable[[sqlite3.Connection], Booked]


class LocalAgenda:
    """The Agenda port on SQLite. It sends no mail and makes no video rooms.

    `calendars` are the ids that may be used, the default one first; all of them are in `tz`.
    """

    def __init__(
        self, path: Path, *, business: str, tz: str, calendars: Sequence[str] = ("main",)
    ) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._business = business
        self._calendars = tuple(
            Calendar(id=CalendarId(name), tz=tz, is_default=number == 0)
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

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars that were named at the start."""
        return self._calendars

    async def get(self, event: EventId) -> Event:
        """Read one event."""
        found = await self._store.read(lambda connection: find(connection, self._business, event))
        return found.event

    async def events(self, query: EventQuery) -> EventPage:
        """Read a page of events."""
        return await self._store.read(lambda connection: self._page(connection, query))

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
        return effect.map(booked_from_json) if effect else None

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Book in one transaction: the look for clashes, the event, and the operation's mark."""
        if new.wants_video:
            raise InvalidInput(
                "This calendar makes no video rooms.",
                hint="Leave video out and put a link into location.",
            )
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
            stored = self._changed(connection, found, change, scope)
            if change.timing is None and change.repeat is None:
                return Booked(event=stored.event)
            return self._settled(connection, stored, terms)

        return await self._effect(operation, apply)

    async def cancel(
        self, event: EventId, *, scope: Scope, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Cancel in one transaction."""

        def apply(connection: sqlite3.Connection) -> Booked:
            found = find(connection, self._business, event)
            return Booked(event=self._cancelled(connection, found, scope))

        return await self._effect(operation, apply)

    async def _effect(self, operation: Operation, change: _Change) -> Effect[Booked]:
        effect = await self._store.effect(
            operation, lambda connection: booked_to_json(change(connection))
        )
        return effect.map(booked_from_json)

    def _in_order(self, connection: sqlite3.Connection, query: EventQuery) -> Iterator[Event]:
        """Read single events and occurrences; no further than is asked for."""
        singles = sorted(singles_in(connection, self._business, query), key=_cursor)
        series = series_in(connection, self._business, query)
        merged = heapq.merge(singles, *(_occurrences(each, query) for each in series), key=_cursor)
        return islice(merged, query.limit + 1)

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
        return Booked(event=stored.event, clashes=tuple(clashes[:_MOST_CLASHES]))

    def _clashes(self, connection: sqlite3.Connection, stored: Stored) -> list[Event]:
        own = stored.event
        spans = [own.timing.span]
        if own.repeat:
            start = own.timing.span.start
            spans = list(stored.series.occurrences(Span(start, start + _SERIES_LOOKAHEAD)))
        if not spans:
            return []
        window = Span(spans[0].start, max(span.end for span in spans))
        query = EventQuery(window=window, calendars=(own.calendar,), limit=_NO_LIMIT)
        others = [
            event
            for event in self._in_order(connection, query)
            if event.id != own.id and (event.series is None or event.series != own.id)
        ]
        return [event for event in others if _overlaps_any(event.timing.span, spans)]

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


def _occurrences(series: Stored, query: EventQuery) -> Iterator[Event]:
    for span in series.series.occurrences(query.window):
        event = occurrence(series.event, span)
        if query.after is None or _cursor(event) > query.after:
            yield event


def _cursor(event: Event) -> Cursor:
    return Cursor(event.timing.span.start, event.id)


def _overlaps_any(span: Span, others: Sequence[Span]) -> bool:
    """Whether `span` overlaps one of `others`, which have one length and are in order."""
    before = bisect_left(others, span.end, key=lambda other: other.start)
    return before > 0 and others[before - 1].end > span.start


def _refuse_stale(found: Found, etag: str) -> None:
    if found.event.etag != etag:
        raise Conflict(
            f"The event {found.event.id} was changed meanwhile.",
            hint="Read it again with calendar_events, then change it.",
            code="changed_meanwhile",
        )
    if found.event.status == "cancelled":
        raise Conflict(f"The event {found.event.id} is cancelled.", code="cancelled")


def _refuse_whole_series(found: Found) -> None:
    if found.is_series:
        raise InvalidInput(
            f"{found.event.id} is a whole series.",
            hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
        )
