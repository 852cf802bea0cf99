"""Free slots: open, not taken, not past, and on a sensible grid."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.calendars import OpeningHours, Span
from aicore_tools.calendars.slots import SlotRules, free_slots

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = OpeningHours.read("Mon-Fri 09:00-12:00,13:00-17:00")
TUESDAY = datetime(2026, 11, 24, tzinfo=BERLIN)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def at(clock: str, day: datetime = TUESDAY) -> datetime:
    hour, minute = clock.split(":")
    return day.replace(hour=int(hour), minute=int(minute)).astimezone(UTC)


def span(start: str, end: str) -> Span:
    return Span(at(start), at(end))


def slots(window: Span, *busy: Span, minutes: int = 60, now: datetime = LONG_AGO) -> list[str]:
    rules = SlotRules(length=timedelta(minutes=minutes), hours=WEEKDAYS, zone=BERLIN, now=now)
    return [
        f"{slot.start.astimezone(BERLIN):%H:%M}" for slot in free_slots(window, sorted(busy), rules)
    ]


DAY = span("00:00", "23:59")


def test_hour_slots_fill_the_open_hours() -> None:
    assert slots(DAY) == ["09:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00"]


def test_short_slots_follow_each_other() -> None:
    assert slots(span("09:00", "10:00"), minutes=20) == ["09:00", "09:20", "09:40"]


def test_a_slot_may_touch_what_is_booked_but_not_overlap_it() -> None:
    assert slots(DAY, span("10:00", "11:00"), span("13:00", "16:00")) == [
        "09:00",
        "11:00",
        "16:00",
    ]


def test_after_a_crooked_booking_slots_go_on_at_the_half_hour() -> None:
    assert slots(span("09:00", "12:00"), span("09:00", "09:40")) == ["10:00", "11:00"]


def test_no_slot_starts_in_the_past() -> None:
    assert slots(DAY, now=at("14:01")) == ["14:30", "15:30"]
    assert slots(DAY, now=at("14:00")) == ["14:00", "15:00", "16:00"]


def test_an_asked_for_quarter_hour_is_answered() -> None:
    assert slots(span("09:15", "10:15")) == ["09:15"]
    assert slots(span("09:17", "10:17")) == []


def test_no_slot_reaches_over_the_lunch_break() -> None:
    assert slots(DAY, minutes=240) == ["13:00"]


def test_slots_keep_the_clock_on_the_wall_over_a_change() -> None:
    all_day = OpeningHours.read("00:00-24:00")
    start = datetime(2026, 3, 29, tzinfo=BERLIN).astimezone(UTC)
    rules = SlotRules(length=timedelta(hours=1), hours=all_day, zone=BERLIN, now=LONG_AGO)
    found = list(free_slots(Span(start, start + timedelta(hours=23)), [], rules))
    assert len(found) == 23
    assert [f"{slot.start.astimezone(BERLIN):%H:%M}" for slot in found][:4] == [
        "00:00",
        "01:00",
        "03:00",
        "04:00",
    ]


moments = st.integers(0, 60 * 24 * 40).map(
    lambda minute: datetime(2026, 10, 10, tzinfo=UTC) + timedelta(minutes=minute)
)
spans = st.builds(
    lambda start, minutes: Span(start, start + timedelta(minutes=minutes)),
    moments,
    st.integers(1, 60 * 24 * 3),
)


@settings(deadline=None)
@given(
    window=spans,
    busy=st.lists(spans, max_size=8),
    minutes=st.integers(5, 400),
    now=moments,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    hours=st.sampled_from(
        ["Mon-Fri 09:00-17:00", "00:00-24:00", "Sat-Sun 01:00-04:00,22:10-23:45"]
    ),
)
def test_every_slot_is_open_free_inside_and_to_come(
    window: Span, busy: list[Span], minutes: int, now: datetime, zone: str, hours: str
) -> None:
    opening = OpeningHours.read(hours)
    rules = SlotRules(
        length=timedelta(minutes=minutes), hours=opening, zone=ZoneInfo(zone), now=now
    )
    found = list(free_slots(window, sorted(busy), rules))
    for slot in found:
        assert slot.end - slot.start == rules.length
        assert window.start <= slot.start
        assert slot.end <= window.end
        assert slot.start >= now
        assert not any(slot.overlaps(other) for other in busy)
        assert opening.contain(slot, rules.zone)
    assert all(one.end <= other.start for one, other in pairwise(found))
