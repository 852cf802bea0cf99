"""Who lacks a vendor's library is told which extra brings it."""

import subprocess
import sys

import pytest

from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing

OPENS = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
from pathlib import Path
from zoneinfo import ZoneInfo
import anyio
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

def connect(vendor):
    given = "url=http://127.0.0.1:9,user=u,password=p,api_key=k,access_token=t,client_id=i,"
    given += "client_secret=s,refresh_token=r,scopes=x,imap_host=127.0.0.1,smtp_host=127.0.0.1,"
    given += "imap_tls=none,smtp_tls=none,base_url=http://127.0.0.1:9"
    return Connection(vendor=vendor, fields=dict(one.split("=") for one in given.split(",")))

shared = dict(data_dir=Path(sys.argv[3]), business="main", connect=connect)

def made(backend):
    match backend:
        case "hubspot":
            from aicore_tools.crm import CrmSettings, directory
            return directory(backend, CrmSettings(**shared))
        case "imap" | "gmail":
            from aicore_tools.mail import MailboxSettings, mailbox, parse_address
            return mailbox(
                backend, MailboxSettings(addresses=(parse_address("a@b.example"),), **shared)
            )
        case "caldav" | "google":
            from aicore_tools.calendars import AgendaSettings, agenda
            return agenda(backend, AgendaSettings(tz="UTC", **shared))
        case _:
            from aicore_tools.payments import LedgerSettings, ledger
            return ledger(
                backend, LedgerSettings(zone=ZoneInfo("UTC"), instructions="", **shared)
            )

async def main():
    async with made(sys.argv[2]):
        pass

try:
    anyio.run(main)
except BackendConfigError as error:
    print(error, error.hint)
"""


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [
        ("stripe", "stripe", "stripe"),
        ("stripe", "httpx", "stripe"),
        ("hubspot", "hubspot", "hubspot"),
        ("gmail", "googleapiclient", "google"),
        ("google", "google_auth_httplib2", "google"),
        ("imap", "imap_tools", "imap"),
        ("imap", "aiosmtplib", "imap"),
        ("caldav", "icalendar", "caldav"),
    ],
)
def test_a_backend_without_its_library_names_the_extra(
    backend: str, module: str, extra: str, tmp_path: object
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPENS, module, backend, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert f'pip install ".[{extra}]"' in done.stdout, done.stderr


def test_a_module_of_ours_that_is_missing_is_our_mistake() -> None:
    with pytest.raises(ModuleNotFoundError), needing("stripe"):
        import aicore_tools.nowhere  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(BackendConfigError), needing("stripe"):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
