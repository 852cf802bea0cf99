"""A process is killed in the middle of an effect; the next one sees it to its end, once."""

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aicore_tools.calendars import Span, Terms, Timing
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery, NewEvent
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.mail.records import Address, DraftContent
from aicore_tools.operations import Operation

CHILD = Path(__file__).with_name("google_child.py")
OFFICE = "office@lakeside.example"
NINE = datetime(2027, 3, 26, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OPERATION = Operation.of("test", {}, "k")
Op = Callable[..., Operation]


def killed(folder: Path, google: Any, what: str, subject: str, number: int, when: str) -> None:
    words = [str(folder), google.url, what, subject, str(number), when]
    child = subprocess.run(
        [sys.executable, str(CHILD), *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_killed_sending_is_one_mail(
    gmail: Callable[..., GmailMailbox], google: Any, tmp_path: Path, op: Op, when: str
) -> None:
    content = DraftContent(
        sender=Address(OFFICE), to=[Address("ann@example.com")], subject="Your offer"
    )
    async with gmail() as mailbox:
        draft = await mailbox.draft((await mailbox.save_draft(op(), content)).result.id)
    killed(tmp_path, google, "send", draft.id, 1, when)
    assert google.state()["mail"]["sends"] == (0 if when == "before" else 1)
    async with gmail() as mailbox:
        earlier = await mailbox.earlier(OPERATION)
        assert (earlier is None) == (when == "before")
        sent = await mailbox.send(OPERATION, draft)
        assert sent.is_replay == (when == "after")
    assert google.state()["mail"]["sends"] == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_killed_split_is_one_split(
    agenda: Callable[..., GoogleAgenda],
    google: Any,
    tmp_path: Path,
    op: Op,
    number: int,
    when: str,
) -> None:
    timing = Timing(span=Span(NINE, NINE + HOUR), tz="Europe/Berlin")
    new = NewEvent(
        calendar=CalendarId(OFFICE), title="Haircut", timing=timing, repeat="FREQ=DAILY;COUNT=5"
    )
    query = EventQuery(window=Span(NINE, NINE + 9 * DAY), calendars=(CalendarId(OFFICE),))
    async with agenda() as calendars:
        await calendars.create(new, Terms(), op())
        fourth = (await calendars.events(query)).events[3]
        await calendars.change(
            fourth.id,
            EventChange(location="Room 2"),
            scope="this",
            etag=fourth.etag,
            terms=Terms(),
            operation=op(),
        )
        third = (await calendars.events(query)).events[2]
    killed(tmp_path, google, "split", third.id, number, when)
    async with agenda() as calendars:
        effect = await calendars.change(
            third.id,
            EventChange(title="Colour"),
            scope="following",
            etag=third.etag,
            terms=Terms(notify="all"),
            operation=OPERATION,
        )
        assert effect.is_replay == ((number, when) != (1, "before"))
        found = (await calendars.events(query)).events
    assert [(event.title, event.location) for event in found] == [
        ("Haircut", ""),
        ("Haircut", ""),
        ("Colour", ""),
        ("Haircut", "Room 2"),
        ("Colour", ""),
    ]
    assert len([each for each in google.events() if "recurrence" in each]) == 2
