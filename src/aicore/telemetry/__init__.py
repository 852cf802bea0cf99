"""What an agent tells about its work: spans, metrics, and which turn a line of the log is of."""

from aicore.telemetry import names
from aicore.telemetry.port import ChatWatch, Telemetry, ToolWatch

__all__ = ["ChatWatch", "Telemetry", "ToolWatch", "names"]
