"""An async agent core over MCP: prompts, dispatch, durable turns. Knows no business."""

from aicore.agent.agent import Agent
from aicore.agent.context import ContextLimits
from aicore.agent.limits import Limits
from aicore.agent.replies import (
    CallFinished,
    CallRecord,
    CallStarted,
    Replied,
    Reply,
    StreamEvent,
    TextDelta,
    Waiting,
)
from aicore.dispatch.functions import tool
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.errors import AicoreError
from aicore.records import Principal

__all__ = [
    "Agent",
    "AicoreError",
    "CallFinished",
    "CallRecord",
    "CallStarted",
    "ContextLimits",
    "DispatchLimits",
    "Limits",
    "Principal",
    "Replied",
    "Reply",
    "Server",
    "StreamEvent",
    "TextDelta",
    "Waiting",
    "tool",
]
