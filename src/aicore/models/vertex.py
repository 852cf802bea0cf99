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
from aicore.models.port import Price
from aicore.models.settings import PriceSettings, Section, TimeoutSettings, read_settings
from aicore.models.systems.regions import region_word
from aicore.models.timeouts import DEFAULT_TIMEOUTS, Timeouts

__all__ = ["VertexAI", "VertexSettings", "open_from_settings"]


class VertexAI(Gemini):
    """A Gemini model in a project of Google Cloud. The rest is as in Gemini.

    `base_url` is the address of `region`, e.g. `https://europe-west4-aiplatform.googleapis.com`.
    Needs the extra `google`; see GoogleToken for the account.
    Raises: ConfigError for a setting that cannot be, or a missing extra.
    """

    def __init__(
        self,
        *,
        project: str,
        region: str,
        model: str,
        base_url: str,
        name: str | None = None,
        price: Price | None = None,
        context_tokens: int | None = None,
        max_output_tokens: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            model=model,
            base_url=base_url,
            name=name or f"vertex:{model}",
            locality="managed",
            region=region_word(region),
            price=price,
            context_tokens=context_tokens,
            max_output_tokens=max_output_tokens,
            headers=headers,
            timeouts=timeouts,
            extra_body=extra_body,
            path=f"/v1/projects/{project}/locations/{region}/publishers/google/models/{{model}}",
            authorize=GoogleToken().authorize,
        )
        self._backend = replace(self._backend, key_remedy=KEY_REMEDY)


class VertexSettings(Section):
    """As in VertexAI. `locality` and `vendor` are what they are."""

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


def open_from_settings(settings: Mapping[str, Any]) -> VertexAI:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    checked = read_settings(VertexSettings, settings)
    return VertexAI(
        project=checked.project,
        region=checked.region,
        model=checked.model,
        base_url=checked.base_url,
        name=checked.name,
        price=checked.price.price() if checked.price else None,
        context_tokens=checked.context_tokens,
        max_output_tokens=checked.max_output_tokens,
        headers=checked.headers,
        timeouts=checked.timeouts.timeouts() if checked.timeouts else DEFAULT_TIMEOUTS,
        extra_body=checked.extra_body,
    )
