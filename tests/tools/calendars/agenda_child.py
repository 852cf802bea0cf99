"""A process that books in a LocalAgenda. Started by tests/contracts/test_calendar_backend.py.

agenda_child.py FOLDER race KEY N     waits for a line, then books N slots with on_clash=reject;
                                      prints `won` or `taken` for each
agenda_child.py FOLDER stop KEY       books one event, and stops before anybody hears of it
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from aicore_tools.calendars.backends.local import LocalAgenda
from aicore_tools.calendars.records import CalendarId, NewEvent, Span, Terms, Timing
from aicore_tools.errors import Conflict
from aicore_tools.operations import Operation

FIRST = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def main(folder: str, what: str, key: str, count: int) -> None:
    agenda = LocalAgenda(Path(folder) / "calendars.db", business="main", tz="UTC")
    async with agenda:
        if what == "race":
            print("ready", flush=True)
            sys.stdin.readline()
        for number in range(count):
            start = FIRST + number * HOUR
            new = NewEvent(
                calendar=CalendarId("main"),
                title="Haircut",
                timing=Timing(span=Span(start, start + HOUR), tz="UTC"),
            )
            operation = Operation.of("test", {"number": number}, f"{key}-{number}")
            try:
                await agenda.create(new, Terms(on_clash="reject"), operation)
            except Conflict:
                print("taken", flush=True)
            else:
                print("won", flush=True)
            if what == "stop":
                await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 1)
