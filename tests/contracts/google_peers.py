"""Google's stand-in, and Gmail on it, for the contract suites. Loaded by conftest.py."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from aicore_servers.sandbox._running import running
from aicore_tools.connections import Connection
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.mail.records import Address, MailId

OWN = Address("office@lakeside.example", "Lakeside")


class ReachableGmail(GmailMailbox):
    """A Gmail account into which a test puts mail from outside."""

    async def deliver(self, raw: bytes) -> MailId:
        body = {
            "raw": base64.urlsafe_b64encode(raw).decode(),
            "labelIds": ["INBOX", "UNREAD"],
        }
        made = await self._client.do("users.messages", "insert", userId="me", body=body)
        return MailId(made["id"])


@pytest.fixture(scope="session")
def running_google() -> Iterator[str]:
    """Run one stand-in for all tests."""
    with running("google") as url:
        yield url


@pytest.fixture
def google_sandbox(running_google: str) -> Iterator[str]:
    """Give the address of an empty stand-in; at the end it has understood all it was asked."""
    httpx2.post(f"{running_google}/_sandbox/reset", timeout=5)
    yield running_google
    violations = httpx2.get(f"{running_google}/_sandbox/state", timeout=5).json()["violations"]
    assert violations == []


@pytest.fixture
def gmail_mailboxes(google_sandbox: str, tmp_path: Path) -> Callable[..., ReachableGmail]:
    """Give accounts of their own to businesses; all of them may send as OWN."""

    def make(business: str = "main") -> ReachableGmail:
        account = f"{business}@lakeside.example"
        alias = {"alias": [account, OWN.email]}
        httpx2.post(f"{google_sandbox}/_google/settings", json=alias, timeout=5)
        fields = {"client_id": "c", "client_secret": "s", "refresh_token": account}
        return ReachableGmail(
            tmp_path / f"{business}.db",
            business=business,
            connection=Connection(vendor="google", fields={**fields, "base_url": google_sandbox}),
            addresses=[OWN],
        )

    return make
