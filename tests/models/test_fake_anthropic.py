"""The fake speaks as the vendor does: its types parse it, its client and ours read the same."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic.types import Message as VendorMessage
from anthropic.types import RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter
from tests.models.fake_anthropic import (
    STOP,
    Block,
    call,
    delta,
    end,
    error,
    event,
    hidden,
    serving,
    start,
    streamed,
    text,
    thought,
    whole,
)
from tests.models.fake_openai import json_play, stream_play

from aicore.models import Anthropic, Completion, Request
from aicore.models.anthropic_request import encode_body, encode_head

Ask = Callable[..., Request]
Collect = Callable[..., Any]

ANSWERS: dict[str, list[Block]] = {
    "text": [text("Grüße, Ann \U0001f600")],
    "thought": [thought("Hm. \n Let me see", "c2ln"), text("On Tuesday.")],
    "call": [text("I look."), call("toolu_1", "find", {"name": 'Än"n', "deep": {"a": [1, None]}})],
    "calls": [call("toolu_1", "find", {}), call("toolu_2", "list", {"n": 1.5})],
    "interleaved": [
        thought("First this", "YQ=="),
        text("Wait."),
        call("toolu_1", "find", {"name": "Ann"}),
        hidden(),
        thought("", "Yg=="),
        call("toolu_2", "find", {"name": "Bob"}),
    ],
    "nothing": [],
}
STOPS = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"]
STOPS.append("model_context_window_exceeded")
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def data_of(sent: bytes) -> Any:
    return json.loads(sent.split(b"data: ", 1)[1])


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS)
def test_answers_parse_with_the_vendors_types(content: list[Block], stop: str) -> None:
    VendorMessage.model_validate(whole(*content, stop=stop), strict=True)
    for sent in streamed(*content, stop=stop):
        data = data_of(sent)
        assert sent.startswith(f"event: {data['type']}\n".encode())
        if data["type"] != "ping":
            EVENT.validate_python(data, strict=True)


def test_errors_parse_with_the_vendors_types() -> None:
    for kind in ("overloaded_error", "rate_limit_error", "invalid_request_error", "api_error"):
        ErrorResponse.model_validate(error(kind), strict=True)


def read_by_vendor(message: VendorMessage) -> tuple[Any, ...]:
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [
        (block.id, block.name, block.input) for block in message.content if block.type == "tool_use"
    ]
    usage = message.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    tokens = (usage.input_tokens + cached + written, cached, written, usage.output_tokens)
    return "".join(texts), calls, tokens, message.model


def read_by_us(completion: Completion) -> tuple[Any, ...]:
    usage = completion.usage
    tokens = (usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens)
    calls = [(made.id, made.name, made.arguments) for made in completion.calls]
    return completion.text, calls, (*tokens, usage.output_tokens), completion.model


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS)
async def test_vendors_client_reads_what_we_read(
    content: list[Block], ask: Ask, collect: Collect
) -> None:
    plays = [stream_play(*streamed(*content)), json_play(whole(*content))]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        serving(*plays, *plays) as server,
        anthropic.AsyncAnthropic(base_url=server.base_url, api_key="none") as client,
        Anthropic(base_url=server.base_url, model="m") as model,
    ):
        async with client.messages.stream(**body) as stream:
            theirs = [await stream.get_final_message()]
        theirs.append(await client.messages.create(**body))
        ours = [(await collect(model, ask()))[1], await model.complete(ask())]

    assert [read_by_us(one) for one in ours] == [read_by_vendor(one) for one in theirs]
    assert {one.finish for one in ours} == {"stop"}
    for completion, message in zip(ours, theirs, strict=True):
        kept = [block.model_dump() for block in message.content if "thinking" in block.type]
        layout = (completion.state or {"layout": []})["layout"]
        assert [part for part in layout if isinstance(part, dict)] == kept


async def test_counts_at_the_end_of_a_stream_are_totals(ask: Ask, collect: Collect) -> None:
    sent = [start(), delta_of_text("Hi"), end(output_tokens=9, cache_read_input_tokens=50), STOP]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        serving(stream_play(*sent), stream_play(*sent)) as server,
        anthropic.AsyncAnthropic(base_url=server.base_url, api_key="none") as client,
        Anthropic(base_url=server.base_url, model="m") as model,
    ):
        async with client.messages.stream(**body) as stream:
            theirs = await stream.get_final_message()
        ours = (await collect(model, ask()))[1]

    assert read_by_us(ours) == read_by_vendor(theirs)
    assert (ours.usage.input_tokens, ours.usage.cached_tokens) == (100, 50)


def delta_of_text(value: str) -> bytes:
    first = {"type": "content_block_start", "index": 0, "content_block": text("")}
    return event(first) + delta(0, "text_delta", text=value)


async def test_vendors_client_refuses_the_errors_we_refuse(ask: Ask, collect: Collect) -> None:
    play = stream_play(start(), event(error("overloaded_error")))
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        serving(play) as server,
        anthropic.AsyncAnthropic(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIStatusError):
            async with client.messages.stream(**body) as stream:
                await stream.get_final_message()


async def test_vendors_client_sends_what_we_send(ask: Ask) -> None:
    """Given our body it sends the same one, to the same path."""
    request = ask(max_output_tokens=50)
    head = encode_head("m", is_stream=False, options={})
    encoded = encode_body(request, head, provider="a", model="m", ending={"max_tokens": 50})
    body = json.loads(encoded)
    body.pop("stream")
    async with (
        serving() as server,
        anthropic.AsyncAnthropic(base_url=server.base_url, api_key="none") as client,
        Anthropic(base_url=server.base_url, model="m", api_key="none") as model,
    ):
        await model.complete(request)
        ours = server.requests[0]
        await client.messages.create(**body)
        theirs = server.requests[1]

    assert ours.path == theirs.path == "/v1/messages"
    assert {**theirs.json, "stream": False} == ours.json
    assert {"anthropic-version", "content-type"} <= set(ours.headers) & set(theirs.headers)
