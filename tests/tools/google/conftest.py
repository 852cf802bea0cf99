"""A running stand-in for Google, and backends that are connected to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aicore_servers.sandbox._running import running
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.connections import Connection
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.operations import Operation

OFFICE = "office@lakeside.example"


@dataclass
class Google:
    """The stand-in, seen from outside."""

    url: str

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = httpx2.get(f"{self.url}/_sandbox/state", timeout=5).json()
        return state

    def fail(self, on: str, kind: str, **more: Any) -> None:
        fault = {"on": on, "kind": kind, **more}
        httpx2.post(f"{self.url}/_sandbox/faults", json=fault, timeout=5).raise_for_status()

    def set(self, **settings: Any) -> None:
        httpx2.post(f"{self.url}/_google/settings", json=settings, timeout=5).raise_for_status()

    def connection(self, account: str = OFFICE, **fields: str) -> Connection:
        signed_in = {"client_id": "c", "client_secret": "s", "refresh_token": account}
        return Connection(
            vendor="google",
            account=account.partition(" ")[0],
            fields={**signed_in, "base_url": self.url, **fields},
        )

    def mail(self, account: str = OFFICE) -> list[dict[str, Any]]:
        """The messages of an account."""
        accounts = self.state()["mail"]["accounts"]
        found: list[dict[str, Any]] = accounts.get(account, {}).get("messages", [])
        return found

    def events(self, calendar: str = OFFICE) -> list[dict[str, Any]]:
        """The events of a calendar as stored, cancelled ones too."""
        found: list[dict[str, Any]] = self.state()["calendar"]["events"].get(calendar, [])
        return found


@pytest.fixture(scope="module")
def google_url() -> Iterator[str]:
    with running("google") as url:
        yield url


@pytest.fixture
def google(google_url: str) -> Iterator[Google]:
    """An empty stand-in; at the end nothing was asked of it that Google would not understand."""
    httpx2.post(f"{google_url}/_sandbox/reset", timeout=5)
    yield Google(google_url)
    assert Google(google_url).state()["violations"] == []


@pytest.fixture
def gmail(google: Google, tmp_path: Path) -> Callable[..., GmailMailbox]:
    def make(account: str = OFFICE, **fields: str) -> GmailMailbox:
        connection = google.connection(account, **fields)
        journal = tmp_path / f"{connection.account}.db"
        return GmailMailbox(journal, business="main", connection=connection)

    return make


@pytest.fixture
def op() -> Callable[..., Operation]:
    def make(key: str | None = None, **arguments: Any) -> Operation:
        return Operation.of("test", arguments, key)

    return make


@pytest.fixture
def agenda(google: Google, tmp_path: Path) -> Callable[..., GoogleAgenda]:
    def make(account: str = OFFICE, **fields: str) -> GoogleAgenda:
        connection = google.connection(account, **fields)
        journal = tmp_path / f"calendar-{connection.account}.db"
        return GoogleAgenda(journal, connection, business="main")

    return make
