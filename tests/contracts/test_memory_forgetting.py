"""Forgetting one entry, over every store: with what would tell it again, in every byte."""

from __future__ import annotations

from typing import Any

import anyio

from aicore import Agent, Principal
from aicore.log import MemoryLog
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.port import Entry, Learned, Namespace
from aicore.models import ScriptedProvider
from aicore.records import ConversationId

ANN, EVE = Principal("customer", "ann"), Principal("staff", "eve")
SPACE = Namespace("main", str(ANN))
TALK = ConversationId("web:1")
CHATTER = ("Hello there", "Nice weather", "What do you offer?", "I see", "Thanks a lot", "Bye now")


def memory(memories: Any, *, quiet_s: float = 0.0) -> Memory:
    return Memory(memories.make(), limits=MemoryLimits(quiet_s=quiet_s))


async def talk(one: Memory, log: MemoryLog, *texts: str, who: Principal = ANN) -> ScriptedProvider:
    """Have messages answered and learned from."""
    provider = ScriptedProvider(["Fine."] * len(texts))
    async with Agent(provider=provider, log=log, memory=one) as agent:
        for text in texts:
            await agent.send(text, conversation=TALK, principal=who)
        with anyio.fail_after(20):
            await one.settled()
    return provider


async def of_kind(one: Memory, kind: str, text: str, who: Principal = ANN) -> Entry:
    entries = await one.entries(str(who))
    [entry] = [entry for entry in entries if entry.kind == kind and text in entry.text]
    return entry


async def test_of_a_message_among_others_no_byte_is_left_also_when_it_is_learned_again(
    memories: Any,
) -> None:
    async with MemoryLog() as log:
        await talk(memory(memories), log, *CHATTER[:3], "My dog is called Zorbulak.", *CHATTER[3:])
        async with memory(memories) as one:
            assert memories.holds("Zorbulak")
            before = await one.entries(str(ANN))
            said = await of_kind(one, "episode", "Zorbulak")
            assert await one.forget(str(ANN), [said.id]) == 2
            assert not memories.holds("orbula")
            left = await one.entries(str(ANN))
            assert {entry.id for entry in left} == {
                entry.id for entry in before if "Zorbulak" not in entry.text
            }
            # As after a crash that lost how far was learned.
            await one.store.add(SPACE, [], Learned(TALK, 0, 1))
        await talk(memory(memories), log, "Hello again", "And more")
        assert not memories.holds("orbula")
        async with memory(memories) as one:
            kept = {entry.id for entry in await one.entries(str(ANN))}
            assert {entry.id for entry in left} < kept
            assert said.id not in kept


async def test_a_fact_takes_its_message_with_it_that_is_yet_to_be_learned(memories: Any) -> None:
    async with MemoryLog() as log:
        await talk(memory(memories, quiet_s=600), log, "My dog is called Zorbulak. I'm vegan.")
        async with memory(memories) as one:
            fact = await of_kind(one, "fact", "Zorbulak")
            assert [entry.kind for entry in await one.entries(str(ANN))] == ["fact", "fact"]
            assert await one.forget(str(ANN), [fact.id]) == 1
        await talk(memory(memories), log, *CHATTER)
        assert not memories.holds("orbula")
        async with memory(memories) as one:
            texts = [entry.text for entry in await one.entries(str(ANN))]
            assert any("vegan" in text for text in texts)
            assert set(CHATTER) < set(texts)


async def test_a_fact_that_staff_told_goes_with_what_they_said(memories: Any) -> None:
    told = "Your appointment is on Tuesday at 10."
    for which, who in (("fact", ANN), ("episode", EVE)):
        async with MemoryLog() as log:
            await talk(memory(memories), log, "Hello", "I need an appointment.")
            await talk(memory(memories), log, told, "Thanks", who=EVE)
            async with memory(memories) as one:
                assert "Tuesday" in (await of_kind(one, "fact", "Tuesday")).text
                entry = await of_kind(one, which, "Tuesday", who)
                assert await one.forget(str(who), [entry.id]) == 2
                for principal in (ANN, EVE):
                    entries = await one.entries(str(principal))
                    assert not any("Tuesday" in entry.text + entry.context for entry in entries)
                    await one.store.erase(Namespace("main", str(principal)))
            assert not memories.holds(told)
