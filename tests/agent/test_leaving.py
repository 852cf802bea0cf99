"""Leaving an agent, or a stream of it: nobody is left waiting, no error is wrapped or lost."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Sequence

import anyio
import anyio.lowlevel
import pytest

from aicore import Agent, Principal, TextDelta
from aicore.errors import Fenced, NotOpenError, ProviderUnavailable, StoreError
from aicore.log import MemoryLog
from aicore.log.events import MessageReceived
from aicore.log.port import Claim, OpenTurn
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import ConversationId

TALK = "web:1"
PRINCIPAL = Principal("customer", "c1")


class Stalling(ScriptedProvider):
    """Says one word and hangs."""

    def __init__(self) -> None:
        super().__init__([])
        self.is_asked = anyio.Event()
        self.is_cancelled = anyio.Event()

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        yield TextDelta("Well")
        self.is_asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.is_cancelled.set()


async def test_an_error_passes_through_the_agents_block_as_it_was_raised() -> None:
    with pytest.raises(ProviderUnavailable):
        async with Agent(provider=ScriptedProvider([ProviderUnavailable("down")])) as agent:
            await agent.send("hi", conversation=TALK)


async def test_cancelling_the_task_that_holds_an_agent_leaves_it() -> None:
    provider = Stalling()
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with Agent(provider=provider) as agent:
            async for _ in agent.stream("hi", conversation=TALK):
                await provider.is_asked.wait()
                scope.cancel()
    assert scope.cancelled_caught
    assert provider.is_cancelled.is_set()


async def test_a_reader_of_a_stream_is_told_when_the_agent_is_left() -> None:
    provider = Stalling()
    log = MemoryLog()
    told: list[BaseException] = []

    async def consume(agent: Agent) -> None:
        try:
            async for _ in agent.stream("hi", conversation=TALK):
                pass
        except NotOpenError as error:
            told.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, Agent(provider=provider, log=log) as agent:
            group.start_soon(consume, agent)
            await provider.is_asked.wait()
    assert len(told) == 1
    async with log:
        assert len(await log.open_turns()) == 1


async def test_an_agent_is_entered_once_and_says_so() -> None:
    agent = Agent(provider=ScriptedProvider([]))
    async with agent:
        with pytest.raises(NotOpenError, match="agent"):
            await agent.__aenter__()
    with pytest.raises(NotOpenError, match="agent"):
        await agent.__aenter__()


async def test_a_stream_that_is_broken_off_and_forgotten_cancels_its_turn() -> None:
    provider = Stalling()
    async with Agent(provider=provider) as agent:
        async for _ in agent.stream("hi", conversation=TALK):
            break
        gc.collect()
        with anyio.fail_after(5):
            await provider.is_cancelled.wait()


async def test_a_reader_that_is_cancelled_cancels_its_turn() -> None:
    provider = Stalling()

    async def consume(agent: Agent, scope: anyio.CancelScope) -> None:
        with scope:
            async for _ in agent.stream("hi", conversation=TALK):
                pass

    async with Agent(provider=provider) as agent, anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(consume, agent, scope)
        with anyio.fail_after(5):
            await provider.is_asked.wait()
            scope.cancel()
            await provider.is_cancelled.wait()


async def test_a_stream_that_is_never_read_does_nothing() -> None:
    log = MemoryLog()
    async with Agent(provider=ScriptedProvider([]), log=log) as agent:
        stream = agent.stream("hi", conversation=TALK)
        await stream.aclose()
        agent.stream("hi", conversation=TALK)
        assert await log.read(ConversationId(TALK)) == ()


class TakenLog(MemoryLog):
    """Open turns of this log belong to somebody else, or it cannot be read at all."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.is_tried = anyio.Event()

    async def append(self, claim: Claim, turn: int, bodies: Sequence[object]) -> Claim:
        self.is_tried.set()
        raise self.error


class BrokenLog(MemoryLog):
    is_tried: anyio.Event

    async def open_turns(self) -> Sequence[OpenTurn]:
        self.is_tried.set()
        raise RuntimeError("a fault of the log")


@pytest.mark.parametrize("error", [Fenced("taken"), StoreError("broken")])
async def test_turns_that_cannot_be_resumed_neither_end_the_agent_nor_raise_a_group(
    error: Exception,
) -> None:
    log = TakenLog(error)
    async with log:
        for talk in ("a", "b"):
            await log.receive(ConversationId(talk), MessageReceived(text="hi", principal=PRINCIPAL))
        provider = ScriptedProvider([f"answer {number}" for number in range(8)])
        with anyio.fail_after(5):
            async with Agent(provider=provider, log=log) as agent:
                await log.is_tried.wait()
                assert await agent.resume() == []
        assert len(await log.open_turns()) == 2


async def test_a_fault_while_resuming_on_enter_does_not_end_the_agent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = BrokenLog()
    log.is_tried = anyio.Event()
    async with Agent(provider=ScriptedProvider(["Still here."]), log=log) as agent:
        with anyio.fail_after(5):
            await log.is_tried.wait()
        assert (await agent.send("hi", conversation=TALK)).text == "Still here."
    assert "resume_failed" in caplog.text
