"""What is remembered of customers and of the business, beyond one conversation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aicore.memory.memory import Memory, MemoryLimits
    from aicore.memory.postgres import PostgresMemory
    from aicore.memory.sqlite import SQLiteMemory

__all__ = ["Memory", "MemoryLimits", "PostgresMemory", "SQLiteMemory"]

_PLACES = {
    "Memory": "aicore.memory.memory",
    "MemoryLimits": "aicore.memory.memory",
    "PostgresMemory": "aicore.memory.postgres",
    "SQLiteMemory": "aicore.memory.sqlite",
}


def __getattr__(name: str) -> object:
    """Load each when it is first asked for: an agent without a memory needs none of it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
