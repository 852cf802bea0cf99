"""Any server that speaks OpenAI's chat format: Ollama, vLLM, llama.cpp, OpenAI and more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from aicore.errors import (
    AicoreError,
    ConfigError,
    Interrupted,
    NotOpenError,
    ProviderUnavailable,
)
from aicore.models.http_faults import Backend, error_for_body, error_for_status, is_refusal
from aicore.models.locality import is_own_host
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.openai_reply import Asked, BrokenOffError, ErrorInReply, ReplyCollector
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Capabilities, Completion, Price, Request, TextDelta
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts

if TYPE_CHECKING:
    from aicore.models.endpoint import Endpoint

__all__ = ["OpenAICompatible"]

# What the encoding sets itself; anything else may come as `extra_body`.
_OWN_FIELDS = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "stream_options"}
    | {"tools"}
)
# These two refuse `max_tokens` for their newer models; many other servers know no other name.
_NEW_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")


class OpenAICompatible:
    """A model behind an OpenAI-compatible chat endpoint, `base_url` + `/chat/completions`.

    Enter it before use. Everything but `base_url` and `model` may be left out. `locality` is
    derived from the host of `base_url`: loopback and private addresses are `local`. `extra_body`
    adds fields to every request, e.g. `{"temperature": 0}`; `headers` likewise. Never retries,
    except once on a kept-alive connection that the server had closed.

    Raises: ConfigError for a setting that cannot be.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        name: str | None = None,
        locality: Literal["local", "managed"] | None = None,
        price: Price | None = None,
        context_tokens: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        url = checked_url(base_url, "/chat/completions")
        host = url.hostname or ""
        is_own = is_own_host(host)
        if not model:
            raise ConfigError("model is empty. Name the model that the server should answer with.")
        self._name = name or f"openai:{model}"
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._is_own = is_own
        self._headers = request_headers(api_key, headers or {})
        self._timeouts = timeouts
        self._limit_field = (
            "max_completion_tokens" if host.endswith(_NEW_LIMIT_HOSTS) else "max_tokens"
        )
        self._heads = _heads(model, extra_body or {})
        self._capabilities = Capabilities(
            locality=locality or ("local" if is_own else "managed"),
            context_tokens=context_tokens,
            price=price,
        )
        secrets = (api_key or "", *(headers or {}).values())
        self._backend = Backend(
            url=f"{url.scheme}://{url.netloc}",
            model=model,
            secrets=tuple(secret for secret in secrets if secret),
        )
        self._endpoint: Endpoint | None = None

    def __repr__(self) -> str:
        return f"OpenAICompatible(name={self._name!r}, base_url={self._backend.url!r})"

    @property
    def name(self) -> str:
        """Stable name: the one given, else `openai:` and the model."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What was configured; nothing is asked of the server."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece, by one POST.

        Raises: ProviderUnavailable, CredentialError, ConfigError (no such model or address),
        ModelError; its `code` is `context_overflow` when the request is too long.
        """
        endpoint = self._opened()
        body = encode_body(request, self._heads[False], limit_field=self._limit_field)
        fetched = await endpoint.fetch(body)
        reply = ReplyCollector()
        try:
            self._take_whole(reply, fetched.status, fetched.headers, fetched.body)
        except (ErrorInReply, BrokenOffError) as exc:
            raise self._translated(exc) from exc
        return reply.completion(self._asked(body))

    async def stream(self, request: Request) -> AsyncIterator[TextDelta | Completion]:
        """Answer as text deltas, one per read at most, then the Completion.

        Closing the iterator closes the connection, which stops the server's work. Raises as
        `complete` does before the first delta, and Interrupted after it.
        """
        endpoint = self._opened()
        body = encode_body(request, self._heads[True], limit_field=self._limit_field)
        reply = ReplyCollector()
        shown: list[str] = []
        try:
            async with await endpoint.start(body) as answer:
                if _is_whole(answer.status, answer.headers):
                    whole = await answer.rest()
                    text = self._take_whole(reply, answer.status, answer.headers, whole)
                    if text:
                        yield TextDelta(text)
                part = b"?"
                while part and not reply.is_done:
                    part = await answer.part()
                    if text := reply.add_part(part):
                        shown.append(text)
                        yield TextDelta(text)
                    answer.has_begun = reply.has_begun
                await answer.drain()
            reply.check_complete()
        except (AicoreError, ErrorInReply, BrokenOffError) as exc:
            if not reply.is_complete:
                self._fail(exc, "".join(shown))
        yield reply.completion(self._asked(body))

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

    def _opened(self) -> Endpoint:
        if self._endpoint is None:
            raise NotOpenError(f"Enter {self._name} first: async with provider: ...")
        return self._endpoint

    def _asked(self, body: bytes) -> Asked:
        return Asked(
            model=self._backend.model,
            body_bytes=len(body),
            price=self._capabilities.price,
        )

    def _take_whole(
        self, reply: ReplyCollector, status: int, headers: Mapping[str, str], body: bytes
    ) -> str:
        if status == 400 and is_refusal(body):
            reply.refuse()
            return ""
        if status != 200:
            raise error_for_status(status, headers, body, self._backend)
        if headers.get("content-type", "").startswith("text/html"):
            raise ConfigError(
                f"{self._url} answers with a web page. Correct base_url; most end with /v1."
            )
        return reply.add_whole(body)

    def _translated(self, exc: ErrorInReply | BrokenOffError) -> AicoreError:
        if isinstance(exc, ErrorInReply):
            return error_for_body(exc.error, self._backend)
        return ProviderUnavailable(
            f"The answer of the model server at {self._backend.url} broke off."
        )

    def _fail(self, exc: AicoreError | ErrorInReply | BrokenOffError, shown: str) -> NoReturn:
        if shown:
            raise Interrupted(
                f"The answer of {self._name} broke off after it had begun.", text=shown
            ) from exc
        if isinstance(exc, AicoreError):
            raise exc
        raise self._translated(exc) from exc


def _is_whole(status: int, headers: Mapping[str, str]) -> bool:
    # A server may answer a request for a stream in one piece.
    return status != 200 or headers.get("content-type", "").startswith(
        ("application/json", "text/html")
    )


def _heads(model: str, options: Mapping[str, Any]) -> dict[bool, bytes]:
    if own := sorted(_OWN_FIELDS.intersection(options)):
        raise ConfigError(f"extra_body cannot set {own[0]!r}. Remove it.")
    try:
        return {
            is_stream: encode_head(model, is_stream=is_stream, options=options)
            for is_stream in (False, True)
        }
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"extra_body is not plain JSON: {exc}.") from exc
