"""Series keep the clock on the wall, and are found quickly wherever they began."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.calendars.reading import TimeGiven, read_timing
from aicore_tools.calendars.records import Span
from aicore_tools.calendars.recurrence import Series, checked_rule, strict_rule
from aicore_tools.errors import InvalidInput

BERLIN = ZoneInfo("Europe/Berlin")
ALWAYS = Span(datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


def series(start: str, rule: str, *, minutes: int = 60, tz: str = "Europe/Berlin") -> Series:
    zone = ZoneInfo(tz)
    begin = datetime.fromisoformat(start)
    end = (begin + timedelta(minutes=minutes)).isoformat()
    first = read_timing(TimeGiven(start=start, end=end), zone)
    return Series(first=first, rule=checked_rule(rule, first))


def local_starts(found: Series, window: Span = ALWAYS) -> list[str]:
    zone = ZoneInfo(found.first.tz)
    return [f"{span.start.astimezone(zone):%m-%d %H:%M%z}" for span in found.occurrences(window)]


@pytest.mark.parametrize(
    ("start", "tz", "expected"),
    [
        (
            "2026-03-28T09:00",
            "Europe/Berlin",
            ["03-28 09:00+0100", "03-29 09:00+0200", "03-30 09:00+0200"],
        ),
        (
            "2026-03-28T02:30",
            "Europe/Berlin",
            ["03-28 02:30+0100", "03-29 03:30+0200", "03-30 02:30+0200"],
        ),
        (
            "2026-10-24T02:30",
            "Europe/Berlin",
            ["10-24 02:30+0200", "10-25 02:30+0200", "10-26 02:30+0100"],
        ),
        (
            "2026-03-07T02:15",
            "America/New_York",
            ["03-07 02:15-0500", "03-08 03:15-0400", "03-09 02:15-0400"],
        ),
        (
            "2026-10-31T01:30",
            "America/New_York",
            ["10-31 01:30-0400", "11-01 01:30-0400", "11-02 01:30-0500"],
        ),
    ],
)
def test_a_daily_series_keeps_its_time_across_clock_changes(
    start: str, tz: str, expected: list[str]
) -> None:
    assert local_starts(series(start, "FREQ=DAILY;COUNT=3", tz=tz)) == expected


def test_a_series_that_starts_in_the_second_of_two_hours_starts_there() -> None:
    first = read_timing(
        TimeGiven(start="2026-10-25T02:30:00+01:00", end="2026-10-25T03:00"), BERLIN
    )
    found = Series(first=first, rule=checked_rule("FREQ=DAILY;COUNT=2", first))
    assert local_starts(found) == ["10-25 02:30+0100", "10-26 02:30+0100"]


def test_whole_days_stay_whole_days() -> None:
    first = read_timing(TimeGiven(start="2026-03-28", end="2026-03-29"), BERLIN)
    found = Series(first=first, rule=checked_rule("FREQ=YEARLY;COUNT=2", first))
    days = [
        (span.start.astimezone(BERLIN), span.end.astimezone(BERLIN))
        for span in found.occurrences(ALWAYS)
    ]
    assert [(start.isoformat()[:16], end.isoformat()[:16]) for start, end in days] == [
        ("2026-03-28T00:00", "2026-03-30T00:00"),
        ("2027-03-28T00:00", "2027-03-30T00:00"),
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=TU,TH;COUNT=3", ["11-24", "11-26", "12-01"]),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=2", ["11-24", "12-08"]),
        ("FREQ=MONTHLY;BYDAY=-1TU;UNTIL=20270131", ["11-24", "12-29", "01-26"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-2;COUNT=1", ["11-24"]),
        ("FREQ=DAILY;UNTIL=20261125T080000Z", ["11-24", "11-25"]),
        ("FREQ=DAILY;UNTIL=20261125T075959Z", ["11-24"]),
        ("freq=yearly;count=2", ["11-24", "11-24"]),
    ],
)
def test_rules_are_kept_as_in_rfc_5545(rule: str, expected: list[str]) -> None:
    assert [start[:5] for start in local_starts(series("2026-11-24T09:00", rule))] == expected


@pytest.mark.parametrize(
    "rule",
    [
        "nonsense",
        "FREQ=SECONDLY;COUNT=3",
        "FREQ=HOURLY;COUNT=3",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=1001",
        "FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "FREQ=DAILY;BYHOUR=9,10",
        "FREQ=DAILY;BYSECOND=1",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=WEEKLY;BYDAY=WE",  # the start is a Tuesday
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=10",
        "FREQ=DAILY;UNTIL=20261301",
        "FREQ=DAILY;UNTIL=20201124",
        "FREQ=DAILY;UNTIL=2027-01-01",
        "FREQ=DAILY;FREQ=WEEKLY",
        "FREQ=DAILY\nRDATE:20270101T090000",
        "FREQ=DAILY;BYMONTH=",
        "FREQ=DAILY;BYMONTH=x",
        "FREQ=DAILY;BYMONTHDAY=99999999999999999999",
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_at_once(rule: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInput):
        series("2026-11-24T09:00", rule)
    assert time.process_time() - began < 2


def test_a_rare_series_does_not_hang_the_calendar() -> None:
    found = series("2028-02-29T09:00", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=TU;COUNT=1000")
    began = time.process_time()
    assert len(local_starts(found, Span(ALWAYS.start, datetime(2190, 1, 1, tzinfo=UTC)))) >= 5
    assert time.process_time() - began < 5


@settings(deadline=None)
@given(
    freq=st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    interval=st.integers(1, 5),
    count=st.one_of(st.none(), st.integers(1, 60)),
    begin=st.sampled_from([("2026-11-24", "TU"), ("2027-01-31", "SU"), ("2028-02-29", "TU")]),
    more=st.sampled_from(["", ";BYDAY={0}", ";BYDAY=MO,FR,{0}", ";BYMONTHDAY=-1,24,29,31"]),
    weeks=st.integers(0, 400),
    days=st.sampled_from([1, 45, 366, 800]),
)
def test_a_far_window_shows_what_walking_there_would(
    freq: str,
    interval: int,
    count: int | None,
    begin: tuple[str, str],
    more: str,
    weeks: int,
    days: int,
) -> None:
    """The jump over the years between must not change what is found."""
    more = "" if freq == "WEEKLY" and "MONTHDAY" in more else more.format(begin[1])
    rule = f"FREQ={freq};INTERVAL={interval}{more}" + (f";COUNT={count}" if count else "")
    found = series(f"{begin[0]}T09:00", rule)
    first = datetime.fromisoformat(f"{begin[0]}T09:00")
    start = first.replace(hour=0, tzinfo=UTC) + timedelta(weeks=weeks)
    window = Span(start, start + timedelta(days=days))
    walked = [
        local.replace(tzinfo=BERLIN)
        for local in rrulestr(rule, dtstart=first).between(
            first, first + timedelta(weeks=600), inc=True
        )
    ]
    expected = [
        local
        for local in walked
        if local < window.end and local + timedelta(hours=1) > window.start
    ]
    assert [span.start for span in found.occurrences(window)] == expected


def test_a_series_can_be_ended_before_an_occurrence() -> None:
    found = series("2026-11-24T09:00", "FREQ=DAILY;COUNT=10")
    third = list(found.occurrences(ALWAYS))[2].start
    ended = Series(first=found.first, rule=found.rule_before(third))
    assert len(local_starts(ended)) == 2
    assert ended.last_end() == datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
    assert ended.rule_before(third + timedelta(days=3)) == ended.rule


@pytest.mark.parametrize(
    ("rule", "is_all_day", "expected"),
    [
        ("FREQ=DAILY;UNTIL=20261130", False, "FREQ=DAILY;UNTIL=20261130T225959Z"),
        ("FREQ=DAILY;UNTIL=20261130T090000", False, "FREQ=DAILY;UNTIL=20261130T080000Z"),
        ("FREQ=DAILY;UNTIL=20261130T080000Z", False, "FREQ=DAILY;UNTIL=20261130T080000Z"),
        ("FREQ=DAILY;UNTIL=20261130T225959Z", True, "FREQ=DAILY;UNTIL=20261130"),
        ("FREQ=DAILY;COUNT=3", True, "FREQ=DAILY;COUNT=3"),
    ],
)
def test_the_end_of_a_rule_is_of_the_kind_of_its_start(
    rule: str, is_all_day: bool, expected: str
) -> None:
    given = ("2026-11-24", "2026-11-24") if is_all_day else ("2026-11-24T09:00", "2026-11-24T10:00")
    first = read_timing(TimeGiven(start=given[0], end=given[1]), BERLIN)
    assert strict_rule(rule, first) == expected


@pytest.mark.parametrize("count", [3, 5])
def test_a_series_can_be_ended_before_a_time_that_the_clocks_skip(count: int) -> None:
    found = series("2027-03-26T02:30", f"FREQ=DAILY;COUNT={count}")
    skipped = list(found.occurrences(ALWAYS))[2].start
    assert skipped == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    ended = Series(first=found.first, rule=found.rule_before(skipped))
    assert local_starts(ended) == ["03-26 02:30+0100", "03-27 02:30+0100"]
    strict = Series(first=found.first, rule=strict_rule(ended.rule, found.first))
    assert local_starts(strict) == local_starts(ended)


def test_an_endless_series_has_no_last_end() -> None:
    assert series("2026-11-24T09:00", "FREQ=DAILY").last_end() is None
