"""The fake speaks as the vendor does: its answers parse with the vendor's own types."""

import json

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.models.fake_openai import call, serving, streamed, whole

CALLS = [call(0, "find", '{"name": "Ann"}'), call(1, "list", "{}")]


def test_whole_answers_parse_with_the_vendors_types() -> None:
    for data in (whole(), whole(None, calls=CALLS, finish="tool_calls")):
        ChatCompletion.model_validate(data, strict=True)


def test_streamed_answers_parse_with_the_vendors_types() -> None:
    events = streamed("Hel", "lo", calls=CALLS, finish="tool_calls")

    for event in events[:-1]:
        ChatCompletionChunk.model_validate(json.loads(event.removeprefix(b"data: ")), strict=True)


async def test_vendors_client_understands_the_fake() -> None:
    messages = [{"role": "user", "content": "hi there"}]
    async with (
        serving() as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client,
    ):
        reply = await client.chat.completions.create(model="m", messages=messages)
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    assert reply.choices[0].message.content == text == "You said: hi there"
