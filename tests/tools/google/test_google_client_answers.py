"""Answers of Google's, or of what stands before it, that do not tell what became of a request."""

from typing import Any

import pytest

from aicore_tools.errors import OutcomeUnknown
from aicore_tools.google_client import GoogleClient
from aicore_tools.mail.backends.gmail import GMAIL

LABEL = {"name": "Once", "labelListVisibility": "labelShow", "messageListVisibility": "show"}


@pytest.mark.parametrize("status", [301, 302, 307, 308, 408, 499, 500, 502, 503])
async def test_an_effect_answered_without_saying_so_is_unknown_and_sent_once(
    google: Any, status: int
) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        google.fail("POST .*/labels", "status", status=status)
        with pytest.raises(OutcomeUnknown):
            await client.do("users.labels", "create", userId="me", body=LABEL)
    assert "gmail.users.labels.create" not in google.state()["calls"]


@pytest.mark.parametrize("status", [302, 408, 499])
async def test_a_read_answered_so_is_repeated(google: Any, status: int) -> None:
    async with GoogleClient(google.connection(), GMAIL) as client:
        google.fail("GET .*/profile", "status", status=status)
        await client.read("users", "getProfile", userId="me")
    assert google.state()["calls"]["gmail.users.getProfile"] == 1
