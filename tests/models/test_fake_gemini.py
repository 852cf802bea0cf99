"""The vendor's own types and client are the judges: of the fake, of our requests, of our reading.

`google-genai` checks what we send by its types, sends the same body from the same conversation,
and sees in the fake's answers what we see.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import types
from tests.models.fake_gemini import (
    OTHER_SIGNATURE,
    SIGNATURE,
    blocked,
    call,
    echo,
    event,
    origin,
    said,
    streamed,
    whole,
)
from tests.models.fake_openai import FakeOpenAI, json_play, serving, stream_play

from aicore.models import Completion, Gemini, Request
from aicore.models.port import OutputSchema
from aicore.records import Message, Prefix, Tool, ToolCall

# The vendor's client takes aiohttp in a way that aiohttp warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class Aiohttp:DeprecationWarning")

Ask = Callable[..., Request]
Collect = Callable[..., Any]

CALLS = [call("find", {"name": "Änn"}, "f1", SIGNATURE), call("list", None, "f2")]
ANSWERS = [
    [said("Hello!")],
    [said("I look.", thought=True), said("Moment."), *CALLS],
    [said("Done", OTHER_SIGNATURE)],
]
STREAMS = [
    [[said("Hel")], [said("lo")], [said("", SIGNATURE)]],
    [[said("I look.", thought=True)], [said("Moment")], [CALLS[0]], [CALLS[1]], [said("")]],
]
FIND = Tool(
    name="find",
    description="Find a customer.",
    parameters={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^A"}},
        "required": ["name"],
    },
    server="crm",
    remote_name="find",
)


@asynccontextmanager
async def google(server: FakeOpenAI) -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=origin(server), api_version="v1beta")
    with genai.Client(api_key="none", http_options=options) as client:
        async with client.aio as opened:
            yield opened.models


@pytest.mark.parametrize("data", [*map(whole, ANSWERS), whole(None, finish="SAFETY"), blocked()])
def test_whole_answers_parse_with_the_vendors_types(data: dict[str, Any]) -> None:
    types.GenerateContentResponse.model_validate(data)


@pytest.mark.parametrize("chunks", STREAMS)
def test_streamed_answers_parse_with_the_vendors_types(chunks: list[Any]) -> None:
    for one in streamed(*chunks):
        data = json.loads(one.removeprefix(b"data: "))
        assert types.GenerateContentResponse.model_validate(data).candidates


def seen_by_google(replies: list[Any]) -> dict[str, Any]:
    parts = [
        part
        for reply in replies
        for candidate in reply.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
    ]
    usage = replies[-1].usage_metadata
    calls = [part.function_call for part in parts if part.function_call]
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "calls": [(one.id, one.name, one.args or {}) for one in calls],
        "input": usage.prompt_token_count,
        "cached": usage.cached_content_token_count,
        "output": usage.candidates_token_count + usage.thoughts_token_count,
        "model": replies[-1].model_version,
    }


def seen_by_us(completion: Completion) -> dict[str, Any]:
    usage = completion.usage
    return {
        "text": completion.text,
        "calls": [(one.id, one.name, one.arguments) for one in completion.calls],
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "output": usage.output_tokens,
        "model": completion.model,
    }


@pytest.mark.parametrize("parts", ANSWERS)
async def test_vendors_client_reads_a_whole_answer_as_we_do(parts: Any, ask: Ask) -> None:
    play = json_play(whole(parts))
    async with (
        serving(play, play) as server,
        google(server) as vendor,
        Gemini(model="m", base_url=origin(server)) as ours,
    ):
        theirs = await vendor.generate_content(model="m", contents="hi")
        completion = await ours.complete(ask())

    assert seen_by_us(completion) == seen_by_google([theirs])


@pytest.mark.parametrize("chunks", STREAMS)
async def test_vendors_client_reads_a_stream_as_we_do(
    chunks: list[Any], ask: Ask, collect: Collect
) -> None:
    play = stream_play(*streamed(*chunks))
    async with (
        serving(play, play) as server,
        google(server) as vendor,
        Gemini(model="m", base_url=origin(server)) as ours,
    ):
        stream = await vendor.generate_content_stream(model="m", contents="hi")
        theirs = [reply async for reply in stream]
        completion = (await collect(ours, ask()))[1]

    assert seen_by_us(completion) == seen_by_google(theirs)
    assert [asked.path for asked in server.requests] == [
        "/v1beta/models/m:streamGenerateContent?alt=sse"
    ] * 2


def conversation() -> Request:
    """Two answers of the model, one of them with two calls, and everything a request can hold."""
    parts = [["text", 4, None], ["call", "f1", SIGNATURE], ["call", "f2", None]]
    state = {"model": "m", "parts": parts}
    calls = [ToolCall("f1", "find", {"name": "Ann"}), ToolCall("f2", "find", {})]
    tail = [
        Message(role="user", text="find Ann"),
        Message(role="assistant", text="Sure", calls=calls, provider="gemini:m", state=state),
        Message(role="tool", call_id="f1", text="found"),
        Message(role="tool", call_id="f2", text="no name", is_error=True),
        Message(role="assistant", text="Done."),
        Message(role="user", text="Thanks"),
    ]
    return Request(
        prefix=Prefix("Be kind.", [FIND]),
        tail=tail,
        max_output_tokens=100,
        output_schema=OutputSchema(
            name="all", schema={"type": "object", "required": ["a"], "minLength": 1}
        ),
    )


async def test_vendors_client_sends_the_same_body() -> None:
    part, content = types.Part, types.Content
    signature = types.Part.model_validate({"thoughtSignature": SIGNATURE}).thought_signature
    found = types.FunctionResponse(id="f1", name="find", response={"output": "found"})
    missing = types.FunctionResponse(id="f2", name="find", response={"error": "no name"})
    first = types.FunctionCall(id="f1", name="find", args={"name": "Ann"})
    second = types.FunctionCall(id="f2", name="find", args={})
    contents = [
        content(role="user", parts=[part(text="find Ann")]),
        content(
            role="model",
            parts=[
                part(text="Sure"),
                part(function_call=first, thought_signature=signature),
                part(function_call=second),
            ],
        ),
        content(
            role="user", parts=[part(function_response=found), part(function_response=missing)]
        ),
        content(role="model", parts=[part(text="Done.")]),
        content(role="user", parts=[part(text="Thanks")]),
    ]
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    declared = types.FunctionDeclaration(
        name="find", description="Find a customer.", parameters_json_schema=schema
    )
    config = types.GenerateContentConfig(
        system_instruction=content(parts=[part(text="Be kind.")]),
        tools=[types.Tool(function_declarations=[declared])],
        max_output_tokens=100,
        response_mime_type="application/json",
        response_json_schema={"type": "object", "required": ["a"]},
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    async with (
        serving(otherwise=echo) as server,
        google(server) as vendor,
        Gemini(model="m", api_key="none", base_url=origin(server)) as ours,
    ):
        await vendor.generate_content(model="m", contents=contents, config=config)
        await ours.complete(conversation())

    theirs, our = server.requests
    # Google reads both spellings of a field; its client mixes them.
    spelled = theirs.body.replace(b"parameters_json_schema", b"parametersJsonSchema")
    assert our.json == json.loads(spelled)
    assert our.path == theirs.path == "/v1beta/models/m:generateContent"
    assert our.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"] == "none"


async def test_our_body_validates_with_the_vendors_types() -> None:
    async with (
        serving(otherwise=echo) as server,
        Gemini(model="m", base_url=origin(server)) as ours,
    ):
        await ours.complete(conversation())

    body = server.requests[0].json
    for content in [*body.pop("contents"), body.pop("systemInstruction")]:
        types.Content.model_validate(content)
    for tool in body.pop("tools"):
        types.Tool.model_validate(tool)
    types.GenerationConfig.model_validate(body.pop("generationConfig"))
    assert body == {}


async def test_vendors_client_also_finds_that_an_answer_broke_off(ask: Ask) -> None:
    """It gives what there is, without an end: what we call interrupted."""
    play = stream_play(event(whole([said("Hel")], finish=None)))
    async with serving(play) as server, google(server) as vendor:
        stream = await vendor.generate_content_stream(model="m", contents="hi")
        (reply,) = [reply async for reply in stream]

    assert reply.candidates[0].finish_reason is None
