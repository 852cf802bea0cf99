"""Gemini on Google Cloud: the same format as Gemini's own, under a project's address.

`v1/projects/P/locations/L/publishers/google/models/M:generateContent`, as Google's own SDK asks,
with a token of the account instead of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from aicore.models.gemini import Gemini
from aicore.models.google_token import KEY_REMEDY, GoogleToken
from aicore.models.settings import PriceSettings, Section, TimeoutSettings, read_settings
from aicore.models.systems.regions import region_word
from aicore.models.timeouts import DEFAULT_TIMEOUTS

__all__ = ["VertexAI", "VertexSettings", "open_from_settings"]


class VertexSettings(Section):
    """One Gemini model in a project of Google Cloud. The rest is as in Gemini.

    `base_url` is the address of `region`, e.g. `https://europe-west4-aiplatform.googleapis.com`.
    `locality` and `vendor` are what they are.
    """

    project: str
    region: str
    model: str
    base_url: str
    name: str | None = None
    locality: Literal["managed"] = "managed"
    vendor: Literal["google"] = "google"
    price: PriceSettings | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    headers: dict[str, str] | None = None
    timeouts: TimeoutSettings | None = None
    extra_body: dict[str, Any] | None = None


class VertexAI(Gemini):
    """A Gemini model in a project of Google Cloud; enter it before use.

    Needs the extra `google`; see GoogleToken for the account.
    Raises: ConfigError for a setting that cannot be, or a missing extra.
    """

    def __init__(self, settings: VertexSettings) -> None:
        place = f"projects/{settings.project}/locations/{settings.region}"
        super().__init__(
            model=settings.model,
            base_url=settings.base_url,
            name=settings.name or f"vertex:{settings.model}",
            locality=settings.locality,
            region=region_word(settings.region),
            price=settings.price.price() if settings.price else None,
            context_tokens=settings.context_tokens,
            max_output_tokens=settings.max_output_tokens,
            headers=settings.headers,
            timeouts=settings.timeouts.timeouts() if settings.timeouts else DEFAULT_TIMEOUTS,
            extra_body=settings.extra_body,
            vendor=settings.vendor,
            path=f"/v1/{place}/publishers/google/models/{{model}}",
            authorize=GoogleToken().authorize,
        )
        self._backend = replace(self._backend, key_remedy=KEY_REMEDY)


def open_from_settings(settings: Mapping[str, Any]) -> VertexAI:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    return VertexAI(read_settings(VertexSettings, settings))
