"""A Gemini provider from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aicore.models.gemini import Gemini
from aicore.models.settings import (
    PriceSettings,
    Section,
    TimeoutSettings,
    key_from_environment,
    read_settings,
)
from aicore.models.timeouts import DEFAULT_TIMEOUTS

__all__ = ["GeminiSettings", "open_from_settings"]


class GeminiSettings(Section):
    """As in Gemini, but the key comes from the variable that `api_key_env` names."""

    model: str
    api_key_env: str = "GEMINI_API_KEY"
    base_url: str = "https://generativelanguage.googleapis.com"
    name: str | None = None
    locality: Literal["local", "managed"] | None = None
    region: str | None = None
    price: PriceSettings | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    headers: dict[str, str] | None = None
    timeouts: TimeoutSettings | None = None
    extra_body: dict[str, Any] | None = None
    vendor: str | None = "google"


def open_from_settings(settings: Mapping[str, Any]) -> Gemini:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    checked = read_settings(GeminiSettings, settings)
    return Gemini(
        model=checked.model,
        api_key=key_from_environment(checked.api_key_env),
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
