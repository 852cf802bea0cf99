"""Reading times: RFC 3339, IANA zones, and the two odd nights of the year.

Every moment is in UTC: arithmetic and comparison of two times in one other zone go by the clock on
the wall, and are wrong on those nights. Only what is shown is turned into a zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aicore_tools.errors import InvalidInput

__all__ = ["When", "last_moment", "midnight", "named_zone", "read_when", "wall_time"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})?\Z", re.ASCII
)
# Far enough for every booking, and safe from overflow in zone arithmetic.
_YEARS = range(1971, 2200)


@dataclass(frozen=True, slots=True)
class When:
    """A moment in UTC, or, where only a date was given, that whole `day` (`moment` starts it)."""

    moment: datetime
    day: date | None = None


def named_zone(name: str) -> ZoneInfo:
    """Find an IANA zone.

    Raises:
        InvalidInput: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise InvalidInput(
            f"There is no time zone {name!r}.", hint="Give an IANA name such as Europe/Berlin."
        ) from error


def wall_time(local: datetime, zone: ZoneInfo) -> datetime:
    """Give the moment at which clocks in `zone` show the naive `local`.

    A time that occurs twice (clocks go back) is its first occurrence; one that is skipped (clocks
    go forward) moves on by the length of the gap: RFC 5545, section 3.3.5, read 2026-11.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Give the first moment of `day` in `zone` (not always 00:00: some clocks skip it)."""
    return wall_time(datetime.combine(day, time()), zone)


def read_when(text: str, zone: ZoneInfo, *, name: str, exact: bool = False) -> When:
    """Read a date or an RFC 3339 time; without an offset it is wall time in `zone`.

    Fractions of a second are cut off. A skipped wall time moves forward, or, if `exact`, is
    refused. `name` is the argument's name, for the message.

    Raises:
        InvalidInput: it is neither, it does not exist, or its year is not 1971 to 2199.
    """
    text = text.strip()
    try:
        if _DATE.match(text):
            day = date.fromisoformat(text)
            _check_year(day.year, name)
            return When(midnight(day, zone), day)
        if not _TIME.match(text):
            raise ValueError(text)  # noqa: TRY301 - one place words the refusal
        read = datetime.fromisoformat(text.upper()).replace(microsecond=0)
    except ValueError as error:
        raise InvalidInput(
            f"{name}: {text[:40]!r} is no date or time.",
            hint="Write 2026-11-24T15:00:00+01:00, 2026-11-24T15:00 or 2026-11-24.",
        ) from error
    _check_year(read.year, name)
    if read.tzinfo is not None:
        return When(read.astimezone(UTC))
    moment = wall_time(read, zone)
    shown = moment.astimezone(zone)
    if exact and shown.replace(tzinfo=None) != read:
        raise InvalidInput(
            f"{name}: {text} does not exist in {zone.key}; the clocks go forward over it.",
            hint=f"The same time by the new clock is {shown.isoformat()}.",
        )
    return When(moment)


def last_moment(when: When, zone: ZoneInfo) -> datetime:
    """Give where a window ends: a date counts to the end of that day."""
    if when.day is None:
        return when.moment
    return midnight(when.day + timedelta(days=1), zone)


def _check_year(year: int, name: str) -> None:
    if year not in _YEARS:
        raise InvalidInput(f"{name}: the year {year} is out of range (1971 to 2199).")
