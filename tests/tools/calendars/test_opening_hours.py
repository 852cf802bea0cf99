"""Opening hours as a business writes them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aicore_tools.calendars import OpeningHours, Span
from aicore_tools.errors import InvalidInput

BERLIN = ZoneInfo("Europe/Berlin")


def shown(hours: OpeningHours, day: date) -> list[str]:
    return [
        f"{span.start.astimezone(BERLIN):%H:%M}-{span.end.astimezone(BERLIN):%H:%M}"
        for span in hours.on(day, BERLIN)
    ]


@pytest.mark.parametrize(
    ("text", "weekday", "expected"),
    [
        ("Mon-Fri 09:00-17:00,Sat 10:00-13:00", 0, ["09:00-17:00"]),
        ("Mon-Fri 09:00-17:00,Sat 10:00-13:00", 5, ["10:00-13:00"]),
        ("Mon-Fri 09:00-17:00,Sat 10:00-13:00", 6, []),
        ("mon-fri 9:00-12:00, 13:00-17:00", 1, ["09:00-12:00", "13:00-17:00"]),
        ("Monday-Friday 09:00-12:00,12:00-17:00", 4, ["09:00-17:00"]),
        ("Fri-Mon 10:00-12:00", 6, ["10:00-12:00"]),
        ("Fri-Mon 10:00-12:00", 1, []),
        ("00:00-24:00", 6, ["00:00-00:00"]),
        ("Tue 13:00-15:00,Tue 09:00-10:00", 1, ["09:00-10:00", "13:00-15:00"]),
    ],
)
def test_hours_are_read_by_weekday(text: str, weekday: int, expected: list[str]) -> None:
    monday = date(2026, 11, 23)
    assert shown(OpeningHours.read(text), monday + timedelta(days=weekday)) == expected


def test_hours_without_days_hold_on_the_days_the_business_is_open() -> None:
    base = OpeningHours.read("Mon 09:00-17:00,Wed 09:00-12:00")
    hours = OpeningHours.read("18:00-20:00", base=base)
    week = [shown(hours, date(2026, 11, 23) + timedelta(days=day)) for day in range(7)]
    assert week == [["18:00-20:00"], [], ["18:00-20:00"], [], [], [], []]


def test_hours_keep_the_clock_on_the_wall_when_it_changes() -> None:
    hours = OpeningHours.read("09:00-17:00")
    (before,) = hours.on(date(2026, 3, 28), BERLIN)
    (after,) = hours.on(date(2026, 3, 29), BERLIN)
    assert (before.start.hour, after.start.hour) == (8, 7)


def test_an_opening_inside_the_skipped_hour_is_none_and_a_doubled_one_is_longer() -> None:
    assert list(OpeningHours.read("02:00-03:00").on(date(2026, 3, 29), BERLIN)) == []
    (night,) = OpeningHours.read("01:00-04:00").on(date(2026, 10, 25), BERLIN)
    assert night.end - night.start == timedelta(hours=4)


def test_contain_wants_the_whole_span_open() -> None:
    hours = OpeningHours.read("Mon-Fri 09:00-17:00")
    nine = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert hours.contain(Span(nine, nine + timedelta(hours=8)), BERLIN)
    assert not hours.contain(Span(nine, nine + timedelta(hours=9)), BERLIN)
    assert not hours.contain(Span(nine - timedelta(minutes=1), nine), BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9-17",
        "Mon",
        "Mon 17:00-09:00",
        "09:00-09:00",
        "22:00-02:00",
        "Foo 09:00-17:00",
        "Mon-Foo 09:00-17:00",
        "Mon 09:00-17:00,",
        "09:00-25:00",
        "09:00-24:01",
        "09:60-10:00",
    ],
)
def test_hours_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        OpeningHours.read(text)
