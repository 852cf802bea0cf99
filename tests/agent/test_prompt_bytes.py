"""Consecutive requests of a conversation are the same bytes up to what is new."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from aicore import Agent, tool
from aicore.log import MemoryLog
from aicore.models import ScriptedProvider
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Completion, Request
from aicore.records import ToolCall

HEAD = encode_head("m", is_stream=False, options={})


class Wired(ScriptedProvider):
    """A scripted provider that keeps each request as the bytes that would be sent."""

    def __init__(self, replies: Sequence[Any]) -> None:
        super().__init__(replies)
        self.sent: list[bytes] = []

    async def complete(self, request: Request) -> Completion:
        self.sent.append(encode_body(request, HEAD, limit_field="max_tokens"))
        return await super().complete(request)


@tool(read_only=True)
def look(what: str) -> str:
    """Look at something."""
    return f"saw {what} " * 20


def call(what: str) -> Completion:
    return Completion(text="", calls=(ToolCall("x", "look", {"what": what}),))


def common_prefix(first: bytes, second: bytes) -> int:
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))


async def test_each_request_repeats_the_one_before_up_to_its_volatile_end() -> None:
    script: list[Any] = []
    for number in range(6):
        script += [call(f"a{number}"), call(f"b{number}"), f"answer {number}"]
    provider = Wired(script)
    async with Agent(provider=provider, tools=[look], instructions="Be kind. " * 50) as agent:
        for number in range(6):
            await agent.send(f"question {number}", conversation="web:1")
    assert len(provider.sent) == 18
    for earlier, later in itertools.pairwise(provider.sent):
        stable = earlier.rindex(b"\\n\\n<context>")
        assert common_prefix(earlier, later) >= stable
        json.loads(later)


async def test_the_order_of_a_request_is_prefix_then_messages_then_time() -> None:
    provider = Wired(["Hello."])
    async with Agent(provider=provider, tools=[look], instructions="Be kind.") as agent:
        await agent.send("Hi", conversation="web:1")
    body = provider.sent[0]
    places = [body.index(part) for part in (b'"tools"', b"Be kind.", b'"Hi', b"<context>\\nNow: ")]
    assert places == sorted(places)


async def test_messages_are_encoded_once_in_their_life() -> None:
    provider = Wired([f"answer {number}" for number in range(3)])
    async with Agent(provider=provider, tools=[look]) as agent:
        for number in range(3):
            await agent.send(f"question {number}", conversation="web:1")
    first, last = provider.requests[0], provider.requests[2]
    assert first.prefix is last.prefix
    assert first.tail[0] is last.tail[0]
    assert first.tail[0].encoded["openai"] is last.tail[0].encoded["openai"]


async def test_a_conversation_read_from_the_log_gives_the_same_bytes() -> None:
    log = MemoryLog()
    async with log:
        script: list[Any] = [call("a"), "one", call("b"), "two"]
        provider = Wired(script)
        async with Agent(provider=provider, tools=[look], log=log) as agent:
            await agent.send("first", conversation="web:1")
            await agent.send("second", conversation="web:1")
        again = Wired(["three"])
        async with Agent(provider=again, tools=[look], log=log) as agent:
            await agent.send("third", conversation="web:1")
    earlier = provider.sent[-1]
    stable = earlier.rindex(b"\\n\\n<context>")
    assert common_prefix(earlier, again.sent[0]) >= stable
