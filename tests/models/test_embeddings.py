"""Vectors from an OpenAI-compatible server, whatever it does."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import openai
import pytest
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams
from pydantic import TypeAdapter
from tests.models.fake_openai import Asked, FakeOpenAI, Play, free_port, json_play, serving

from aicore.errors import (
    ConfigError,
    CredentialError,
    ModelError,
    NotOpenError,
    OperatorError,
    ProviderUnavailable,
)
from aicore.memory.port import Embedder
from aicore.models.embeddings import OpenAICompatibleEmbedder
from aicore.models.timeouts import Timeouts


def vector_of(text: str, length: int = 4) -> list[float]:
    """A vector that tells which text it belongs to."""
    return [float(len(text)), float(sum(text.encode()) % 97), 0.5, -0.25, *[0.0] * 8][:length]


def embedded(vectors: list[Any]) -> dict[str, Any]:
    """An answer as OpenAI gives it."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": data, "model": "fake-embedder", "usage": usage}


def embed(asked: Asked) -> Play:
    """Embed as a server does, in the encoding that is asked for."""
    length = asked.json.get("dimensions", 4)
    vectors: list[Any] = [vector_of(text, length) for text in asked.json["input"]]
    if asked.json.get("encoding_format") == "base64":
        vectors = [as_base64(vector) for vector in vectors]
    return json_play(embedded(vectors))


def as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


@asynccontextmanager
async def embedding(
    *plays: Play, otherwise: Callable[[Asked], Play] = embed, **settings: Any
) -> AsyncIterator[tuple[OpenAICompatibleEmbedder, FakeOpenAI]]:
    async with serving(*plays, otherwise=otherwise) as server:
        embedder = OpenAICompatibleEmbedder(
            base_url=server.base_url, model="fake-embedder", **settings
        )
        async with embedder:
            yield embedder, server


async def test_the_fake_speaks_as_the_vendor_does() -> None:
    CreateEmbeddingResponse.model_validate(embedded([[0.5, 1.0]]), strict=True)
    async with (
        serving(otherwise=embed) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client,
    ):
        answer = await client.embeddings.create(model="m", input=["ab", "abc"])

    assert [one.embedding for one in answer.data] == [vector_of("ab"), vector_of("abc")]


async def test_one_vector_a_text_in_order() -> None:
    async with embedding() as (embedder, server):
        port: Embedder = embedder
        vectors = await port.embed(["ab", "abc", "Größe"])

    assert [list(vector) for vector in vectors] == [
        vector_of("ab"),
        vector_of("abc"),
        vector_of("Größe"),
    ]
    assert len(server.requests) == 1
    assert server.requests[0].path == "/v1/embeddings"


async def test_the_request_is_as_the_vendor_defines_it() -> None:
    async with embedding(api_key="key-1", dimensions=3) as (embedder, server):
        await embedder.embed(["a"])

    asked = server.requests[0]
    TypeAdapter(EmbeddingCreateParams).validate_python(asked.json, strict=True, extra="forbid")
    assert asked.json == {
        "model": "fake-embedder",
        "encoding_format": "float",
        "dimensions": 3,
        "input": ["a"],
    }
    assert asked.headers["authorization"] == "Bearer key-1"


async def test_many_texts_go_in_batches_and_come_back_in_order() -> None:
    texts = [str(number) * (number % 9 + 1) for number in range(70)]
    async with embedding() as (embedder, server):
        vectors = await embedder.embed(texts)

    assert [list(vector) for vector in vectors] == [vector_of(text) for text in texts]
    assert [len(asked.json["input"]) for asked in server.requests] == [32, 32, 6]


async def test_batches_are_bounded_in_characters_and_texts_are_cut() -> None:
    async with embedding() as (embedder, server):
        vectors = await embedder.embed(["x" * 30_000] * 4 + ["", " "])

    sent = [asked.json["input"] for asked in server.requests]
    assert [[len(text) for text in batch] for batch in sent] == [[20_000] * 3, [20_000, 1, 1]]
    assert len(vectors) == 6


async def test_nothing_to_embed_asks_nobody() -> None:
    async with embedding() as (embedder, server):
        assert list(await embedder.embed([])) == []

    assert server.requests == []


async def test_vectors_are_placed_by_their_index() -> None:
    answer = embedded([[1.0], [2.0], [3.0]])
    answer["data"].reverse()
    async with embedding(json_play(answer)) as (embedder, _):
        assert [list(one) for one in await embedder.embed(["a", "b", "c"])] == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize("indices", [(None, 1, 2), (None, None, None), (0, 0, 0)])
async def test_vectors_without_an_index_come_in_order(indices: tuple[int | None, ...]) -> None:
    """Gemini's OpenAI-compatible address: no usage, and as in protobuf a 0 may be left out."""
    data = [
        {"object": "embedding", "embedding": [float(place + 1)]}
        | ({} if index is None else {"index": index})
        for place, index in enumerate(indices)
    ]
    answer = {"object": "list", "data": data, "model": "gemini-embedding-001"}
    async with embedding(json_play(answer)) as (embedder, _):
        assert [list(one) for one in await embedder.embed(["a", "b", "c"])] == [[1.0], [2.0], [3.0]]


async def test_key_is_sent_as_azure_and_google_take_it_in_openais_format() -> None:
    async with embedding(api_key="key-1") as (embedder, server):
        await embedder.embed(["a"])

    (asked,) = server.requests
    assert asked.headers["authorization"] == "Bearer key-1"
    assert asked.path == "/v1/embeddings"  # Azure's version 1 has no api-version


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "message": "at most 100 requests can be in one batch"}, ModelError),
        ({"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}, CredentialError),
        ({"code": 404, "message": "models/m is not found"}, ConfigError),
        ({"code": "DeploymentNotFound", "message": "The API deployment"}, ConfigError),
    ],
)
async def test_googles_and_azures_errors(error: dict[str, Any], kind: type[Exception]) -> None:
    status = error["code"] if isinstance(error["code"], int) else 404
    for body in ([{"error": error}], {"error": error}):
        async with embedding(json_play(body, status=status)) as (embedder, _):
            with pytest.raises(kind):
                await embedder.embed(["a"])


async def test_base64_is_read_where_a_server_sends_it_unasked() -> None:
    async with embedding(json_play(embedded([as_base64([0.5, -2.0])]))) as (embedder, _):
        assert [list(one) for one in await embedder.embed(["a"])] == [[0.5, -2.0]]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": []},
        {"data": [{"index": 0}]},
        {"data": [{"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [0.0, 0.0]}]},
        {"data": [{"index": 0, "embedding": ["a"]}]},
        {"data": [{"index": 0, "embedding": [None]}]},
        {"data": [{"index": 0, "embedding": "no base64!"}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": ["?"]},
        {"data": [{"index": "0", "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": [], "embedding": [1.0]}]},
        {"data": 5},
        [],
    ],
)
async def test_answers_without_usable_vectors(answer: Any) -> None:
    async with embedding(json_play(answer)) as (embedder, _):
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["a"])


async def test_numbers_that_are_none() -> None:
    body = b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}'
    async with embedding(Play([body])) as (embedder, _):
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["a"])


async def test_a_model_that_changes_its_length_is_refused() -> None:
    plays = [json_play(embedded([[1.0, 2.0]])), json_play(embedded([[1.0, 2.0, 3.0]]))]
    async with embedding(*plays) as (embedder, _):
        await embedder.embed(["a"])
        with pytest.raises(ConfigError):
            await embedder.embed(["b"])


async def test_a_model_that_does_not_give_the_length_asked_for_is_refused() -> None:
    async with embedding(json_play(embedded([[1.0, 2.0]])), dimensions=3) as (embedder, _):
        with pytest.raises(ConfigError):
            await embedder.embed(["a"])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, CredentialError),
        (403, CredentialError),
        (402, OperatorError),
        (404, ConfigError),
        (301, ConfigError),
        (400, ModelError),
        (413, ModelError),
        (500, ProviderUnavailable),
    ],
)
async def test_statuses_become_our_errors(status: int, error: type[Exception]) -> None:
    play = json_play({"error": {"message": "bad key-1"}}, status=status)
    async with embedding(play, api_key="key-1") as (embedder, _):
        with pytest.raises(error) as caught:
            await embedder.embed(["a text of a customer"])

    assert "key-1" not in str(caught.value)
    assert "customer" not in str(caught.value)


async def test_a_server_may_say_when_to_come_back() -> None:
    async with embedding(json_play({}, status=429, headers={"retry-after": "7"})) as (embedder, _):
        with pytest.raises(ProviderUnavailable) as caught:
            await embedder.embed(["a"])

    assert caught.value.retry_after_s == 7
    assert caught.value.status == 429


async def test_an_error_in_an_answer_that_looks_well() -> None:
    play = json_play({"error": {"message": "overloaded", "code": 503}})
    async with embedding(play) as (embedder, _):
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["a"])


async def test_a_web_page_means_a_wrong_address() -> None:
    async with embedding(Play([b"<p>hi"], headers={"content-type": "text/html"})) as (embedder, _):
        with pytest.raises(ConfigError):
            await embedder.embed(["a"])


@pytest.mark.parametrize("play", [Play(waits=True), json_play({"data": []}, end="hang")])
async def test_a_silent_server_meets_the_deadline(play: Play) -> None:
    async with embedding(play, timeouts=Timeouts(total_s=0.1)) as (embedder, _):
        with pytest.raises(ProviderUnavailable), anyio.fail_after(5):
            await embedder.embed(["a"])


@pytest.mark.parametrize("play", [Play(drop=True), json_play({"data": []}, end="cut")])
async def test_a_connection_that_breaks_off(play: Play) -> None:
    async with embedding(play) as (embedder, _):
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["a"])


async def test_nobody_listens() -> None:
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    async with OpenAICompatibleEmbedder(base_url=base_url, model="m") as embedder:
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["a"])


async def test_used_outside_its_context() -> None:
    embedder = OpenAICompatibleEmbedder(base_url="http://127.0.0.1:9/v1", model="m")

    with pytest.raises(NotOpenError):
        await embedder.embed(["a"])


def test_names_and_locality() -> None:
    own = OpenAICompatibleEmbedder(base_url="http://127.0.0.1:9/v1", model="m", dimensions=256)
    rented = OpenAICompatibleEmbedder(base_url="https://api.openai.com/v1", model="m")
    told = OpenAICompatibleEmbedder(base_url="https://x.example/v1", model="m", locality="local")

    assert (own.name, own.model, own.locality) == ("openai:m", "m/256", "local")
    assert (rented.model, rented.locality) == ("m", "managed")
    assert told.locality == "local"


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "not an address"},
        {"base_url": "http://user@host/v1"},
        {"base_url": "http://127.0.0.1:9/v1/embeddings"},
        {"model": ""},
        {"dimensions": 0},
        {"api_key": "line\nbreak"},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OpenAICompatibleEmbedder(**{"base_url": "http://127.0.0.1:9/v1", "model": "m", **settings})
