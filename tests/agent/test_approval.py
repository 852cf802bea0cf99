"""A policy that asks: the turn ends honestly, waits for days, and goes on with the decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicore import Agent, Replied, TextDelta, Waiting
from aicore.errors import ApprovalError
from aicore.log import MemoryLog, SQLiteLog
from aicore.log.events import ApprovalRequested, ToolStarted
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Allow, Ask, Decision, Deny

TALK = "web:1"


class AskAbout:
    """Asks about some tools, denies others."""

    def __init__(self, *asks: str, denies: str = "") -> None:
        self.asks = asks
        self.denies = denies

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        if call.name in self.asks:
            return Ask("money leaves the house")
        return Deny("never on Sundays") if call.name == self.denies else Allow()


class Till:
    """Counts what was paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        return f"paid {amount}"

    def tip(self, amount: int) -> str:
        """Tip."""
        self.paid.append(amount)
        return f"tipped {amount}"


PAY = Completion(text="", calls=(ToolCall("p1", "pay", {"amount": 5}),))


def well_formed(request: Request) -> None:
    """Every call is followed by exactly its results."""
    open_calls: list[str] = []
    for message in request.tail:
        if message.role == "tool":
            assert message.call_id == open_calls.pop(0)
            continue
        assert not open_calls
        open_calls = [call.id for call in message.calls]
    assert not open_calls


async def test_a_call_that_needs_approval_ends_the_turn_with_an_honest_word() -> None:
    till = Till()
    log = MemoryLog()
    provider = ScriptedProvider([PAY])
    async with Agent(provider=provider, tools=[till.pay], policy=AskAbout("pay"), log=log) as agent:
        events = [event async for event in agent.stream("pay", conversation=TALK)]
        recorded = [e.body for e in await log.read(ConversationId(TALK))]
        assert await log.open_turns() == []
    assert till.paid == []
    last = events[-1]
    assert isinstance(last, Replied)
    assert "approval" in last.reply.text
    assert last.reply.waiting
    assert any(isinstance(event, Waiting) for event in events)
    deltas = "".join(e.delta for e in events if isinstance(e, TextDelta))
    assert deltas == last.reply.text
    assert not any(isinstance(body, ToolStarted) for body in recorded)
    asked = next(body for body in recorded if isinstance(body, ApprovalRequested))
    assert asked.reason == "money leaves the house"


async def test_an_approved_call_runs_once_and_the_model_reads_its_result() -> None:
    till = Till()
    provider = ScriptedProvider([PAY, "It is paid."])
    async with Agent(provider=provider, tools=[till.pay], policy=AskAbout("pay")) as agent:
        waiting = (await agent.send("pay", conversation=TALK)).waiting
        reply = await agent.decide(waiting[0], approved=True, by="staff:ann")
        assert reply.text == "It is paid."
        with pytest.raises(ApprovalError):
            await agent.decide(waiting[0], approved=True, by="staff:ann")
    assert till.paid == [5]
    well_formed(provider.requests[1])
    assert provider.requests[1].tail[-1].text == "paid 5"


async def test_a_refusal_reaches_the_model_as_a_reason() -> None:
    till = Till()
    provider = ScriptedProvider([PAY, "I am sorry."])
    async with Agent(provider=provider, tools=[till.pay], policy=AskAbout("pay")) as agent:
        waiting = (await agent.send("pay", conversation=TALK)).waiting
        reply = await agent.decide(
            waiting[0], approved=False, by="staff:ann", reason="already refunded"
        )
    assert reply.text == "I am sorry."
    assert till.paid == []
    well_formed(provider.requests[1])
    shown = provider.requests[1].tail[-1]
    assert shown.is_error
    assert "already refunded" in shown.text


async def test_a_decision_continues_the_turn_after_a_restart(tmp_path: Path) -> None:
    till = Till()
    path = tmp_path / "shop.db"
    async with Agent(
        provider=ScriptedProvider([PAY]),
        tools=[till.pay],
        policy=AskAbout("pay"),
        log=SQLiteLog(path),
    ) as agent:
        waiting = (await agent.send("pay", conversation=TALK)).waiting
    provider = ScriptedProvider(["It is paid."])
    async with Agent(
        provider=provider, tools=[till.pay], policy=AskAbout("pay"), log=SQLiteLog(path)
    ) as agent:
        assert await agent.resume() == []
        reply = await agent.decide(waiting[0], approved=True, by="owner")
    assert reply.text == "It is paid."
    assert till.paid == [5]


async def test_the_customer_can_talk_on_while_a_call_waits() -> None:
    till = Till()
    provider = ScriptedProvider([PAY, "Still waiting.", "It is paid now."])
    async with Agent(provider=provider, tools=[till.pay], policy=AskAbout("pay")) as agent:
        waiting = (await agent.send("pay", conversation=TALK)).waiting
        assert (await agent.send("and?", conversation=TALK)).text == "Still waiting."
        reply = await agent.decide(waiting[0], approved=True, by="staff:ann")
    assert reply.text == "It is paid now."
    for request in provider.requests:
        well_formed(request)
    before, after = provider.requests[1].tail, provider.requests[2].tail
    assert [m.text for m in after[: len(before)]] == [m.text for m in before]
    assert till.paid == [5]


async def test_two_calls_wait_and_are_decided_one_by_one() -> None:
    till = Till()
    both = Completion(
        text="",
        calls=(ToolCall("p", "pay", {"amount": 1}), ToolCall("t", "tip", {"amount": 2})),
    )
    provider = ScriptedProvider([both, "Settled."])
    async with Agent(
        provider=provider, tools=[till.pay, till.tip], policy=AskAbout("pay", "tip")
    ) as agent:
        first, second = (await agent.send("pay", conversation=TALK)).waiting
        halfway = await agent.decide(first, approved=True, by="staff:ann")
        assert halfway.waiting == (second,)
        assert halfway.text == ""
        assert till.paid == [1]
        reply = await agent.decide(second, approved=False, by="staff:ann")
    assert reply.text == "Settled."
    assert till.paid == [1]
    well_formed(provider.requests[1])


async def test_a_denied_call_is_told_to_the_model_and_nothing_waits() -> None:
    till = Till()
    provider = ScriptedProvider([PAY, "I may not."])
    async with Agent(provider=provider, tools=[till.pay], policy=AskAbout(denies="pay")) as agent:
        reply = await agent.send("pay", conversation=TALK)
    assert reply.text == "I may not."
    assert till.paid == []
    assert "never on Sundays" in provider.requests[1].tail[-1].text


async def test_an_approval_that_does_not_exist_is_refused() -> None:
    async with Agent(provider=ScriptedProvider([])) as agent:
        for wrong in ("nonsense", "web:1#none"):
            with pytest.raises(ApprovalError):
                await agent.decide(wrong, approved=True, by="staff:ann")
