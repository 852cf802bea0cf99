"""Reading on in a tool result that was cut, from where the log keeps it whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore.agent.session import Session
from aicore.dispatch.fencing import fence
from aicore.log.events import ToolFinished
from aicore.log.port import EventLog
from aicore.records import Tool, ToolResult

__all__ = ["READ_RESULT", "read_result"]

_PAGE_CHARS = 16_000

READ_RESULT = Tool(
    name="read_result",
    description=(
        "Read more of an earlier tool result that was cut. Give the handle and the offset named "
        "where it was cut."
    ),
    parameters={
        "type": "object",
        "properties": {
            "handle": {"type": "string"},
            "offset": {"type": "integer", "minimum": 0},
        },
        "required": ["handle", "offset"],
        "additionalProperties": False,
    },
    server="aicore",
    remote_name="read_result",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
"""The core's own tool, offered beside any others."""


async def read_result(log: EventLog, session: Session, arguments: Mapping[str, Any]) -> ToolResult:
    """Carry out a call of READ_RESULT within one conversation.

    It reads from the result on, where that is still known, else the conversation from its start.
    """
    handle, offset = arguments.get("handle"), arguments.get("offset")
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        return _mistake("offset must be a whole number, 0 or more.")
    before = session.cut_results.get(str(handle), 1) - 1
    for event in await log.read(session.conversation, before):
        body = event.body
        if isinstance(body, ToolFinished) and body.call_id == handle and body.full_text:
            return _page(body.full_text, body, offset)
    return _mistake(f"There is no cut result with the handle {handle!r}.")


def _page(text: str, finished: ToolFinished, offset: int) -> ToolResult:
    if offset >= len(text):
        return _mistake(f"The result ends at {len(text)}; offset {offset} is behind it.")
    end = min(offset + _PAGE_CHARS, len(text))
    shown = fence(text[offset:end], finished.tool)
    if end == len(text):
        return ToolResult(text=f"{shown}\n[end of the result]")
    return ToolResult(
        text=(
            f"{shown}\n[characters {offset} to {end} of {len(text)}; call read_result with handle "
            f'"{finished.call_id}" and offset {end} for more]'
        )
    )


def _mistake(text: str) -> ToolResult:
    return ToolResult(text=text, is_error=True, outcome="none")
