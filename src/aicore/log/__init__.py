"""The event log: the only truth about conversations."""

from aicore.log.events import Event
from aicore.log.memory import MemoryLog
from aicore.log.port import Claim, EventLog, OpenTurn, Received

__all__ = ["Claim", "Event", "EventLog", "MemoryLog", "OpenTurn", "Received"]
