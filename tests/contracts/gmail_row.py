"""Gmail on our stand-in, for the contract suite. Loaded by conftest.py."""

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


@pytest.fixture
def gmail_mailboxes(tmp_path: Path) -> Iterator[Callable[..., ReachableGmail]]:
    """Give accounts of their own to businesses; all of them may send as OWN."""
    with running("google") as url:

        def make(business: str = "main") -> ReachableGmail:
            account = f"{business}@lakeside.example"
            alias = {"alias": [account, OWN.email]}
            httpx2.post(f"{url}/_google/settings", json=alias, timeout=5)
            fields = {"client_id": "c", "client_secret": "s", "refresh_token": account}
            return ReachableGmail(
                tmp_path / f"{business}.db",
                business=business,
                connection=Connection(vendor="google", fields={**fields, "base_url": url}),
                addresses=[OWN],
            )

        yield make
        violations = httpx2.get(f"{url}/_sandbox/state", timeout=5).json()["violations"]
        assert violations == []
