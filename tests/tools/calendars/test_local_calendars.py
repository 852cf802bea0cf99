"""The calendars in a file: an older file is brought up, and words find what they should."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aicore_tools.calendars import Agenda, Attendee, NewEvent, Span, Terms, Timing
from aicore_tools.calendars.backends.local import LocalAgenda
from aicore_tools.calendars.backends.local_rows import MIGRATIONS
from aicore_tools.calendars.records import CalendarId, EventChange, EventId, EventQuery
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Operation

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIN = CalendarId("main")


def calendars(folder: Path) -> Agenda:
    return LocalAgenda(folder / "calendars.db", business="main", tz="Europe/Berlin")


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


def new(number: int, title: str, **fields: Any) -> NewEvent:
    start = NINE + number * HOUR
    timing = Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")
    return NewEvent(**{"calendar": MAIN, "title": title, "timing": timing, **fields})


async def titles(agenda: Agenda, text: str, limit: int = 250, days: int = 400) -> list[str]:
    """Give what is found, page after page."""
    query = EventQuery(
        window=Span(NINE, NINE + days * DAY), calendars=(MAIN,), text=text, limit=limit
    )
    found: list[str] = []
    while True:
        page = await agenda.events(query)
        found += [event.title for event in page.events]
        if page.next is None:
            return found
        query = EventQuery(
            window=query.window, calendars=(MAIN,), text=text, limit=limit, after=page.next
        )


OLD_ROW = """
INSERT INTO event VALUES (
    'main', ?, 'main', ?, ?, ?, 'Europe/Berlin', 0, 0, 'confirmed', '["ann@example.com", "Bob"]',
    '', '', ?, '[]', NULL, '[]', NULL, 1, ?)
"""
OLD_RESULT = """
INSERT INTO operation (business, op_key, tool, args_hash, result_json) VALUES ('main', 'k', ?, ?, ?)
"""


async def test_a_file_of_an_older_version_is_brought_up(tmp_path: Path) -> None:
    start_s = int(NINE.timestamp())
    event = (
        '{"id": "ev1", "calendar": "main", "title": "Cut", "start_s": 0, "end_s": 60, "tz": "UTC",'
        ' "is_all_day": false, "status": "confirmed", "attendees": ["ann@example.com"],'
        ' "location": "", "description": "", "repeat": "", "reminders_min": [], "series": null,'
        ' "etag": "1"}'
    )
    path = tmp_path / "calendars.db"
    async with LocalStore(path, migrations=MIGRATIONS[:1], business="main") as store:

        def fill(connection: Any) -> None:
            times = (start_s, start_s + 3600)
            connection.execute(OLD_ROW, ("ev1", "Haircut", *times, "", "haircut\nbob"))
            rule = "FREQ=DAILY"
            connection.execute(OLD_ROW, ("ev2", "Opening", *times, rule, "opening\nbob"))
            booked = f'{{"event": {event}, "clashes": []}}'
            connection.execute(OLD_RESULT, ("test", op().args_hash, booked))

        await store.write(fill)
    async with calendars(tmp_path) as agenda:
        assert await titles(agenda, "hairc") == ["Haircut"]
        assert len(await titles(agenda, "BOB", days=3)) == 4
        read = await agenda.get(EventId("ev1"))
        assert [one.address for one in read.attendees] == ["ann@example.com", "Bob"]
        earlier = await agenda.earlier(op("k"))
        assert earlier is not None
        assert earlier.result.event.attendees == (Attendee(address="ann@example.com"),)


async def test_words_find_the_same_however_many_say_them(tmp_path: Path) -> None:
    said = {100: "Straße ä", 200: 'say "cut"', 300: "100%_", 400: "x* OR y", 500: "Rare"}
    async with calendars(tmp_path) as agenda:
        for number in range(540):
            title = said.get(number, f"Haircut e {number}")
            await agenda.create(new(number, title), Terms(on_clash="ignore"), op())
        everything = await titles(agenda, "")
        assert len(everything) == 540
        for text in ("cut", "rare", "e 7", "7", "%_", '"', "ä", "Straße", "x* OR y", "nothing"):
            for limit in (100, 250):
                expected = [title for title in everything if text.casefold() in title.casefold()]
                assert await titles(agenda, text, limit) == expected


async def test_what_was_renamed_is_found_by_its_new_name_alone(tmp_path: Path) -> None:
    async with calendars(tmp_path) as agenda:
        event = (await agenda.create(new(0, "Haircut"), Terms(), op())).result.event
        await agenda.change(
            event.id,
            EventChange(title="Colour"),
            scope="this",
            etag=event.etag,
            terms=Terms(),
            operation=op(),
        )
        assert await titles(agenda, "colour") == ["Colour"]
        assert await titles(agenda, "haircut") == []


async def test_no_two_occurrences_have_one_id_when_a_series_moves_by_its_own_period(
    tmp_path: Path,
) -> None:
    async with calendars(tmp_path) as agenda:
        await agenda.create(new(0, "Daily", repeat="FREQ=DAILY;COUNT=5"), Terms(), op())
        window = Span(NINE - DAY, NINE + 30 * DAY)
        query = EventQuery(window=window, calendars=(MAIN,))
        for number, hours, scope in ((1, 27, "this"), (2, 51, "this"), (0, 24, "all")):
            event = (await agenda.events(query)).events[number]
            start = NINE + hours * HOUR
            timing = Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")
            await agenda.change(
                event.id,
                EventChange(timing=timing),
                scope=scope,  # type: ignore[arg-type] # a literal each
                etag=event.etag,
                terms=Terms(),
                operation=op(),
            )
        events = (await agenda.events(query)).events
        assert [await agenda.get(event.id) for event in events] == list(events)
        assert len({event.id for event in events}) == 5
