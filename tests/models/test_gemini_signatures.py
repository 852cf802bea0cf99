"""Conversations with a vendor who checks them as Gemini 3 does, through an agent and its log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models import fake_openai
from tests.models.fake_gemini import CheckingVendor, call, failed, origin, said
from tests.models.fake_openai import FakeOpenAI, json_play, serving

from aicore import Agent
from aicore.errors import ModelError
from aicore.log import SQLiteLog
from aicore.models import Gemini, OpenAICompatible, Provider, Request, Router
from aicore.models.port import OutputSchema
from aicore.models.structured import complete_as
from aicore.records import Message, Prefix, ToolCall
from aicore.trust.masked import Masked
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

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


async def test_signatures_come_back_through_a_router_and_a_mask() -> None:
    vendor = CheckingVendor(LOOKS, ANSWERS, LOOKS_AGAIN, ANSWERS)
    vaults = Vaults(MemoryVaultStore(), VaultKey.random())
    async with (
        serving(otherwise=vendor) as server,
        Agent(provider=Router([Masked(gemini(server), vaults)]), tools=[free]) as agent,
    ):
        for text in ("I am ann@example.com. When?", "And for bob@example.com?"):
            assert (await agent.send(text, conversation="c")).text

    assert vendor.own == [0, 1, 2, 3]
    assert not any(b"example.com" in asked.body for asked in server.requests)


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


def stale() -> Request:
    """A conversation whose signature the vendor does not take, or no more."""
    state: Any = {"model": "m", "parts": [["call", "f7", "AAAA"]]}
    call = ToolCall("c0", "free", {})
    tail = [
        Message(role="user", text="When?"),
        Message(role="assistant", calls=[call], provider="gemini:m", state=state),
        Message(role="tool", call_id="c0", text="9:00"),
    ]
    return Request(prefix=Prefix(""), tail=tail)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_signature_that_is_refused_is_left_out_once(is_stream: bool, collect: Any) -> None:
    vendor = CheckingVendor(ANSWERS, ANSWERS)
    request = stale()
    async with serving(otherwise=vendor) as server, gemini(server) as provider:
        for _ in range(2):  # what was cached of the messages is not in the way
            completion = (
                (await collect(provider, request))[1]
                if is_stream
                else await provider.complete(request)
            )
            assert completion.text == "Nine o'clock."

    assert [b"AAAA" in asked.body for asked in server.requests] == [True, False] * 2
    assert request.tail[1].state is not None


@pytest.mark.parametrize("is_stream", [False, True])
async def test_signature_that_is_refused_again_is_an_error(is_stream: bool, collect: Any) -> None:
    said = failed(400, "INVALID_ARGUMENT", "Thought signature is not valid.")
    fault = json_play(said, status=400)
    async with serving(fault, fault, fault) as server, gemini(server) as provider:
        with pytest.raises(ModelError):
            await (collect(provider, stale()) if is_stream else provider.complete(stale()))
        assert len(server.requests) == 2
        with pytest.raises(ModelError):  # nothing to leave out
            await provider.complete(
                Request(prefix=Prefix(""), tail=[Message(role="user", text="When?")])
            )
        assert len(server.requests) == 3


@pytest.mark.parametrize("is_stream", [False, True])
async def test_other_faults_of_a_request_are_told_at_once(is_stream: bool, collect: Any) -> None:
    fault = json_play(failed(400, "INVALID_ARGUMENT", "Bad field."), status=400)
    async with serving(fault) as server, gemini(server) as provider:
        with pytest.raises(ModelError):
            await (collect(provider, stale()) if is_stream else provider.complete(stale()))
    assert len(server.requests) == 1


async def test_an_answer_is_asked_for_again_without_what_was_signed() -> None:
    schema = OutputSchema(name="day", schema={"type": "object", "required": ["day"]})
    vendor = CheckingVendor(LOOKS, [said('{"day": "Tue"}')])
    request = Request(prefix=Prefix(""), tail=[Message(role="user", text="When?")])
    async with serving(otherwise=vendor) as server, gemini(server) as provider:
        value, _ = await complete_as(provider, request, schema)

    assert value == {"day": "Tue"}
    assert vendor.foreign == [0, 1]
