"""Times as people write them, on Monday 23 November 2026 at 10:00 in Berlin."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from aicore.flows.whens import Calendar, When, localize, understand_when

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=BERLIN)
CALENDAR = Calendar(NOW, "DMY")

WHOLE = {
    "tuesday 3pm": "24.11. 15:00",
    "tomorrow at half past two": "24.11. 14:30",
    "half past two on monday": "23.11. 14:30",
    "monday 9am": "30.11. 09:00",
    "um 15 Uhr": "? 15:00",
    "morgen um 15 Uhr": "24.11. 15:00",
    "05/12 at 4": "05.12. 16:00",
    "noon": "? 12:00",
    "tomorrow at noon": "24.11. 12:00",
    "today at 4": "23.11. 16:00",
    "this friday at 10": "27.11. 10:00",
    "halb drei am mittwoch": "25.11. 14:30",
    "am freitag um halb neun": "27.11. 08:30",
    "viertel vor 4": "? 15:45",
    "dienstag um 15.30": "24.11. 15:30",
    "12.12. um 10": "12.12. 10:00",
    "2026-12-01 14:00": "01.12. 14:00",
    "dec 3rd at 11:15": "03.12. 11:15",
    "friday the 4th of december at 2:30 pm": "04.12. 14:30",
    "wensday at 11": "25.11. 11:00",
    "tuesday next week at 2": "01.12. 14:00",
    "in an hour": "23.11. 11:00",
    "in half an hour": "23.11. 10:30",
    "in einer stunde": "23.11. 11:00",
    "do um 10": "26.11. 10:00",
    "3pm": "? 15:00",
    "3": "? 15:00",
    "15:00": "? 15:00",
    "quarter past ten": "? 10:15",
    "ten to four": "? 15:50",
    "can i come around 5 on thursday?": "26.11. 17:00",
    "at 1500": "? 15:00",
    "kommenden Montag um acht": "30.11. 08:00",
    "8 uhr abends": "? 20:00",
    "tonight at 7": "23.11. 19:00",
    "tomorrow 5": "24.11. 17:00",
    "two o'clock tuesday": "24.11. 14:00",
    "thurs 9": "26.11. 09:00",
    "make that 11": "? 11:00",
    "no, 4pm": "? 16:00",
    "um 3 am dienstag": "24.11. 15:00",
    "3 am tuesday": "24.11. 03:00",
    "12 noon on the 27th": "27.11. 12:00",
    "11.30 uhr übermorgen": "25.11. 11:30",
    "not tuesday, wednesday at 9": "25.11. 09:00",
    "14h30 vendredi": "? 14:30",
    "book a checkup tuesday 9": "24.11. 09:00",
    "tuesday 10, please": "24.11. 10:00",
    "24.11. 9": "24.11. 09:00",
    "tuesday 8.30": "24.11. 08:30",
    "3ish on tuesday": "24.11. 15:00",
    "make it 11 and use ann@example.com": "? 11:00",
    "oh no wait, make it 11": "? 11:00",
    "new year's eve at 10": "31.12. 10:00",
}
ASKS_FOR_THE_TIME = {
    "monday": "30.11.",
    "tuesday": "24.11.",
    "next tuesday": "01.12.",
    "nächsten Montag": "30.11.",
    "a week on friday": "04.12.",
    "tuesday week": "01.12.",
    "tuesday in two weeks": "08.12.",
    "next week tuesday": "01.12.",
    "in two weeks": "07.12.",
    "in 3 days": "26.11.",
    "the 3rd": "03.12.",
    "the day after tomorrow": "25.11.",
    "übermorgen": "25.11.",
    "3 december": "03.12.",
    "25/12": "25.12.",
    "christmas": "25.12.",
    "tuesday 24": "24.11.",
    "13.05.": "13.05.",
    "martes": "24.11.",
    "can you do wednesday?": "25.11.",
}
STRETCHES = {
    "next week": "30.11.-06.12.",
    "this week": "23.11.-29.11.",
    "early next week": "30.11.-01.12.",
    "the weekend": "28.11.-29.11.",
    "in december": "01.12.-31.12.",
    "first week of december": "01.12.-07.12.",
    "mid december": "11.12.-20.12.",
    "end of december": "25.12.-31.12.",
    "tuesday 9-12": "24.11. 09:00-12:00",
    "next month": "01.12.-31.12.",
    "tuesday or wednesday": "24.11.-25.11.",
    "first thing friday morning": "27.11. 07:00-12:00",
    "tomorow mornig": "24.11. 07:00-12:00",
    "heute nachmittag": "23.11. 12:00-18:00",
    "lunchtime tomorrow": "24.11. 12:00-14:00",
    "after 3pm on tuesday": "24.11. 15:00-",
    "I'm free on the 27th after 2": "27.11. 14:00-",
    "before noon tomorrow": "24.11. -12:00",
    "between 2 and 4 on thursday": "26.11. 14:00-16:00",
    "2-4pm friday": "27.11. 14:00-16:00",
    "zwischen 14 und 16 uhr": "? 14:00-16:00",
    "as soon as possible": "any",
    "whenever you have something": "any",
    "next available": "any",
    "egal": "any",
    "when do you have time?": "any",
}
NOTHING = [
    "good morning", "guten morgen", "hello", "my name is May", "2 people", "how much is it",
    "one more time", "030 1234567", "Ann", "Sam", "Pia", "Mia", "Smith", "ok", "not tuesday", "",
    "merry christmas", "second", "i may come", "blabla", "10 euro",
]  # fmt: skip


def short(when: When | None) -> str:
    """A When as in the tables."""
    if when is None:
        return "-"
    if when.is_any:
        return "any"
    parts = []
    if when.days:
        first, last = (f"{day:%d.%m.}" for day in when.days)
        parts.append(first if first == last else f"{first}-{last}")
    else:
        parts.append("?")
    if when.at:
        parts.append(f"{when.at:%H:%M}")
    elif when.has_time:
        after, before = (f"{one:%H:%M}" if one else "" for one in (when.after, when.before))
        parts.append(f"{after}-{before}")
    return " ".join(parts)


@pytest.mark.parametrize(
    ("text", "meant"), [*WHOLE.items(), *ASKS_FOR_THE_TIME.items(), *STRETCHES.items()]
)
def test_a_time_is_read(text: str, meant: str) -> None:
    when = understand_when(text, CALENDAR, expected=True)

    assert short(when) == meant
    assert when is not None
    assert not when.is_past


@pytest.mark.parametrize("text", NOTHING)
def test_no_time_is_made_up(text: str) -> None:
    assert understand_when(text, CALENDAR, expected=bool(text) and not text[0].isdigit()) is None


@pytest.mark.parametrize("text", list(ASKS_FOR_THE_TIME))
def test_a_day_never_takes_the_present_hour(text: str) -> None:
    when = understand_when(text, CALENDAR, expected=True)

    assert when is not None
    assert not when.has_time


@pytest.mark.parametrize(
    "text", ["yesterday", "20 november", "1.1.2020", "today at 9", "last tuesday", "gestern"]
)
def test_the_past_is_told(text: str) -> None:
    when = understand_when(text, CALENDAR, expected=True)

    assert when is not None
    assert when.is_past


@pytest.mark.parametrize("text", ["31.02.", "31 february", "30/2"])
def test_impossible_dates_are_told(text: str) -> None:
    when = understand_when(text, CALENDAR, expected=True)

    assert when is not None
    assert when.is_unreal


@pytest.mark.parametrize(
    ("order", "day", "other"),
    [
        ("DMY", date(2026, 12, 5), None),
        ("MDY", date(2027, 5, 12), None),
        ("ask", date(2026, 12, 5), date(2027, 5, 12)),
    ],
)
def test_day_and_month_follow_the_configured_order(
    order: str, day: date, other: date | None
) -> None:
    when = understand_when("05/12", Calendar(NOW, order))

    assert when is not None
    assert when.day == day
    assert when.other == other


def test_a_weekday_that_contradicts_its_date_is_asked_about() -> None:
    when = understand_when("monday 24 november", CALENDAR)

    assert when is not None
    assert {when.day, when.other} == {date(2026, 11, 24), date(2026, 11, 23)}


def test_a_time_that_the_clocks_skip_moves_on() -> None:
    moment = localize(date(2027, 3, 28), time(2, 30), BERLIN)

    assert moment.isoformat() == "2027-03-28T03:30:00+02:00"


def test_what_is_missing_is_filled_from_what_was_said_before() -> None:
    day = understand_when("thursday", CALENDAR)
    hour = understand_when("3pm", CALENDAR)
    assert day is not None
    assert hour is not None

    assert short(hour.over(When.from_json(day.to_json()))) == "26.11. 15:00"
    assert short(day.over(hour)) == "26.11. 15:00"
