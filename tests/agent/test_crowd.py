"""Many senders, readers, deciders and resumers at once, some of whom leave in the middle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import anyio
import anyio.lowlevel
import pytest

from aicore import Agent, tool
from aicore.dispatch.dispatcher import CallContext
from aicore.errors import ApprovalError, ProviderUnavailable
from aicore.log import MemoryLog
from aicore.log.events import ApprovalRequested, Body, MessageReceived, ReplySent, ToolFinished
from aicore.log.port import Claim, Received
from aicore.models.port import Completion, Request, TextDelta
from aicore.models.scripted import ScriptedProvider
from aicore.records import Conversation, ConversationId, Message, Tool, ToolCall
from aicore.trust import Allow, Ask, Decision

TALKS = ["a", "b", "c"]


async def pause(chance: random.Random) -> None:
    for _ in range(chance.randrange(4)):
        await anyio.lowlevel.checkpoint()


class SlowLog(MemoryLog):
    """Gives others a turn around every write."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        await pause(self.chance)
        received = await super().receive(conversation, message)
        await pause(self.chance)
        return received

    async def claim(self, conversation: ConversationId) -> Claim:
        await pause(self.chance)
        claim = await super().claim(conversation)
        await pause(self.chance)
        return claim

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        await pause(self.chance)
        claim = await super().append(claim, turn, bodies)
        await pause(self.chance)
        return claim


class Moody(ScriptedProvider):
    """Calls, answers or fails by chance; refuses a transcript that is not well formed."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__([])
        self.chance = chance
        self.made = 0

    async def complete(self, request: Request) -> Completion:
        check(request.tail)
        await pause(self.chance)
        mood = self.chance.random()
        if mood < 0.1:
            raise ProviderUnavailable("down")
        if mood < 0.5:
            names = self.chance.choices(["look", "act", "pay"], k=self.chance.randint(1, 3))
            self.made += len(names)
            ids = range(self.made - len(names), self.made)
            calls = tuple(ToolCall(f"c{n}", name, {}) for n, name in zip(ids, names, strict=True))
            return Completion(text=self.chance.choice(["", "Hm."]), calls=calls)
        return Completion(text="Done.")

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        completion = await self.complete(request)
        if completion.text:
            yield TextDelta(completion.text)
        await pause(self.chance)
        yield completion


def check(tail: Sequence[Message]) -> None:
    assert tail[-1].role != "assistant"
    expected: list[str] = []
    for message in tail:
        if message.role == "tool":
            assert message.call_id == expected.pop(0)
            continue
        assert not expected
        expected = [call.id for call in message.calls]
    assert not expected


class AsksAboutPay:
    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        return Ask("money") if call.name == "pay" else Allow()


class Crowd:
    """What everybody does to one agent."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log = SlowLog(self.chance)
        self.done: Counter[str | None] = Counter()
        self.agent = Agent(
            provider=Moody(self.chance),
            tools=self.tools(),
            policy=AsksAboutPay(),
            log=self.log,
        )

    def tools(self) -> list[object]:
        @tool(read_only=True)
        async def look() -> str:
            """Look."""
            await pause(self.chance)
            return "seen"

        @tool(honours_key=True)
        async def act(context: CallContext) -> str:
            """Act once per key."""
            await pause(self.chance)
            self.done[context.operation_key] = 1
            await pause(self.chance)
            return "acted"

        async def pay(context: CallContext) -> str:
            """Pay each time."""
            await pause(self.chance)
            self.done[context.operation_key] += 1
            await pause(self.chance)
            return "paid"

        return [look, act, pay]

    async def one(self, number: int) -> None:
        """Do one thing, and leave it in the middle sometimes."""
        talk = self.chance.choice(TALKS)
        with anyio.CancelScope() as scope, anyio.CancelScope():
            async with anyio.create_task_group() as group:
                group.start_soon(self._leave, scope)
                await self._act(talk, f"m{self.chance.randrange(number + 1)}-{talk}")
                group.cancel_scope.cancel()

    async def _leave(self, scope: anyio.CancelScope) -> None:
        if self.chance.random() < 0.3:
            for _ in range(self.chance.randrange(60)):
                await anyio.lowlevel.checkpoint()
            scope.cancel()

    async def _act(self, talk: str, message_id: str) -> None:
        what = self.chance.choice(["send", "send", "stream", "stream", "decide", "resume"])
        try:
            if what == "send":
                await self.agent.send("hi", conversation=talk, message_id=message_id)
            elif what == "stream":
                async for _ in self.agent.stream("hi", conversation=talk, message_id=message_id):
                    await pause(self.chance)
            elif what == "decide":
                for approval in await self.approvals(talk):
                    await self.agent.decide(
                        approval, approved=self.chance.random() < 0.7, by="staff:ann"
                    )
            else:
                await self.agent.resume()
        except (ProviderUnavailable, ApprovalError):
            pass

    async def approvals(self, talk: str) -> list[str]:
        events = await self.log.read(ConversationId(talk))
        return [e.body.approval_id for e in events if isinstance(e.body, ApprovalRequested)]

    async def settle(self) -> None:
        """Let all that is open come to rest."""
        for _ in range(200):
            await self.agent.resume()
            for talk in TALKS:
                for approval in await self.approvals(talk):
                    try:
                        await self.agent.decide(approval, approved=True, by="staff:ann")
                    except (ProviderUnavailable, ApprovalError):
                        continue
            if not await self.log.open_turns():
                return
        raise AssertionError("never at rest")


@pytest.mark.parametrize("seed", range(20))
async def test_a_crowd_gets_one_answer_a_message_and_one_effect_a_call(seed: int) -> None:
    crowd = Crowd(seed)
    with anyio.fail_after(30):
        async with crowd.agent:
            async with anyio.create_task_group() as group:
                for number in range(60):
                    group.start_soon(crowd.one, number)
            await crowd.settle()
            for talk in TALKS:
                events = await crowd.log.read(ConversationId(talk))
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                replied = Counter(e.turn for e in events if isinstance(e.body, ReplySent))
                assert set(replied.values()) <= {1}
                finished = Counter(
                    e.body.call_id for e in events if isinstance(e.body, ToolFinished)
                )
                assert set(finished.values()) <= {1}
    assert set(crowd.done.values()) <= {1}
