"""pydantic-ai as its documentation shows it: a peer, in an environment of its own."""

from __future__ import annotations

from typing import Any, Self

from dialogue import INSTRUCTIONS, MODEL
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class PydanticAIAgent:
    """An Agent with at most one MCP server; the caller keeps the history, as documented."""

    def __init__(self, agent: Agent[None, str]) -> None:
        self._agent = agent
        self._history: dict[str, list[ModelMessage]] = {}

    async def __aenter__(self) -> Self:
        await self._agent.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._agent.__aexit__(None, None, None)

    async def send(self, conversation: str, text: str) -> str:
        """One turn."""
        result = await self._agent.run(text, message_history=self._history.get(conversation))
        self._history[conversation] = result.all_messages()
        return result.output

    async def stream(self, conversation: str, text: str) -> str:
        """One turn, streamed."""
        history = self._history.get(conversation)
        async with self._agent.run_stream(text, message_history=history) as result:
            parts = [part async for part in result.stream_text(delta=True, debounce_by=None)]
        self._history[conversation] = result.all_messages()
        return "".join(parts)


def open_pydantic_ai(model_url: str, target: str | list[str] | None) -> PydanticAIAgent:
    """The contender, with the server at a URL, started by a command, or without."""
    provider = OpenAIProvider(base_url=model_url, api_key="none")
    model = OpenAIChatModel(MODEL, provider=provider)
    return PydanticAIAgent(
        Agent(model, instructions=INSTRUCTIONS, toolsets=_toolsets(target)),
    )


def _toolsets(target: str | list[str] | None) -> list[Any]:
    if target is None:
        return []
    from pydantic_ai.mcp import MCPToolset

    if isinstance(target, list):
        from fastmcp.client.transports import StdioTransport

        return [MCPToolset(StdioTransport(command=target[0], args=target[1:]))]
    return [MCPToolset(target)]
