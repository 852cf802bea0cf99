"""The example practice against the real servers: what customers did, and what it left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aicore import Agent, AicoreError
from aicore_examples.stage import Books, settle

SOON = datetime.now(UTC) + timedelta(days=14)
DAY = f"{SOON - timedelta(days=SOON.weekday()) + timedelta(days=1):%Y-%m-%d}"  # a Tuesday


async def said(agent: Agent, conversation: str, *lines: str) -> str:
    """The last reply to lines of a customer."""
    text = ""
    for line in lines:
        reply = await agent.send(line, conversation=conversation)
        text = reply.text
    return text


async def titles(config: Path) -> list[str]:
    """What is in the calendar."""
    now = datetime.now(UTC).replace(microsecond=0)
    async with Books.opened(config) as books:
        found = await books.ask(
            "calendar_events", start=now.isoformat(), end=(now + timedelta(days=60)).isoformat()
        )
    return [f"{event['title']} {event['start'][:16]}" for event in found["events"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The practice's configuration, in a fresh folder."""
    return settle(tmp_path / "practice")


async def test_two_who_want_the_same_time_both_get_one(config: Path) -> None:
    async with Agent.from_config(config) as agent:
        await said(agent, "a", f"book a checkup {DAY} 10:00, I'm Ann Lee, ann@example.com")
        await said(agent, "b", f"book a checkup {DAY} 10:00, I'm Bob Stone, bob@example.com")
        assert "Done" in await said(agent, "a", "yes")
        offered = await said(agent, "b", "yes")
        assert "is not free" in offered
        assert "10:30" in offered
        assert "Done" in await said(agent, "b", "10:30", "yes")
    assert await titles(config) == [
        f"Check-up: Ann Lee {DAY}T10:00",
        f"Check-up: Bob Stone {DAY}T10:30",
    ]


async def test_moving_sends_the_new_time_and_keeps_one_appointment(config: Path) -> None:
    async with Agent.from_config(config) as agent:
        await said(agent, "a", f"book a cleaning {DAY} 10:00, I'm Ann Lee, ann@example.com", "yes")
        assert "Done" in await said(agent, "a", "oh wait, make it 11", "yes")
    assert await titles(config) == [f"Cleaning: Ann Lee {DAY}T11:00"]
    async with Books.opened(config) as books:
        sent = (await books.ask("mail_search", folder="sent"))["rows"]
    assert [row["to"] for row in sent] == ["ann@example.com", "ann@example.com"]
    assert "is now on" in sent[0]["subject"]
    assert "11:00" in sent[0]["subject"]


async def test_who_books_for_another_keeps_their_own_name(config: Path) -> None:
    async with Agent.from_config(config) as agent:
        await said(agent, "a", f"book a checkup {DAY} 10:00, I'm Ann Lee, ann@example.com", "yes")
        await said(agent, "a", f"a checkup for my husband Mark {DAY} 11:00 please", "yes")
    assert await titles(config) == [f"Check-up: Ann Lee {DAY}T10:00", f"Check-up: Mark {DAY}T11:00"]
    async with Books.opened(config) as books:
        contacts = (await books.ask("crm_search", type="contact"))["rows"]
        notes = (await books.ask("crm_search", type="note"))["rows"]
    assert [row["name"] for row in contacts] == ["Ann Lee"]
    assert any("for Mark" in row["text"] for row in notes)


async def test_a_deposit_is_asked_for_once(config: Path) -> None:
    lines = ("I want to pay a deposit", "whitening", "ivy@example.com")
    async with Agent.from_config(config) as agent:
        first = await said(agent, "a", *lines, "yes")
        again = await said(agent, "b", *lines)
    assert "PR-" in first
    assert "already" in again
    async with Books.opened(config) as books:
        links = (await books.ask("payments_search", kind="link"))["rows"]
    assert len(links) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AicoreError, match="cannot be written"):
        settle(tmp_path / "file" / "demo")
