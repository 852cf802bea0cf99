"""Cancelling a turn at any await leaves a log that resumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import anyio
import anyio.lowlevel
import pytest

from aicore import Agent, Principal, TextDelta, tool
from aicore.errors import ProviderUnavailable
from aicore.log import MemoryLog
from aicore.log.events import Body, Event, MessageReceived, ReplySent
from aicore.log.port import Claim, Received
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import ConversationId, ToolCall

TALK = "web:1"
PRINCIPAL = Principal("customer", "c1")


class Stepper:
    """Cancels a scope at the n-th step."""

    def __init__(self, cancel_at: int) -> None:
        self.scope = anyio.CancelScope()
        self.steps = 0
        self._cancel_at = cancel_at

    async def step(self) -> None:
        self.steps += 1
        if self.steps == self._cancel_at:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()


class SteppedLog(MemoryLog):
    """A log that can be cancelled before and after each write."""

    stepper: Stepper

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        await self.stepper.step()
        received = await super().receive(conversation, message)
        await self.stepper.step()
        return received

    async def claim(self, conversation: ConversationId) -> Claim:
        await self.stepper.step()
        claim = await super().claim(conversation)
        await self.stepper.step()
        return claim

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        await self.stepper.step()
        claim = await super().append(claim, turn, bodies)
        await self.stepper.step()
        return claim


def answer(request: Request) -> Completion:
    rounds = sum(m.role == "assistant" for m in request.tail)
    waiting = [call.id for m in request.tail for call in m.calls]
    assert waiting == [m.call_id for m in request.tail if m.role == "tool"]
    if rounds == 0:
        return Completion(
            text="",
            calls=(
                ToolCall("r1", "look", {}),
                ToolCall("r2", "look", {}),
                ToolCall("e1", "act", {"what": "one"}),
                ToolCall("e2", "act", {"what": "two"}),
            ),
        )
    return Completion(text="done")


class House:
    """Effects that are done once per operation key, cancellable on both sides."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.stepper: Stepper

    def tools(self) -> list[object]:
        @tool(read_only=True)
        async def look() -> str:
            """Look."""
            await self.stepper.step()
            return "seen"

        @tool(idempotent=True)
        async def act(what: str) -> str:
            """Act; the same again changes nothing."""
            await self.stepper.step()
            self.done[what] = 1
            await self.stepper.step()
            return f"did {what}"

        return [look, act]


@pytest.mark.parametrize("streaming", [False, True])
async def test_cancelled_at_each_step_the_turn_is_finished_by_resume(streaming: bool) -> None:
    cancelled = 0
    for cancel_at in range(1, 60):
        house, log = House(), SteppedLog()
        house.stepper = log.stepper = Stepper(cancel_at)
        provider = ScriptedProvider([answer] * 20)
        agent = Agent(provider=provider, tools=house.tools(), log=log)  # type: ignore[arg-type]
        async with agent:
            with log.stepper.scope:
                if streaming:
                    async for _ in agent.stream("go", conversation=TALK, message_id="m"):
                        pass
                else:
                    await agent.send("go", conversation=TALK, message_id="m")
            was_cancelled = log.stepper.scope.cancelled_caught
            cancelled += was_cancelled
            house.stepper = log.stepper = Stepper(0)
            with anyio.fail_after(5):
                await agent.resume()
                reply = await agent.send("go", conversation=TALK, message_id="m")
        assert reply.text == "done"
        assert house.done == {"one": 1, "two": 1}
        bodies = [event.body for event in await log_events(log)]
        assert sum(isinstance(body, ReplySent) for body in bodies) == 1
        if not was_cancelled:
            break
    else:
        pytest.fail("the turn has more steps than were tried")
    assert cancelled > 15


async def log_events(log: MemoryLog) -> Sequence[object]:
    async with log:
        return await log.read(ConversationId(TALK))


async def test_leaving_a_stream_early_cancels_its_turn_and_the_next_message_continues() -> None:
    class StallsOnce(ScriptedProvider):
        is_stalling = True

        async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
            if self.is_stalling:
                self.is_stalling = False
                yield TextDelta("Well")
                await anyio.sleep_forever()
            async for part in super().stream(request):
                yield part

    log = MemoryLog()
    provider = StallsOnce(["First answered.", "Second answered."])
    async with Agent(provider=provider, log=log) as agent:
        stream = agent.stream("one", conversation=TALK)
        assert await anext(stream) == TextDelta("Well")
        await stream.aclose()
        with anyio.fail_after(5):
            reply = await agent.send("two", conversation=TALK)
        bodies = [e.body for e in await log.read(ConversationId(TALK))]
    assert reply.text == "Second answered."
    assert sum(isinstance(body, ReplySent) for body in bodies) == 2


async def test_a_turn_that_cannot_be_resumed_now_stays_open_for_later() -> None:
    log = MemoryLog()
    async with log:
        await log.receive(
            ConversationId(TALK),
            MessageReceived(text="hello", principal=PRINCIPAL, message_id="m"),
        )
        provider = ScriptedProvider([ProviderUnavailable("down"), "Here I am."])
        async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
            first = await agent.resume()
            assert first[0].reply is None
            assert len(await log.open_turns()) == 1
            second = await agent.resume()
            assert second[0].reply is not None
            assert second[0].reply.text == "Here I am."
            assert await log.open_turns() == []


class PoisonedLog(MemoryLog):
    """One conversation in it cannot be read: damaged, or written by a version with a fault."""

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        if conversation == "poisoned":
            raise RecursionError
        return await super().read(conversation, after)


async def test_a_conversation_that_cannot_be_read_keeps_no_other_from_being_resumed() -> None:
    log = PoisonedLog()
    async with log:
        names = ("poisoned", *(f"web:{number}" for number in range(30)))
        for name in names:
            message = MessageReceived(text="hello", principal=PRINCIPAL)
            await log.receive(ConversationId(name), message)
        provider = ScriptedProvider(["Here."] * 30)
        async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
            resumed = await agent.resume()
        left = [one.conversation for one in await log.open_turns()]
    assert len(resumed) == 30
    assert left == ["poisoned"]


async def test_entering_resumes_what_was_left_open() -> None:
    log = MemoryLog()
    async with log:
        await log.receive(ConversationId(TALK), MessageReceived(text="hello", principal=PRINCIPAL))
        with anyio.fail_after(5):
            async with Agent(provider=ScriptedProvider(["Here."]), log=log):
                while await log.open_turns():
                    await anyio.lowlevel.checkpoint()
