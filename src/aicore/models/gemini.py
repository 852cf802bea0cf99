"""Google's Gemini models, by `generateContent` and `streamGenerateContent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from aicore.errors import ConfigError, ModelError
from aicore.models.gemini_parts import Signer, is_signature_refused, unsigned
from aicore.models.gemini_reply import GeminiReply
from aicore.models.gemini_request import ContentEncoder
from aicore.models.http_model import Authorize, Site
from aicore.models.locality import is_own_host
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.port import Capabilities, Price, Request
from aicore.models.stateful_model import StatefulModel
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts

__all__ = ["GEMINI_PATH", "Gemini"]

GEMINI_PATH = "/v1beta/models/{model}"

# What the encoding sets itself; anything else may come as `extra_body`.
_OWN_FIELDS = frozenset({"contents", "model", "systemInstruction", "tools"})
_OWN_CONFIG = frozenset(
    {"candidateCount", "maxOutputTokens", "responseJsonSchema", "responseMimeType"}
    | {"responseSchema"}
)


class Gemini(StatefulModel):
    """A Gemini model. Enter it before use. Everything but `model` may be left out.

    `api_key` goes into the header `x-goog-api-key`. `max_output_tokens` counts thoughts too, and
    holds where a request names no limit of its own. `extra_body` adds fields to every request,
    e.g. `{"generationConfig": {"temperature": 0}}`; `headers` likewise. The rest is as in
    OpenAICompatible. Vertex AI speaks the same under another `path` (what follows `base_url`,
    with `{model}` in it), with `authorize` in place of a key.

    Raises: ConfigError for a setting that cannot be.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None = None,
        base_url: str = "https://generativelanguage.googleapis.com",
        name: str | None = None,
        locality: Literal["local", "managed"] | None = None,
        region: str | None = None,
        price: Price | None = None,
        context_tokens: int | None = None,
        max_output_tokens: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        extra_body: Mapping[str, Any] | None = None,
        vendor: str | None = "google",
        path: str = GEMINI_PATH,
        authorize: Authorize | None = None,
    ) -> None:
        model = model.removeprefix("models/")
        if not model:
            raise ConfigError("model is empty. Name one, such as gemini-flash-latest.")
        version = path.partition("/models/")[0]
        is_own = is_own_host(checked_url(base_url, version).hostname or "")
        name = name or f"gemini:{model}"
        url = base_url.rstrip("/") + path.replace("{model}", quote(model, safe="@"))
        further = {**({"x-goog-api-key": api_key} if api_key else {}), **(headers or {})}
        super().__init__(
            name=name,
            model=model,
            site=Site(
                url=f"{url}:generateContent",
                stream_url=f"{url}:streamGenerateContent?alt=sse",
                headers=request_headers(None, further),
                is_own=is_own,
                secrets=tuple(secret for secret in further.values() if secret),
                authorize=authorize,
            ),
            dialect=_GenerateContent(
                _encoder(Signer(name, model), extra_body or {}, max_output_tokens)
            ),
            capabilities=Capabilities(
                locality=locality or ("local" if is_own else "managed"),
                context_tokens=context_tokens,
                region=region,
                price=price,
                vendor=vendor,
                schema=True,
            ),
            timeouts=timeouts,
        )

    def _without_refused(self, refusal: ModelError, request: Request) -> Request | None:
        return unsigned(request) if is_signature_refused(refusal, request, self.name) else None


class _GenerateContent:
    """Gemini's format, as a Dialect."""

    def __init__(self, encoder: ContentEncoder) -> None:
        self._encoder = encoder

    def encode(self, request: Request, *, is_stream: bool) -> bytes:
        # Whether it streams is said by the address.
        return self._encoder.body(request)

    def reader(self) -> GeminiReply:
        return GeminiReply()


def _encoder(
    signer: Signer, options: Mapping[str, Any], limit_tokens: int | None
) -> ContentEncoder:
    config = options.get("generationConfig", {})
    if not isinstance(config, Mapping):
        raise ConfigError("extra_body: generationConfig is a table of settings.")
    own = sorted(_OWN_FIELDS.intersection(options))
    own += [f"generationConfig.{key}" for key in sorted(_OWN_CONFIG.intersection(config))]
    if own:
        raise ConfigError(f"extra_body cannot set {own[0]!r}. Remove it.")
    try:
        return ContentEncoder(signer, options, limit_tokens)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"extra_body is not plain JSON: {exc}.") from exc
