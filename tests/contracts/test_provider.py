"""What every Provider promises. A new provider adds one row to ROWS.

A row is an async context manager that gives an entered provider. It answers the message `hi` with
some text, and the message `find Ann` with one call of the tool `find`, arguments {"name": "Ann"}.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from tests.models import fake_anthropic, fake_gemini, fake_sagemaker
from tests.models.fake_openai import Asked, Play, answering, call, serving

from aicore.errors import ProviderUnavailable
from aicore.flows import FlowProvider
from aicore.models import (
    Anthropic,
    Capabilities,
    Completion,
    Gemini,
    OpenAICompatible,
    Provider,
    Request,
    Router,
    ScriptedProvider,
    TextDelta,
    open_provider,
)
from aicore.models.scripted import Reply
from aicore.records import Message, Prefix, Tool, ToolCall
from aicore.trust.masked import Masked
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

TEXT = "Grüße, Ann \U0001f600"
FIND = Tool(
    name="find",
    description="Find a customer.",
    parameters={"type": "object", "properties": {"name": {"type": "string"}}},
    server="crm",
    remote_name="find",
)


@asynccontextmanager
async def scripted() -> AsyncIterator[Provider]:
    def answer(request: Request) -> Reply:
        return ToolCall("c1", "find", {"name": "Ann"}) if wants_call(request) else TEXT

    async with ScriptedProvider([answer] * 100) as provider:
        yield provider


def wants_call(request: Request) -> bool:
    return request.tail[-1].text == "find Ann"


@asynccontextmanager
async def openai_compatible() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        if asked.json["messages"][-1]["content"].startswith("find Ann"):
            return answering(asked, "", [call(0, "find", '{"name": "Ann"}')])
        return answering(asked, TEXT)

    async with (
        serving(otherwise=answer) as server,
        OpenAICompatible(base_url=server.base_url, model="m") as provider,
    ):
        yield provider


@asynccontextmanager
async def masked() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        if asked.json["messages"][-1]["content"].startswith("find Ann"):
            return answering(asked, "", [call(0, "find", '{"name": "Ann"}')])
        return answering(asked, TEXT)

    vaults = Vaults(MemoryVaultStore(), VaultKey.random())
    async with serving(otherwise=answer) as server:
        inner = OpenAICompatible(base_url=server.base_url, model="m")
        async with Masked(inner, vaults) as provider:
            yield provider


@asynccontextmanager
async def gemini() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        if asked.json["contents"][-1]["parts"][0]["text"].startswith("find Ann"):
            found = fake_gemini.call("find", {"name": "Ann"}, "f1", fake_gemini.SIGNATURE)
            return fake_gemini.answering(asked, "", [found])
        return fake_gemini.answering(asked, TEXT)

    async with (
        serving(otherwise=answer) as server,
        Gemini(base_url=fake_gemini.origin(server), model="m") as provider,
    ):
        yield provider


@asynccontextmanager
async def sagemaker() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        if asked.json["messages"][-1]["content"].startswith("find Ann"):
            return fake_sagemaker.enveloped(asked, "", [call(0, "find", '{"name": "Ann"}')])
        return fake_sagemaker.enveloped(asked, TEXT)

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        async with serving(otherwise=answer) as server:
            place = {"endpoint": "shop", "region": "eu-central-1", "model": "m"}
            base_url = fake_sagemaker.origin(server.base_url)
            async with open_provider("sagemaker", {**place, "base_url": base_url}) as provider:
                yield provider


@asynccontextmanager
async def flows() -> AsyncIterator[Provider]:
    steps = [
        {"call": "find", "with": {"name": "Ann"}, "on_error": "go_on"},
        {"say": "Found."},
    ]
    flow = {"flow": "look", "triggers": ["find Ann"], "steps": steps}
    async with FlowProvider(flow) as provider:
        yield provider


@asynccontextmanager
async def anthropic() -> AsyncIterator[Provider]:
    def answer(asked: Asked) -> Play:
        if fake_anthropic.last_text(asked) == "find Ann":
            made = fake_anthropic.call("toolu_1", "find", {"name": "Ann"})
            return fake_anthropic.answering(asked, fake_anthropic.thought("Who?"), made)
        return fake_anthropic.answering(asked, fake_anthropic.text(TEXT))

    async with (
        fake_anthropic.serving(otherwise=answer) as server,
        Anthropic(base_url=server.base_url, model="m") as provider,
    ):
        yield provider


@asynccontextmanager
async def router_over_one() -> AsyncIterator[Provider]:
    async with scripted() as only, Router([only]) as provider:
        yield provider


@asynccontextmanager
async def router_over_two() -> AsyncIterator[Provider]:
    """The first is always down."""
    down = ScriptedProvider([ProviderUnavailable("Down.", status=503)] * 100, name="down")
    async with openai_compatible() as up, Router([down, up]) as provider:
        yield provider


Row = Callable[[], AbstractAsyncContextManager[Provider]]
ROWS: list[Row] = [
    scripted,
    openai_compatible,
    masked,
    anthropic,
    gemini,
    sagemaker,
    flows,
    router_over_one,
    router_over_two,
]

pytestmark = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)


def request(text: str = "hi", **changes: Any) -> Request:
    plain = Request(prefix=Prefix("Be kind.", [FIND]), tail=[Message(role="user", text=text)])
    return replace(plain, **changes)


async def streamed(provider: Provider, asked: Request) -> tuple[list[str], Completion]:
    *deltas, last = [item async for item in provider.stream(asked)]
    assert isinstance(last, Completion)
    assert all(isinstance(item, TextDelta) for item in deltas)
    return [item.delta for item in deltas if isinstance(item, TextDelta)], last


async def test_text_is_given_whole(row: Row) -> None:
    async with row() as provider:
        completion = await provider.complete(request())

    assert completion.text
    assert completion.calls == ()
    assert completion.finish == "stop"
    assert completion.model


async def test_stream_gives_the_text_in_deltas_and_then_one_completion(row: Row) -> None:
    async with row() as provider:
        deltas, completion = await streamed(provider, request())
        whole = await provider.complete(request())

    assert all(deltas)
    assert "".join(deltas) == completion.text == whole.text


async def test_call_is_given_whole_with_an_id(row: Row) -> None:
    async with row() as provider:
        for completion in (
            await provider.complete(request("find Ann")),
            (await streamed(provider, request("find Ann")))[1],
        ):
            (made,) = completion.calls
            assert (made.name, made.arguments) == ("find", {"name": "Ann"})
            assert made.id


async def test_result_of_a_call_can_be_sent_back(row: Row) -> None:
    async with row() as provider:
        asked = request("find Ann")
        completion = await provider.complete(asked)
        (made,) = completion.calls
        tail = [
            *asked.tail,
            Message(
                role="assistant",
                text=completion.text,
                calls=completion.calls,
                provider=provider.name,
                state=completion.state,
            ),
            Message(role="tool", call_id=made.id, text='{"id": 1}', structured={"id": 1}),
            Message(role="user", text="hi"),
        ]
        assert (await provider.complete(replace(asked, tail=tail))).text


async def test_summary_volatile_text_and_limit_are_taken(row: Row) -> None:
    asked = request(
        summary=Message(role="user", text="Ann called."),
        volatile="It is Tuesday.",
        max_output_tokens=1000,
    )
    async with row() as provider:
        assert (await provider.complete(asked)).text


async def test_usage_is_counted_and_an_unknown_price_is_not_zero(row: Row) -> None:
    async with row() as provider:
        usage = (await provider.complete(request())).usage

        assert 0 <= usage.cached_tokens <= usage.input_tokens
        assert usage.output_tokens >= 0
        assert (usage.cost_usd is None) == (provider.capabilities.price is None)


async def test_facts_stay_the_same(row: Row) -> None:
    async with row() as provider:
        name, facts = provider.name, provider.capabilities
        await provider.complete(request())

        assert name
        assert provider.name == name
        assert isinstance(facts, Capabilities)
        assert provider.capabilities is facts


async def test_many_requests_at_once(row: Row) -> None:
    answers: list[Completion] = []
    async with row() as provider:
        asked = request()

        async def one() -> None:
            answers.append(await provider.complete(asked))
            answers.append((await streamed(provider, asked))[1])

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)

    assert len({answer.text for answer in answers}) == 1
    assert len(answers) == 40


async def test_stream_can_be_left_and_the_provider_goes_on(row: Row) -> None:
    async with row() as provider:
        stream = provider.stream(request())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # the port promises an iterator only

        assert (await provider.complete(request())).text


async def test_cancelled_request_harms_no_other(row: Row) -> None:
    async with row() as provider:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await provider.complete(request())
            await anyio.lowlevel.checkpoint()
        assert (await provider.complete(request())).text


async def test_request_is_left_as_it_was(row: Row) -> None:
    asked = request()
    before = [(m.role, m.text, m.calls) for m in asked.tail], asked.prefix.instructions
    async with row() as provider:
        await provider.complete(asked)

    assert ([(m.role, m.text, m.calls) for m in asked.tail], asked.prefix.instructions) == before
