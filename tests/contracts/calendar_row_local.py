"""The calendars in a file, for the contract suite."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aicore_tools.calendars import Agenda
from aicore_tools.calendars.backends.local import LocalAgenda

NAME = "local"


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., Agenda]]:
    def make(business: str = "main") -> Agenda:
        return LocalAgenda(
            folder / "calendars.db",
            business=business,
            tz="Europe/Berlin",
            calendars=("main", "anna"),
            addresses=("office@shop.example",),
        )

    yield make
