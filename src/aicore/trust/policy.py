"""The Policy port: is asked before every tool call, outside the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aicore.records import Conversation, Tool, ToolCall

__all__ = ["Allow", "AllowAll", "Ask", "Decision", "Deny", "Policy"]


@dataclass(frozen=True, slots=True)
class Allow:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A person decides first; `reason` is shown to that person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Not at all; `reason` is told to the model."""

    reason: str


Decision = Allow | Ask | Deny


class Policy(Protocol):
    """Decides on one exact call. Must be quick and must not call out.

    A call that a person has approved is not asked about again.
    """

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        """Give the decision; never raises for a call it does not like."""
        ...


class AllowAll:
    """Allows everything: the default of a fresh machine, where all data is local."""

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        """Allow."""
        return Allow()
