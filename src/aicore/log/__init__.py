"""The event log: the only truth about conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aicore.log.events import Event
from aicore.log.memory import MemoryLog
from aicore.log.port import Claim, EventLog, OpenTurn, Received, Stored

if TYPE_CHECKING:
    from aicore.log.sqlite import SQLiteLog

__all__ = ["Claim", "Event", "EventLog", "MemoryLog", "OpenTurn", "Received", "SQLiteLog", "Stored"]


def __getattr__(name: str) -> object:
    """Load SQLiteLog when it is first asked for: the default log needs no database."""
    if name != "SQLiteLog":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aicore.log.sqlite import SQLiteLog  # the point of this function

    return SQLiteLog
