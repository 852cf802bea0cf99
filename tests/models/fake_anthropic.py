"""Answers in Anthropic's Messages format, and a vendor who checks thinking, for a loopback server.

They parse with the vendor's own types, and its client reads them: see test_fake_anthropic.py.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.models import fake_openai
from tests.models.fake_openai import Asked, FakeOpenAI, Play, json_play, stream_play

Block = dict[str, Any]
USAGE = {
    "input_tokens": 20,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 100,
    "output_tokens": 7,
}
HOLDERS = {"text": "text", "tool_use": "partial_json", "thinking": "thinking"}


def text(value: str) -> Block:
    return {"type": "text", "text": value}


def call(call_id: str, name: str, arguments: Mapping[str, Any]) -> Block:
    return {"type": "tool_use", "id": call_id, "name": name, "input": dict(arguments)}


def thought(value: str, signature: str = "c2lnbg==") -> Block:
    return {"type": "thinking", "thinking": value, "signature": signature}


def hidden(data: str = "ZW5j") -> Block:
    return {"type": "redacted_thinking", "data": data}


def whole(*content: Block, stop: str = "end_turn", **changes: Any) -> dict[str, Any]:
    """A message."""
    data = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-fake",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": dict(USAGE),
    }
    return {**data, **changes}


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event, named by its type."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


PING = event({"type": "ping"})
STOP = event({"type": "message_stop"})


def start(**usage: int) -> bytes:
    """The first event: usage so far, an output of one token."""
    told = {**USAGE, "output_tokens": 1, **usage}
    message = whole(stop_reason=None, usage=told)
    return event({"type": "message_start", "message": message})


def delta(index: int, kind: str, **value: Any) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": {"type": kind, **value}})


def block(index: int, content: Block, size: int = 5) -> list[bytes]:
    """The events of one block, its value in pieces of `size` characters."""
    kind = content["type"]
    empty = {"text": {"text": ""}, "tool_use": {"input": {}}, "thinking": {"thinking": ""}}
    first = {**content, **empty.get(kind, {})}
    value = json.dumps(content["input"]) if kind == "tool_use" else content.get(kind, "")
    what = {"tool_use": "input_json_delta"}.get(kind, f"{kind}_delta")
    pieces = [value[at : at + size] for at in range(0, len(value), size)]
    events = [delta(index, what, **{HOLDERS[kind]: piece}) for piece in pieces if kind in HOLDERS]
    if kind == "thinking":
        first["signature"] = ""
        events.append(delta(index, "signature_delta", signature=content["signature"]))
    started = event({"type": "content_block_start", "index": index, "content_block": first})
    return [started, *events, event({"type": "content_block_stop", "index": index})]


def end(stop: str = "end_turn", **usage: int) -> bytes:
    """The event that tells why the answer ends; counts are totals."""
    why = {"stop_reason": stop, "stop_sequence": None}
    told = {"output_tokens": USAGE["output_tokens"], **usage}
    return event({"type": "message_delta", "delta": why, "usage": told})


def streamed(*content: Block, stop: str = "end_turn", size: int = 5) -> list[bytes]:
    """A stream as Anthropic sends it."""
    events = [start(), PING]
    for index, one in enumerate(content):
        events += block(index, one, size)
    return [*events, end(stop), STOP]


def error(kind: str, message: str = "Overloaded") -> dict[str, Any]:
    """An error as body or as event."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def answering(asked: Asked, *content: Block) -> Play:
    """Answer with this, as a stream when asked for one."""
    stop = "tool_use" if any(one["type"] == "tool_use" for one in content) else "end_turn"
    if asked.json.get("stream"):
        return stream_play(*streamed(*content, stop=stop))
    return json_play(whole(*content, stop=stop))


def last_text(asked: Asked) -> str:
    """The first text of the last message, or what a tool gave."""
    first = asked.json["messages"][-1]["content"][0]
    said: str = first.get("text") or first.get("content") or ""
    return said


def echo(asked: Asked) -> Play:
    """Repeat the last message."""
    return answering(asked, text(f"You said: {last_text(asked)}"))


@asynccontextmanager
async def serving(
    *plays: Play, otherwise: Callable[[Asked], Play] = echo
) -> AsyncIterator[FakeOpenAI]:
    """Serve on a free port: the plays in order, then what `otherwise` answers."""
    async with fake_openai.serving(*plays, otherwise=otherwise) as server:
        server.base_url = server.base_url.removesuffix("/v1")
        yield server


class CheckingVendor:
    """Signs what it thinks over all that stands before, and refuses it where that has changed.

    So do Claude's newer models: https://platform.claude.com/docs/en/build-with-claude/preserved-thinking.
    Marks for the cache do not count. `replayed` is how many thoughts each request brought back.
    """

    def __init__(self, *answers: Sequence[Block]) -> None:
        self.replayed: list[int] = []
        self._answers = iter(answers)

    def __call__(self, asked: Asked) -> Play:
        body = without_marks(asked.json)
        before: list[Any] = [body.get("tools"), body.get("system")]
        replayed = 0
        for message in body["messages"]:
            before.append(message["role"])
            for content in message["content"]:
                if content["type"] == "thinking":
                    replayed += 1
                    if content["signature"] != signature(before):
                        bound = "The block is bound to a different conversation."
                        return json_play(error("invalid_request_error", bound), status=400)
                before.append(content)
        self.replayed.append(replayed)
        before.append("assistant")
        return answering(asked, *signed(before, next(self._answers)))


def signed(before: Sequence[Any], content: Iterable[Block]) -> list[Block]:
    made: list[Block] = []
    for one in content:
        own = {"signature": signature([*before, *made])} if one["type"] == "thinking" else {}
        made.append({**one, **own})
    return made


def signature(before: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()


def without_marks(value: Any) -> Any:
    """The same without any `cache_control`."""
    if isinstance(value, list):
        return [without_marks(one) for one in value]
    if isinstance(value, dict):
        return {key: without_marks(one) for key, one in value.items() if key != "cache_control"}
    return value
