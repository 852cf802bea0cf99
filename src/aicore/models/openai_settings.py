"""An OpenAI-compatible provider from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aicore.models.openai_compatible import LimitField, OpenAICompatible
from aicore.models.settings import (
    PriceSettings,
    Section,
    TimeoutSettings,
    key_from_environment,
    read_settings,
)
from aicore.models.timeouts import DEFAULT_TIMEOUTS

__all__ = ["OpenAICompatibleSettings", "open_from_settings"]


class OpenAICompatibleSettings(Section):
    """As in OpenAICompatible, but the key comes from the variable that `api_key_env` names."""

    base_url: str
    model: str
    api_key_env: str | None = None
    name: str | None = None
    locality: Literal["local", "managed"] | None = None
    price: PriceSettings | None = None
    context_tokens: int | None = None
    headers: dict[str, str] | None = None
    timeouts: TimeoutSettings | None = None
    extra_body: dict[str, Any] | None = None
    vendor: str | None = None
    region: str | None = None
    limit_field: LimitField | None = None
    json_schema: bool = True


def open_from_settings(settings: Mapping[str, Any]) -> OpenAICompatible:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    checked = read_settings(OpenAICompatibleSettings, settings)
    return OpenAICompatible(
        base_url=checked.base_url,
        model=checked.model,
        api_key=key_from_environment(checked.api_key_env),
        name=checked.name,
        locality=checked.locality,
        price=checked.price.price() if checked.price else None,
        context_tokens=checked.context_tokens,
        headers=checked.headers,
        timeouts=checked.timeouts.timeouts() if checked.timeouts else DEFAULT_TIMEOUTS,
        extra_body=checked.extra_body,
        vendor=checked.vendor,
        region=checked.region,
        limit_field=checked.limit_field,
        json_schema=checked.json_schema,
    )
