"""Google Calendar on our stand-in, for the contract suite. Each business is its own account."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from aicore_tools.calendars import Agenda, AgendaSettings, agenda
from aicore_tools.connections import Connection

NAME = "google"


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., Agenda]]:
    url = str(request.getfixturevalue("google_sandbox"))

    def make(business: str = "main") -> Agenda:
        address = "office@shop.example" if business == "main" else f"{business}@shop.example"
        fields = {"client_id": "c", "client_secret": "s", "refresh_token": address}
        if not (folder / business).exists():
            (folder / business).touch()
            zones = {"main": "Europe/Berlin", "anna": "Europe/Berlin"}
            settings = {"calendars": {address: zones}}
            httpx2.post(f"{url}/_google/settings", json=settings, timeout=5)
        return agenda(
            "google",
            AgendaSettings(
                data_dir=folder,
                business=business,
                tz="Europe/Berlin",
                calendars=("main", "anna"),
                addresses=("office@shop.example",),
                connect=lambda vendor: Connection(
                    vendor=vendor, fields={**fields, "base_url": url}
                ),
            ),
        )

    yield make
