"""Finding free time: opening hours minus what is booked, cut into slots."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.records import Span

__all__ = ["SlotRules", "free_slots"]

_LONGEST_STEP = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRules:
    """What makes a slot: its length, when the business is open, where, and from when on."""

    length: timedelta
    hours: OpeningHours
    zone: ZoneInfo
    now: datetime

    @property
    def step(self) -> timedelta:
        """Slots start at multiples of this from opening: half an hour, or their shorter length."""
        return min(self.length, _LONGEST_STEP)


def free_slots(window: Span, busy: Sequence[Span], rules: SlotRules) -> Iterator[Span]:
    """Give the free slots inside `window`, in order; no two of them overlap.

    `busy` must be sorted by start. A window that starts on a full five minutes while the business
    is open may give a slot right at its start, so that "is 9:15 free?" can be answered.
    """
    taken = _merged(busy)
    day = window.start.astimezone(rules.zone).date()
    last = window.end.astimezone(rules.zone).date()
    while day <= last:
        for opening in rules.hours.on(day, rules.zone):
            yield from _slots_in(opening, window, taken, rules)
        day += timedelta(days=1)


def _slots_in(
    opening: Span, window: Span, taken: Sequence[Span], rules: SlotRules
) -> Iterator[Span]:
    start = _first_start(opening, window, rules)
    end = min(opening.end, window.end)
    while start + rules.length <= end:
        slot = Span(start, start + rules.length)
        before = bisect_left(taken, slot.end, key=lambda other: other.start)
        free_from = slot.start if before == 0 else taken[before - 1].end
        if free_from <= slot.start:
            yield slot
            free_from = slot.end
        start = _on_grid(free_from, opening.start, rules.step)


def _first_start(opening: Span, window: Span, rules: SlotRules) -> datetime:
    earliest = max(opening.start, window.start, rules.now)
    is_asked_for = rules.now < earliest == window.start
    is_even = earliest.minute % 5 == 0 and earliest.second == 0
    return earliest if is_asked_for and is_even else _on_grid(earliest, opening.start, rules.step)


def _on_grid(moment: datetime, origin: datetime, step: timedelta) -> datetime:
    """Round up to the next whole number of steps after `origin`."""
    return origin + -(-(moment - origin) // step) * step


def _merged(busy: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in busy:
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged
