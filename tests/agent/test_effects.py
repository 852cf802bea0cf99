"""Effects are done once: whatever breaks, none is sent again blindly or called undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from aicore import Agent, Limits, tool
from aicore.dispatch.dispatcher import CallContext
from aicore.errors import (
    ApprovalError,
    Fenced,
    ModelError,
    RoundLimitReached,
    StoreBusy,
    StoreError,
)
from aicore.log import MemoryLog, Stored
from aicore.log.events import Body, Event, ToolFinished, ToolStarted, TurnFailed, TurnRetried
from aicore.log.port import Claim
from aicore.models import ScriptedProvider
from aicore.models.port import Completion
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Allow, Ask, Decision, Policy

TALK = "web:1"
ACT = Completion(text="", calls=(ToolCall("c1", "act", {}),))


class House:
    """An effect that can be held up, and counts what was sent to it by operation key."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.is_called = anyio.Event()
        self.may_end = anyio.Event()
        self.may_end.set()

    async def _act(self, key: str | None) -> str:
        self.keys.append(key)
        self.is_called.set()
        await self.may_end.wait()
        return "acted"

    def keyless(self) -> Callable[..., Any]:
        async def act(context: CallContext) -> str:
            """Act each time."""
            return await self._act(context.operation_key)

        return act

    def keyed(self) -> Callable[..., Any]:
        @tool(honours_key=True)
        async def act(context: CallContext) -> str:
            """Act once per operation key."""
            return await self._act(context.operation_key)

        return act


class FailingLog(MemoryLog):
    """Fails once, at the first append of one kind of event."""

    def __init__(self, kind: type[Body], error: Exception) -> None:
        super().__init__()
        self.kind = kind
        self.error: Exception | None = error

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        if self.error is not None and any(isinstance(body, self.kind) for body in bodies):
            error, self.error = self.error, None
            raise error
        return await super().append(claim, turn, bodies)


async def recorded(log: MemoryLog, kind: type) -> list[Any]:
    return [e.body for e in await log.read(ConversationId(TALK)) if isinstance(e.body, kind)]


@pytest.mark.parametrize("error", [StoreBusy("held"), StoreError("full")])
async def test_a_result_that_could_not_be_recorded_is_fetched_again_under_its_key(
    error: Exception,
) -> None:
    house = House()
    log = FailingLog(ToolFinished, error)
    provider = ScriptedProvider([ACT, "It is done.", "Hello."])
    async with Agent(provider=provider, tools=[house.keyed()], log=log) as agent:
        with pytest.raises(type(error)):
            await agent.send("act", conversation=TALK)
        assert await recorded(log, TurnFailed) == []
        assert (await agent.send("and?", conversation=TALK)).text == "Hello."
    assert len(house.keys) == 2
    assert len(set(house.keys)) == 1
    assert "acted" in [m.text for m in provider.requests[1].tail]


async def test_a_result_that_could_not_be_recorded_is_unknown_where_there_are_no_keys() -> None:
    house = House()
    log = FailingLog(ToolFinished, StoreBusy("held"))
    provider = ScriptedProvider([ACT, "A colleague looks.", "Hello."])
    async with Agent(provider=provider, tools=[house.keyless()], log=log) as agent:
        with pytest.raises(StoreBusy):
            await agent.send("act", conversation=TALK)
        await agent.send("and?", conversation=TALK)
        (finished,) = await recorded(log, ToolFinished)
    assert len(house.keys) == 1
    assert finished.outcome == "unknown"


@pytest.mark.parametrize("is_keyed", [True, False])
async def test_an_effect_whose_caller_left_is_settled_by_the_next_message(is_keyed: bool) -> None:
    house = House()
    house.may_end = anyio.Event()
    log = MemoryLog()
    provider = ScriptedProvider([ACT, "First.", "Second."])
    made = house.keyed() if is_keyed else house.keyless()
    async with Agent(provider=provider, tools=[made], log=log) as agent:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_send, agent)
                await house.is_called.wait()
                scope.cancel()
        house.may_end.set()
        assert (await agent.send("and?", conversation=TALK)).text == "Second."
        (finished,) = await recorded(log, ToolFinished)
    assert finished.outcome == ("done" if is_keyed else "unknown")
    assert len(house.keys) == (2 if is_keyed else 1)
    assert len(set(house.keys)) == 1


async def _send(agent: Agent) -> None:
    await agent.send("act", conversation=TALK)


async def test_a_failed_turn_with_an_effect_under_way_is_not_sent_again_when_retried() -> None:
    """As an older version, or a fault of ours, may have left it."""
    house = House()
    log = FailingLog(ToolFinished, StoreBusy("held"))
    provider = ScriptedProvider([ACT, "A colleague looks."])
    async with Agent(provider=provider, tools=[house.keyless()], log=log) as agent:
        with pytest.raises(StoreBusy):
            await agent.send("act", conversation=TALK, message_id="m")
        claim = await log.claim(ConversationId(TALK))
        await log.append(claim, 1, [TurnFailed(code="internal", message="")])
        reply = await agent.send("act", conversation=TALK, message_id="m")
    assert reply.text == "A colleague looks."
    assert [one.result.outcome for one in reply.calls if one.result] == ["unknown"]
    assert len(house.keys) == 1


class Raises:
    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        raise RuntimeError("a fault of the policy")


async def test_a_policy_that_raises_lets_nothing_through() -> None:
    house = House()
    log = MemoryLog()
    provider = ScriptedProvider([ACT, "Hello."])
    async with Agent(provider=provider, tools=[house.keyed()], policy=Raises(), log=log) as agent:
        with pytest.raises(RuntimeError):
            await agent.send("act", conversation=TALK)
        assert (await agent.send("hello", conversation=TALK)).text == "Hello."
        assert len(await recorded(log, TurnFailed)) == 1
        assert await recorded(log, ToolStarted) == []
    assert house.keys == []


async def test_a_policy_that_counts_as_empty_is_not_replaced_by_one_that_allows() -> None:
    class NoRules(list[str]):
        async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
            return Ask("no rule allows it")

    house = House()
    policy: Policy = NoRules()
    async with Agent(
        provider=ScriptedProvider([ACT]), tools=[house.keyed()], policy=policy
    ) as agent:
        assert (await agent.send("act", conversation=TALK)).waiting
    assert house.keys == []


async def test_reads_at_once_fail_as_one_would() -> None:
    class Unreadable(MemoryLog):
        async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
            if after == 0 and is_asking:
                raise StoreError("damaged")
            return await super().read(conversation, after)

    is_asking = False

    def two_reads(_: object) -> Completion:
        nonlocal is_asking
        is_asking = True
        page = {"handle": "x", "offset": 0}
        return Completion(
            text="", calls=(ToolCall("a", "read_result", page), ToolCall("b", "read_result", page))
        )

    provider = ScriptedProvider([two_reads])
    async with Agent(provider=provider, log=Unreadable()) as agent:
        with pytest.raises(StoreError):
            await agent.send("read", conversation=TALK)


async def test_operation_keys_are_stable_over_a_restart_and_differ_otherwise() -> None:
    house = House()
    two = Completion(text="", calls=(ToolCall("c1", "act", {}), ToolCall("c2", "act", {})))
    log = FailingLog(ToolFinished, StoreBusy("held"))
    async with log:
        async with Agent(provider=ScriptedProvider([two]), tools=[house.keyed()], log=log) as agent:
            with pytest.raises(StoreBusy):
                await agent.send("act", conversation=TALK)
        async with Agent(
            provider=ScriptedProvider(["Done."]),
            tools=[house.keyed()],
            log=log,
            resume_on_enter=False,
        ) as agent:
            await agent.resume()
    first, again, second = house.keys
    assert first == again != second
    for business, conversation in (("default", "web:2"), ("other", TALK)):
        other = House()
        async with Agent(
            provider=ScriptedProvider([two, "Done."]),
            tools=[other.keyed()],
            log=MemoryLog(business=business),
        ) as agent:
            await agent.send("act", conversation=conversation)
        assert len({first, second, *other.keys}) == 4


async def test_a_limit_hit_after_an_effect_and_retried_does_not_repeat_the_effect() -> None:
    house = House()
    log = MemoryLog()
    provider = ScriptedProvider([ACT])
    agent = Agent(provider=provider, tools=[house.keyed()], log=log, limits=Limits(rounds=1))
    async with agent:
        for _ in range(3):
            with pytest.raises(RoundLimitReached):
                await agent.send("act", conversation=TALK, message_id="m")
        assert len(await recorded(log, TurnRetried)) == 2
    assert len(house.keys) == 1
    assert len(provider.requests) == 1


class Asks:
    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        return Allow() if tool.read_only else Ask("money")


async def _ask(log: MemoryLog, house: House) -> str:
    agent = Agent(provider=ScriptedProvider([ACT]), tools=[house.keyed()], policy=Asks(), log=log)
    async with agent:
        (approval,) = (await agent.send("act", conversation=TALK)).waiting
    return approval


async def test_an_approved_call_whose_tool_is_gone_is_told_to_the_model_as_not_done() -> None:
    log = MemoryLog()
    async with log:
        approval = await _ask(log, House())
        provider = ScriptedProvider(["I am sorry."])
        async with Agent(provider=provider, policy=Asks(), log=log) as agent:
            reply = await agent.decide(approval, approved=True, by="staff:ann")
    assert reply.text == "I am sorry."
    result = reply.calls[0].result
    assert result is not None
    assert (result.is_error, result.outcome) == (True, "none")


async def test_an_approved_call_that_no_longer_fits_is_told_to_the_model_as_not_done() -> None:
    def act(amount: int) -> str:
        """Act, since the last release with an amount."""
        raise AssertionError

    log = MemoryLog()
    async with log:
        approval = await _ask(log, House())
        provider = ScriptedProvider(["I am sorry."])
        async with Agent(provider=provider, tools=[act], policy=Asks(), log=log) as agent:
            reply = await agent.decide(approval, approved=True, by="staff:ann")
    result = reply.calls[0].result
    assert result is not None
    assert (result.is_error, result.outcome) == (True, "none")


async def test_two_who_decide_at_once_are_told_who_came_second() -> None:
    house = House()
    log = MemoryLog()
    outcomes: list[str] = []
    async with log:
        approval = await _ask(log, house)
        provider = ScriptedProvider(["Done."])
        agent = Agent(provider=provider, tools=[house.keyed()], policy=Asks(), log=log)

        async def decide(approved: bool) -> None:
            try:
                reply = await agent.decide(approval, approved=approved, by="staff:ann")
                outcomes.append(reply.text)
            except ApprovalError:
                outcomes.append("second")

        async with agent, anyio.create_task_group() as group:
            for approved in (True, False, True):
                group.start_soon(decide, approved)
    assert sorted(outcomes) == ["Done.", "second", "second"]
    assert len(house.keys) == 1


async def test_a_decision_first_finishes_a_turn_that_was_cut_off() -> None:
    """Else its calls would stand without results in what the model is sent."""
    house = House()
    log = MemoryLog()
    async with log:
        approval = await _ask(log, house)
        provider = ScriptedProvider(
            [Completion(text="", calls=(ToolCall("r", "look", {}),)), "Looked.", "Done."]
        )

        @tool(read_only=True)
        async def look() -> str:
            """Hang the first time."""
            if not is_looking.is_set():
                is_looking.set()
                await anyio.sleep_forever()
            return "seen"

        is_looking = anyio.Event()
        agent = Agent(provider=provider, tools=[house.keyed(), look], policy=Asks(), log=log)
        async with agent:
            async with anyio.create_task_group() as group:
                group.start_soon(_send, agent)
                await is_looking.wait()
                group.cancel_scope.cancel()
            reply = await agent.decide(approval, approved=True, by="staff:ann")
    assert reply.text == "Done."
    for request in provider.requests:
        expected: list[str] = []
        for message in request.tail:
            if message.role == "tool":
                assert message.call_id == expected.pop(0)
            else:
                assert not expected
                expected = [call.id for call in message.calls]


async def test_a_turn_that_another_agent_takes_over_stops_and_its_effect_is_not_repeated() -> None:
    house = House()
    house.may_end = anyio.Event()
    log = MemoryLog()
    told: list[Exception] = []
    async with log:
        first = Agent(provider=ScriptedProvider([ACT]), tools=[house.keyless()], log=log)
        provider = ScriptedProvider(["A colleague looks.", "Hello."])
        second = Agent(provider=provider, tools=[house.keyless()], log=log, resume_on_enter=False)

        async def send() -> None:
            try:
                await first.send("act", conversation=TALK)
            except Fenced as error:
                told.append(error)

        async with first, second, anyio.create_task_group() as group:
            group.start_soon(send)
            await house.is_called.wait()
            assert (await second.send("and?", conversation=TALK)).text == "Hello."
            house.may_end.set()
        (finished,) = await recorded(log, ToolFinished)
    assert len(told) == 1
    assert len(house.keys) == 1
    assert finished.outcome == "unknown"


async def test_an_answer_cut_before_its_call_is_an_error_not_an_empty_reply() -> None:
    house = House()
    cut = Completion(text="", finish="length")
    async with Agent(provider=ScriptedProvider([ACT, cut]), tools=[house.keyed()]) as agent:
        with pytest.raises(ModelError):
            await agent.send("act", conversation=TALK)


async def keys_of(log: MemoryLog, text: str, message_id: str | None) -> list[str]:
    """Send one message that acts once, and give the operation keys that its tool saw."""
    house = House()
    one = Completion(text="", calls=(ToolCall("c1", "act", {}),))
    agent = Agent(provider=ScriptedProvider([one, "Done."]), tools=[house.keyed()], log=log)
    async with agent:
        await agent.send(text, conversation=TALK, message_id=message_id)
    return house.keys


async def restored() -> MemoryLog:
    """A log as an older backup has it: without what came after."""
    log = MemoryLog()
    async with log:
        await log.restore(Stored(ConversationId(TALK), 0, 1, 1_790_000_000_000), ())
    return log


async def test_after_a_restore_another_message_in_the_same_place_has_another_key() -> None:
    first = await keys_of(await restored(), "book ten", None)
    second = await keys_of(await restored(), "book eleven", "m2")
    third = await keys_of(await restored(), "book twelve", "m3")
    assert len({*first, *second, *third}) == 3


async def test_after_a_restore_a_message_delivered_again_has_the_key_it_had() -> None:
    before = await keys_of(await restored(), "book ten", "m1")
    log = await restored()
    await keys_of(log, "something else", "m0")
    assert await keys_of(log, "book ten", "m1") == before
