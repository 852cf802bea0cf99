"""The kinds of provider that a configuration can name. A new dialect adds one line."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from aicore.errors import ConfigError
from aicore.models.port import Provider

__all__ = ["open_provider"]

# kind: "module:function", where the function takes the settings and gives a Provider.
_KINDS = {
    "openai-compatible": "aicore.models.openai_settings:open_from_settings",
}


def open_provider(kind: str, settings: Mapping[str, Any]) -> Provider:
    """Make a provider from settings; the caller enters it.

    Raises: ConfigError for an unknown kind or setting, naming the nearest known one.
    """
    target = _KINDS.get(kind)
    if target is None:
        near = difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(_KINDS)}."
        raise ConfigError(f"There is no provider of kind {kind!r}. {hint}")
    module, _, function = target.partition(":")
    provider: Provider = getattr(importlib.import_module(module), function)(settings)
    return provider
