"""The search for free times over the calendars: opening hours minus what is booked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.port import Agenda
from aicore_tools.calendars.records import CalendarId, Span, Timing
from aicore_tools.calendars.slots import SlotRules, free_slots
from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.times import last_moment, named_zone, read_when

__all__ = ["Availability", "FreeAsked", "FreeTimes", "read_window"]

MAX_SLOTS = 20
MAX_MINUTES = 24 * 60
_LONGEST_WINDOW = timedelta(days=400)
_LOOK_AHEAD = timedelta(days=60)
_FIRST_PIECE = timedelta(days=7)
_NEXT_FREE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeAsked:
    """A question for free times as a caller gives it."""

    start: str
    end: str
    who: Sequence[str] = ()
    minutes: int = 30
    hours: str | None = None
    tz: str | None = None
    limit: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeTimes:
    """Free slots in order, to be shown in `zone`.

    `next_free` are later ones, only where the window has none; `has_more`: the window has more
    than were asked for.
    """

    slots: tuple[Span, ...]
    zone: ZoneInfo
    next_free: tuple[Span, ...] = ()
    has_more: bool = False


class Availability:
    """Finds free times. `hours` are by the clock in `zone`."""

    def __init__(
        self, agenda: Agenda, *, zone: ZoneInfo, hours: OpeningHours, clock: Callable[[], datetime]
    ) -> None:
        self._agenda = agenda
        self._zone = zone
        self._hours = hours
        self._clock = clock

    @property
    def now(self) -> datetime:
        """The present moment, in UTC."""
        return self._clock().astimezone(UTC)

    def is_open(self, span: Span) -> bool:
        """Say whether the business is open throughout `span`."""
        return self._hours.contain(span, self._zone)

    async def free(self, asked: FreeAsked) -> FreeTimes:
        """Find slots in which everyone of `who` is free and the business is open.

        A slot never starts in the past. Given hours are by the clock of the asked-for zone; those
        without weekdays hold on the days the business is open.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotFound: there is no such calendar.
        """
        if not 1 <= asked.limit <= MAX_SLOTS:
            raise InvalidInput(f"limit: give 1 to {MAX_SLOTS}, not {asked.limit}.")
        if not 5 <= asked.minutes <= MAX_MINUTES:
            raise InvalidInput(f"minutes: give 5 to {MAX_MINUTES}, not {asked.minutes}.")
        zone = named_zone(asked.tz) if asked.tz else self._zone
        window = read_window(asked.start, asked.end, zone)
        rules = SlotRules(
            length=timedelta(minutes=asked.minutes),
            hours=OpeningHours.read(asked.hours, base=self._hours) if asked.hours else self._hours,
            zone=zone if asked.hours else self._zone,
            now=self.now,
        )
        calendars = await self.chosen(asked.who)
        slots = await self._first(asked.limit + 1, window, calendars, rules)
        later: Sequence[Span] = ()
        if not slots:
            # From the window's start: the first free time may only just reach out of it.
            later = await self._first(_NEXT_FREE, _ahead(window, rules.now), calendars, rules)
        return FreeTimes(
            slots=tuple(slots[: asked.limit]),
            zone=zone,
            next_free=tuple(later),
            has_more=len(slots) > asked.limit,
        )

    async def next_free(self, calendar: CalendarId, timing: Timing) -> Sequence[Span]:
        """Give the next times at which something as long as `timing` would fit, up to three."""
        length = timing.span.end - timing.span.start
        rules = SlotRules(length=length, hours=self._hours, zone=self._zone, now=self.now)
        window = _ahead(Span(timing.span.start, timing.span.start), rules.now)
        return await self._first(_NEXT_FREE, window, [calendar], rules)

    async def chosen(self, names: Sequence[str]) -> list[CalendarId]:
        """Give the ids of the named calendars, or of the default one.

        Raises:
            NotFound: there is no calendar of that name.
        """
        known = await self._agenda.calendars()
        ids = {one.name.casefold(): one.id for one in reversed(known) if one.name}
        ids |= {one.id.casefold(): one.id for one in known}
        unknown = [name for name in names if name.casefold() not in ids]
        if unknown:
            raise NotFound(
                f"There is no calendar {unknown[0][:80]!r}.",
                hint=f"The calendars are: {', '.join(one.id for one in known)}.",
            )
        return list(dict.fromkeys(ids[name.casefold()] for name in names)) or [known[0].id]

    async def _first(
        self, count: int, window: Span, calendars: Sequence[CalendarId], rules: SlotRules
    ) -> list[Span]:
        """Look through the window piece by piece, so that a far end costs nothing."""
        found: list[Span] = []
        start, length = max(window.start, rules.now), _FIRST_PIECE
        while start < window.end and len(found) < count:
            day = (start + length).astimezone(rules.zone).replace(hour=0, minute=0, second=0)
            piece = Span(start, min(day.replace(microsecond=0).astimezone(UTC), window.end))
            busy = await self._agenda.busy(piece, calendars)
            found += islice(free_slots(piece, busy, rules), count - len(found))
            start, length = piece.end, length * 2
        return found


def read_window(start: str, end: str, zone: ZoneInfo) -> Span:
    """Read a window; a date as its end counts to the end of that day.

    Raises:
        InvalidInput: one cannot be read, or it does not end after it starts, or is over 400 days.
    """
    first = read_when(start, zone, name="start").moment
    last = last_moment(read_when(end, zone, name="end"), zone)
    if first >= last:
        raise InvalidInput(f"The end ({end}) is not after the start ({start}).")
    if last - first > _LONGEST_WINDOW:
        raise InvalidInput("Ask for 400 days at most.")
    return Span(first, last)


def _ahead(window: Span, now: datetime) -> Span:
    start = max(window.start, now)
    return Span(start, max(window.end, now) + _LOOK_AHEAD)
