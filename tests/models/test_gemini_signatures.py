"""Conversations with a vendor who checks them as Gemini 3 does, through an agent and its log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models import fake_openai
from tests.models.fake_gemini import CheckingVendor, call, origin, said
from tests.models.fake_openai import FakeOpenAI, json_play, serving

from aicore import Agent
from aicore.errors import ModelError
from aicore.log import SQLiteLog
from aicore.models import Gemini, OpenAICompatible, Provider, Request
from aicore.models.port import OutputSchema
from aicore.models.structured import complete_as
from aicore.records import Message, Prefix, ToolCall

LOOKS = [said("I look."), call("free", {"day": "Tue"}), call("free", {"day": "Wed"})]
LOOKS_AGAIN = [call("free", {"day": "Thu"})]
ANSWERS = [said("Nine "), said("o'clock.")]


def free(day: str) -> str:
    """Free times of a day."""
    return f"{day} 9:00"


def gemini(server: FakeOpenAI) -> Gemini:
    return Gemini(model="m", base_url=origin(server))


async def tell(agent: Agent, text: str, *, is_stream: bool) -> str:
    if not is_stream:
        return (await agent.send(text, conversation="c")).text
    events = [event async for event in agent.stream(text, conversation="c")]
    return "".join(event.delta for event in events if hasattr(event, "delta"))


@pytest.mark.parametrize("is_stream", [False, True])
async def test_every_answer_comes_back_as_it_was(is_stream: bool) -> None:
    vendor = CheckingVendor(LOOKS, LOOKS_AGAIN, ANSWERS, LOOKS, ANSWERS)
    async with (
        serving(otherwise=vendor) as server,
        Agent(provider=gemini(server), tools=[free]) as agent,
    ):
        assert (await tell(agent, "When?", is_stream=is_stream)).endswith("Nine o'clock.")
        assert (await tell(agent, "And?", is_stream=is_stream)).endswith("Nine o'clock.")

    assert vendor.own == [0, 1, 2, 3, 4]
    assert vendor.foreign == [0] * 5


async def test_a_conversation_goes_from_one_vendor_to_another_and_back(tmp_path: Path) -> None:
    """Over a log on disk, each time by an agent of its own."""
    vendor = CheckingVendor(LOOKS, ANSWERS, LOOKS_AGAIN, ANSWERS)
    calls = [fake_openai.call(0, "free", '{"day": "Fri"}'), fake_openai.call(1, "free", "{}")]
    others = [
        json_play(fake_openai.whole(None, calls=calls, finish="tool_calls")),
        json_play(fake_openai.whole("Ten.")),
    ]
    async with serving(otherwise=vendor) as ours, serving(*others) as theirs:
        providers: list[Callable[[], Provider]] = [
            lambda: gemini(ours),
            lambda: OpenAICompatible(base_url=theirs.base_url, model="m"),
            lambda: gemini(ours),
        ]
        for provider in providers:
            log = SQLiteLog(tmp_path / "shop.db")
            async with Agent(provider=provider(), tools=[free], log=log) as agent:
                assert (await agent.send("When?", conversation="c")).text

    assert vendor.own == [0, 1, 2, 3]
    assert vendor.foreign == [0, 0, 2, 2]
    assert b"thoughtSignature" not in theirs.requests[0].body


async def test_a_vendor_who_checks_refuses_what_it_did_not_sign() -> None:
    """The judge can say no."""
    vendor = CheckingVendor(LOOKS)
    one = ToolCall("c0", "free", {})
    state: Any = [["call", None, "AAAA"]]
    tail = [
        Message(role="user", text="When?"),
        Message(role="assistant", calls=[one], provider="gemini:m", state=state),
        Message(role="tool", call_id="c0", text="9:00"),
    ]
    async with serving(otherwise=vendor) as server, gemini(server) as provider:
        with pytest.raises(ModelError):
            await provider.complete(Request(prefix=Prefix(""), tail=tail))


async def test_an_answer_is_asked_for_again_without_what_was_signed() -> None:
    schema = OutputSchema(name="day", schema={"type": "object", "required": ["day"]})
    vendor = CheckingVendor(LOOKS, [said('{"day": "Tue"}')])
    request = Request(prefix=Prefix(""), tail=[Message(role="user", text="When?")])
    async with serving(otherwise=vendor) as server, gemini(server) as provider:
        value, _ = await complete_as(provider, request, schema)

    assert value == {"day": "Tue"}
    assert vendor.foreign == [0, 1]
