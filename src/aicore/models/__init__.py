"""Providers: models behind one interface, local or managed. Each is imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore.models.anthropic import Anthropic
    from aicore.models.discovery import FoundServer, find_local
    from aicore.models.gemini import Gemini
    from aicore.models.in_process import InProcess
    from aicore.models.openai_compatible import OpenAICompatible
    from aicore.models.port import (
        Capabilities,
        Completion,
        OutputSchema,
        Price,
        Provider,
        Request,
        TextDelta,
    )
    from aicore.models.registry import open_provider
    from aicore.models.router import Router
    from aicore.models.scripted import ScriptedProvider
    from aicore.models.structured import complete_as
    from aicore.models.timeouts import Timeouts

__all__ = [
    "Anthropic",
    "Capabilities",
    "Completion",
    "FoundServer",
    "Gemini",
    "InProcess",
    "OpenAICompatible",
    "OutputSchema",
    "Price",
    "Provider",
    "Request",
    "Router",
    "ScriptedProvider",
    "TextDelta",
    "Timeouts",
    "complete_as",
    "find_local",
    "open_provider",
]

_MODULES = {
    "Anthropic": "anthropic",
    "Capabilities": "port",
    "Completion": "port",
    "FoundServer": "discovery",
    "Gemini": "gemini",
    "InProcess": "in_process",
    "OpenAICompatible": "openai_compatible",
    "OutputSchema": "port",
    "Price": "port",
    "Provider": "port",
    "Request": "port",
    "Router": "router",
    "ScriptedProvider": "scripted",
    "TextDelta": "port",
    "Timeouts": "timeouts",
    "complete_as": "structured",
    "find_local": "discovery",
    "open_provider": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
