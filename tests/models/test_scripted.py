"""The scripted provider that ships for users' tests."""

from collections.abc import Callable
from typing import Any

import pytest

from aicore.errors import Interrupted, ProviderUnavailable
from aicore.models import Capabilities, Completion, Request, ScriptedProvider
from aicore.models.scripted import Reply
from aicore.records import ToolCall

Ask = Callable[..., Request]
Collect = Callable[..., Any]
CALL = ToolCall("c1", "find", {"name": "Ann"})
DONE = Completion(text="whole", model="x")


@pytest.mark.parametrize(
    ("reply", "completion"),
    [
        ("Hello", Completion(text="Hello", model="scripted")),
        (CALL, Completion(text="", calls=(CALL,), model="scripted")),
        ([CALL, CALL], Completion(text="", calls=(CALL, CALL), model="scripted")),
        (DONE, DONE),
        (lambda _: "Hello", Completion(text="Hello", model="scripted")),
        (lambda _: lambda _: DONE, DONE),
    ],
)
async def test_replies_of_every_kind(
    reply: Reply, completion: Completion, ask: Ask, collect: Collect
) -> None:
    async with ScriptedProvider([reply, reply]) as model:
        assert await model.complete(ask()) == completion
        deltas, streamed = await collect(model, ask())

    assert streamed == completion
    assert "".join(deltas) == completion.text


async def test_replies_come_in_order_and_requests_are_kept(ask: Ask) -> None:
    first, second = ask("one"), ask("two")
    async with ScriptedProvider(["a", "b"]) as model:
        texts = [(await model.complete(request)).text for request in (first, second)]

    assert texts == ["a", "b"]
    assert model.requests == [first, second]


async def test_text_streams_in_pieces(ask: Ask, collect: Collect) -> None:
    async with ScriptedProvider(["Hello"], chunk_chars=2) as model:
        assert (await collect(model, ask()))[0] == ["He", "ll", "o"]


async def test_function_sees_the_request(ask: Ask) -> None:
    async with ScriptedProvider([lambda request: request.tail[-1].text.upper()]) as model:
        assert (await model.complete(ask("hi"))).text == "HI"


async def test_error_in_the_script_is_raised(ask: Ask, collect: Collect) -> None:
    async with ScriptedProvider([ProviderUnavailable("x"), ProviderUnavailable("y")]) as model:
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_interruption_streams_its_text_first(ask: Ask) -> None:
    async with ScriptedProvider([Interrupted("cut", text="Hel")], chunk_chars=3) as model:
        stream = model.stream(ask())
        assert (await anext(stream)).delta == "Hel"  # type: ignore[union-attr] # first is text
        with pytest.raises(Interrupted):
            await anext(stream)


async def test_end_of_the_script_says_so(ask: Ask) -> None:
    async with ScriptedProvider(["a"], name="script") as model:
        await model.complete(ask())
        with pytest.raises(RuntimeError, match="number 2"):
            await model.complete(ask())


def test_facts_can_be_given() -> None:
    facts = Capabilities(locality="managed", context_tokens=10)

    assert ScriptedProvider([], capabilities=facts).capabilities is facts
    assert ScriptedProvider([]).capabilities.locality == "in_process"
