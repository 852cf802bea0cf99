"""A model in this process from settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aicore.models.in_process import InProcess
from aicore.models.settings import Section, read_settings

__all__ = ["InProcessSettings", "open_from_settings"]


class InProcessSettings(Section):
    """As in InProcess; `~` in `path` is the home folder."""

    path: Path
    context_tokens: int = 8192
    at_once: int = 2
    threads: int | None = None
    name: str | None = None


def open_from_settings(settings: Mapping[str, Any]) -> InProcess:
    """Make the provider; the caller enters it. Raises: ConfigError."""
    checked = read_settings(InProcessSettings, settings)
    return InProcess(
        path=checked.path.expanduser(),
        context_tokens=checked.context_tokens,
        at_once=checked.at_once,
        threads=checked.threads,
        name=checked.name,
    )
