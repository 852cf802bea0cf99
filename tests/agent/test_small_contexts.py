"""What a provider reads is learned for one conversation; small contexts are not cut often."""

from __future__ import annotations

import pytest
from tests.agent.long_talks import TALK, Answer, Model, events, settle, summaries, tokens_of

from aicore import Agent, ContextLimits
from aicore.errors import ContextOverflow
from aicore.log import MemoryLog
from aicore.log.events import Summarized
from aicore.models.port import Completion, Request
from aicore.records import ConversationId, Usage

QUESTION = "Is Tuesday at {} free? I would like a cleaning, please, for my son."


class Reader(Model):
    """Does not tell what it can read, refuses what is longer, and counts fewer tokens."""

    def __init__(self, reads_tokens: int) -> None:
        super().__init__(self.reply)
        self.reads_tokens = reads_tokens

    def reply(self, request: Request) -> Answer:
        tokens = tokens_of(request)
        if tokens > self.reads_tokens:
            return ContextOverflow("too long")
        usage = Usage(input_tokens=int(tokens * 0.5), output_tokens=10)
        return Completion(text="Fine. " * 10, usage=usage)


async def test_a_conversation_that_is_too_long_again_and_again_stops_no_other() -> None:
    model, log = Reader(3000), MemoryLog()
    instructions = "Be kind to everybody. " * 410
    async with log, Agent(provider=model, log=log, instructions=instructions) as agent:
        await agent.send("Hello", conversation="innocent")
        await agent.send("Hello", conversation=TALK)
        for _ in range(6):
            with pytest.raises(ContextOverflow):
                await agent.send("}" * 1800, conversation=TALK)
        for other in ("innocent", "somebody new"):
            assert (await agent.send("And now?", conversation=other)).text.startswith("Fine.")
            await settle()
            found = await log.read(ConversationId(other))
            assert not [one for one in found if isinstance(one.body, Summarized)]


async def test_what_was_read_after_all_is_not_taken_for_too_long_any_more() -> None:
    model, log = Reader(1200), MemoryLog()
    async with log, Agent(provider=model, log=log) as agent:
        for number in range(40):
            await agent.send(QUESTION.format(number), conversation=TALK)
            await settle()
        before = len(await summaries(log))
        assert before
        model.reads_tokens = 100_000
        await agent.send("A long letter. " * 1000, conversation=TALK)
        for number in range(20):
            await agent.send(QUESTION.format(number), conversation=TALK)
            await settle()
        assert len(await summaries(log)) <= before + 2, "for the letter, and when it is an old one"


@pytest.mark.parametrize(
    ("context_tokens", "instructions", "limits", "most"),
    [
        (None, 0, ContextLimits(compact_at_tokens=500, keep_tokens=125, keep_turns=3), 20),
        (None, 0, ContextLimits(compact_at_tokens=600, keep_tokens=150), 20),
        (None, 0, ContextLimits(compact_at_tokens=1000, keep_tokens=300), 10),
        (2048, 4000, ContextLimits(), 30),
        (4096, 10_000, ContextLimits(), 30),
        (4096, 12_000, ContextLimits(), 40),
    ],
)
async def test_a_small_room_is_not_cut_turn_by_turn(
    context_tokens: int | None, instructions: int, limits: ContextLimits, most: int
) -> None:
    def answer(request: Request) -> Answer:
        return "Tuesday at three is free, shall I book it for you?"

    model, log = Model(answer, context_tokens=context_tokens), MemoryLog()
    agent = Agent(provider=model, log=log, context=limits, instructions="x" * instructions)
    async with log, agent:
        for number in range(100):
            await agent.send(QUESTION.format(number), conversation=TALK)
            await settle()
        cut = await events(log, Summarized)
    assert 0 < len(cut) <= most
    if context_tokens is not None:
        assert max(map(tokens_of, model.requests)) < context_tokens
