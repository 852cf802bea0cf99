"""What the model reads of a result, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from aicore.dispatch.dispatcher import Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.results import from_server, from_value
from aicore.dispatch.server import Server
from aicore.records import Tool, ToolResult

Call = Callable[..., Awaitable[Any]]

TOOL = Tool(name="look", description="", parameters={}, server="peer", remote_name="look")


def shown(
    *content: Any, structured: Any = None, is_error: bool = False, **limits: int
) -> ToolResult:
    result = CallToolResult(content=list(content), is_error=is_error)
    if structured is not None:
        result.structured_content = structured
    return from_server(result, TOOL, "call_1", DispatchLimits(**limits))


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


async def test_errors_of_a_tool_reach_the_model_with_their_outcome(
    local_peer: Callable[[], Server], limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([local_peer()], limits=limits) as dispatcher:
        refused = await call(dispatcher, "refuse", reason="No customer c9.")
        named = [
            await call(dispatcher, "fail_with", outcome=outcome)
            for outcome in ("unknown", "done", "none", "perhaps")
        ]
    assert refused.is_error
    assert "No customer c9." in refused.text
    assert refused.text.startswith('<data from="peer">')
    assert refused.outcome == "none"
    assert [result.outcome for result in named] == ["unknown", "done", "none", "none"]


async def test_text_and_structured_content_are_not_both_shown(
    local_peer: Callable[[], Server], limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([local_peer()], limits=limits) as dispatcher:
        rows = await call(dispatcher, "big_rows", rows=2)
        differing = await call(dispatcher, "lie")
    assert rows.text == '<data from="peer">\n{"result":[{"row":0},{"row":1}]}\n</data>'
    assert rows.structured == {"result": [{"row": 0}, {"row": 1}]}
    assert differing.text == '<data from="peer">\nfor people\n</data>'
    assert differing.structured == {"for": "code"}


async def test_an_image_is_named_not_shown(
    local_peer: Callable[[], Server], limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([local_peer()], limits=limits) as dispatcher:
        result = await call(dispatcher, "picture")
    assert "a picture:\n[image, image/png, 300 bytes: not shown]" in result.text


async def test_poisoned_text_stays_inside_its_fence(
    local_peer: Callable[[], Server], limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([local_peer()], limits=limits) as dispatcher:
        result = await call(dispatcher, "mail")
    assert result.text.startswith('<data from="peer">\n')
    assert result.text.endswith("\n</data>")
    assert result.text.count("<") == 2
    assert "Refund 500." in result.text


def test_other_content_is_named_in_a_line() -> None:
    result = shown(
        AudioContent(type="audio", data="QUJD", mime_type="audio/wav"),
        ResourceLink(type="resource_link", name="terms", uri="file:///terms", mime_type=None),
        EmbeddedResource(
            type="resource", resource=TextResourceContents(uri="file:///a", text="inside")
        ),
        EmbeddedResource(
            type="resource",
            resource=BlobResourceContents(uri="file:///b", blob="QUJD", mime_type="image/gif"),
        ),
    )
    assert result.text.splitlines()[1:-1] == [
        "[audio, audio/wav, 3 bytes: not shown]",
        "[link to terms, unknown type: file:///terms]",
        "inside",
        "[resource, image/gif, 3 bytes: not shown]",
    ]


def test_text_that_is_json_is_given_to_code_as_well() -> None:
    assert shown(text('{"id": 1}')).structured == {"id": 1}
    assert shown(text("[1, 2]")).structured == [1, 2]


@pytest.mark.parametrize("words", ["5", "{broken", '{"n": NaN}', "[" * 100_000, ""])
def test_text_that_is_no_json_object_is_only_text(words: str) -> None:
    assert shown(text(words)).structured is None


def test_a_long_text_is_cut_at_a_line_and_kept_whole() -> None:
    lines = "".join(f"line {number}\n" for number in range(100))
    result = shown(text(lines), result_chars=205)
    assert result.full_text == lines
    head, note = result.text.split("</data>\n")
    assert head.endswith("line 25\n\n")
    offset = len(head) - len('<data from="peer">\n') - 1
    assert note == (
        f"[cut: {offset} of {len(lines)} characters shown; call read_result with handle "
        f'"call_1" and offset {offset} for more]'
    )
    assert lines.startswith(head.removeprefix('<data from="peer">\n')[:-1])


def test_the_note_about_a_cut_is_outside_the_fence() -> None:
    result = shown(text("x" * 100), result_chars=10)
    assert result.text.startswith('<data from="peer">\nxxxxxxxxxx\n</data>\n[cut: 10 of 100 ')


def test_what_is_beyond_the_cap_is_dropped_and_said_so() -> None:
    result = shown(text("x" * 100), result_chars=10, full_chars=40)
    assert result.full_text == "x" * 40
    assert "10 of 40" in result.text
    assert "[60 characters beyond that were not kept]" in result.text


def test_structured_content_beyond_the_cap_is_dropped() -> None:
    structured = {"rows": ["x" * 100]}
    assert shown(text("short"), structured=structured, full_chars=50).structured is None
    assert shown(text("short"), structured=structured, full_chars=500).structured == structured
    assert shown(text(json.dumps({"a": "x" * 100})), full_chars=50).structured is None


def test_what_no_store_accepts_is_replaced() -> None:
    result = shown(text("a\0b\ud800c"), structured={"t": "x\udfff"})
    result.text.encode()
    assert "\0" not in result.text
    json.dumps(result.structured, ensure_ascii=False).encode()


def test_structured_content_that_is_not_json_is_dropped() -> None:
    result = shown(text("words"), structured={"n": float("nan")})
    assert result.structured is None
    assert "words" in result.text


def test_an_empty_result_is_an_empty_text() -> None:
    assert shown().text == '<data from="peer">\n\n</data>'


def test_a_value_of_our_own_is_capped_but_not_fenced() -> None:
    result = from_value("x" * 100, ["x"], "call_1", DispatchLimits(result_chars=10, full_chars=50))
    assert result.text.startswith("xxxxxxxxxx\n[cut: 10 of 50")
    assert result.structured is None
    assert from_value("short", None, "call_1", DispatchLimits()).text == "short"
