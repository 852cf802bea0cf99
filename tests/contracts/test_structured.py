"""Answers as JSON from every provider that can be held to a schema, or that can be told of it.

A row is an async context manager that gives an entered provider. It answers with `{"name":
"Ann"}` if the schema has come to it and with text if not; to `wrongly` the first time with JSON
that the schema forbids, to `never` always.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.models import fake_anthropic, fake_gemini
from tests.models.fake_openai import Asked, Play, answering, serving

from aicore.errors import ModelError
from aicore.models import (
    Anthropic,
    Completion,
    Gemini,
    OpenAICompatible,
    Provider,
    Request,
    ScriptedProvider,
)
from aicore.models.port import OutputSchema
from aicore.models.router import Member, Router
from aicore.models.structured import complete_as
from aicore.records import Message, Prefix

PERSON = OutputSchema(
    name="person",
    schema={
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
)


def reply(said: str, schema: Any) -> str:
    """What a model answers, given all that was said to it and the schema it is held to."""
    if schema is None or schema.get("required") != ["name"]:
        return "I do not know what you want."
    is_wrong = "never" in said or ("wrongly" in said and "not what was asked" not in said)
    return json.dumps({"name": 7 if is_wrong else "Ann"})


@asynccontextmanager
async def scripted() -> AsyncIterator[Provider]:
    """No schema in the request: it stands in the instructions."""

    def answer(request: Request) -> str:
        words = request.prefix.instructions.partition("JSON schema:\n")[2]
        said = " ".join(message.text for message in request.tail)
        return reply(said, json.loads(words) if words else None)

    async with ScriptedProvider([answer] * 10) as provider:
        yield provider


def as_openai(asked: Asked) -> Play:
    form = asked.json.get("response_format", {}).get("json_schema", {})
    return answering(asked, reply(json.dumps(asked.json["messages"]), form.get("schema")))


@asynccontextmanager
async def openai_compatible() -> AsyncIterator[Provider]:
    async with (
        serving(otherwise=as_openai) as server,
        OpenAICompatible(base_url=server.base_url, model="m") as provider,
    ):
        yield provider


@asynccontextmanager
async def router() -> AsyncIterator[Provider]:
    """Over one that cannot be held to a schema, and one that can."""
    async with serving(otherwise=as_openai) as server:
        members = [
            OpenAICompatible(base_url=server.base_url, model="m", json_schema=False, name="told"),
            OpenAICompatible(base_url=server.base_url, model="m"),
        ]
        async with Router([Member(one) for one in members]) as provider:
            yield provider


@asynccontextmanager
async def told_openai_compatible() -> AsyncIterator[Provider]:
    """A server that knows no `response_format`."""

    def answer(asked: Asked) -> Play:
        assert "response_format" not in asked.json
        words = asked.json["messages"][0]["content"].partition("JSON schema:\n")[2]
        return answering(asked, reply(json.dumps(asked.json["messages"][1:]), json.loads(words)))

    async with (
        serving(otherwise=answer) as server,
        OpenAICompatible(base_url=server.base_url, model="m", json_schema=False) as provider,
    ):
        yield provider


@asynccontextmanager
async def anthropic() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        form = asked.json.get("output_config", {}).get("format", {})
        said = reply(json.dumps(asked.json["messages"]), form.get("schema"))
        return fake_anthropic.answering(asked, fake_anthropic.text(said))

    async with (
        fake_anthropic.serving(otherwise=answer) as server,
        Anthropic(base_url=server.base_url, model="m") as provider,
    ):
        yield provider


@asynccontextmanager
async def gemini() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        config = asked.json.get("generationConfig", {})
        is_json = config.get("responseMimeType") == "application/json"
        schema = config.get("responseJsonSchema") if is_json else None
        return fake_gemini.answering(asked, reply(json.dumps(asked.json["contents"]), schema))

    async with (
        serving(otherwise=answer) as server,
        Gemini(base_url=fake_gemini.origin(server), model="m") as provider,
    ):
        yield provider


Row = Callable[[], AbstractAsyncContextManager[Provider]]
TOLD: list[Row] = [scripted, told_openai_compatible]
HELD: list[Row] = [openai_compatible, anthropic, gemini, router]

for_each = pytest.mark.parametrize("row", [*TOLD, *HELD], ids=lambda row: row.__name__)
for_held = pytest.mark.parametrize("row", HELD, ids=lambda row: row.__name__)


def request(text: str) -> Request:
    return Request(prefix=Prefix("Be kind."), tail=[Message(role="user", text=text)])


@for_each
async def test_schema_comes_to_the_model(row: Row) -> None:
    async with row() as provider:
        value, completion = await complete_as(provider, request("Who?"), PERSON)

    assert value == {"name": "Ann"}
    assert completion.finish == "stop"


@for_each
async def test_wrong_answer_is_asked_for_again(row: Row) -> None:
    async with row() as provider:
        _, once = await complete_as(provider, request("Who?"), PERSON)
        value, twice = await complete_as(provider, request("wrongly"), PERSON)

    assert value == {"name": "Ann"}
    assert twice.usage.input_tokens >= 2 * once.usage.input_tokens


@for_each
async def test_answer_that_stays_wrong_is_an_error(row: Row) -> None:
    async with row() as provider:
        with pytest.raises(ModelError):
            await complete_as(provider, request("never"), PERSON)
        assert (await complete_as(provider, request("Who?"), PERSON))[0] == {"name": "Ann"}


@for_held
async def test_schema_is_taken_in_a_stream_too(row: Row) -> None:
    """A request may carry a schema without `complete_as`; who asks so checks the answer."""
    async with row() as provider:
        assert provider.capabilities.schema
        held = replace(request("Who?"), output_schema=PERSON)
        *_, last = [item async for item in provider.stream(held)]

    assert isinstance(last, Completion)
    assert json.loads(last.text) == {"name": "Ann"}


@for_held
async def test_last_schema_is_the_one_that_counts(row: Row) -> None:
    """What is kept of a prefix and of messages is not tied to a schema."""
    asked = request("Who?")
    async with row() as provider:
        assert "name" in (await provider.complete(replace(asked, output_schema=PERSON))).text
        assert "name" not in (await provider.complete(asked)).text
