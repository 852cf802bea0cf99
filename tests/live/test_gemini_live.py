"""Gemini itself. Only with `-m live` and AICORE_LIVE_GEMINI_API_KEY; it costs less than a cent.

AICORE_LIVE_GEMINI_MODEL names another model than the default.
"""

import os

import pytest

from aicore import Agent
from aicore.errors import ConfigError, CredentialError
from aicore.models import Gemini, OutputSchema, Request, complete_as
from aicore.records import Message, Prefix, Tool, ToolCall

pytestmark = pytest.mark.live

MODEL = os.environ.get("AICORE_LIVE_GEMINI_MODEL", "gemini-flash-latest")
FIND = Tool(
    name="find",
    description="Find a customer by name.",
    parameters={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^[A-Z]", "title": "Name"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    server="crm",
    remote_name="find",
)


@pytest.fixture
def provider() -> Gemini:
    key = os.environ.get("AICORE_LIVE_GEMINI_API_KEY")
    if not key:
        pytest.skip("AICORE_LIVE_GEMINI_API_KEY is not set")
    return Gemini(model=MODEL, api_key=key)


def request(text: str) -> Request:
    return Request(prefix=Prefix("Answer in one word."), tail=[Message(role="user", text=text)])


async def test_text_whole_and_streamed(provider: Gemini) -> None:
    async with provider:
        whole = await provider.complete(request("What is the capital of France?"))
        *deltas, last = [item async for item in provider.stream(request("And of Spain?"))]

    assert whole.text
    assert whole.usage.is_reported
    assert deltas
    assert last.usage.is_reported  # type: ignore[union-attr] # a Completion


@pytest.mark.parametrize("is_stream", [False, True])
async def test_signatures_of_calls_are_taken_back(provider: Gemini, is_stream: bool) -> None:
    def temperature(city: str) -> str:
        """The temperature of a city, in degrees."""
        return {"Paris": "11"}.get(city, "17")

    async with Agent(provider=provider, tools=[temperature]) as agent:
        for text in ("Which is warmer, Paris or Rome? Ask for both at once.", "And Oslo?"):
            if is_stream:
                assert [event async for event in agent.stream(text, conversation="live")]
            else:
                assert (await agent.send(text, conversation="live")).text


async def test_calls_of_another_model_are_taken(provider: Gemini) -> None:
    tail = [
        Message(role="user", text="Where does Ann live?"),
        Message(
            role="assistant",
            calls=[ToolCall("call_1", "find", {"name": "Ann"}), ToolCall("call_2", "find", {})],
            provider="openai:gpt",
        ),
        Message(role="tool", call_id="call_1", text="Ann lives in Rome."),
        Message(role="tool", call_id="call_2", text="No name.", is_error=True),
    ]
    async with provider:
        completion = await provider.complete(Request(prefix=Prefix("", [FIND]), tail=tail))

    assert completion.text or completion.calls


async def test_answer_satisfies_a_schema(provider: Gemini) -> None:
    schema = OutputSchema(
        name="capital",
        schema={
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 2}},
            "required": ["city"],
            "additionalProperties": False,
        },
    )
    async with provider:
        value, _ = await complete_as(provider, request("The capital of France?"), schema)

    assert value == {"city": "Paris"}


async def test_wrong_key_and_wrong_model(provider: Gemini) -> None:
    async with Gemini(model=MODEL, api_key="AIza-wrong") as wrong:
        with pytest.raises(CredentialError):
            await wrong.complete(request("hi"))
    key = provider._site.headers["x-goog-api-key"]
    async with Gemini(model="gemini-none", api_key=key) as wrong:
        with pytest.raises(ConfigError):
            await wrong.complete(request("hi"))
