"""Claude by Anthropic's own format, and any other server that speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aicore.errors import ConfigError, ModelError
from aicore.models.anthropic_reply import MessageCollector
from aicore.models.anthropic_request import encode_body, encode_head
from aicore.models.anthropic_schema import narrowed
from aicore.models.anthropic_thinking import is_thinking_refused, without_thinking
from aicore.models.http_model import Site
from aicore.models.locality import is_own_host, is_passed_on
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.port import Capabilities, Price, Request
from aicore.models.stateful_model import StatefulModel
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts
from aicore.models.wire_json import to_json

__all__ = ["BASE_URL", "MAX_OUTPUT_TOKENS", "Anthropic", "Messages"]

BASE_URL = "https://api.anthropic.com"
# Every place that serves the format takes this version. 2026-10-21 differs only in that it refuses
# `temperature` and the like (https://platform.claude.com/docs/en/api/migration-2026-10-21).
_VERSION = "2023-06-01"
_PATH = "/v1/messages"
# What the encoding sets itself; anything else may come as `extra_body`.
_OWN_FIELDS = frozenset({"max_tokens", "messages", "model", "stream", "system", "tools"})
# The API demands a limit, and thinking, which the newer models do unasked, counts. At the 60
# tokens a second of a middling answer this many still come within `Timeouts.total_s`.
MAX_OUTPUT_TOKENS = 16_000


class Anthropic(StatefulModel):
    """A model behind Anthropic's Messages API, `base_url` + `/v1/messages`.

    Enter it before use. Everything but `model` may be left out. `max_output_tokens` holds where a
    request names no limit of its own. `locality` is derived from the host of `base_url`.
    `extra_body` adds fields to every request, e.g. `{"thinking": {"type": "adaptive"}}`;
    `headers` likewise, e.g. another `anthropic-version`. Never retries, except once on a
    kept-alive connection that the server had closed, and without thinking that was refused.

    Raises: ConfigError for a setting that cannot be.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None = None,
        base_url: str = BASE_URL,
        name: str | None = None,
        locality: Literal["local", "managed"] | None = None,
        region: str | None = None,
        price: Price | None = None,
        context_tokens: int | None = None,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        extra_body: Mapping[str, Any] | None = None,
        vendor: str | None = "anthropic",
    ) -> None:
        checked_url(base_url, _PATH)
        is_own = is_own_host(checked_url(base_url, "/v1").hostname or "")
        if not model:
            raise ConfigError("model is empty. Name the model that should answer.")
        name = name or f"anthropic:{model}"
        where = locality or ("local" if is_own and not is_passed_on(model) else "managed")
        url = base_url.rstrip("/") + _PATH
        further = {**({"x-api-key": api_key} if api_key else {}), **(headers or {})}
        super().__init__(
            name=name,
            model=model,
            site=Site(
                url=url,
                stream_url=url,
                headers=request_headers(None, {"anthropic-version": _VERSION, **further}),
                is_own=is_own,
                secrets=tuple(secret for secret in further.values() if secret),
            ),
            dialect=Messages(
                model, name, options=extra_body or {}, max_output_tokens=max_output_tokens
            ),
            capabilities=Capabilities(
                locality=where,
                context_tokens=context_tokens,
                region=region,
                price=price,
                vendor=vendor if where == "managed" else None,
                schema=True,
            ),
            timeouts=timeouts,
        )

    def _without_refused(self, refusal: ModelError, request: Request) -> Request | None:
        return (
            without_thinking(request) if is_thinking_refused(refusal, request, self.name) else None
        )


class Messages:
    """Anthropic's Messages format, as a Dialect. `options` are further fields of each request.

    `provider` is the name of the provider that speaks it: answers keep their thinking for it.

    Raises: ConfigError for an option that the encoding sets itself, or that cannot be.
    """

    def __init__(
        self, model: str, provider: str, *, options: Mapping[str, Any], max_output_tokens: int
    ) -> None:
        _check(options, max_output_tokens)
        self._provider = provider
        self._model = model
        self._max_output_tokens = max_output_tokens
        # These two may differ from request to request.
        self._thinking = options.get("thinking")
        self._output = options.get("output_config") or {}
        fixed = {
            key: value for key, value in options.items() if key not in ("thinking", "output_config")
        }
        self._heads = {
            is_stream: encode_head(model, is_stream=is_stream, options=fixed)
            for is_stream in (False, True)
        }

    def encode(self, request: Request, *, is_stream: bool) -> bytes:
        """The body of a request. Raises: ValueError for a request that cannot be."""
        return encode_body(
            request,
            self._heads[is_stream],
            provider=self._provider,
            model=self._model,
            ending=self._ending(request),
        )

    def reader(self) -> MessageCollector:
        """What collects one answer."""
        return MessageCollector(self._provider)

    def _ending(self, request: Request) -> dict[str, Any]:
        limit = request.max_output_tokens or self._max_output_tokens
        ending: dict[str, Any] = {"max_tokens": limit}
        if self._thinking is not None and _budget_tokens(self._thinking) < limit:
            ending["thinking"] = self._thinking
        output = self._output
        if request.output_schema is not None:
            schema = narrowed(request.output_schema.schema)
            output = {**output, "format": {"type": "json_schema", "schema": schema}}
        if output:
            ending["output_config"] = output
        return ending


def _budget_tokens(thinking: Mapping[str, Any]) -> int:
    budget = thinking.get("budget_tokens")
    return budget if isinstance(budget, int) else 0


def _check(options: Mapping[str, Any], max_output_tokens: int) -> None:
    if own := sorted(_OWN_FIELDS.intersection(options)):
        raise ConfigError(f"extra_body cannot set {own[0]!r}. Remove it.")
    try:
        to_json(dict(options))
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"extra_body is not plain JSON: {exc}.") from exc
    for name in ("thinking", "output_config"):
        if not isinstance(options.get(name, {}), Mapping):
            raise ConfigError(f"extra_body.{name} must be a table.")
    if "format" in options.get("output_config", {}):
        raise ConfigError("extra_body cannot set output_config.format. Remove it.")
    if max_output_tokens < 1:
        raise ConfigError("max_output_tokens must be at least 1.")
    if _budget_tokens(options.get("thinking", {})) >= max_output_tokens:
        raise ConfigError(
            "thinking.budget_tokens must be below max_output_tokens, which it counts towards."
        )
