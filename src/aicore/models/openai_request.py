"""Requests in OpenAI's chat format, joined from bytes that were encoded once.

Body = head (model and options of the provider) + prefix (tools, system message) + messages +
tail (what differs from request to request). All but the tail and the end of the last message are
the same bytes in the next request of a conversation, so a backend's prompt cache hits.

Chat templates of local models demand that user and assistant alternate after one system message.
So the summary is put in front of the first user message (not into the system message: customers
had a hand in its text), and volatile text at the end of the last message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aicore.models.openai_schema import response_format
from aicore.models.port import Request
from aicore.models.wire_json import to_json, to_json_text
from aicore.records import Message, Prefix, Tail, Tool, ToolCall

__all__ = ["encode_body", "encode_head"]

_DIALECT = "openai"
_USER = b'{"role":"user","content":"'


def encode_head(model: str, *, is_stream: bool, options: Mapping[str, Any]) -> bytes:
    """Encode what is the same in all requests of a provider: `{...,`."""
    head: dict[str, Any] = {"model": model, **options, "stream": is_stream}
    if is_stream:
        head["stream_options"] = {"include_usage": True}
    return to_json(head)[:-1] + b","


def encode_body(request: Request, head: bytes, *, limit_field: str) -> bytes:
    """Join a request's body. `limit_field` is this server's name for the output limit.

    Raises: ValueError when the tail does not end with a user or tool message.
    """
    tail = request.tail
    if not tail or tail[-1].role == "assistant":
        raise ValueError("A request's tail must end with a user or tool message.")
    messages = _joined(tail)
    if request.summary is not None:
        messages = _with_summary(messages, request.summary)
    if request.volatile:
        context = _escaped(f"\n\n<context>\n{request.volatile}\n</context>")
        messages = messages[:-2] + context + b'"}'
    prefix = request.prefix.encoded.get(_DIALECT) or _encode_prefix(request.prefix)
    return b"".join((head, prefix, messages, b"]", _end(request, limit_field), b"}"))


def _end(request: Request, limit_field: str) -> bytes:
    end = b""
    if request.max_output_tokens is not None:
        end = b',"%s":%d' % (limit_field.encode(), request.max_output_tokens)
    if request.output_schema is not None:
        end += b',"response_format":' + response_format(request.output_schema)
    return end


def _joined(tail: Sequence[Message]) -> bytes:
    """Join all messages; a Tail keeps the join, so that the next request costs what is new.

    Only a Tail may: a sequence that somebody else made can hold the same messages between
    others, and must not get bytes that were left out of it.
    """
    if not isinstance(tail, Tail):
        return b",".join(map(_encoded, tail))
    count, joined = tail.joined.get(_DIALECT, (0, b""))
    if not 0 < count <= len(tail):
        joined = b",".join(map(_encoded, tail))
    elif count < len(tail):
        joined = b",".join((joined, *map(_encoded, tail[count:])))
    tail.joined[_DIALECT] = len(tail), joined
    return joined


def _with_summary(messages: bytes, summary: Message) -> bytes:
    text = summary.encoded.get(_DIALECT)
    if text is None:
        text = _escaped(f"<summary>\n{summary.text}\n</summary>")
        summary.encoded[_DIALECT] = text
    if messages.startswith(_USER):
        return _USER + text + rb"\n\n" + messages[len(_USER) :]
    return _USER + text + b'"},' + messages


def _encode_prefix(prefix: Prefix) -> bytes:
    tools = b""
    if prefix.shown:
        tools = b'"tools":%s,' % to_json([_tool(tool) for tool in prefix.shown])
    system = b""
    if prefix.instructions:
        system = to_json({"role": "system", "content": prefix.instructions}) + b","
    encoded = tools + b'"messages":[' + system
    prefix.encoded[_DIALECT] = encoded
    return encoded


def _tool(tool: Tool) -> dict[str, Any]:
    # OpenAI refuses an object schema that has no `properties`.
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _encoded(message: Message) -> bytes:
    return message.encoded.get(_DIALECT) or _encode_message(message)


def _encode_message(message: Message) -> bytes:
    # `content` is the last key of user and tool messages: see `_with_summary` and `volatile`.
    if message.role == "user":
        encoded = to_json({"role": "user", "content": message.text})
    elif message.role == "tool":
        encoded = to_json(
            {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
        )
    else:
        # An empty text rather than null: templates concatenate it.
        assistant: dict[str, Any] = {"role": "assistant", "content": message.text}
        if message.calls:
            assistant["tool_calls"] = [_call(call) for call in message.calls]
        encoded = to_json(assistant)
    message.encoded[_DIALECT] = encoded
    return encoded


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": to_json_text(dict(call.arguments))}
    return {"id": call.id, "type": "function", "function": function}


def _escaped(text: str) -> bytes:
    return to_json(text)[1:-1]
