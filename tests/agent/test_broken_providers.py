"""Providers that break their promises, and results that are read on: errors stay plain."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest

from aicore import Agent, Limits, Replied, StreamEvent, TextDelta, tool
from aicore.errors import ConfigError, Interrupted, ProviderUnavailable, TimeLimitReached
from aicore.log import MemoryLog
from aicore.log.events import TurnFailed
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import ConversationId, ToolCall

TALK = "web:1"


class Broken(ScriptedProvider):
    """Its first stream says a word and then does as told; later ones follow the script."""

    def __init__(self, how: str) -> None:
        super().__init__(["Fine again."])
        self.how = how

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        how, self.how = self.how, ""
        if not how:
            async for part in super().stream(request):
                yield part
            return
        yield TextDelta("Well")
        if how == "hang":
            await anyio.sleep_forever()
        if how == "interrupt":
            raise Interrupted("The model broke off.", text="Well")
        if how == "drop":
            raise ProviderUnavailable("gone")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("end early", Interrupted),
        ("interrupt", Interrupted),
        ("drop", ProviderUnavailable),
        ("hang", TimeLimitReached),
    ],
)
async def test_a_stream_that_breaks_off_is_a_plain_error_and_the_conversation_goes_on(
    how: str, error: type[Exception]
) -> None:
    log = MemoryLog()
    seen: list[StreamEvent] = []
    async with Agent(provider=Broken(how), log=log, limits=Limits(wall_s=0.05)) as agent:
        with anyio.fail_after(5):
            with pytest.raises(error):
                await collect(agent.stream("one", conversation=TALK), seen)
            again = [event async for event in agent.stream("two", conversation=TALK)]
        kinds = [type(event.body) for event in await log.read(ConversationId(TALK))]
    assert seen == [TextDelta("Well")]
    assert isinstance(again[-1], Replied)
    assert again[-1].reply.text == "Fine again."
    assert kinds.count(TurnFailed) == 1


async def collect(stream: AsyncGenerator[StreamEvent, None], seen: list[StreamEvent]) -> None:
    async for event in stream:
        seen.append(event)


@tool(read_only=True)
def much() -> str:
    """Give much, with characters of every width."""
    return "é😀x" * 20_000


async def test_a_handle_is_good_in_its_own_conversation_only() -> None:
    made = Completion(text="", calls=(ToolCall("secret1", "much", {}),))
    read = Completion(
        text="", calls=(ToolCall("r", "read_result", {"handle": "secret1", "offset": 0}),)
    )
    provider = ScriptedProvider([made, "ok", read, "no", read, "yes"])
    async with Agent(provider=provider, tools=[much]) as agent:
        await agent.send("give", conversation="a")
        other = await agent.send("read", conversation="b")
        own = await agent.send("read", conversation="a")
    assert [one.result.is_error for one in other.calls if one.result] == [True]
    assert [one.result.is_error for one in own.calls if one.result] == [False]


async def test_pages_joined_are_the_whole_result() -> None:
    whole = "é😀x" * 20_000
    offsets = range(0, len(whole), 16_000)
    made = Completion(text="", calls=(ToolCall("h", "much", {}),))
    pages = Completion(
        text="",
        calls=tuple(
            ToolCall(f"r{offset}", "read_result", {"handle": "h", "offset": offset})
            for offset in offsets
        ),
    )
    provider = ScriptedProvider([made, pages, "ok"])
    async with Agent(provider=provider, tools=[much]) as agent:
        reply = await agent.send("give", conversation=TALK)
    texts = [one.result.text for one in reply.calls[1:] if one.result]
    assert "".join(text.split("\n")[1] for text in texts) == whole


@pytest.mark.parametrize("offset", [-1, 10**9, 1.5, "0", None, True])
async def test_an_offset_that_is_none_is_told_to_the_model(offset: object) -> None:
    made = Completion(text="", calls=(ToolCall("h", "much", {}),))
    read = Completion(
        text="", calls=(ToolCall("r", "read_result", {"handle": "h", "offset": offset}),)
    )
    async with Agent(provider=ScriptedProvider([made, read, "ok"]), tools=[much]) as agent:
        reply = await agent.send("give", conversation=TALK)
    assert reply.calls[1].result is not None
    assert reply.calls[1].result.is_error


@pytest.mark.parametrize("wall_s", [0, -1, float("nan")])
def test_a_limit_that_is_no_number_above_0_is_refused(wall_s: float) -> None:
    with pytest.raises(ConfigError):
        Limits(wall_s=wall_s)


@pytest.mark.parametrize("zone", ["Europe", "", "../etc", "nul\0", "\ud800", "Mars/Olympus"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError):
        Agent(provider=ScriptedProvider([]), zone=zone)


async def test_the_time_is_told_in_the_zone_that_was_asked_for() -> None:
    for zone, word in (("Asia/Tokyo", "JST"), ("UTC", "UTC")):
        provider = ScriptedProvider(["ok"])
        async with Agent(provider=provider, zone=zone) as agent:
            await agent.send("hi", conversation=TALK)
        assert provider.requests[0].volatile.endswith(word)
