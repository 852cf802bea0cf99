"""A model server on loopback that plays what a test gives it, byte for byte.

Its ordinary answers parse with the vendor's own types: see test_fake_openai.py.
"""

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Literal

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


def call(index: int, name: str, arguments: str, call_id: str | None = None) -> dict[str, Any]:
    """One entry of `tool_calls`, with its place in a stream."""
    function = {"name": name, "arguments": arguments}
    return {
        "index": index,
        "id": call_id or f"call_{index}",
        "type": "function",
        "function": function,
    }


def whole(
    text: str | None = "Hello!",
    *,
    calls: Iterable[dict[str, Any]] = (),
    finish: str = "stop",
    usage: Mapping[str, Any] | None = USAGE,
    **changes: Any,
) -> dict[str, Any]:
    """A chat.completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {key: value for key, value in one.items() if key != "index"} for one in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "fake-model",
        "choices": [choice],
    }
    if usage is not None:
        data["usage"] = dict(usage)
    return {**data, **changes}


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None) -> dict[str, Any]:
    """A chat.completion.chunk."""
    choice = {"index": 0, "delta": dict(delta or {}), "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "fake-model",
        "choices": [choice],
    }


def usage_chunk(usage: Mapping[str, Any] = USAGE) -> dict[str, Any]:
    """The last chunk: usage and no choices."""
    return {**chunk(), "choices": [], "usage": dict(usage)}


def event(data: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def streamed(
    *texts: str, calls: Iterable[dict[str, Any]] = (), finish: str = "stop", done: bool = True
) -> list[bytes]:
    """A stream as OpenAI sends it: role, text, calls in pieces, finish, usage, `[DONE]`."""
    events = [event(chunk({"role": "assistant", "content": ""}))]
    events += [event(chunk({"content": text})) for text in texts]
    for one in calls:
        arguments = one["function"]["arguments"]
        function = {"name": one["function"]["name"], "arguments": ""}
        events.append(event(chunk({"tool_calls": [{**one, "function": function}]})))
        for start in range(0, len(arguments), 3):
            piece = {"arguments": arguments[start : start + 3]}
            delta = {"tool_calls": [{"index": one["index"], "function": piece}]}
            events.append(event(chunk(delta)))
    events += [event(chunk({}, finish)), event(usage_chunk())]
    return [*events, DONE] if done else events


@dataclass
class Play:
    """One answer. `end`: `whole`, `cut` in the middle of the body, or `hang` and say no more.

    `framing` `close` sends neither length nor chunks: the end of the connection ends the body.
    `drop` closes without a byte, `waits` never sends one. `repeats` sends its parts for ever.
    """

    parts: list[bytes] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    framing: Literal["chunked", "close"] = "chunked"
    end: Literal["whole", "cut", "hang"] = "whole"
    drop: bool = False
    waits: bool = False
    repeats: bool = False


def stream_play(*parts: bytes, **how: Any) -> Play:
    """A streamed answer of these bytes."""
    return Play(list(parts), headers={"content-type": "text/event-stream"}, **how)


def json_play(data: Any, **how: Any) -> Play:
    """A whole answer."""
    headers = {"content-type": "application/json", **how.pop("headers", {})}
    return Play([json.dumps(data).encode()], headers=headers, **how)


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeOpenAI:
    """What was asked, and what happened to the connections."""

    def __init__(
        self, plays: Iterable[Play], otherwise: Callable[[Asked], Play], port: int
    ) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.requests: list[Asked] = []
        self.connections = 0
        self.gone = anyio.Event()
        """The client left while an answer hung."""
        self.before_body: anyio.Event | None = None
        """When set, no body is sent before it."""
        self._plays = list(plays)
        self._otherwise = otherwise

    async def handle(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            try:
                while await self._answer(reader, stream):
                    pass
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                pass

    async def _answer(self, reader: BufferedByteReceiveStream, stream: SocketStream) -> bool:
        head = (await reader.receive_until(b"\r\n\r\n", 65536)).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.receive_exactly(int(headers.get("content-length", "0")))
        asked = Asked(first.split(" ")[1], headers, body)
        self.requests.append(asked)
        play = self._plays.pop(0) if self._plays else self._otherwise(asked)
        if play.drop:
            return False
        if play.waits:
            return await self._hang(reader)
        await stream.send(_head(play))
        if self.before_body is not None:
            await self.before_body.wait()
        for part in cycle(play.parts) if play.repeats else play.parts:
            is_chunk = play.framing == "chunked"
            await stream.send(b"%x\r\n%s\r\n" % (len(part), part) if is_chunk else part)
        if play.end == "hang":
            return await self._hang(reader)
        if play.end == "cut" or play.framing == "close":
            return False
        await stream.send(b"0\r\n\r\n")
        return True

    async def _hang(self, reader: BufferedByteReceiveStream) -> bool:
        try:
            await reader.receive(1)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.gone.set()
        return False


def _head(play: Play) -> bytes:
    headers = dict(play.headers)
    if play.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    else:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {play.status} Any\r\n{lines}\r\n".encode()


def echo(asked: Asked) -> Play:
    """Repeat the last message, as a stream when asked for one."""
    return answering(asked, f"You said: {asked.json['messages'][-1]['content']}")


def answering(asked: Asked, text: str, calls: Iterable[dict[str, Any]] = ()) -> Play:
    """Answer with this, as a stream when asked for one."""
    finish = "tool_calls" if calls else "stop"
    if asked.json.get("stream"):
        pieces = (text[at : at + 5] for at in range(0, len(text), 5))
        return stream_play(*streamed(*pieces, calls=calls, finish=finish))
    return json_play(whole(text or None, calls=calls, finish=finish))


@asynccontextmanager
async def serving(
    *plays: Play, otherwise: Callable[[Asked], Play] = echo
) -> AsyncIterator[FakeOpenAI]:
    """Serve on a free port: the plays in order, then what `otherwise` answers."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    server = FakeOpenAI(plays, otherwise, port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
