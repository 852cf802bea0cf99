"""Hints that name the account: a backend knows its vendor, the server knows which account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

from aicore_servers._resources import CONNECTION
from aicore_tools.connections import named_account

__all__ = ["hints_for"]


def hints_for(account: str) -> ServerMiddleware[Any]:
    """Let the hints of errors say `aicore connect VENDOR --account ...`; middleware of a server.

    Nothing else of an answer is touched: what others wrote stays as they wrote it.
    """

    async def name_account(
        ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        result = await call_next(ctx)
        for content in _with_hints(result):
            body = json.loads(content["text"])
            errors = [body, *(one.get("error") or {} for one in body.get("connections", ()))]
            for error in errors:
                if isinstance(error.get("hint"), str):
                    error["hint"] = named_account(error["hint"], account)
            content["text"] = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return result

    return name_account


def _with_hints(result: HandlerResult) -> Sequence[dict[str, Any]]:
    """Give the contents of an answer that may have hints of ours: middleware sees it as sent."""
    if not isinstance(result, dict):
        return ()
    if result.get("isError"):
        refused: Sequence[dict[str, Any]] = result["content"]
        return refused
    return [each for each in result.get("contents", ()) if each["uri"] == CONNECTION]
