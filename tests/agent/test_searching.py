"""Of what left the view, what was asked for stands before what only begins like it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from aicore.agent.searching import search_conversation
from aicore.agent.session import Session
from aicore.log import MemoryLog
from aicore.log.events import Event, MessageReceived, Summarized
from aicore.records import ConversationId, Principal

CONVERSATION = ConversationId("web:1")


async def found_in(texts: Sequence[str], words: str) -> list[str]:
    """The lines that a search finds in messages that have left the view, the best first."""
    log, session = MemoryLog(), Session(CONVERSATION)
    async with log:
        for text in texts:
            message = MessageReceived(text=text, principal=Principal("customer", "ann"))
            await log.receive(CONVERSATION, message)
        session.apply([Event(len(texts) + 1, 0, 0, Summarized(text="", covers_seq=len(texts)))])
        result = await search_conversation(log, session, {"words": words})
    return [line for line in result.text.splitlines() if " customer: " in line]


@pytest.mark.parametrize(
    ("asked", "wanted", "others"),
    [
        ("PR-2026-0002", "The invoice PR-2026-0002 is paid", "The invoice PR-2026-0002{} is paid"),
        ("cat", "My cat is old", "The catalogue {} came"),
        ("Anna", "I am Anna", "Susanna {} called, and Annabelle"),
    ],
)
async def test_an_exact_word_stands_before_longer_ones(
    asked: str, wanted: str, others: str
) -> None:
    """The exact one is the oldest, the one that equals would be shown last."""
    lines = await found_in([wanted, *(others.format(number) for number in range(20))], asked)
    assert wanted in lines[0]
    assert len(lines) == 6


async def test_what_only_begins_like_it_is_found_as_well() -> None:
    lines = await found_in(["Where is my appointment?", "Thank you"], "appoint")
    assert len(lines) == 1


async def test_the_place_of_the_exact_word_is_shown() -> None:
    text = "PR-2026-00021. " + "And so on. " * 100 + "PR-2026-0002: 40 EUR. " + "Bye. " * 100
    (line,) = await found_in([text], "0002")
    assert "40 EUR" in line
    assert re.search(r"PR-2026-0002\b", line)
