"""CalDAV on a real Radicale, for the contract suite. Each business is an account of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aicore_tools.calendars import Agenda, AgendaSettings, agenda
from aicore_tools.connections import Connection

NAME = "caldav"


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., Agenda]]:
    radicale: Any = request.getfixturevalue("radicale")
    users: dict[str, str] = {}

    def make(business: str = "main") -> Agenda:
        if business not in users:
            users[business] = radicale.new_user("main", "anna")
        fields = {"url": radicale.url, "user": users[business], "password": "secret"}
        settings = AgendaSettings(
            data_dir=folder,
            business=business,
            tz="Europe/Berlin",
            calendars=("main", "anna"),
            addresses=("office@shop.example",),
            connect=lambda vendor: Connection(vendor=vendor, fields=fields),
        )
        return agenda("caldav", settings)

    yield make
