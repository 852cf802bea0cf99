"""The Agenda port: what the calendar service needs of a backend, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from aicore_tools.calendars.records import (
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
from aicore_tools.operations import Effect, Operation

__all__ = ["Agenda"]


class Agenda(Protocol):
    """The calendars of one business. Open inside its `async with`.

    Every method may raise BackendUnavailable (nothing was done), and an effect also
    OutcomeUnknown. An effect happens once per `operation.key`: a repeat gives what the first run
    gave, marked as a replay; the key with other arguments raises Conflict. An effect that raises
    has changed nothing, unless it is OutcomeUnknown.

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

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars, the default one first; never empty."""
        ...

    async def get(self, event: EventId) -> Event:
        """Give one event, series or occurrence, cancelled ones too.

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

        Raises:
            Conflict: the key was used with other arguments.
        """
        ...

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Book an event or a series, and say what else is in its calendar at that time.

        `terms.on_clash` = `reject` holds against a booking that is made at the same moment: of
        two for one time, one is kept. A series is compared over its first 366 days.

        Raises:
            InvalidInput: the backend cannot do what is asked, such as a video room.
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
        much on the clock. A split series goes on under a new id.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: `this` of a whole series, or a rule that does not fit the new time.
            Conflict: `etag` is not the event's any more (code `changed_meanwhile`), it is
                cancelled (`cancelled`), or as `create`.
        """
        ...

    async def cancel(
        self, event: EventId, *, scope: Scope, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Cancel an event. Of a series: one occurrence, it and the following, or all of it.

        Cancelling what is cancelled changes nothing and succeeds.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: `this` of a whole series.
        """
        ...
