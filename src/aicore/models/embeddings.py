"""Vectors from any server that speaks OpenAI's embeddings format: Ollama, vLLM, TEI, OpenAI."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from aicore.errors import ConfigError, NotOpenError, ProviderUnavailable
from aicore.models.http_faults import Backend, error_for_body, error_for_status
from aicore.models.locality import is_own_host
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.timeouts import Timeouts
from aicore.models.wire_json import parse_json, to_json

if TYPE_CHECKING:
    from aicore.models.endpoint import Endpoint

__all__ = ["OpenAICompatibleEmbedder"]

_TIMEOUTS = Timeouts(total_s=60.0)
# OpenAI takes 2048 texts and 300,000 tokens in all; small servers take 32 and less of both.
_MOST_TEXTS = 32
_MOST_CHARACTERS = 60_000
_MOST_TEXT_CHARACTERS = 20_000


class OpenAICompatibleEmbedder:
    """An embedding model behind `base_url` + `/embeddings`; an Embedder of `aicore.memory`.

    Enter it before use. `locality` is derived from the host of `base_url` where it is not given:
    loopback and private addresses are `local`. `dimensions` asks for shorter vectors, of models
    that can. A text is sent in its first 20,000 characters. Never retries, except once on a
    kept-alive connection that the server had closed.

    Raises: ConfigError for a setting that cannot be.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        locality: Literal["local", "managed"] | None = None,
        dimensions: int | None = None,
        timeouts: Timeouts = _TIMEOUTS,
    ) -> None:
        url = checked_url(base_url, "/embeddings")
        if not model:
            raise ConfigError("model is empty. Name the model that the server should embed with.")
        if dimensions is not None and dimensions < 1:
            raise ConfigError(f"dimensions is {dimensions}. Give a length of 1 or more, or none.")
        self._is_own = is_own_host(url.hostname or "")
        self.name = f"openai:{model}"
        self.model = model if dimensions is None else f"{model}/{dimensions}"
        self.locality: Literal["in_process", "local", "managed"] = locality or (
            "local" if self._is_own else "managed"
        )
        self._url = base_url.rstrip("/") + "/embeddings"
        self._headers = request_headers(api_key, {})
        self._timeouts = timeouts
        self._body = {"model": model, "encoding_format": "float"}
        self._asked_length = dimensions
        self._length = dimensions
        self._backend = Backend(
            url=f"{url.scheme}://{url.netloc}", model=model, secrets=(api_key,) if api_key else ()
        )
        self._endpoint: Endpoint | None = None

    def __repr__(self) -> str:
        return f"OpenAICompatibleEmbedder(model={self.model!r}, base_url={self._backend.url!r})"

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Give one vector a text, in order, by one POST for every 32 texts.

        Raises: ProviderUnavailable, CredentialError, ModelError; ConfigError, also when the
        vectors are of another length than before: then the server has another model under the name.
        """
        endpoint = self._endpoint
        if endpoint is None:
            raise NotOpenError("Enter the embedder first: async with embedder: ...")
        vectors: list[Sequence[float]] = []
        for batch in _batches(texts):
            vectors += await self._embed_batch(endpoint, batch)
        return vectors

    async def _embed_batch(
        self, endpoint: Endpoint, texts: Sequence[str]
    ) -> Sequence[Sequence[float]]:
        asked: dict[str, Any] = {**self._body, "input": texts}
        if self._asked_length is not None:
            asked["dimensions"] = self._asked_length
        fetched = await endpoint.fetch(to_json(asked))
        if fetched.status != 200:
            raise error_for_status(fetched.status, fetched.headers, fetched.body, self._backend)
        if fetched.headers.get("content-type", "").startswith("text/html"):
            raise ConfigError(
                f"{self._url} answers with a web page. Correct base_url; most end with /v1."
            )
        vectors = _vectors(_answer(fetched.body), len(texts), self._backend)
        self._check_lengths(vectors)
        return vectors

    def _check_lengths(self, vectors: Sequence[Sequence[float]]) -> None:
        for vector in vectors:
            if self._length is None:
                self._length = len(vector)
            if len(vector) != self._length:
                raise ConfigError(
                    f"The model {self.model!r} at {self._backend.url} gives vectors of "
                    f"{len(vector)} numbers, where {self._length} were expected. If the server has "
                    "another model under this name now, name it rightly and make the vectors anew."
                )

    async def __aenter__(self) -> Self:
        from aicore.models.endpoint import Endpoint  # imports httpx2

        endpoint = Endpoint(
            self._url, headers=self._headers, timeouts=self._timeouts, is_own=self._is_own
        )
        await endpoint.open()
        self._endpoint = endpoint
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()


def _batches(texts: Sequence[str]) -> Sequence[Sequence[str]]:
    batches: list[list[str]] = []
    size = 0
    for text in texts:
        # Servers refuse a text that is empty.
        cut = text[:_MOST_TEXT_CHARACTERS] if text.strip() else "."
        size += len(cut)
        if not batches or len(batches[-1]) >= _MOST_TEXTS or size > _MOST_CHARACTERS:
            batches.append([])
            size = len(cut)
        batches[-1].append(cut)
    return batches


def _answer(body: bytes) -> Mapping[str, Any]:
    try:
        answer = parse_json(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}


def _vectors(answer: Mapping[str, Any], count: int, backend: Backend) -> Sequence[Sequence[float]]:
    """The vectors by their index, which need not be the order they come in."""
    data = answer.get("data")
    if not isinstance(data, list) and answer.get("error"):
        raise error_for_body(answer["error"], backend)
    vectors: dict[int, Sequence[float]] = {}
    try:
        places = [one.get("index", place) for place, one in enumerate(data or ())]
        if all(place == 0 for place in places):  # proxies before Gemini number every vector 0
            places = list(range(len(places)))
        for place, one in zip(places, data or (), strict=True):
            vectors[place] = _numbers(one["embedding"])
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as exc:
        raise _unusable(backend) from exc
    if vectors.keys() != set(range(count)) or not all(map(_is_vector, vectors.values())):
        raise _unusable(backend)
    return [vectors[place] for place in range(count)]


def _numbers(embedding: Any) -> Sequence[float]:
    """A list of numbers, or little-endian 32-bit floats as Base64, which some always send."""
    if isinstance(embedding, str):
        data = base64.b64decode(embedding, validate=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    return [float(number) for number in embedding]


def _is_vector(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(map(math.isfinite, numbers)) and any(numbers)


def _unusable(backend: Backend) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The answer of the model server at {backend.url} holds no usable vectors of "
        f"{backend.model!r}. See that it is a model for embeddings."
    )
