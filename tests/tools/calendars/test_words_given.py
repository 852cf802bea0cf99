"""What a caller writes: texts of one line, and patterns of addresses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aicore_tools.calendars import InviteeRules, Span, Timing
from aicore_tools.calendars.reading import read_attendees, read_change, read_text
from aicore_tools.calendars.records import CalendarId, Event, EventId
from aicore_tools.errors import InvalidInput

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
EVENT = Event(
    id=EventId("e"),
    calendar=CalendarId("main"),
    title="Cut",
    timing=Timing(span=Span(NINE, NINE + timedelta(hours=1)), tz="Europe/Berlin"),
)
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028"]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("name", ["title", "location"])
def test_titles_and_places_are_of_one_line(name: str, line_break: str) -> None:
    text = f"a{line_break}ATTENDEE:mailto:eve@example.com"
    with pytest.raises(InvalidInput) as refused:
        read_text(text, name)
    assert name in refused.value.message
    assert refused.value.hint
    with pytest.raises(InvalidInput):
        read_change({name: text}, EVENT)
    assert read_text(f"Cut{line_break}", name) == "Cut"
    assert read_text(text, "description") == text


@pytest.mark.parametrize("line_break", BREAKS)
def test_names_of_people_are_of_one_line(line_break: str) -> None:
    given: list[Any] = [f"Ann{line_break}Lee <ann@example.com>"]
    with pytest.raises(InvalidInput) as refused:
        read_attendees(given)
    assert refused.value.hint


@pytest.mark.parametrize(
    "pattern", ["nonsense", "@example.com", "ann@", "*example.com", "a*@example.com", "<a@b.c>"]
)
def test_what_is_no_pattern_of_addresses_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        InviteeRules.read(f"ann@example.com, {pattern}")
    assert pattern in refused.value.message
    assert "*@example.com" in refused.value.hint
