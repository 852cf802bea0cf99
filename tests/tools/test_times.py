"""Times as people write them, in the nights when clocks change too."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aicore_tools.errors import InvalidInput
from aicore_tools.times import last_moment, midnight, named_zone, read_when

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("2026-03-29T01:59", BERLIN, "2026-03-29T00:59"),  # the last minute of winter
        ("2026-03-29T02:30", BERLIN, "2026-03-29T01:30"),  # skipped: moves on by an hour
        ("2026-03-29T03:00", BERLIN, "2026-03-29T01:00"),
        ("2026-10-25T02:30", BERLIN, "2026-10-25T00:30"),  # twice: the first
        ("2026-10-25T02:30:00+01:00", BERLIN, "2026-10-25T01:30"),  # the second, by its offset
        ("2026-10-25T03:00", BERLIN, "2026-10-25T02:00"),
        ("2026-03-08T02:15", NEW_YORK, "2026-03-08T07:15"),
        ("2026-11-01T01:30", NEW_YORK, "2026-11-01T05:30"),
        ("2026-11-01T01:30:00-05:00", NEW_YORK, "2026-11-01T06:30"),
        ("2026-11-24T15:00:00.999Z", BERLIN, "2026-11-24T15:00"),
        ("2026-11-24 15:00", BERLIN, "2026-11-24T14:00"),
        ("2026-11-24", NEW_YORK, "2026-11-24T05:00"),
    ],
)
def test_a_time_is_the_moment_the_clock_on_the_wall_shows(
    text: str, zone: ZoneInfo, utc: str
) -> None:
    moment = read_when(text, zone, name="start").moment
    assert moment == datetime.fromisoformat(f"{utc}:00+00:00")
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone", "instead"),
    [
        ("2026-03-29T02:30", BERLIN, "2026-03-29T03:30:00+02:00"),
        ("2026-03-08T02:15", NEW_YORK, "2026-03-08T03:15:00-04:00"),
    ],
)
def test_a_skipped_time_is_refused_where_it_must_be_exact(
    text: str, zone: ZoneInfo, instead: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_when(text, zone, name="start", exact=True)
    assert refused.value.hint is not None
    assert instead in refused.value.hint


def test_a_time_that_occurs_twice_may_be_booked() -> None:
    assert read_when("2026-10-25T02:30", BERLIN, name="start", exact=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-02-30",
        "2026-11-24T25:00",
        "2026-11-24T15:00:60",
        "20261124T150000Z",
        "2026-W48-2",
        "2026-11-24T15:00+0100",
        "2026-11-24T15:00[Europe/Berlin]",
        "1970-01-01",
        "9999-12-31T23:59:00-12:00",
        "٢٠٢٦-11-24",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_when(text, BERLIN, name="start")


def test_a_window_that_ends_on_a_date_ends_with_that_day() -> None:
    end = last_moment(read_when("2026-03-29", BERLIN, name="end"), BERLIN)
    assert end == datetime(2026, 3, 29, 22, 0, tzinfo=UTC)
    assert end - midnight(date(2026, 3, 29), BERLIN) == timedelta(hours=23)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "/etc", "a\0b"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        named_zone(name)
