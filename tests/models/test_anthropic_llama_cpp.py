"""The Anthropic provider against somebody else's server of that format: llama.cpp's own.

The model is random, so only what the protocol promises is looked at.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import xllamacpp
from tests.models.tiny_gguf import ENDLESS, write_tiny_gguf

from aicore.errors import ContextOverflow
from aicore.models import Anthropic, Completion, Request
from aicore.records import Message, Prefix, Tool, ToolCall

Ask = Callable[..., Request]
Collect = Callable[..., Any]
NAMES = ["Ann", "Bob"]
FIND = Tool(
    name="find",
    description="Find a customer.",
    parameters={
        "type": "object",
        "properties": {"name": {"type": "string", "enum": NAMES}},
        "required": ["name"],
    },
    server="crm",
    remote_name="find",
)


@contextmanager
def llama_cpp(path: Path) -> Iterator[str]:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.port = 0
    params.use_jinja, params.warmup, params.verbosity = True, False, 0
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 2048, 1, 1
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    with llama_cpp(path) as address:
        yield address


@pytest.fixture(scope="module")
def talkative_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a model that never stops of itself."""
    path = write_tiny_gguf(tmp_path_factory.mktemp("models") / "endless.gguf", biases=ENDLESS)
    with llama_cpp(path) as address:
        yield address


def looks(completion: Completion) -> None:
    """Calls are whole ones of what was offered; all is counted."""
    assert all(made.name == "find" and made.id for made in completion.calls)
    assert all(made.arguments["name"] in NAMES for made in completion.calls)
    usage = completion.usage
    assert usage.is_reported
    assert 0 <= usage.cached_tokens <= usage.input_tokens
    assert usage.input_tokens > 0


async def test_text_whole_and_streamed(talkative_url: str, ask: Ask, collect: Collect) -> None:
    async with Anthropic(base_url=talkative_url, model="tiny", max_output_tokens=40) as model:
        whole = await model.complete(ask(volatile="Noon."))
        deltas, streamed = await collect(model, ask(volatile="One."))

    for completion in (whole, streamed):
        looks(completion)
        assert completion.text
        assert completion.finish == "length"
    assert "".join(deltas) == streamed.text
    assert streamed.usage.cached_tokens > 0


async def test_calls_whole_and_streamed_and_their_results(
    base_url: str, ask: Ask, collect: Collect
) -> None:
    forced = {"tool_choice": {"type": "any"}}
    asked = ask("find Ann", prefix=Prefix("Be kind.", [FIND]))
    made: list[ToolCall] = []
    async with Anthropic(
        base_url=base_url, model="tiny", max_output_tokens=120, extra_body=forced
    ) as model:
        for _ in range(4):
            for completion in ((await collect(model, asked))[1], await model.complete(asked)):
                looks(completion)
                assert completion.calls or completion.finish == "length"
                made += completion.calls
        assert made
        results = [Message(role="tool", call_id=call.id, text="found") for call in made[:1]]
        answer = Message(role="assistant", text="I look.", calls=made[:1])
        looks(await model.complete(ask(prefix=asked.prefix, tail=[*asked.tail, answer, *results])))


async def test_too_long_is_an_overflow(base_url: str, ask: Ask, collect: Collect) -> None:
    long = ask("word " * 4000)
    async with Anthropic(base_url=base_url, model="tiny") as model:
        with pytest.raises(ContextOverflow):
            await model.complete(long)
        with pytest.raises(ContextOverflow):
            await collect(model, long)
