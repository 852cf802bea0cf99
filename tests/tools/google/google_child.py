"""A process that begins an effect at Google's stand-in and is killed before or after one call.

Arguments: folder, address of the stand-in, what to do (send or split), its subject, the number of
the effect's call at which to die, and whether before or after it.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio

from aicore_tools.calendars import Terms
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import EventChange, EventId
from aicore_tools.connections import Connection
from aicore_tools.google_client import GoogleClient
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.operations import Operation

FOLDER, URL, WHAT, SUBJECT, NUMBER, WHEN = sys.argv[1:]
OFFICE = "office@lakeside.example"
CONNECTION = Connection(
    vendor="google",
    account=OFFICE,
    fields={"client_id": "c", "client_secret": "s", "refresh_token": OFFICE, "base_url": URL},
)
OPERATION = Operation.of("test", {}, "k")


def deadly(client: GoogleClient) -> None:
    """Let the process die at one of the calls that change something."""
    do, calls = client.do, 0

    async def dying(*args: Any, **kwargs: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if (str(calls), WHEN) == (NUMBER, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return await do(*args, **kwargs)
        finally:
            if (str(calls), WHEN) == (NUMBER, "after"):
                os.kill(os.getpid(), signal.SIGKILL)

    client.do = dying  # type: ignore[method-assign] # dies where a power cut would


async def send() -> None:
    journal = Path(FOLDER) / f"{OFFICE}.db"
    async with GmailMailbox(journal, business="main", connection=CONNECTION) as mailbox:
        deadly(mailbox._client)
        await mailbox.send(OPERATION, await mailbox.draft(SUBJECT))


async def split() -> None:
    journal = Path(FOLDER) / f"calendar-{OFFICE}.db"
    async with GoogleAgenda(journal, CONNECTION, business="main") as agenda:
        event = await agenda.get(EventId(SUBJECT))
        deadly(agenda._client)
        await agenda.change(
            event.id,
            EventChange(title="Colour"),
            scope="following",
            etag=event.etag,
            terms=Terms(notify="all"),
            operation=OPERATION,
        )


anyio.run({"send": send, "split": split}[WHAT])
