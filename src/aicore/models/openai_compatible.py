"""Any server that speaks OpenAI's chat format: Ollama, vLLM, llama.cpp, OpenAI and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aicore.errors import ConfigError
from aicore.models.http_model import Authorize, HTTPModel, Site
from aicore.models.locality import is_own_host, is_passed_on
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.openai_reply import ReplyCollector
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Capabilities, Price, Request
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts

__all__ = ["Chat", "LimitField", "OpenAICompatible"]

LimitField = Literal["max_tokens", "max_completion_tokens"]

# What the encoding sets itself; anything else may come as `extra_body`.
_OWN_FIELDS = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "stream_options"}
    | {"response_format", "tools"}
)
# These two refuse `max_tokens` for their newer models; many other servers know no other name.
_NEW_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")


class OpenAICompatible(HTTPModel):
    """A model behind an OpenAI-compatible chat endpoint, `base_url` + `/chat/completions`.

    Enter it before use. Everything but `base_url` and `model` may be left out. `locality` is
    derived from the host of `base_url`: loopback and private addresses are `local`, but for models
    that a local server passes on to its vendor. `extra_body`
    adds fields to every request, e.g. `{"temperature": 0}`; `headers` likewise. `limit_field` is
    the server's name for the limit on output, derived from the host where it is left out.
    `authorize` gives headers that differ from request to request. `json_schema` is False for
    a server that refuses `response_format`. Never retries, except once on a
    kept-alive connection that the server had closed.

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
        vendor: str | None = None,
        region: str | None = None,
        limit_field: LimitField | None = None,
        authorize: Authorize | None = None,
        json_schema: bool = True,
    ) -> None:
        host = checked_url(base_url, "/chat/completions").hostname or ""
        is_own = is_own_host(host)
        if not model:
            raise ConfigError("model is empty. Name the model that the server should answer with.")
        url = base_url.rstrip("/") + "/chat/completions"
        secrets = (api_key or "", *(headers or {}).values())
        super().__init__(
            name=name or f"openai:{model}",
            model=model,
            site=Site(
                url=url,
                stream_url=url,
                headers=request_headers(api_key, headers or {}),
                is_own=is_own,
                secrets=tuple(secret for secret in secrets if secret),
                authorize=authorize,
            ),
            dialect=Chat(model, extra_body or {}, limit_field or _limit_field(host)),
            capabilities=Capabilities(
                locality=locality or ("managed" if is_passed_on(model) or not is_own else "local"),
                context_tokens=context_tokens,
                price=price,
                vendor=vendor,
                region=region,
                schema=json_schema,
            ),
            timeouts=timeouts,
        )


class Chat:
    """OpenAI's chat format, as a Dialect. `options` are further fields of each request.

    Raises: ConfigError for an option that the encoding sets itself.
    """

    def __init__(self, model: str, options: Mapping[str, Any], limit_field: LimitField) -> None:
        self._heads = _heads(model, options)
        self._limit_field = limit_field

    def encode(self, request: Request, *, is_stream: bool) -> bytes:
        """The body of a request. Raises: ValueError for a request that cannot be."""
        return encode_body(request, self._heads[is_stream], limit_field=self._limit_field)

    def reader(self) -> ReplyCollector:
        """What collects one answer."""
        return ReplyCollector()


def _limit_field(host: str) -> LimitField:
    return "max_completion_tokens" if host.endswith(_NEW_LIMIT_HOSTS) else "max_tokens"


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
