"""The programs that are compared, each as its users would write it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, Self

__all__ = ["Contender", "open_contender"]


class Contender(AbstractAsyncContextManager["Contender"], Protocol):
    """A chat program with one model and at most one MCP server."""

    async def send(self, conversation: str, text: str) -> str:
        """One turn; the final text."""

    async def stream(self, conversation: str, text: str) -> str:
        """One streamed turn; the joined text."""

    async def __aenter__(self) -> Self: ...


def open_contender(
    name: str, model_url: str, target: str | list[str] | None, log_path: Path
) -> Contender:
    """A contender by name; its library is imported here and not earlier.

    `target` is the MCP server: a URL, a command, or None. `log_path` is where `aicore-sqlite`
    keeps its log.
    """
    if name == "raw":
        from contenders.raw import open_raw

        return open_raw(model_url, target)
    if name == "pydantic-ai":
        from contenders.pydantic_ai_agent import open_pydantic_ai

        return open_pydantic_ai(model_url, target)
    if name == "litellm":
        from contenders.litellm_router import LiteLLMRouter

        return LiteLLMRouter(model_url)
    if name in ("provider", "router", "router-budget"):
        from contenders.models_only import open_models_only

        return open_models_only(name, model_url)
    from contenders.aicore_agent import open_aicore

    return open_aicore(model_url, target, log_path if name == "aicore-sqlite" else None)
