"""Big local stores, and how long it takes to find something in them.

The words are drawn with a fixed seed: few of them are frequent and many rare, as in life.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from tool_times import open_desk

from aicore_tools.calendars.backends.local_rows import MIGRATIONS as EVENT_TABLES
from aicore_tools.calendars.backends.local_rows import Stored, insert_row
from aicore_tools.calendars.records import CalendarId, Event, EventId, Span, Timing
from aicore_tools.crm.backends.local import LocalDirectory
from aicore_tools.crm.records import Upsert
from aicore_tools.local_store import LocalStore
from aicore_tools.mail.backends._local_rows import MIGRATIONS as MAIL_TABLES
from aicore_tools.mail.backends._local_rows import place_of, tag
from aicore_tools.operations import Operation

__all__ = ["SEARCHES", "Search", "search_times"]

_FIRST = "Ann Ben Carla Dev Eva Finn Greta Hal Ida Jan Kim Lea Max Nora Ole Pia"
_SYLLABLES = "ba do ka lin mar nes or pel qui ros sen tar ul vin wes zel"
FIRST, SYLLABLES = _FIRST.split(" "), _SYLLABLES.split(" ")
START = datetime(2030, 1, 1, tzinfo=UTC)

Arguments = Callable[[random.Random, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Search:
    """A store, how it is filled, and what is asked of it: a title to a tool and its arguments."""

    title: str
    size: int
    quick_size: int
    fill: Callable[[Path, int], Awaitable[None]]
    questions: Mapping[str, tuple[str, Arguments]]


def _name(chance: random.Random) -> str:
    """A first and a last name; some last names are a hundred times as frequent as others."""
    rare = "".join(chance.choice(SYLLABLES) for _ in range(3)).capitalize()
    return f"{chance.choice(FIRST)} {chance.choice(['Smith', 'Jones', rare, rare])}"


def _email(number: int) -> str:
    return f"person{number}@shop{number % 997}.example"


async def _fill_crm(folder: Path, size: int) -> None:
    chance = random.Random(1)
    async with LocalDirectory(folder / "crm.db", business="main") as directory:
        for first in range(0, size, 1000):
            people = [
                Upsert(
                    fields={
                        "name": _name(chance),
                        "email": _email(number),
                        "city": f"Town{chance.randrange(500)}",
                        "status": chance.choice(["lead", "customer"]),
                    }
                )
                for number in range(first, min(size, first + 1000))
            ]
            await directory.upsert(Operation.of("bench", {}), "contact", people)


async def _fill_mail(folder: Path, size: int) -> None:
    async with LocalStore(folder / "mail.db", migrations=MAIL_TABLES, business="main") as store:
        for first in range(0, size, 50_000):
            chunk = range(first, min(size, first + 50_000))
            await store.write(lambda connection, chunk=chunk: _write_mails(connection, chunk))


def _write_mails(connection: Connection, numbers: range) -> None:
    chance = random.Random(numbers.start)
    letters, words = [], []
    for number in numbers:
        place = place_of(START + timedelta(minutes=number))
        folder = "sent" if number % 4 == 0 else "inbox"
        sender = f"{_name(chance)} <{_email(number % 20_000)}>"
        subject = f"{chance.choice(['Offer', 'Invoice', 'Question'])} {number}"
        folded = (sender.casefold(), "office@main.example", subject.casefold())
        letters.append(
            (
                *(number + 1, place, folder, number + 1, f"<{number}@bench.example>", sender),
                *("office@main.example", subject, *folded, subject),
            )
        )
        text = f"{subject}\n{sender}\noffice@main.example\n\nAbout {_name(chance)}."
        tags = f"{tag('b', 'main')} {tag('f', folder)} xr xn xm"
        words.append((place, text, tags))
    connection.executemany(
        "INSERT INTO letter (seq, business, place, folder, thread, message_id, sender, recipients,"
        " subject, folded_sender, folded_recipients, folded_subject, snippet, unread,"
        " has_attachment) VALUES (?, 'main', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        letters,
    )
    connection.executemany("INSERT INTO mail_words (rowid, words, tags) VALUES (?, ?, ?)", words)


async def _fill_calendar(folder: Path, size: int) -> None:
    path = folder / "calendars.db"
    async with LocalStore(path, migrations=EVENT_TABLES, business="main") as store:
        for first in range(0, size, 10_000):
            events = list(_events(range(first, min(size, first + 10_000))))
            await store.write(lambda connection, events=events: _write_events(connection, events))


def _events(numbers: range) -> Iterator[Event]:
    """Forty a day, every day, for years."""
    chance = random.Random(numbers.start)
    for number in numbers:
        start = START + timedelta(days=number // 40, minutes=480 + 15 * (number % 40))
        timing = Timing(span=Span(start, start + timedelta(minutes=15)), tz="UTC")
        yield Event(
            id=EventId(f"e{number:06d}"),
            calendar=CalendarId("main"),
            title=f"{chance.choice(['Check-up', 'Cleaning'])} {_name(chance)}",
            timing=timing,
            etag="1",
        )


def _write_events(connection: Connection, events: list[Event]) -> None:
    for event in events:
        insert_row(connection, "main", Stored(event=event))


def _person(chance: random.Random, size: int) -> str:
    return _email(chance.randrange(size))


def _window(chance: random.Random, size: int, days: int) -> dict[str, Any]:
    start = START + timedelta(days=chance.randrange(max(1, size // 40)))
    end = start + timedelta(days=days)
    return {"start": start.date().isoformat(), "end": end.date().isoformat()}


SEARCHES = (
    Search(
        "contacts",
        100_000,
        500,
        _fill_crm,
        {
            "a rare name": (
                "crm_search",
                lambda c, n: {"type": "contact", "query": _name(c).split()[1]},
            ),
            "a frequent name": ("crm_search", lambda c, n: {"type": "contact", "query": "smith"}),
            "an e-mail address": (
                "crm_search",
                lambda c, n: {"type": "contact", "query": _person(c, n)},
            ),
            "the beginning of a word": (
                "crm_search",
                lambda c, n: {"type": "contact", "query": c.choice(SYLLABLES)[:2] + "o"},
            ),
            "a city and a status": (
                "crm_search",
                lambda c, n: {
                    "type": "contact",
                    "filters": [
                        {"field": "city", "op": "eq", "value": f"Town{c.randrange(500)}"},
                        {"field": "status", "op": "eq", "value": "lead"},
                    ],
                },
            ),
            "a whole record by its e-mail address": (
                "crm_get",
                lambda c, n: {"type": "contact", "ids": [_person(c, n)]},
            ),
        },
    ),
    Search(
        "mails",
        1_000_000,
        500,
        _fill_mail,
        {
            "a rare word": ("mail_search", lambda c, n: {"query": _name(c).split()[1]}),
            "a frequent word": ("mail_search", lambda c, n: {"query": "invoice"}),
            "two words": ("mail_search", lambda c, n: {"query": f"offer {c.choice(FIRST)}"}),
            "a sender": ("mail_search", lambda c, n: {"sender": _person(c, min(n, 20_000))}),
            "a folder and a day": (
                "mail_search",
                lambda c, n: {"folder": "sent", "after": "2030-03-01", "before": "2030-03-02"},
            ),
            "nothing": ("mail_search", lambda c, n: {"query": "nobodywroteofthis"}),
        },
    ),
    Search(
        "events",
        100_000,
        500,
        _fill_calendar,
        {
            "a day": ("calendar_events", lambda c, n: _window(c, n, 1)),
            "five weeks": ("calendar_events", lambda c, n: _window(c, n, 35)),
            "a name in a year": (
                "calendar_events",
                lambda c, n: {**_window(c, n, 365), "query": _name(c).split()[1]},
            ),
            "nothing in a year": (
                "calendar_events",
                lambda c, n: {**_window(c, n, 365), "query": "nobody"},
            ),
            "free slots in a week": (
                "calendar_free",
                lambda c, n: {**_window(c, n, 7), "minutes": 30},
            ),
        },
    ),
)


async def search_times(
    search: Search, folder: Path, size: int, calls: int
) -> dict[str, list[float]]:
    """Fill a store, ask each question `calls` times in turn, and give the milliseconds of each."""
    folder = folder / search.title
    folder.mkdir(parents=True)
    await search.fill(folder, size)
    chance = random.Random(7)
    taken: dict[str, list[float]] = {}
    async with open_desk(folder) as desk:
        for tool, arguments in search.questions.values():
            await desk.call(tool, arguments(chance, size))
        for _ in range(calls):
            for title, (tool, arguments) in search.questions.items():
                given = arguments(chance, size)
                began = time.perf_counter()
                await desk.call(tool, given)
                elapsed_ms = (time.perf_counter() - began) * 1e3
                taken.setdefault(f"{size:,} {search.title}: {title}", []).append(elapsed_ms)
    return taken
