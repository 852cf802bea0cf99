"""Opening hours: on which weekdays, from when to when, by the clock on the wall."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aicore_tools.calendars.records import Span
from aicore_tools.errors import InvalidInput
from aicore_tools.times import wall_time

__all__ = ["OpeningHours"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ENTRY = re.compile(
    r"(?:(?P<first>[a-z]+)(?:\s*-\s*(?P<last>[a-z]+))?\s+)?"
    r"(?P<open>\d{1,2}:\d{2})\s*-\s*(?P<close>\d{1,2}:\d{2})\Z",
    re.ASCII,
)
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """For each weekday, Monday first, the open stretches in minutes since midnight."""

    by_weekday: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def read(cls, text: str, *, base: OpeningHours | None = None) -> OpeningHours:
        """Read `Mon-Fri 09:00-17:00,Sat 10:00-13:00`.

        Times without days belong to the days named before them (`Mon-Fri 09:00-12:00,
        13:00-17:00`). Where no days are named at all they are those on which `base` is open, or
        every day without a `base`.

        Raises:
            InvalidInput: it is not of that form, or a stretch does not end after it starts.
        """
        days = _open_days(base) if base else tuple(range(7))
        stretches: list[list[tuple[int, int]]] = [[] for _ in _DAYS]
        for entry in text.split(","):
            match = _ENTRY.match(entry.strip().lower())
            if match is None:
                raise _unreadable(text)
            if match["first"]:
                days = _days(match["first"], match["last"] or match["first"], text)
            stretch = (_minutes(match["open"], text), _minutes(match["close"], text))
            if stretch[0] >= stretch[1]:
                raise InvalidInput(f"Opening hours {entry.strip()!r} end before they start.")
            for day in days:
                stretches[day].append(stretch)
        return cls(tuple(_merged(day) for day in stretches))

    def on(self, day: date, zone: ZoneInfo) -> Iterator[Span]:
        """Give the open stretches of one day, in order, as moments."""
        for opens, closes in self.by_weekday[day.weekday()]:
            span = Span(_at(day, opens, zone), _at(day, closes, zone))
            if span.start < span.end:  # a stretch inside a skipped hour is none
                yield span

    def contain(self, span: Span, zone: ZoneInfo) -> bool:
        """Say whether the business is open throughout `span`."""
        day = span.start.astimezone(zone).date()
        return any(
            open_.start <= span.start and span.end <= open_.end for open_ in self.on(day, zone)
        )


def _at(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    if minutes == _MINUTES_A_DAY:
        day, minutes = day + timedelta(days=1), 0
    return wall_time(datetime.combine(day, time(minutes // 60, minutes % 60)), zone)


def _open_days(hours: OpeningHours) -> tuple[int, ...]:
    return tuple(day for day, stretches in enumerate(hours.by_weekday) if stretches)


def _days(first: str, last: str, text: str) -> tuple[int, ...]:
    try:
        start, end = _DAYS.index(first[:3]), _DAYS.index(last[:3])
    except ValueError as error:
        raise _unreadable(text) from error
    return tuple((start + step) % 7 for step in range((end - start) % 7 + 1))


def _minutes(clock: str, text: str) -> int:
    hour, minute = (int(part) for part in clock.split(":"))
    if minute > 59 or hour * 60 + minute > _MINUTES_A_DAY:
        raise _unreadable(text)
    return hour * 60 + minute


def _merged(stretches: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for opens, closes in sorted(stretches):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(closes, merged[-1][1]))
        else:
            merged.append((opens, closes))
    return tuple(merged)


def _unreadable(text: str) -> InvalidInput:
    return InvalidInput(
        f"Opening hours {text[:60]!r} cannot be read.",
        hint="Write 09:00-17:00, or Mon-Fri 09:00-17:00,Sat 10:00-13:00.",
    )
