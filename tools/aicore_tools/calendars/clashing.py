"""What else is at a time: one event, or a series over its first year, against a calendar."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aicore_tools.calendars.records import (
    CalendarId,
    Event,
    EventId,
    EventPage,
    EventQuery,
    Span,
    Timing,
)
from aicore_tools.calendars.recurrence import Series

__all__ = ["MOST_CLASHES", "clashes_with", "clashing", "spans_of", "without_own"]

MOST_CLASHES = 20
SERIES_LOOKAHEAD = timedelta(days=366)
_PAGE = 250
_MOST_PAGES = 40


def spans_of(timing: Timing, repeat: str, skipped: frozenset[datetime] = frozenset()) -> list[Span]:
    """Give when something is: its one span, or those of its first 366 days."""
    if not repeat:
        return [timing.span]
    start = timing.span.start
    series = Series(first=timing, rule=repeat, skipped=skipped)
    return list(series.occurrences(Span(start, start + SERIES_LOOKAHEAD)))


def clashes_with(spans: Sequence[Span], events: Iterable[Event]) -> list[Event]:
    """Give those of `events` that overlap one of `spans`: in order, all of one length."""
    return [event for event in events if _overlaps_any(event.timing.span, spans)]


def without_own(events: Iterable[Event], own: EventId | None) -> list[Event]:
    """Leave out an event, or a series with all its occurrences."""
    return [event for event in events if own is None or own not in (event.id, event.series)]


async def clashing(
    events: Callable[[EventQuery], Awaitable[EventPage]],
    calendar: CalendarId,
    spans: Sequence[Span],
    *,
    own: EventId | None = None,
) -> list[Event]:
    """Read, by the `events` of a port, what overlaps `spans` in `calendar`; 20 at most.

    Ten thousand events of the window are looked at, and no more. `own` does not clash.
    """
    if not spans:
        return []
    window = Span(spans[0].start, max(span.end for span in spans))
    query = EventQuery(window=window, calendars=(calendar,), limit=_PAGE)
    found: list[Event] = []
    for _ in range(_MOST_PAGES):
        page = await events(query)
        found += clashes_with(spans, without_own(page.events, own))
        if page.next is None or len(found) >= MOST_CLASHES:
            break
        query = replace(query, after=page.next)
    return found[:MOST_CLASHES]


def _overlaps_any(span: Span, others: Sequence[Span]) -> bool:
    before = bisect_left(others, span.end, key=lambda other: other.start)
    return before > 0 and others[before - 1].end > span.start
