"""An Anthropic provider from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from aicore.models.anthropic import BASE_URL, MAX_OUTPUT_TOKENS, Anthropic
from aicore.models.locality import is_own_host
from aicore.models.settings import (
    PriceSettings,
    Section,
    TimeoutSettings,
    key_from_environment,
    read_settings,
)
from aicore.models.timeouts import DEFAULT_TIMEOUTS

__all__ = ["AnthropicSettings", "open_from_settings"]

_KEY_VARIABLE = "ANTHROPIC_API_KEY"
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})


class AnthropicSettings(Section):
    """As in Anthropic, but the key comes from the variable that `api_key_env` names.

    Left out, that is ANTHROPIC_API_KEY, and none for a server of the business or where a header
    holds a key.
    """

    model: str
    api_key_env: str | None = None
    base_url: str = BASE_URL
    name: str | None = None
    locality: Literal["local", "managed"] | None = None
    region: str | None = None
    price: PriceSettings | None = None
    context_tokens: int | None = None
    max_output_tokens: int = MAX_OUTPUT_TOKENS
    headers: dict[str, str] | None = None
    timeouts: TimeoutSettings | None = None
    extra_body: dict[str, Any] | None = None
    vendor: str | None = "anthropic"


def open_from_settings(settings: Mapping[str, Any]) -> Anthropic:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    checked = read_settings(AnthropicSettings, settings)
    return Anthropic(
        model=checked.model,
        api_key=key_from_environment(_key_variable(checked)),
        base_url=checked.base_url,
        name=checked.name,
        locality=checked.locality,
        region=checked.region,
        price=checked.price.price() if checked.price else None,
        context_tokens=checked.context_tokens,
        max_output_tokens=checked.max_output_tokens,
        headers=checked.headers,
        timeouts=checked.timeouts.timeouts() if checked.timeouts else DEFAULT_TIMEOUTS,
        extra_body=checked.extra_body,
        vendor=checked.vendor,
    )


def _key_variable(checked: AnthropicSettings) -> str | None:
    if checked.api_key_env is not None:
        return checked.api_key_env
    if _KEY_HEADERS.intersection(map(str.lower, checked.headers or {})):
        return None
    try:
        host = urlsplit(checked.base_url).hostname or ""
    except ValueError:  # Anthropic says what is wrong with the address
        return None
    return None if not host or is_own_host(host) else _KEY_VARIABLE
