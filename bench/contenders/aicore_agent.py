"""aicore as a user writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from dialogue import INSTRUCTIONS, MODEL

from aicore import Agent, Server
from aicore.agent.context import ContextLimits
from aicore.models import OpenAICompatible

# The same work as the loop's: every tool is offered, and the whole conversation sent. What tool
# search and compaction save is measured by itself, in tool_search.py and context.py.
LIKE_THE_LOOP = ContextLimits(most_tools=None, compact_at_tokens=100_000_000)


class AicoreAgent:
    """An Agent with at most one server."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def __aenter__(self) -> Self:
        await self._agent.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._agent.__aexit__(None, None, None)

    async def send(self, conversation: str, text: str) -> str:
        """One turn."""
        return (await self._agent.send(text, conversation=conversation)).text

    async def stream(self, conversation: str, text: str) -> str:
        """One turn, streamed."""
        parts: list[str] = []
        async for event in self._agent.stream(text, conversation=conversation):
            delta = getattr(event, "delta", None)
            if delta is not None:
                parts.append(delta)
        return "".join(parts)


def open_aicore(
    model_url: str, target: str | list[str] | None, log_path: Path | None = None
) -> AicoreAgent:
    """The contender, with the server at a URL, started by a command, or without.

    `log_path` makes the log durable there; None keeps it in memory.
    """
    servers = []
    if isinstance(target, list):
        servers.append(Server.stdio(*target))
    elif target is not None:
        servers.append(Server.http(target))
    provider = OpenAICompatible(base_url=model_url, model=MODEL)
    from aicore.log import MemoryLog, SQLiteLog

    agent = Agent(
        provider=provider,
        servers=servers,
        instructions=INSTRUCTIONS,
        log=MemoryLog() if log_path is None else SQLiteLog(str(log_path)),
        context=LIKE_THE_LOOP,
    )
    return AicoreAgent(agent)
