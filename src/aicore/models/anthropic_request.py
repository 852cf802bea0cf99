"""Requests in Anthropic's Messages format, joined from bytes that were encoded once.

Body = head (model and options of the provider) + prefix (tools, system) + messages + ending (the
limit and what else differs). Messages of one role that follow each other are one message there,
so all results of an answer's calls are, in front of what a user says next. The volatile text is
a block of its own at the very end.

Two blocks are marked for the vendor's prompt cache: the last of the prefix, and the last before
the volatile text. A mark is no part of what is cached, so the next request reads what this one
wrote, though its mark stands further on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

from aicore.models.anthropic_thinking import Thinking
from aicore.models.port import Request
from aicore.models.wire_json import to_json
from aicore.records import Message, Prefix, Tail, Tool, ToolCall

__all__ = ["digest_of", "encode_body", "encode_head"]

_DIALECT = "anthropic"
_MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
_MARK_JSON = b"," + to_json(_MARK)[1:]
_OPEN = {"user": b'{"role":"user","content":[', "assistant": b'{"role":"assistant","content":['}
_CLOSE = b"]}"
# Blank text blocks are refused, as is a first message that is not the user's.
_NOTHING = "(empty)"
_BEGINNING = to_json({"type": "text", "text": "(The conversation begins.)"})
_CALL_ID = re.compile(r"[A-Za-z0-9_-]+")
_TOP_LEVEL_REFUSED = ("oneOf", "allOf", "anyOf")


def encode_head(model: str, *, is_stream: bool, options: Mapping[str, Any]) -> bytes:
    """Encode what is the same in all requests of a provider: `{...,`."""
    return to_json({"model": model, **options, "stream": is_stream})[:-1] + b","


def encode_body(
    request: Request, head: bytes, *, provider: str, model: str, ending: Mapping[str, Any]
) -> bytes:
    """Join a request's body. `ending` ends the body.

    The thinking that goes back is that of `model`, answering as `provider`.

    Raises: ValueError when the tail does not end with a user or tool message.
    """
    tail = request.tail
    if not tail or tail[-1].role == "assistant":
        raise ValueError("A request's tail must end with a user or tool message.")
    messages = _opened(_joined(request, provider, model), request.summary)
    return b"".join(
        (
            head,
            _encoded_prefix(request.prefix),
            messages[:-1],
            _MARK_JSON,
            _context(request.volatile),
            _CLOSE,
            b"],",
            to_json(dict(ending))[1:],
        )
    )


def digest_of(request: Request, provider: str, model: str) -> str:
    """Name who answers this request, and all that the answer follows but marks for the cache."""
    ground = _ground_digest(request, model)
    joiner = _Joiner(ground, provider, _joined(request, provider, model), "user")
    return joiner.digest(_context(request.volatile))


def _opened(joined: bytes, summary: Message | None) -> bytes:
    """Put the summary into the first user message, and one there where there is none."""
    is_users = joined.startswith(_OPEN["user"])
    if summary is None:
        return joined if is_users else _OPEN["user"] + _BEGINNING + b"]}," + joined
    first = _OPEN["user"] + _encoded_summary(summary)
    return first + (b"," + joined[len(_OPEN["user"]) :] if is_users else b"]}," + joined)


def _joined(request: Request, provider: str, model: str) -> bytes:
    """Join all messages, the last one left open; a Tail keeps the join.

    What is joined depends on what stands in front, see `Thinking`: hence the key.
    """
    tail, ground = request.tail, _ground_digest(request, model)
    if not isinstance(tail, Tail):
        return _Joiner(ground, provider, b"", "").join(tail)
    owner = f"{_DIALECT}:{provider}:"
    key = owner + ground
    count, joined = tail.joined.get(key, (0, b""))
    if not 0 < count <= len(tail):
        count, joined = 0, b""
        for other in [known for known in tail.joined if known.startswith(owner)]:
            del tail.joined[other]
    if count < len(tail):
        role = _role_after(tail[:count])
        joined = _Joiner(ground, provider, joined, role).join(tail[count:])
    tail.joined[key] = len(tail), joined
    return joined


class _Joiner:
    """Joins messages to those joined before, whose last one is of `role` ("": there is none).

    `ground` names what stands in front of them, and who reads it.
    """

    def __init__(self, ground: str, provider: str, joined: bytes, role: str) -> None:
        self._ground = ground
        self._provider = provider
        self._role = role
        self._pieces = [joined]
        self._sofar: blake2b | None = None

    def join(self, messages: Iterable[Message]) -> bytes:
        for message in messages:
            if message.role != "assistant":
                self._add("user", _encoded(message))
            elif not self._add_with_thinking(message):
                self._add("assistant", _encoded(message))
        return b"".join(self._pieces)

    def digest(self, context: bytes) -> str:
        if self._sofar is None:
            self._sofar = blake2b(self._ground.encode(), digest_size=16)
            for piece in self._pieces:
                self._sofar.update(piece)
        with_context = self._sofar.copy()
        with_context.update(context)
        return with_context.hexdigest()

    def _add_with_thinking(self, message: Message) -> bool:
        thinking = Thinking.of(message, self._provider)
        if thinking is None or self._role != "user":
            return False
        context = _context(thinking.context)
        if self.digest(context) != thinking.after:
            return False
        self._push(context)
        self._add("assistant", _encoded(message, thinking))
        return True

    def _add(self, role: str, blocks: bytes) -> None:
        if not blocks:
            return
        if role == self._role:
            self._push(b"," + blocks)
        else:
            self._push((b"]}," if self._role else b"") + _OPEN[role] + blocks)
        self._role = role

    def _push(self, piece: bytes) -> None:
        self._pieces.append(piece)
        if self._sofar is not None:
            self._sofar.update(piece)


def _role_after(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role != "assistant":
            return "user"
        if _encoded(message):
            return "assistant"
    return ""


def _ground_digest(request: Request, model: str) -> str:
    """Name the prefix, the summary and the model that reads them."""
    key = f"{_DIALECT} digest"
    of_prefix = request.prefix.encoded.get(key)
    if of_prefix is None:
        of_prefix = sha256(_encoded_prefix(request.prefix)).digest()
        request.prefix.encoded[key] = of_prefix
    summary = b"" if request.summary is None else _encoded_summary(request.summary)
    return sha256(b"%s\0%s%s" % (model.encode(), of_prefix, summary)).hexdigest()[:16]


def _encoded_prefix(prefix: Prefix) -> bytes:
    encoded = prefix.encoded.get(_DIALECT)
    if encoded is None:
        tools = [_tool(tool) for tool in prefix.shown]
        system = [_text(prefix.instructions)] if prefix.instructions.strip() else []
        for blocks in (system, tools):
            if blocks:
                blocks[-1] |= _MARK
                break
        fields = {key: value for key, value in (("tools", tools), ("system", system)) if value}
        before = to_json(fields)[1:-1] + b"," if fields else b""
        prefix.encoded[_DIALECT] = encoded = before + b'"messages":['
    return encoded


def _tool(tool: Tool) -> dict[str, Any]:
    # Schemas of MCP servers may have at their top what Anthropic refuses there, and with it the
    # whole request; the server itself checks arguments all the same.
    schema = {key: tool.parameters[key] for key in tool.parameters if key not in _TOP_LEVEL_REFUSED}
    schema["type"] = "object"
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": schema}


def _encoded_summary(summary: Message) -> bytes:
    encoded = summary.encoded.get(_DIALECT)
    if encoded is None:
        encoded = to_json(_text(f"<summary>\n{summary.text}\n</summary>"))
        summary.encoded[_DIALECT] = encoded
    return encoded


def _context(volatile: str) -> bytes:
    if not volatile:
        return b""
    return b"," + to_json(_text(f"<context>\n{volatile}\n</context>"))


def _encoded(message: Message, thinking: Thinking | None = None) -> bytes:
    """Encode a message's blocks, b"" for one that has none."""
    key = _DIALECT if thinking is None else f"{_DIALECT}:{message.provider}"
    encoded = message.encoded.get(key)
    if encoded is None:
        encoded = to_json(_blocks(message, thinking))[1:-1]
        message.encoded[key] = encoded
    return encoded


def _blocks(message: Message, thinking: Thinking | None) -> list[Mapping[str, Any]]:
    if message.role == "user":
        return [_text(message.text if message.text.strip() else _NOTHING)]
    if message.role == "tool":
        return [_result(message)]
    if thinking is None:
        said = [_text(message.text)] if message.text.strip() else []
        return [*said, *map(_call, message.calls)]
    blocks: list[Mapping[str, Any]] = []
    calls, at = iter(message.calls), 0
    for part in thinking.layout:
        if part is None:
            blocks.append(_call(next(calls)))
        elif isinstance(part, int):
            text, at = message.text[at : at + part], at + part
            if text.strip():
                blocks.append(_text(text))
        else:
            blocks.append(part)
    return blocks


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": _call_id(call.id),
        "name": call.name,
        "input": dict(call.arguments),
    }


def _result(message: Message) -> dict[str, Any]:
    # An error without content is refused.
    content = message.text if message.text.strip() else _NOTHING
    error = {"is_error": True} if message.is_error else {}
    call_id = _call_id(message.call_id)
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **error}


def _call_id(call_id: str) -> str:
    """Give an id that Anthropic takes; those of other providers may be any text."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return f"call_{sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
