"""Gmail and Google Calendar themselves. Only with `-m live` and a connection in the environment.

AICORE_LIVE_GOOGLE_CLIENT_ID, _CLIENT_SECRET and _REFRESH_TOKEN, of an account kept for tests: mail
goes to that account itself, events lie a month ahead, and everything is put away at the end. The
scopes are those of the profile `write` (see docs/google.md).
"""

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aicore_tools.calendars import Event, Span, Terms, Timing
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import EventChange, EventQuery, NewEvent
from aicore_tools.connections import Connection
from aicore_tools.errors import NotFound
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.mail.records import Address, DraftContent
from aicore_tools.operations import Operation

pytestmark = pytest.mark.live

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def connection() -> Connection:
    names = ("client_id", "client_secret", "refresh_token")
    fields = {name: os.environ.get(f"AICORE_LIVE_GOOGLE_{name.upper()}", "") for name in names}
    if not all(fields.values()):
        pytest.skip("AICORE_LIVE_GOOGLE_* is not set")
    return Connection(vendor="google", account="live", fields=fields)


def op(key: str) -> Operation:
    return Operation.of("live", {"key": key}, f"{key}-{secrets.token_hex(8)}")


async def test_a_mail_to_ourselves_is_drafted_edited_and_sent_once(
    connection: Connection, tmp_path: Path
) -> None:
    async with GmailMailbox(tmp_path / "m.db", business="live", connection=connection) as mailbox:
        probe = await mailbox.probe()
        own = Address(probe.name)
        subject = f"aicore live test {secrets.token_hex(6)} Grüße"
        content = DraftContent(sender=own, to=[own], subject=subject, body="first")
        draft = (await mailbox.save_draft(op("draft"), content)).result
        content = DraftContent(sender=own, to=[own], subject=subject, body="second")
        edited = (await mailbox.save_draft(op("edit"), content, draft.id)).result
        assert edited.id == draft.id
        once, planned = op("send"), await mailbox.draft(draft.id)
        sent = (await mailbox.send(once, planned)).result
        again = await mailbox.send(once, planned)
        assert (again.is_replay, again.result) == (True, sent)
        mail = await mailbox.get(sent.id)
        assert (mail.row.subject, mail.message_id) == (subject, sent.message_id)
        assert b"X-Aicore-Op: " in mail.raw
        await mailbox.organize(op("trash"), [sent.id], "trash")
        assert (await mailbox.get(sent.id)).row.folder == "trash"


async def test_a_sent_draft_is_gone_and_its_mail_carries_its_mark(
    connection: Connection, tmp_path: Path
) -> None:
    """What finding a mail again relies on, when the answer to its sending was lost."""
    async with GmailMailbox(tmp_path / "m.db", business="live", connection=connection) as mailbox:
        own = Address((await mailbox.probe()).name)
        subject = f"aicore live test {secrets.token_hex(6)}"
        content = DraftContent(sender=own, to=[own], subject=subject, body="once")
        draft = (await mailbox.save_draft(op("draft"), content)).result
        request = await mailbox._effects.sending(draft.id)
        body = {"id": draft.id}
        sent = await mailbox._client.do("users.drafts", "send", userId="me", body=body)
        with pytest.raises(NotFound):
            await mailbox._client.do("users.drafts", "send", userId="me", body=body)
        thread = await mailbox._client.read(
            "users.threads", "get", userId="me", id=request["thread"], format="metadata"
        )
        marks = [
            header["value"]
            for message in thread["messages"]
            for header in message["payload"]["headers"]
            if message["id"] == sent["id"] and header["name"] == "X-Aicore-Op"
        ]
        assert marks == [request["op"]]
        await mailbox.organize(op("trash"), [sent["id"]], "trash")


async def test_a_series_is_booked_split_and_cancelled(
    connection: Connection, tmp_path: Path
) -> None:
    start = (datetime.now(UTC) + 30 * DAY).replace(microsecond=0, second=0, minute=0)
    timing = Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")
    async with GoogleAgenda(
        tmp_path / "c.db", connection, business="live", calendars=("primary",)
    ) as agenda:
        (calendar,) = await agenda.calendars()
        new = NewEvent(
            calendar=calendar.id, title="aicore live", timing=timing, repeat="FREQ=DAILY;COUNT=5"
        )
        once = op("create")
        booked = (await agenda.create(new, Terms(), once)).result.event
        assert (await agenda.create(new, Terms(), once)).is_replay

        async def found() -> list[Event]:
            window = Span(start - HOUR, start + 9 * DAY)
            page = await agenda.events(EventQuery(window=window, calendars=(calendar.id,)))
            return [event for event in page.events if event.title.startswith("aicore live")]

        try:
            third = (await found())[2]
            change = EventChange(title="aicore live, later")
            later = await agenda.change(
                third.id,
                change,
                scope="following",
                etag=third.etag,
                terms=Terms(),
                operation=op("split"),
            )
            titles = [event.title for event in await found()]
            assert titles == ["aicore live"] * 2 + ["aicore live, later"] * 3
            rest = later.result.event
            await agenda.cancel(
                rest.id, scope="all", etag=rest.etag, terms=Terms(), operation=op("rest")
            )
        finally:
            present = await agenda.get(booked.id)
            await agenda.cancel(
                booked.id, scope="all", etag=present.etag, terms=Terms(), operation=op("cancel")
            )
        assert await found() == []
