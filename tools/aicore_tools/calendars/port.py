"""The Agenda port: what the calendar service needs of a backend, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

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
from aicore_tools.connections import Probe
from aicore_tools.operations import Effect, Operation

__all__ = ["Agenda"]


class Agenda(Protocol):
    """The calendars of one business. Open inside its `async with`.

    Every method may raise BackendUnavailable (nothing was done), and an effect also
    OutcomeUnknown. An effect happens once per `operation.key`: a repeat gives what the first run
    gave, marked as a replay; the key with other arguments raises Conflict. An effect that raises
    has changed nothing, unless it is OutcomeUnknown. Every effect raises NotAllowed where the
    calendar can only be read.

    Series are expanded by the backend: `events` and `busy` give single events and occurrences,
    never a series. Cancelled events are in neither.
    """

    async def __aenter__(self) -> Self:
        """Open what the backend needs."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        ...

    async def probe(self) -> Probe:
        """Prove by a read that the calendars can be reached, and say what is allowed there."""
        ...

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars, the default one first; never empty."""
        ...

    async def get(self, event: EventId) -> Event:
        """Give one event, series or occurrence; a cancelled one where the backend keeps it.

        Raises:
            NotFound: there is none of that id.
        """
        ...

    async def events(self, query: EventQuery) -> EventPage:
        """Give what overlaps the window, ordered by start and then id."""
        ...

    async def busy(self, window: Span, calendars: Sequence[CalendarId]) -> Sequence[Span]:
        """Give the stretches that are taken in any of the calendars, ordered by start.

        They may overlap each other and reach out of the window.
        """
        ...

    async def earlier(self, operation: Operation) -> Effect[Booked] | None:
        """Give what `operation` did before; None if it was not done or has no key.

        What was begun and not confirmed is looked up first.

        Raises:
            Conflict: the key was used with other arguments.
            OutcomeUnknown: it was begun, and whether it was done cannot be told.
        """
        ...

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Book an event or a series, and say what else is in its calendar at that time.

        `terms.on_clash` = `reject` holds against a booking that is made at the same moment through
        this port: of two for one time, at most one is kept. A series is compared over its first
        366 days.

        Raises:
            InvalidInput: the backend cannot keep what is asked. (A video room is only asked of a
                calendar that makes them.)
            Conflict: with code `slot_taken`, if clashes are refused and the time is taken.
        """
        ...

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
        """Change an event. Of a series: one occurrence, it and the following, or all of it.

        The new timing is that of the named event; with scope `all`, every occurrence moves by as
        much on the clock. A split series goes on under a new id. Occurrences of a series that
        moved or split may have new ids.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: `this` of a whole series, or a rule that does not fit the new time.
            Conflict: `etag` is not the event's any more (code `changed_meanwhile`), it is
                cancelled (`cancelled`), or as `create`.
        """
        ...

    async def cancel(
        self, event: EventId, *, scope: Scope, etag: str, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Cancel an event. Of a series: one occurrence, it and the following, or all of it.

        Cancelling what is cancelled and still known changes nothing and succeeds.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: `this` of a whole series.
            Conflict: `etag` is not the event's any more (code `changed_meanwhile`).
        """
        ...

    async def respond(
        self,
        event: EventId,
        answer: Answer,
        *,
        scope: Literal["this", "all"],
        operation: Operation,
    ) -> Effect[Booked]:
        """Answer an invitation as the attendee whose account this is. Repeating it is harmless.

        Of a series: one occurrence, or all of it; `all` of an occurrence is its series.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: nobody of the attendees is `is_self`, or `this` of a whole series.
            Conflict: it is cancelled (`cancelled`), or was changed at the same moment.
        """
        ...
