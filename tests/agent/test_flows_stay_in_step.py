"""Compaction never sets a conversation back in time, and takes no flow's state from it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agent.long_talks import TALK, Answer, Model, settle, summaries

from aicore import Agent, ContextLimits, tool
from aicore.flows import FlowProvider
from aicore.log import MemoryLog
from aicore.models.port import Completion, Request
from aicore.records import ToolCall

TIGHT = ContextLimits(compact_at_tokens=2000, keep_tokens=500)
DESK: dict[str, Any] = {
    "assistant": "Desk",
    "zone": "Europe/Berlin",
    "region": "DE",
    "disclosure": "I am an automated assistant.",
    "flows": [
        {
            "flow": "booking",
            "triggers": ["book"],
            "slots": {"name": {"type": "text", "ask": "Which name?"}},
            "steps": [
                {"collect": "name"},
                {"confirm": "Shall I book this for {name}?"},
                {
                    "call": "book",
                    "with": {"name": "{name}"},
                    "save": {"key": "id"},
                    "on_error": [{"say": "It failed."}, {"goto": "end"}],
                },
                {"say": "Booked as {key}."},
            ],
        }
    ],
}


class Diary:
    """Books, and answers with as much as it was told to."""

    def __init__(self, extra_chars: int) -> None:
        self.booked: list[str] = []
        self.extra_chars = extra_chars

    def book(self, name: str) -> dict[str, str]:
        """Book."""
        self.booked.append(name)
        return {"id": f"b{len(self.booked)}", "calendar": "x" * self.extra_chars}


async def say(diary: Diary, context: ContextLimits, *texts: str) -> list[str]:
    """The replies in one conversation, in an agent that keeps it and one that reads it anew."""
    kept, again, log, other = [], [], MemoryLog(), MemoryLog()
    async with (
        log,
        Agent(provider=FlowProvider(DESK), tools=[diary.book], log=log, context=context) as agent,
    ):
        for text in texts:
            kept.append((await agent.send(text, conversation=TALK)).text)
            await settle()
    twin = Diary(diary.extra_chars)
    async with other:
        for text in texts:
            async with Agent(
                provider=FlowProvider(DESK), tools=[twin.book], log=other, context=context
            ) as agent:
                again.append((await agent.send(text, conversation=TALK)).text)
                await settle()
    assert again == kept
    assert twin.booked == diary.booked
    return kept


@pytest.mark.parametrize(
    ("extra_chars", "padding", "context"),
    [(0, 100_000, ContextLimits()), (15_900, 0, TIGHT), (15_900, 100_000, TIGHT)],
    ids=["a long message", "a long result", "both"],
)
async def test_a_flow_books_once_however_long_its_turn_was(
    extra_chars: int, padding: int, context: ContextLimits
) -> None:
    diary = Diary(extra_chars)
    texts = ["book please", "Ann Lee", "yes" + " " * padding, "yes", "yes", "yes"]
    replies = await say(diary, context, *texts)
    assert replies[2] == "Booked as b1."
    assert diary.booked == ["Ann Lee"]


@pytest.mark.parametrize("padding", [90_000, 10_000_000])
async def test_a_flow_remembers_its_question_and_refuses_no_message_for_its_length(
    padding: int,
) -> None:
    diary = Diary(0)
    replies = await say(diary, ContextLimits(), "book please" + "\n" * padding, "Ann Lee", "yes")
    assert replies[1:] == ["Shall I book this for Ann Lee?", "Booked as b1."]


@tool()
def book(name: str) -> dict[str, str]:
    """Book."""
    return {"id": "b1", "log": "x" * 15_000}


async def test_what_a_model_sees_last_is_what_was_said_last() -> None:
    """Never an older question with its later answer gone: it would be answered once more."""

    def answer(request: Request) -> Answer:
        last = request.tail[-1]
        if last.text == "yes":
            calls = [ToolCall(f"c{n}", "book", {"name": f"Ann {n}"}) for n in range(4)]
            return Completion(text="", calls=calls)
        return "Done, it is booked." if last.role == "tool" else "Shall I book it for Ann Lee?"

    model, log = Model(answer, context_tokens=18_000), MemoryLog()
    async with log:
        async with Agent(provider=model, tools=[book], log=log) as agent:
            for text in ("Please book for Ann Lee.", "yes"):
                await agent.send(text, conversation=TALK)
                await settle()
            await agent.send("yes, thank you", conversation=TALK)
        again = Model(answer, context_tokens=18_000)
        async with Agent(provider=again, tools=[book], log=log) as agent:
            await agent.send("and again", conversation=TALK)
        (made,) = await summaries(log)
    texts = [message.text for message in model.requests[-1].tail]
    assert texts == ["yes, thank you"]
    assert "Done, it is booked." in made.text
    assert "Please book for Ann Lee." not in [one.text for one in again.requests[0].tail]
