"""Asking servers for their models: each system as it answers, and those that do not."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from tests.models.fake_openai import Asked, Play, free_port, json_play, serving

from aicore.errors import ConfigError, CredentialError, ProviderUnavailable
from aicore.models import open_provider
from aicore.models.http_model import HTTPModel
from aicore.models.survey import Asking, Listed, asking_of, local_systems, survey
from aicore.models.systems.profiles import known_systems

KEY = "sk-very-secret-key"


def listing(*entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": [{"object": "model", **entry} for entry in entries]}


def by_path(answers: Mapping[str, Any]) -> Callable[[Asked], Play]:
    """Answer GETs and POSTs by their path; what is not there is missing."""

    def answer(asked: Asked) -> Play:
        found = answers.get(asked.path)
        if callable(found):
            found = found(asked)
        return json_play(found) if found is not None else json_play({}, status=404)

    return answer


async def asked_for(answers: Mapping[str, Any], **changes: Any) -> Any:
    async with serving(otherwise=by_path(answers)) as server:
        [found] = await survey([Asking(url=f"{server.base_url}/models", **changes)])
    return found


@pytest.mark.parametrize(
    ("answers", "kind", "listed"),
    [
        (
            {"/v1/models": listing({"id": "qwen3", "owned_by": "vllm", "max_model_len": 40960})},
            "vllm",
            Listed(model="qwen3", context_tokens=40960),
        ),
        (
            {"/v1/models": listing({"id": "qwen3", "owned_by": "sglang", "max_model_len": 32768})},
            "sglang",
            Listed(model="qwen3", context_tokens=32768),
        ),
        (
            {
                "/v1/models": listing(
                    {"id": "m.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}}
                ),
                "/props": {"default_generation_settings": {"n_ctx": 8192}, "total_slots": 2},
            },
            "llama-cpp",
            Listed(model="m.gguf", context_tokens=8192, most_tokens=131072),
        ),
        (
            {
                "/v1/models": listing({"id": "qwen3", "owned_by": "organization_owner"}),
                "/api/v0/models": listing(
                    {"id": "qwen3", "max_context_length": 32768, "loaded_context_length": 4096}
                ),
            },
            "lm-studio",
            Listed(model="qwen3", context_tokens=4096, most_tokens=32768),
        ),
        (
            {
                "/v1/models": listing({"id": "llama3.3:latest", "owned_by": "library"}),
                "/api/ps": {"models": [{"name": "llama3.3:latest", "context_length": 16384}]},
                "/api/show": {"parameters": "", "model_info": {"llama.context_length": 131072}},
            },
            "ollama",
            Listed(model="llama3.3:latest", context_tokens=16384, most_tokens=131072),
        ),
        (
            {
                "/v1/models": listing({"id": "house", "owned_by": "library"}),
                "/api/ps": {"models": []},
                "/api/show": {
                    "parameters": "stop    x\nnum_ctx    8192",
                    "model_info": {"llama.context_length": 131072},
                },
            },
            "ollama",
            Listed(model="house", context_tokens=8192, most_tokens=131072),
        ),
    ],
)
async def test_system_tells_its_context(
    answers: Mapping[str, Any], kind: str, listed: Listed
) -> None:
    found = await asked_for(answers)

    assert (found.error, found.kind, found.models) == (None, kind, (listed,))


async def test_ollama_is_never_said_to_read_what_it_would_cut() -> None:
    """A model that could read 131,072 tokens is served with 4,096 unless somebody says more."""
    found = await asked_for(
        {
            "/v1/models": listing({"id": "llama3.3", "owned_by": "library"}),
            "/api/ps": {"models": []},
            "/api/show": {"model_info": {"llama.context_length": 131072}},
        }
    )

    assert found.models == (Listed(model="llama3.3", most_tokens=131072),)


async def test_what_a_server_does_not_tell_is_left_out() -> None:
    found = await asked_for({"/v1/models": listing({"id": "m", "owned_by": "llamacpp"})})

    assert found.models == (Listed(model="m"),)


async def test_further_question_without_an_answer_hides_no_model() -> None:
    answers = by_path({"/v1/models": listing({"id": "m", "owned_by": "llamacpp"})})

    def answer(asked: Asked) -> Play:
        return Play(waits=True) if asked.path == "/props" else answers(asked)

    async with serving(otherwise=answer) as server:
        [found] = await survey([Asking(url=f"{server.base_url}/models")], timeout_s=0.5)

    assert (found.models, found.kind, found.error) == ((Listed(model="m"),), "llama-cpp", None)


async def test_own_server_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = by_path({"/v1/models": listing({"id": "m"})})
    async with serving(otherwise=lists) as server, serving(otherwise=lists) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        [found] = await survey([Asking(url=f"{server.base_url}/models", headers={"x-key": KEY})])

    assert found.error is None
    assert (len(server.requests), len(proxy.requests)) == (1, 0)


async def test_odd_numbers_and_names_do_no_harm() -> None:
    found = await asked_for(
        {
            "/v1/models": listing({"id": "m\ud800", "owned_by": "library"}),
            "/api/ps": {"models": []},
            "/api/show": {"parameters": "num_ctx " + "9" * 5000},
        }
    )

    assert found.models == (Listed(model="m?"),)


def test_key_is_not_in_what_describes_the_asking() -> None:
    asking = Asking(url="http://host/v1/models", headers={"x-key": KEY}, secrets=(KEY,))

    assert KEY not in repr(asking)


async def test_models_that_cannot_chat_are_left_out() -> None:
    found = await asked_for({"/v1/models": listing({"id": "nomic-embed-text"}, {"id": "m"})})

    assert [one.model for one in found.models] == ["m"]


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (json_play({"error": {"message": f"bad {KEY}"}}, status=401), CredentialError),
        (json_play({}, status=404), ConfigError),
        (json_play({"hello": 1}), ConfigError),
        (json_play([]), ConfigError),
        (Play([b"<html></html>"], headers={"content-type": "text/html"}), ConfigError),
        (json_play({"error": "busy"}, status=503), ProviderUnavailable),
        (Play(drop=True), ProviderUnavailable),
    ],
)
async def test_server_that_lists_nothing_says_why(play: Play, kind: type[Exception]) -> None:
    async with serving(play) as server:
        asking = Asking(url=f"{server.base_url}/models", secrets=(KEY,))
        [found] = await survey([asking])

    assert type(found.error) is kind
    assert KEY not in str(found.error)


async def test_all_are_asked_at_once_and_the_slow_one_hides_no_other() -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/models"
    async with (
        serving(Play(waits=True)) as slow,
        serving(otherwise=by_path({"/v1/models": listing({"id": "m"})})) as quick,
    ):
        urls = [f"{slow.base_url}/models", f"{quick.base_url}/models", nobody]
        with anyio.fail_after(5):
            late, good, none = await survey([Asking(url=url) for url in urls], timeout_s=0.3)

    assert isinstance(late.error, ProviderUnavailable)
    assert [one.model for one in good.models] == ["m"]
    assert isinstance(none.error, ProviderUnavailable)


async def test_list_without_end_is_given_up() -> None:
    endless = Play([b" " * 1_000_000], repeats=True)
    async with serving(endless) as server:
        with anyio.fail_after(5):
            [found] = await survey([Asking(url=f"{server.base_url}/models")])

    assert found.error is not None


# How a provider's server is asked


@pytest.mark.parametrize(
    ("kind", "path", "header", "answer", "context_tokens"),
    [
        (
            "openai",
            "/v1/models",
            ("authorization", f"Bearer {KEY}"),
            listing({"id": "m", "owned_by": "openai"}),
            None,
        ),
        ("azure", "/v1/models", ("api-key", KEY), listing({"id": "m"}), None),
        (
            "anthropic",
            "/v1/models?limit=1000",
            ("x-api-key", KEY),
            listing({"id": "m", "max_input_tokens": 200000}),
            200000,
        ),
        (
            "gemini",
            "/v1beta/models/m",
            ("x-goog-api-key", KEY),
            {"name": "models/m", "inputTokenLimit": 1048576},
            1048576,
        ),
        (
            "openrouter",
            "/v1/models",
            ("authorization", f"Bearer {KEY}"),
            listing({"id": "m", "context_length": 131072}),
            131072,
        ),
    ],
)
async def test_list_is_asked_with_the_key_of_the_provider(
    kind: str,
    path: str,
    header: tuple[str, str],
    answer: Any,
    context_tokens: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_KEY", KEY)
    profile = known_systems()[kind]
    async with serving(otherwise=by_path({path: answer})) as server:
        is_chat = profile.dialect == "openai-compatible"
        base_url = server.base_url if is_chat else server.base_url.removesuffix("/v1")
        settings = {**profile.example, "base_url": base_url, "api_key_env": "SHOP_KEY"}
        provider = open_provider(kind, {**settings, "model": "m"})
        assert isinstance(provider, HTTPModel)
        asking = asking_of(kind, provider)
        assert asking is not None
        [found] = await survey([asking])
    (asked,) = server.requests

    assert (found.error, found.models) == (
        None,
        (Listed(model="m", context_tokens=context_tokens),),
    )
    assert asked.body == b""
    assert asked.headers[header[0]] == header[1]


def test_system_without_a_free_list_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    provider = open_provider("bedrock", known_systems()["bedrock"].example)
    assert isinstance(provider, HTTPModel)

    assert asking_of("bedrock", provider) is None


def test_only_this_machine_is_looked_at() -> None:
    urls = [asking.url for asking in local_systems()]

    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    for port in (11434, 1234, 8080, 8000, 30000, 9000, 4000):
        assert f"http://127.0.0.1:{port}/v1/models" in urls
    assert len(urls) == len(set(urls))
