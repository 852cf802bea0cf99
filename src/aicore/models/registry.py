"""The kinds of provider that a configuration can name: dialects, and systems that speak one.

A new dialect adds one line here; a system is a file in `systems`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from aicore.errors import ConfigError
from aicore.models.port import Provider
from aicore.models.systems.profiles import complete, known_systems, system

__all__ = ["known_kinds", "open_provider"]

# dialect: "module:function", where the function takes the settings and gives a Provider.
_KINDS = {
    "anthropic": "aicore.models.anthropic_settings:open_from_settings",
    "gemini": "aicore.models.gemini_settings:open_from_settings",
    "in-process": "aicore.models.in_process_settings:open_from_settings",
    "openai-compatible": "aicore.models.openai_settings:open_from_settings",
    "sagemaker": "aicore.models.sagemaker:open_from_settings",
    "vertex": "aicore.models.vertex:open_from_settings",
}


def known_kinds() -> list[str]:
    """Every word that `provider.kind` may be, but for those of other packages."""
    return sorted({*_KINDS, *known_systems()})


def open_provider(kind: str, settings: Mapping[str, Any]) -> Provider:
    """Make a provider from settings; the caller enters it. A system's profile completes them.

    Raises: ConfigError for an unknown kind or setting, naming the nearest known one.
    """
    profile = system(kind)
    if profile is None and kind not in _KINDS:
        known = known_kinds()
        near = difflib.get_close_matches(kind, known, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}."
        raise ConfigError(f"There is no provider of kind {kind!r}. {hint}")
    if profile is not None:
        kind, settings = profile.dialect, complete(profile, settings)
    module, _, function = _KINDS[kind].partition(":")
    provider: Provider = getattr(importlib.import_module(module), function)(settings)
    return provider
