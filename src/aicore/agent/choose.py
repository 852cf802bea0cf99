"""Which provider answers: the configured one, else a local server that runs, else flows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aicore.agent.build import build_configured, build_provider
from aicore.config import Settings
from aicore.models.discovery import FoundServer, find_local
from aicore.models.port import Provider

__all__ = ["ChosenProvider", "choose_provider"]


_SYSTEMS = {"Ollama": "ollama", "LM Studio": "lm-studio"}
"""Those that load a model with its first request: their profiles have the patience for it."""


@dataclass(frozen=True, slots=True)
class ChosenProvider:
    """A provider and, in one sentence for a person, why it was taken."""

    provider: Provider
    why: str


async def choose_provider(
    settings: Settings, find: Callable[[], Awaitable[FoundServer | None]] = find_local
) -> ChosenProvider:
    """Choose for `provider.kind = "auto"`, or when no kind is given; else take what it says.

    `auto` looks for a local OpenAI-compatible server on the usual ports of this machine and
    falls back to the flows of `provider.file`. `find` is how it looks.
    Raises: ConfigError when nothing is configured and nothing is found.
    """
    fields: dict[str, Any] = dict(settings.provider)
    if settings.is_routed or fields.get("kind", "auto") != "auto":
        provider = build_configured(settings)
        names = settings.router.use or list(settings.providers) or [provider.name]
        return ChosenProvider(provider, f"answering with {' or '.join(names)}, as configured.")
    fields.pop("kind", None)
    found = await find()
    if found is not None:
        kind = _SYSTEMS.get(found.product, "openai-compatible")
        provider = build_provider({"kind": kind, "base_url": found.base_url, "model": found.model})
        return ChosenProvider(
            provider, f"answering with {found.model}, found running at {found.base_url}."
        )
    provider = build_provider(fields)
    return ChosenProvider(provider, "answering by flows: no model configured, none found running.")
