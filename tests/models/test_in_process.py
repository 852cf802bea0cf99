"""A real model in this process: tiny, of random weights, made here. See tiny_gguf.py.

It cannot choose what to say, so it has no row in the contract suite of providers: that asks for one
certain call. What the suite promises otherwise is asked here.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio
import httpx2
import jsonschema
import pytest
from tests.models.tiny_gguf import ENDLESS, write_tiny_gguf

from aicore import Agent, Limits
from aicore.errors import ConfigError, ContextOverflow, ModelError, NotOpenError, RoundLimitReached
from aicore.models import Completion, InProcess, Request, TextDelta, open_provider
from aicore.models.port import OutputSchema
from aicore.records import Message, Prefix, Tool

SOON_S = 5.0
"""Far less than an endless answer takes (12 s on two slow processors), far more than is needed."""
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,5}$"},
        "kind": {"enum": ["new", "known"]},
        "guests": {"type": "integer", "minimum": 3, "maximum": 17},
    },
    "required": ["name", "kind", "guests"],
    "additionalProperties": False,
}
BOOK = Tool(
    name="book", description="Book.", parameters=SCHEMA, server="calendars", remote_name="book"
)
Ask = Callable[..., Request]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny(models: Path) -> Path:
    return write_tiny_gguf(models / "tiny.gguf")


@pytest.fixture(scope="session")
def endless(models: Path) -> Path:
    """A model that goes on to the end of its context."""
    return write_tiny_gguf(models / "endless.gguf", biases=ENDLESS)


def opened(path: Path, **changes: Any) -> InProcess:
    return InProcess(**{"path": path, "context_tokens": 8192, "threads": 1, **changes})


def test_model_file_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, same, other = (
        write_tiny_gguf(tmp_path / f"{place}.gguf", seed=seed).read_bytes()
        for place, seed in enumerate((1, 1, 2))
    )

    assert first == same
    assert first != other


async def test_answer_comes_whole_with_its_usage(endless: Path, ask: Ask) -> None:
    async with opened(endless) as provider:
        completion = await provider.complete(ask(max_output_tokens=20))

    assert len(completion.text) >= 20
    assert (completion.finish, completion.model) == ("length", "endless")
    assert completion.usage.input_tokens > 2
    assert completion.usage.output_tokens == 20
    assert completion.usage.is_reported
    assert completion.usage.cost_usd == Decimal(0)


async def test_stream_gives_the_text_in_deltas_and_then_the_completion(
    endless: Path, ask: Ask, collect: Any
) -> None:
    async with opened(endless) as provider:
        deltas, completion = await collect(provider, ask(max_output_tokens=20))

    assert len(deltas) > 1
    assert "".join(deltas) == completion.text


async def test_answers_satisfy_their_schema(tiny: Path, ask: Ask) -> None:
    asked = ask(output_schema=OutputSchema(name="guest", schema=SCHEMA), max_output_tokens=500)
    async with opened(tiny) as provider:
        answers = [await provider.complete(asked) for _ in range(5)]

    assert provider.capabilities.schema
    for answer in answers:
        assert answer.finish == "stop"
        jsonschema.validate(json.loads(answer.text), SCHEMA)


async def test_schema_that_cannot_be_is_a_model_error(tiny: Path, ask: Ask) -> None:
    broken = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a$"}}}
    async with opened(tiny) as provider:
        with pytest.raises(ModelError):
            await provider.complete(ask(output_schema=OutputSchema(name="a", schema=broken)))
        assert await provider.complete(ask())


async def test_calls_are_whole_and_satisfy_their_schema(tiny: Path, ask: Ask, collect: Any) -> None:
    asked = ask(prefix=Prefix("Be kind.", [BOOK]), max_output_tokens=200)
    async with opened(tiny) as provider:
        answers = [await provider.complete(asked) for _ in range(5)]
        answers += [(await collect(provider, asked))[1] for _ in range(5)]
    calls = [call for answer in answers for call in answer.calls]

    assert len(calls) >= 5
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        assert call.name == "book"
        jsonschema.validate(call.arguments, SCHEMA)


async def test_result_of_a_call_can_be_sent_back(tiny: Path, ask: Ask) -> None:
    prefix = Prefix("Be kind.", [BOOK])
    async with opened(tiny) as provider:
        calls: list[Any] = []
        while not calls:
            asked = ask(prefix=prefix, max_output_tokens=200)
            calls = list((await provider.complete(asked)).calls)
        results = [Message(role="tool", call_id=call.id, text="done") for call in calls]
        tail = [*asked.tail, Message(role="assistant", calls=calls), *results]
        summary = Message(role="user", text="Ann called.")
        again = ask(prefix=prefix, tail=tail, summary=summary, volatile="It is Tuesday.")
        completion = await provider.complete(again)

    assert completion.usage.input_tokens > 200


async def test_stream_that_is_left_gives_its_place_to_the_next(endless: Path, ask: Ask) -> None:
    async with opened(endless, at_once=1) as provider:
        async with aclosing(provider.stream(ask())) as items:
            assert isinstance(await anext(items), TextDelta)
        with anyio.fail_after(SOON_S):
            assert (await provider.complete(ask(max_output_tokens=1))).text


async def test_cancelled_request_gives_its_place_to_the_next(endless: Path, ask: Ask) -> None:
    async with opened(endless, at_once=1) as provider:
        with anyio.move_on_after(0.2) as scope:
            await provider.complete(ask())
        assert scope.cancelled_caught
        with anyio.fail_after(SOON_S):
            assert (await provider.complete(ask(max_output_tokens=1))).text


async def test_two_conversations_are_answered_at_once(endless: Path, ask: Ask) -> None:
    async with opened(endless, at_once=2) as provider:
        first, second = provider.stream(ask("Ann")), provider.stream(ask("Bob"))
        async with aclosing(first), aclosing(second):
            with anyio.fail_after(SOON_S):
                for items in (first, second, first, second):
                    assert isinstance(await anext(items), TextDelta)


async def test_more_than_fit_wait_and_may_be_cancelled(endless: Path, ask: Ask) -> None:
    async with opened(endless, at_once=1) as provider:
        async with aclosing(provider.stream(ask())) as items:
            await anext(items)
            with anyio.move_on_after(0.1) as scope:
                await provider.complete(ask(max_output_tokens=1))
            assert scope.cancelled_caught
        answers: list[Completion] = []

        async def one() -> None:
            answers.append(await provider.complete(ask(max_output_tokens=5)))

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(one)

    assert {answer.finish for answer in answers} == {"length"}
    assert len(answers) == 12


async def test_request_longer_than_the_context_is_an_overflow(tiny: Path, ask: Ask) -> None:
    async with opened(tiny, context_tokens=1024, at_once=2) as provider:
        assert await provider.complete(ask("a" * 900))
        with pytest.raises(ContextOverflow):
            await provider.complete(ask("a" * 1100))
        assert await provider.complete(ask())

        assert provider.capabilities.context_tokens == 1024


async def test_agent_runs_the_tools_that_the_model_calls(tiny: Path) -> None:
    days: list[str] = []

    def free_slots(day: Literal["monday", "tuesday"]) -> list[str]:
        """Give the free times of a day."""
        days.append(day)
        return ["09:00"]

    limits = Limits(rounds=3, output_tokens_per_request=150)
    provider = opened(tiny, context_tokens=4096)
    async with Agent(provider=provider, tools=[free_slots], limits=limits) as agent:
        for turn in range(20):
            # It says nothing of use, and never has enough.
            with suppress(RoundLimitReached, ModelError):
                await agent.send("Any slot?", conversation=f"test:{turn}")
            if days:
                break

    assert days
    assert set(days) <= {"monday", "tuesday"}


async def test_nothing_is_said_on_standard_error(
    tiny: Path, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    async with opened(tiny) as provider:
        await provider.complete(ask())

    assert capfd.readouterr() == ("", "")


async def test_port_is_of_this_machine_and_needs_the_key(tiny: Path) -> None:
    async with opened(tiny) as provider:
        assert provider._loaded is not None
        url = provider._loaded.base_url
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{url}/chat/completions", json={"messages": []})

    assert urlsplit(url).hostname == "127.0.0.1"
    assert answer.status_code == 401
    assert provider._loaded is None


async def test_leaving_stops_the_work_and_gives_the_port_back(endless: Path, ask: Ask) -> None:
    provider = opened(endless)
    with anyio.fail_after(SOON_S):
        async with provider:
            assert provider._loaded is not None
            port = urlsplit(provider._loaded.base_url).port
            items = provider.stream(ask())
            await anext(items)
            await items.aclose()

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    with pytest.raises(NotOpenError):
        await provider.complete(ask())
    async with provider:
        assert await provider.complete(ask(max_output_tokens=1))


async def test_provider_that_was_not_entered_says_so(tiny: Path, ask: Ask) -> None:
    with pytest.raises(NotOpenError):
        await opened(tiny).complete(ask())


async def fails_to_open(path: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        async with opened(path, **changes):
            pass
    return str(caught.value)


@pytest.fixture
def no_models(tiny: Path, tmp_path: Path) -> list[Path]:
    text, cut = tmp_path / "notes.gguf", tmp_path / "cut.gguf"
    text.write_text("Dear Ann, this is no model at all.")
    cut.write_bytes(tiny.read_bytes()[:200_000])
    return [tmp_path / "none.gguf", tmp_path, text, cut]


async def test_file_that_is_no_model_is_named(no_models: list[Path]) -> None:
    for path in no_models:
        assert str(path) in await fails_to_open(path)


async def test_context_larger_than_the_model_was_trained_for_is_refused(tiny: Path) -> None:
    assert "8192" in await fails_to_open(tiny, context_tokens=8193)


async def test_more_than_fits_into_memory_is_refused_before_it_is_tried(tiny: Path) -> None:
    assert "at_once" in await fails_to_open(tiny, at_once=10_000_000)


async def test_missing_extra_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    assert "aicore-mcp[local]" in await fails_to_open(tiny)


@pytest.mark.parametrize("wrong", [{"context_tokens": 10}, {"at_once": 0}, {"threads": 0}])
def test_setting_that_cannot_be_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        opened(Path("any.gguf"), **wrong)


async def test_settings_of_a_file_arrive(tiny: Path, ask: Ask) -> None:
    settings = {"path": str(tiny), "context_tokens": 512, "at_once": 1, "threads": 1}
    provider = open_provider("in-process", {**settings, "name": "house"})
    async with provider:
        assert await provider.complete(ask(max_output_tokens=1))

    assert isinstance(provider, InProcess)
    assert provider.name == "house"
    assert provider.capabilities.locality == "in_process"
    assert opened(tiny).name == "in-process:tiny"
    with pytest.raises(ConfigError, match="path"):
        open_provider("in-process", {})


def test_import_loads_nothing_heavy() -> None:
    source = "import sys; from aicore.models import InProcess; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"xllamacpp", "httpx2", "pydantic", "numpy"} & set(loaded)
