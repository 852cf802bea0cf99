"""What the contract suites run over, and real peers. A new event log adds a row in LOGS."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import httpx2
import pytest

from aicore.log import EventLog, MemoryLog, SQLiteLog
from aicore.log.postgres import PostgresLog
from aicore.log.redis import RedisLog
from aicore_tools.calendars import Agenda


class MakeLog(Protocol):
    """Makes logs over one and the same store."""

    def __call__(self, *, business: str = "main") -> EventLog: ...


def _memory(request: pytest.FixtureRequest) -> MakeLog:
    logs: dict[str, MemoryLog] = {}

    def make(*, business: str = "main") -> EventLog:
        return logs.setdefault(business, MemoryLog(business=business))

    return make


def _sqlite(request: pytest.FixtureRequest) -> MakeLog:
    folder = request.getfixturevalue("tmp_path")

    def make(*, business: str = "main") -> EventLog:
        return SQLiteLog(folder / "log.db", business=business)

    return make


def _postgres(request: pytest.FixtureRequest) -> MakeLog:
    url = request.getfixturevalue("postgres").new_database()

    def make(*, business: str = "main") -> EventLog:
        return PostgresLog(url, business=business)

    return make


def _redis(request: pytest.FixtureRequest) -> MakeLog:
    url = request.getfixturevalue("valkey").new_url()

    def make(*, business: str = "main") -> EventLog:
        return RedisLog(url, business=business)

    return make


LOGS: dict[str, Callable[[pytest.FixtureRequest], MakeLog]] = {
    "memory": _memory,
    "postgres": _postgres,
    "redis": _redis,
    "sqlite": _sqlite,
}


@pytest.fixture(params=sorted(LOGS))
def make_log(request: pytest.FixtureRequest) -> MakeLog:
    return LOGS[request.param](request)


@dataclass(frozen=True)
class Radicale:
    """A CalDAV server that runs as a program of its own. Any user with any password may enter."""

    url: str
    folder: Path

    def new_user(self, *calendars: str) -> str:
        """Make up a user who has these calendars; gives the name."""
        user = f"user-{secrets.token_hex(6)}"
        for calendar in calendars:
            self.ask(user, "MKCALENDAR", f"{calendar}/").raise_for_status()
        return user

    def ask(self, user: str, method: str, path: str, **given: Any) -> httpx2.Response:
        """Send a request about something of the user's."""
        url = f"{self.url}{user}/{path}"
        return httpx2.request(method, url, auth=(user, "secret"), timeout=10, **given)

    def objects(self, user: str) -> list[Path]:
        """Give the files of all calendar objects of a user."""
        home = self.folder / "collection-root" / user
        return sorted(path for path in home.rglob("*.ics") if ".Radicale" not in str(path))


@pytest.fixture(scope="session")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    """Start Radicale on a free port of this machine."""
    folder = tmp_path_factory.mktemp("radicale")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "radicale", "--config", "", "--auth-type", "none"]
    command += ["--server-hosts", f"127.0.0.1:{port}", "--storage-filesystem-folder", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    listener = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        said = ""
        while "server ready" not in said:
            said = process.stderr.readline()
            assert said, "Radicale ended at its start"
        listener.start()
        yield Radicale(f"http://127.0.0.1:{port}/", folder)
    finally:
        process.kill()
        process.wait(10)
        if listener.ident is not None:
            listener.join(10)
        process.stderr.close()


def _beside(name: str) -> ModuleType:
    """Load a module of this folder, which is on no path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_mail_peers = _beside("mail_peers")
dovecot = _mail_peers.dovecot
mail_peers = _mail_peers.mail_peers
mail_tls = _mail_peers.mail_tls
imap_mailboxes = _mail_peers.imap_mailboxes
_memory_rows = _beside("memory_rows")
memories = _memory_rows.memories
indexes = _memory_rows.indexes
_caldav_peers = _beside("caldav_peers")
wired = _caldav_peers.wired
open_caldav = _caldav_peers.open_caldav
pinecone_stub = _beside("pinecone_stub").pinecone_stub
_google_peers = _beside("google_peers")
running_google = _google_peers.running_google
google_sandbox = _google_peers.google_sandbox
gmail_mailboxes = _google_peers.gmail_mailboxes


def _calendar_rows() -> dict[str, Any]:
    rows = {}
    for path in sorted(Path(__file__).parent.glob("calendar_row_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        row = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(row)
        rows[row.NAME] = row
    return rows


CALENDARS = _calendar_rows()


@pytest.fixture(params=CALENDARS)
def open_calendars(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., Agenda]]:
    """Open calendars, of one business unless another is named; every backend is a row."""
    with CALENDARS[request.param].opened(request, tmp_path) as make:
        yield make
