"""Recurrence: RFC 5545 rules, expanded in wall time so that 9:00 stays 9:00 across clock changes.

The part of RFC 5545 that bookings need: daily to yearly, by month, day of month, weekday and
position. Times of day come from the start alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import count
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from aicore_tools.calendars.records import Span, Timing
from aicore_tools.errors import InvalidInput
from aicore_tools.times import wall_time

__all__ = ["Series", "checked_rule", "strict_rule"]

_PARTS = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS"}
)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_UNTIL = re.compile(r"(\d{8})(T\d{6}Z?)?\Z", re.ASCII)
_ENDS = ("COUNT", "UNTIL")
_PLAIN = ("FREQ", "INTERVAL", "COUNT", "WKST")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_MOST_REPEATS = 1000
_END_OF_TIME = datetime(2199, 12, 31)  # noqa: DTZ001 - wall time, the last year that is read
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall time
_BLOCK = timedelta(days=64)
_MANY_BLOCKS = timedelta(days=410)
_A_DAY, _A_SECOND = timedelta(days=1), timedelta(seconds=1)
_UNITS = {"DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)}
# Longer than the calendar lasts, so that only the first period is looked at.
_PAST_ALL_TIME = {"DAILY": 3_700_000, "WEEKLY": 530_000, "MONTHLY": 122_000, "YEARLY": 10_100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A first occurrence and the rule for the others. `skipped` are starts that were taken out."""

    first: Timing
    rule: str
    skipped: frozenset[datetime] = frozenset()

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.first.tz)

    def occurrences(self, window: Span) -> Iterator[Span]:
        """Give the occurrences that overlap `window`, in order; endless rules need its end.

        A skipped wall time moves forward, one that occurs twice is its first; the length in
        elapsed time stays (of an all-day one: the number of days).
        """
        zone = self._zone
        margin = self.first.span.end - self.first.span.start + _A_DAY
        begin = window.start.astimezone(zone).replace(tzinfo=None) - margin
        end = window.end.astimezone(zone).replace(tzinfo=None) + _A_DAY
        for local in self._parsed().starts_between(begin, end):
            span = self._span(local)
            if span.start >= window.end:
                return
            if span.end > window.start and span.start not in self.skipped:
                yield span

    def last_end(self) -> datetime | None:
        """Give when the last occurrence ends (the taken-out ones count); None if it never does."""
        parsed = self._parsed()
        if parsed.until is None:
            return None
        last = parsed.rule.before(parsed.until, inc=True)
        return self._span(last).end if last else self.first.span.end

    def rule_before(self, moment: datetime) -> str:
        """Give the rule, ending before the occurrence that starts at `moment`, or as it ends."""
        parsed = self._parsed()
        local = moment.astimezone(self._zone).replace(tzinfo=None)
        if parsed.until is not None and wall_time(parsed.until, self._zone) < moment:
            return self.rule
        # To the occurrence before it, and not to just before the moment: where the clocks skip
        # its time of day, the rule itself still has it earlier.
        last = parsed.rule.before(local)
        while last is not None and self._span(last).start >= moment:
            last = parsed.rule.before(last)
        until = moment - _A_SECOND if last is None else self._span(last).start
        parts = {name: value for name, value in _parts(self.rule).items() if name not in _ENDS}
        parts["UNTIL"] = until.strftime("%Y%m%dT%H%M%SZ")
        return _joined(parts)

    def continued_rule(self, *, moved_by: timedelta) -> str:
        """Give the rule for a series that goes on from a later occurrence, moved on the clock."""
        parts = {name: value for name, value in _parts(self.rule).items() if name not in _ENDS}
        until = self._parsed().until
        if until is not None:
            parts["UNTIL"] = (until + moved_by).strftime("%Y%m%dT%H%M%S")
        return _joined(parts)

    def _parsed(self) -> _Parsed:
        return _parse(self.rule, self.first.span.start, self.first.tz)

    def _span(self, local: datetime) -> Span:
        first = self.first.span
        first_local = first.start.astimezone(self._zone).replace(tzinfo=None)
        start = first.start if local == first_local else wall_time(local, self._zone)
        if self.first.is_all_day:
            days = (first.end.astimezone(self._zone).date() - first_local.date()).days
            return Span(start, wall_time(local + timedelta(days=days), self._zone))
        return Span(start, start + (first.end - first.start))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one of a rule: see `_parse`
class _Parsed:
    """A rule without COUNT, in wall time. It can be jumped by `period`, or else by `months`.

    `is_plain`: the starts are `period` apart and no others, so that the rule itself, which is
    slow to walk, is not needed.
    """

    rule: rrule
    start: datetime
    until: datetime | None
    period: timedelta | None
    months: int
    is_plain: bool

    def starts_between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Give the starts from `begin` to before `end`, without walking there from the first."""
        end = min(end, (self.until or _END_OF_TIME) + _A_SECOND)
        begin = max(begin, self.start)
        if self.is_plain:
            for local in self._plain_from(begin):
                if local >= end:
                    return
                if local >= begin:
                    yield local
        elif end - begin > _MANY_BLOCKS:
            rule = self.rule.replace(dtstart=self.jumped(begin))
            yield from rule.xafter(begin - _A_SECOND, inc=False)
        else:
            number = (begin - _EPOCH) // _BLOCK
            while _EPOCH + number * _BLOCK < end:
                yield from (local for local in _starts_in(self, number) if begin <= local < end)
                number += 1

    def jumped(self, begin: datetime) -> datetime:
        """Give a start of the rule's own rhythm, at `begin` or before it."""
        if self.period is not None:
            return self.start + (begin - self.start) // self.period * self.period
        # A month may lack the day, and a rule that began there would be another one.
        for number in range(self._periods_to(begin) - 1, 0, -1):
            if (local := self._after(number)) is not None:
                return local
        return self.start

    def _plain_from(self, begin: datetime) -> Iterator[datetime]:
        """Give the starts of a plain rule for ever, from at or before `begin`."""
        if self.period is not None:
            local = self.jumped(begin)
            while True:
                yield local
                local += self.period
        for number in count(max(self._periods_to(begin) - 1, 0)):
            if (start := self._after(number)) is not None:
                yield start

    def _periods_to(self, begin: datetime) -> int:
        apart = (begin.year - self.start.year) * 12 + begin.month - self.start.month
        return apart // self.months

    def _after(self, number: int) -> datetime | None:
        """Give the start that many periods of months on; None where the month lacks the day."""
        month = self.start.month - 1 + number * self.months
        try:
            return self.start.replace(year=self.start.year + month // 12, month=month % 12 + 1)
        except ValueError:
            return None


@lru_cache(maxsize=16_384)
def _starts_in(parsed: _Parsed, block: int) -> tuple[datetime, ...]:
    """Expand a rule within one block of time; its first one is that of 1970."""
    begin = max(_EPOCH + block * _BLOCK, parsed.start)
    rule = parsed.rule.replace(dtstart=parsed.jumped(begin))
    last = _EPOCH + (block + 1) * _BLOCK - _A_SECOND
    return tuple(rule.between(begin, last, inc=True))


def checked_rule(text: str, first: Timing) -> str:
    """Give the rule in its stored form.

    Raises:
        InvalidInput: it is no rule, uses parts that are not kept here, repeats more than 1000
            times, or `first` is not its first occurrence.
    """
    parts = _parts(text)
    unknown = parts.keys() - _PARTS
    if unknown or parts.get("FREQ") not in _FREQUENCIES or {"COUNT", "UNTIL"} <= parts.keys():
        raise _refused(text)
    _check_numbers(parts, text)
    if parts["FREQ"] == "WEEKLY" and parts.keys() & {"BYMONTHDAY", "BYSETPOS"}:
        raise _refused(text)
    local = first.span.start.astimezone(ZoneInfo(first.tz)).replace(tzinfo=None)
    _check_first(parts, local, text)
    rule = _joined(parts)
    if "UNTIL" in parts and _until(parts["UNTIL"], ZoneInfo(first.tz)) < local:
        raise InvalidInput("repeat: the rule ends (UNTIL) before the first occurrence.")
    return rule


def strict_rule(rule: str, first: Timing) -> str:
    """Give the rule as other programs want it: UNTIL of the same kind as the start.

    RFC 5545, section 3.3.10: a date where the start is one, else a time in UTC.
    """
    parts = _parts(rule)
    if "UNTIL" not in parts:
        return rule
    zone = ZoneInfo(first.tz)
    until = _until(parts["UNTIL"], zone)
    if first.is_all_day:
        parts["UNTIL"] = until.strftime("%Y%m%d")
    else:
        parts["UNTIL"] = wall_time(until, zone).strftime("%Y%m%dT%H%M%SZ")
    return _joined(parts)


def _parts(text: str) -> dict[str, str]:
    body = text.strip().upper().removeprefix("RRULE:").rstrip(";")
    parts: dict[str, str] = {}
    for part in body.split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value or name in parts:
            raise _refused(text)
        parts[name] = value
    return parts


def _joined(parts: dict[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _check_numbers(parts: dict[str, str], text: str) -> None:
    for name, most in (("INTERVAL", 1000), ("COUNT", _MOST_REPEATS)):
        value = parts.get(name, "1")
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            raise InvalidInput(f"repeat: {name} must be 1 to {most} in {text[:80]!r}.")


def _check_first(parts: dict[str, str], local: datetime, text: str) -> None:
    """Look at the first period only: a rule that never matches would be searched to year 9999."""
    probe = {name: value for name, value in parts.items() if name not in _ENDS}
    probe["INTERVAL"] = str(_PAST_ALL_TIME[parts["FREQ"]])
    body = _joined(probe)
    try:
        first = next(iter(rrulestr(body, dtstart=local)), None)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise _refused(text) from error
    if first != local:
        raise InvalidInput(
            f"repeat: {text[:80]!r} does not contain the start itself ({local:%a %Y-%m-%d}).",
            hint="Let start be the first occurrence of the rule.",
        )


@lru_cache(maxsize=2048)
def _parse(text: str, start: datetime, tz: str) -> _Parsed:
    """Parse a checked rule; a COUNT becomes the UNTIL that means the same."""
    zone = ZoneInfo(tz)
    local = start.astimezone(zone).replace(tzinfo=None)
    parts = _parts(text)
    given = parts.pop("UNTIL", None)
    until = _until(given, zone) if given else None
    rule = rrulestr(_joined(parts), dtstart=local)
    if not isinstance(rule, rrule):
        raise _refused(text)
    if "COUNT" in parts:
        until = max(
            rule.replace(until=_END_OF_TIME, count=None).xafter(
                local, int(parts["COUNT"]), inc=True
            ),
            default=local,
        )
    rule = rule.replace(until=until or _END_OF_TIME, count=None)
    unit = _UNITS.get(parts["FREQ"])
    period = unit * int(parts.get("INTERVAL", "1")) if unit else None
    months = int(parts.get("INTERVAL", "1")) * (12 if parts["FREQ"] == "YEARLY" else 1)
    own_day = _WEEKDAYS[local.weekday()] if parts["FREQ"] == "WEEKLY" else None
    is_plain = parts.keys() <= {*_PLAIN, "BYDAY"} and parts.get("BYDAY") in (None, own_day)
    return _Parsed(
        rule=rule, start=local, until=until, period=period, months=months, is_plain=is_plain
    )


def _until(text: str, zone: ZoneInfo) -> datetime:
    """Read an UNTIL as wall time; a date counts to the end of that day."""
    if not _UNTIL.match(text):
        raise _refused(f"UNTIL={text}")
    try:
        until = datetime.fromisoformat(text if "T" in text else f"{text}T235959")
    except ValueError as error:
        raise _refused(f"UNTIL={text}") from error
    if until.tzinfo is not None and until.year <= _END_OF_TIME.year:
        until = until.astimezone(zone)
    return min(until.replace(tzinfo=None), _END_OF_TIME)


def _refused(text: str) -> InvalidInput:
    return InvalidInput(
        f"repeat: {text[:80]!r} is no rule that is kept here.",
        hint="Write FREQ=WEEKLY;BYDAY=TU;COUNT=10, with FREQ daily to yearly and COUNT or UNTIL.",
    )
