"""The yardstick: bare httpx2 and bare `mcp.Client` in the loop a good developer writes by hand.

No log, no policy, no retry, no deadline of its own, no limit. The whole body is encoded for each
request, history and tools included, because that is what one writes.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx2
from dialogue import INSTRUCTIONS, MODEL


class Raw:
    """Talks to one model with the tools of one MCP server, if any."""

    def __init__(self, model_url: str, target: Any = None) -> None:
        self._http = httpx2.AsyncClient()
        self._url = httpx2.URL(f"{model_url}/chat/completions")  # parsed once
        self._target = target
        self._stack = AsyncExitStack()
        self._tools: list[dict[str, Any]] = []
        self._history: dict[str, list[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._http)
        if self._target is not None:
            from mcp import Client  # a chat without tools does not pay for it

            self._mcp = await self._stack.enter_async_context(Client(self._target))
            for tool in (await self._mcp.list_tools()).tools:
                function = {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                }
                self._tools.append({"type": "function", "function": function})
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _ask(self, conversation: str, text: str) -> dict[str, Any]:
        system = {"role": "system", "content": INSTRUCTIONS}
        messages = self._history.setdefault(conversation, [system])
        messages.append({"role": "user", "content": text})
        body: dict[str, Any] = {"model": MODEL, "messages": messages}
        if self._tools:
            body["tools"] = self._tools
        return body

    async def send(self, conversation: str, text: str) -> str:
        """One turn."""
        body = self._ask(conversation, text)
        while True:
            response = await self._http.post(self._url, json=body)
            response.raise_for_status()
            message = response.json()["choices"][0]["message"]
            body["messages"].append(message)
            calls = message.get("tool_calls")
            if not calls:
                return message["content"]
            results = await asyncio.gather(*map(self._call, calls))  # noqa: TID251  as one writes
            body["messages"].extend(results)

    async def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call["function"]
        result = await self._mcp.call_tool(function["name"], json.loads(function["arguments"]))
        text = "".join(block.text for block in result.content if block.type == "text")
        return {"role": "tool", "tool_call_id": call["id"], "content": text}

    async def stream(self, conversation: str, text: str) -> str:
        """One turn, streamed; without tools."""
        body = self._ask(conversation, text)
        parts: list[str] = []
        streaming = {**body, "stream": True, "stream_options": {"include_usage": True}}
        async with self._http.stream("POST", self._url, json=streaming) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                choices = json.loads(line[6:])["choices"]
                if choices and (delta := choices[0]["delta"].get("content")):
                    parts.append(delta)
        answer = "".join(parts)
        body["messages"].append({"role": "assistant", "content": answer})
        return answer


def open_raw(model_url: str, target: str | list[str] | None) -> Raw:
    """The contender, with the server at a URL, started by a command, or without."""
    if isinstance(target, list):
        from mcp import StdioServerParameters

        return Raw(model_url, StdioServerParameters(command=target[0], args=target[1:]))
    return Raw(model_url, target)
