"""Any server that speaks OpenAI's chat format: Ollama, vLLM, llama.cpp, OpenAI and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aicore.errors import ConfigError
from aicore.models.http_model import HTTPModel, Site
from aicore.models.locality import is_own_host
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.openai_reply import ReplyCollector
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Capabilities, Price, Request
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts

__all__ = ["OpenAICompatible"]

# What the encoding sets itself; anything else may come as `extra_body`.
_OWN_FIELDS = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "stream_options"}
    | {"tools"}
)
# These two refuse `max_tokens` for their newer models; many other servers know no other name.
_NEW_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")


class OpenAICompatible(HTTPModel):
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
            ),
            dialect=_Chat(model, extra_body or {}, is_new=host.endswith(_NEW_LIMIT_HOSTS)),
            capabilities=Capabilities(
                locality=locality or ("local" if is_own else "managed"),
                context_tokens=context_tokens,
                price=price,
            ),
            timeouts=timeouts,
        )


class _Chat:
    """OpenAI's chat format, as a Dialect."""

    def __init__(self, model: str, options: Mapping[str, Any], *, is_new: bool) -> None:
        self._heads = _heads(model, options)
        self._limit_field = "max_completion_tokens" if is_new else "max_tokens"

    def encode(self, request: Request, *, is_stream: bool) -> bytes:
        return encode_body(request, self._heads[is_stream], limit_field=self._limit_field)

    def reader(self) -> ReplyCollector:
        return ReplyCollector()


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
