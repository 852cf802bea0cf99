"""A process that books in a CalDAV calendar. Started by tests/contracts.

caldav_child.py URL USER FOLDER       books one event at the key `k`, with on_clash=reject
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from aicore_tools.calendars import AgendaSettings, NewEvent, Span, Terms, Timing, agenda
from aicore_tools.calendars.records import CalendarId
from aicore_tools.connections import Connection
from aicore_tools.operations import Operation

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


async def main(url: str, user: str, folder: str) -> None:
    fields = {"url": url, "user": user, "password": "secret"}
    settings = AgendaSettings(
        data_dir=Path(folder),
        business="main",
        tz="Europe/Berlin",
        calendars=("main",),
        connect=lambda vendor: Connection(vendor=vendor, fields=fields),
    )
    new = NewEvent(
        calendar=CalendarId("main"),
        title="Haircut",
        timing=Timing(span=Span(NINE, NINE + timedelta(hours=1)), tz="Europe/Berlin"),
    )
    async with agenda("caldav", settings) as calendars:
        await calendars.create(new, Terms(on_clash="reject"), Operation.of("test", {}, "k"))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:4])
