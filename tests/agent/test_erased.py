"""A conversation that was erased under an agent begins afresh; what ran in it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.agent.long_talks import Answer, Model

from aicore import Agent, ContextLimits, tool
from aicore.dispatch.dispatcher import CallContext
from aicore.errors import ApprovalError, Fenced
from aicore.log import EventLog, MemoryLog, SQLiteLog
from aicore.log.events import Summarized, ToolStarted
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Ask, Decision

TALK = ConversationId("web:1")
ACT = Completion(text="", calls=(ToolCall("c1", "act", {}),))


class Asks:
    """Leaves every call to a person."""

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        return Ask("staff decides")


class House:
    """An effect that can be held up."""

    def __init__(self) -> None:
        self.is_called = anyio.Event()
        self.may_end = anyio.Event()

    def act(self) -> Callable[..., Any]:
        @tool(honours_key=True)
        async def act(context: CallContext) -> str:
            """Act once per operation key."""
            self.is_called.set()
            await self.may_end.wait()
            return "acted"

        return act


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> EventLog:
    return MemoryLog() if request.param == "memory" else SQLiteLog(tmp_path / "log.db")


async def erase(log: EventLog) -> None:
    await log.erase(await log.claim(TALK))


async def texts(log: EventLog) -> list[str]:
    bodies = [event.body for event in await log.read(TALK)]
    return [text for body in bodies if (text := getattr(body, "text", ""))]


@pytest.mark.parametrize("before", [1, 3], ids=["shorter than the next", "longer than the next"])
async def test_the_next_message_begins_a_conversation_that_knows_nothing_of_the_old_one(
    log: EventLog, before: int
) -> None:
    provider = ScriptedProvider(["old"] * before + ["new", "newer"])
    async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
        for number in range(before):
            await agent.send(f"old {number}", conversation=TALK)
        await erase(log)
        for text in ("new", "newer"):
            assert (await agent.send(text, conversation=TALK)).text == text
        assert await texts(log) == ["new", "new", "new", "newer", "newer", "newer"]
    for request in provider.requests[before:]:
        assert not [message for message in request.tail if message.text.startswith("old")]


async def test_effects_of_the_next_conversation_have_keys_of_their_own(log: EventLog) -> None:
    house = House()
    house.may_end.set()
    keys = []
    provider = ScriptedProvider([ACT, "done"] * 2)
    async with Agent(
        provider=provider, tools=[house.act()], log=log, resume_on_enter=False
    ) as agent:
        for _ in range(2):
            reply = await agent.send("act", conversation=TALK)
            bodies = [event.body for event in await log.read(TALK)]
            keys += [body.operation_key for body in bodies if isinstance(body, ToolStarted)]
            assert reply.turn == 1
            await erase(log)
    assert len(set(keys)) == len(keys) == 2


async def test_nobody_can_decide_on_a_call_of_an_erased_conversation(log: EventLog) -> None:
    provider = ScriptedProvider([ACT, "new"])
    house = House()
    async with Agent(
        provider=provider, tools=[house.act()], log=log, policy=Asks(), resume_on_enter=False
    ) as agent:
        [waiting] = (await agent.send("act", conversation=TALK)).waiting
        await erase(log)
        with pytest.raises(ApprovalError):
            await agent.decide(waiting, approved=True, by="staff:ann")
        assert not house.is_called.is_set()
        assert (await agent.send("new", conversation=TALK)).text == "new"


async def test_a_turn_and_messages_that_wait_behind_it_are_fenced_when_it_is_erased(
    log: EventLog,
) -> None:
    house = House()
    provider = ScriptedProvider([ACT, "new"])
    fenced: list[str] = []
    async with Agent(
        provider=provider, tools=[house.act()], log=log, resume_on_enter=False
    ) as agent:

        async def send(text: str) -> None:
            with pytest.raises(Fenced):
                await agent.send(text, conversation=TALK)
            fenced.append(text)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send, "act")
                await house.is_called.wait()
                tasks.start_soon(send, "behind")
                await anyio.wait_all_tasks_blocked()
                await erase(log)
                house.may_end.set()
        assert sorted(fenced) == ["act", "behind"]
        assert not await texts(log)
        assert (await agent.send("new", conversation=TALK)).text == "new"
    assert len(provider.requests) == 2


class Noting(Model):
    """Takes notes of a conversation when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = anyio.Event()
        self.may_note = anyio.Event()

    async def notes(self, request: Request) -> Answer:
        self.is_asked.set()
        await self.may_note.wait()
        return "The customer has a dog."


async def test_a_summary_of_the_old_conversation_is_not_added_to_the_next_one(
    log: EventLog,
) -> None:
    limits = ContextLimits(compact_at_tokens=1000, keep_tokens=200, keep_turns=2, summary="model")
    model = Noting()
    async with Agent(provider=model, log=log, context=limits, resume_on_enter=False) as agent:
        with anyio.fail_after(30):
            while not model.is_asked.is_set():
                await agent.send("May I bring my dog? " * 10, conversation=TALK)
                await anyio.wait_all_tasks_blocked()
            await erase(log)
            await agent.send("new", conversation=TALK)
            model.may_note.set()
            await anyio.wait_all_tasks_blocked()
            await agent.send("newer", conversation=TALK)
        bodies = [event.body for event in await log.read(TALK)]
    assert not [body for body in bodies if isinstance(body, Summarized)]
    assert model.requests[-1].summary is None
    assert not [text for text in map(str, bodies) if "dog" in text]
