"""The real llama.cpp server, over HTTP, with a tiny model of random weights: its own words."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import xllamacpp
from tests.models.tiny_gguf import write_tiny_gguf

from aicore.errors import ContextOverflow, CredentialError
from aicore.models import Provider, Request, open_provider
from aicore.models.http_model import HTTPModel
from aicore.models.survey import Asking, asking_of, survey
from aicore.models.systems.profiles import known_systems
from aicore.records import Prefix, Tool

KEY = "sk-very-secret-key"
CONTEXT_TOKENS = 2048
Ask = Callable[..., Request]
Collect = Callable[..., Any]
FIND = Tool(
    name="find",
    description="Find a customer.",
    parameters={
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["age"],
        "additionalProperties": False,
    },
    server="crm",
    remote_name="find",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a llama.cpp server that wants a key."""
    params = xllamacpp.CommonParams()
    params.model.path = str(write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf"))
    params.port = 0
    params.use_jinja, params.warmup, params.verbosity = True, False, 0
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = CONTEXT_TOKENS, 1, 1
    params.api_keys = [KEY]
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", KEY)


def opened(address: str, **settings: Any) -> Provider:
    return open_provider(
        "llama-cpp", {"base_url": f"{address}/v1", "model": "tiny.gguf", **settings}
    )


def test_profile_says_that_it_was_tried_with_the_real_server() -> None:
    assert known_systems()["llama-cpp"].tried == "real"


async def test_answers_whole_and_streamed(address: str, ask: Ask, collect: Collect) -> None:
    async with opened(address) as model:
        whole = await model.complete(ask(max_output_tokens=8))
        deltas, streamed = await collect(model, ask(max_output_tokens=8))

    assert "".join(deltas) == streamed.text
    for completion in (whole, streamed):
        assert completion.usage.is_reported
        assert completion.usage.input_tokens > 0
    assert model.capabilities.locality == "local"


async def test_calls_that_it_is_held_to_are_whole_and_valid(
    address: str, ask: Ask, collect: Collect
) -> None:
    required = {"tool_choice": "required", "temperature": 0}
    request = ask(prefix=Prefix("Be kind.", [FIND]), max_output_tokens=200)
    async with opened(address, extra_body=required) as model:
        for completion in (await model.complete(request), (await collect(model, request))[1]):
            assert completion.calls
            for call in completion.calls:
                assert call.name == "find"
                assert 1 <= call.arguments["age"] <= 9
            assert len({call.id for call in completion.calls}) == len(completion.calls)


async def test_what_is_longer_than_its_context_is_an_overflow(
    address: str, ask: Ask, collect: Collect
) -> None:
    long = ask("hello " * 3 * CONTEXT_TOKENS)
    async with opened(address) as model:
        for asking in (model.complete(long), collect(model, long)):
            with pytest.raises(ContextOverflow):
                await asking


async def test_key_that_is_wrong_is_refused(
    address: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", "sk-wrong")
    async with opened(address) as model:
        with pytest.raises(CredentialError):
            await model.complete(ask())


async def test_its_list_and_context_are_told(address: str) -> None:
    provider = opened(address)
    assert isinstance(provider, HTTPModel)
    asking = asking_of("llama-cpp", provider)
    assert asking is not None
    found, known_by_itself = await survey(
        [asking, Asking(url=asking.url, headers=asking.headers)], timeout_s=10
    )
    [listed] = found.models

    assert (found.error, known_by_itself.kind) == (None, "llama-cpp")
    assert listed.context_tokens == CONTEXT_TOKENS
    assert listed.most_tokens == 8192


async def test_it_speaks_anthropics_format_too(
    address: str, ask: Ask, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"base_url": address, "model": "tiny.gguf", "locality": "local"}
    async with open_provider("anthropic", {**settings, "api_key_env": "LLAMA_API_KEY"}) as model:
        deltas, completion = await collect(model, ask(max_output_tokens=8))

    assert "".join(deltas) == completion.text
    assert completion.usage.is_reported
