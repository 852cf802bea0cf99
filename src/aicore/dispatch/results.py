"""Turns what a tool gave into what the model reads, capped, and what code reads, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from aicore.dispatch.fencing import fence
from aicore.dispatch.limits import DispatchLimits
from aicore.records import Tool, ToolResult

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

__all__ = ["from_server", "from_value", "refusal"]

_CUT_SEARCH = 200


def refusal(text: str, outcome: Literal["none", "unknown"] = "none") -> ToolResult:
    """Give an error in our own words."""
    return ToolResult(text=text, is_error=True, outcome=outcome)


def from_server(
    result: CallToolResult,
    tool: Tool,
    call_id: str,
    limits: DispatchLimits,
    *,
    is_repeated: bool = False,
) -> ToolResult:
    """Read a server's result.

    The model is shown the text, or the structured content where the text is only the same in
    more words. An error's `outcome` is the one its JSON names; a server that names none and
    answers with an error is taken to say that nothing happened, as MCP's tool errors do: a tool
    that can fail after its effect must name its outcome. Where the call was sent before and may
    have been done then (`is_repeated`), such an error leaves the outcome unknown.
    """
    text = _text_of(result.content)
    structured, encoded = _structured(result.structured_content, text, limits.full_chars)
    if encoded is not None and (not text or text[0] in "{["):
        text = encoded
    shown, full = _capped(_printable(text), call_id, limits, tool.server)
    is_error = bool(result.is_error)
    return ToolResult(
        text=shown,
        is_error=is_error,
        structured=structured,
        outcome=_outcome(structured, is_repeated) if is_error else "done",
        full_text=full,
    )


def from_value(text: str, structured: Any, call_id: str, limits: DispatchLimits) -> ToolResult:
    """Give what a plain function returned: capped as well, but trusted, so not fenced."""
    shown, full = _capped(_printable(text), call_id, limits, None)
    is_kept = len(text) <= limits.full_chars
    return ToolResult(text=shown, structured=structured if is_kept else None, full_text=full)


def _text_of(content: Sequence[ContentBlock]) -> str:
    if len(content) == 1 and content[0].type == "text":
        return content[0].text
    return "\n".join(_line_of(block) for block in content)


def _line_of(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {len(block.data) * 3 // 4} bytes: not shown]"
        case "resource_link":
            return f"[link to {block.name}, {block.mime_type or 'unknown type'}: {block.uri}]"
        case "resource":
            resource = block.resource
            text = getattr(resource, "text", None)
            if isinstance(text, str):
                return text
            size_bytes = len(getattr(resource, "blob", "")) * 3 // 4
            return (
                f"[resource, {resource.mime_type or 'unknown type'}, {size_bytes} bytes: not shown]"
            )


def _structured(given: Any, text: str, longest: int) -> tuple[Any, str | None]:
    """Find the JSON of a result, and its compact text where the server gave it as JSON."""
    if given is None:
        return _parsed(text, longest), None
    try:
        encoded = json.dumps(given, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None, None
    if len(encoded) > longest:
        return None, encoded
    printable = _printable(encoded)
    # A lone surrogate cannot be stored by anybody who keeps the result.
    return (given if printable is encoded else json.loads(printable)), encoded


def _parsed(text: str, longest: int) -> Any:
    if text[:1] not in ("{", "[") or len(text) > longest:
        return None
    try:
        return json.loads(_printable(text), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _outcome(structured: Any, is_repeated: bool) -> Literal["done", "none", "unknown"]:
    match structured.get("outcome") if isinstance(structured, dict) else None:
        case "done":
            return "done"
        case "none":
            return "none"
        case "unknown":
            return "unknown"
    return "unknown" if is_repeated else "none"


def _printable(text: str) -> str:
    """Replace what stores refuse: NUL and lone surrogates. The same object when there is none."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _capped(
    text: str, call_id: str, limits: DispatchLimits, source: str | None
) -> tuple[str, str | None]:
    """Give what is shown, and the whole where that is more."""
    if len(text) <= limits.result_chars:
        return (text if source is None else fence(text, source)), None
    full = text[: limits.full_chars]
    head = _head(full, limits.result_chars)
    note = (
        f"[cut: {len(head)} of {len(full)} characters shown; call read_result with handle "
        f'"{call_id}" and offset {len(head)} for more]'
    )
    if len(full) < len(text):
        note += f" [{len(text) - len(full)} characters beyond that were not kept]"
    return f"{head if source is None else fence(head, source)}\n{note}", full


def _head(text: str, length: int) -> str:
    head = text[:length]
    line = head.rfind("\n", max(1, length - _CUT_SEARCH))
    return head if line < 0 else head[: line + 1]
