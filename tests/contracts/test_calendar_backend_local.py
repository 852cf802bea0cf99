"""The calendars in a file, with several programs at it and one that is killed."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aicore_tools.calendars import Agenda, Event, Span
from aicore_tools.calendars.backends.local import LocalAgenda
from aicore_tools.calendars.records import CalendarId, EventQuery

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
YEAR = Span(NINE - timedelta(days=1), NINE + timedelta(days=365))


async def listed(agenda: Agenda) -> list[Event]:
    query = EventQuery(window=YEAR, calendars=(CalendarId("main"),), limit=250)
    return list((await agenda.events(query)).events)


CHILD = Path(__file__).parents[1] / "tools" / "calendars" / "agenda_child.py"


def local(folder: Path) -> Agenda:
    return LocalAgenda(
        folder / "calendars.db",
        business="main",
        tz="Europe/Berlin",
        calendars=("main", "anna"),
    )


def child(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_of_two_processes_that_book_the_same_slots_one_wins_each(tmp_path: Path) -> None:
    processes = [child(tmp_path, "race", name, "10") for name in ("a", "b")]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=10)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [sorted(pair) for pair in zip(*answers, strict=True)] == [["taken", "won"]] * 10
    async with local(tmp_path) as agenda:
        assert len(await listed(agenda)) == 10


async def test_killed_after_the_booking_and_asked_again_it_is_one(tmp_path: Path) -> None:
    process = child(tmp_path, "stop", "k")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "won\n"
    finally:
        process.kill()
        process.communicate()
    again = child(tmp_path, "race", "k", "1")
    answer, _ = again.communicate("go\n", timeout=10)
    assert answer == "ready\nwon\n"
    async with local(tmp_path) as agenda:
        assert len(await listed(agenda)) == 1
