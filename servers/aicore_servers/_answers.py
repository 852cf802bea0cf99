"""How values and errors become the JSON text of an answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any

from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from aicore_tools.errors import ToolsError

__all__ = ["first_mistakes", "plain", "refusal", "text_block"]


def plain(value: Any) -> Any:
    """Turn records into JSON values; fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) is not None
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def text_block(body: object) -> TextContent:
    """One block of compact JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return TextContent(type="text", text=text)


def refusal(error: ToolsError) -> CallToolResult:
    """Turn an error into the answer of a tool."""
    body = {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "outcome": error.outcome,
        "retry_after_s": error.retry_after_s,
        "hint": error.hint,
    }
    return CallToolResult(content=[text_block(plain(body))], is_error=True)


def first_mistakes(error: ValidationError) -> str:
    """Name the first three wrong arguments and what is wrong with each."""
    mistakes = error.errors(include_url=False, include_input=False)
    named = [
        f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}"
        for mistake in mistakes[:3]
    ]
    return "; ".join(named) + "."
