"""Many tasks at once, two accounts at once, and credentials that do not do."""

import json
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    NotFound,
    OutcomeUnknown,
)
from aicore_tools.google_client import GoogleClient, together
from aicore_tools.mail.backends.gmail import GMAIL, GmailMailbox
from aicore_tools.mail.records import Address, DraftContent, MailId, MailSearch
from aicore_tools.operations import Operation

OFFICE, OTHER = "office@lakeside.example", "other@firm.example"
OpenMail = Callable[..., GmailMailbox]
OpenAgenda = Callable[..., GoogleAgenda]
Op = Callable[..., Operation]
CONTENT = DraftContent(sender=Address(OFFICE), to=[Address("ann@example.com")], subject="Hello")


def label(name: str) -> dict[str, str]:
    return {"name": name, "labelListVisibility": "labelShow", "messageListVisibility": "show"}


async def test_eight_tasks_with_fifteen_calls_each_read_their_own_answers(google: Any) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        labels = [
            await client.do("users.labels", "create", userId="me", body=label(f"Label {number}"))
            for number in range(8)
        ]

        async def fifteen(number: int) -> list[str]:
            key = labels[number]["id"]
            return [
                (await client.read("users.labels", "get", userId="me", id=key))["name"]
                for _ in range(15)
            ]

        read = await together([lambda number=number: fifteen(number) for number in range(8)])
        assert read == [[f"Label {number}"] * 15 for number in range(8)]
    assert google.state()["refreshes"] == 1


async def test_an_effect_whose_answer_is_lost_is_sent_once(google: Any) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        await client.read("users", "getProfile", userId="me")  # a connection to reuse
        google.fail("POST .*/labels", "drop_after")
        with pytest.raises(OutcomeUnknown):
            await client.do("users.labels", "create", userId="me", body=label("Once"))
    assert google.state()["calls"]["gmail.users.labels.create"] == 1


async def test_a_read_is_repeated(google: Any) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        google.fail("GET .*/profile", "status", status=500)
        await client.read("users", "getProfile", userId="me")


async def test_a_token_that_ran_out_is_renewed(google: Any) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        await client.read("users", "getProfile", userId="me")
        google.set(end_tokens=True)
        await client.do("users.labels", "create", userId="me", body=label("Later"))
    assert google.state()["refreshes"] == 2


async def test_nothing_is_asked_of_google_before_it_is_needed(google: Any) -> None:
    async with GoogleClient(google.connection(), GMAIL):
        pass
    assert google.state()["refreshes"] == 0


async def test_who_cannot_be_reached_is_given_up_and_has_done_nothing() -> None:
    fields = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}
    connection = Connection(vendor="google", fields={**fields, "base_url": "http://127.0.0.1:1"})
    async with GoogleClient(connection, GMAIL) as client:
        with pytest.raises(BackendUnavailable) as error:
            await client.do("users.labels", "create", userId="me", body=label("x"))
        assert error.value.outcome == "none"


async def test_a_revoked_credential_is_the_operators_matter(google: Any, op: Op) -> None:
    async with GoogleClient(google.connection("revoked"), GMAIL) as client:
        with pytest.raises(BackendConfigError) as error:
            await client.do("users.drafts", "send", userId="me", body={"id": "r1"})
        assert error.value.outcome == "none"


async def test_a_missing_scope_is_the_operators_matter_and_does_nothing(
    gmail: OpenMail, agenda: OpenAgenda, google: Any, op: Op
) -> None:
    async with gmail(f"{OFFICE} gmail.readonly") as mailbox:
        assert (await mailbox.probe()).can == ("read mail",)
        with pytest.raises(BackendConfigError) as error:
            await mailbox.save_draft(op("k"), CONTENT)
        assert error.value.outcome == "none"
        assert await mailbox.earlier(op("k")) is None
    async with agenda(f"{OFFICE} calendar.events") as calendars:
        with pytest.raises(BackendConfigError):
            await calendars.probe()
    assert google.mail() == []


async def test_scopes_are_said_in_plain_words(gmail: OpenMail, agenda: OpenAgenda) -> None:
    async with gmail(f"{OFFICE} gmail.readonly gmail.compose") as mailbox:
        probe = await mailbox.probe()
        assert (probe.name, probe.can) == (OFFICE, ("read mail", "write drafts", "send"))
        assert probe.is_test
        assert probe.warnings
    scopes = "calendar.calendarlist.readonly calendar.events.readonly calendar.freebusy"
    async with agenda(f"{OFFICE} {scopes}") as calendars:
        found = await calendars.probe()
        assert (found.name, found.can) == (OFFICE, ("read events", "see what is taken"))


async def test_two_accounts_at_once_see_their_own(
    gmail: OpenMail, agenda: OpenAgenda, op: Op
) -> None:
    async with gmail(OFFICE) as one, gmail(OTHER) as two:
        made: dict[str, MailId] = {}

        async def busy(mailbox: GmailMailbox, name: str) -> None:
            for number in range(5):
                content = DraftContent(sender=Address(name), subject=f"{name} {number}")
                made[name] = (await mailbox.save_draft(op(f"{name}{number}"), content)).result.id
                rows = (await mailbox.search(MailSearch(folder="drafts"))).rows
                assert {row.subject.partition(" ")[0] for row in rows} == {name}

        async with anyio.create_task_group() as group:
            group.start_soon(busy, one, OFFICE)
            group.start_soon(busy, two, OTHER)
        planned = await one.draft(made[OFFICE])
        with pytest.raises(NotFound):
            await two.send(op(), planned)
    async with agenda(OFFICE) as first, agenda(OTHER) as second:
        assert [each.id for each in await first.calendars()] == [OFFICE]
        assert [each.id for each in await second.calendars()] == [OTHER]


@pytest.fixture(scope="module")
def service_account() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "robot@project.iam.gserviceaccount.com",
            "private_key": pem,
            "private_key_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    )


async def test_a_service_account_acts_for_its_subject(google: Any, service_account: str) -> None:
    fields = {"service_account": service_account, "subject": OFFICE, "base_url": google.url}
    async with GoogleClient(Connection(vendor="google", fields=fields), GMAIL) as client:
        profile = await client.read("users", "getProfile", userId="me")
        assert profile["emailAddress"] == OFFICE
        assert client.granted() == {"gmail.modify"}


async def test_a_broken_service_account_is_said_at_the_start(google: Any) -> None:
    fields = {"service_account": '{"type": "?"}', "subject": OFFICE, "base_url": google.url}
    with pytest.raises(BackendConfigError):
        async with GoogleClient(Connection(vendor="google", fields=fields), GMAIL):
            raise AssertionError("it must not open")


async def test_a_missing_library_is_said_with_its_remedy(
    google: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "googleapiclient.discovery", None)  # as if not installed
    with pytest.raises(BackendConfigError):
        async with GoogleClient(google.connection(), GMAIL):
            raise AssertionError("it must not open")
