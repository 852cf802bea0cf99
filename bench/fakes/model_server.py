"""A fake OpenAI-compatible model server on loopback: answers at once, always the same.

It is deliberately lean (sockets and json), so that it does not take the measured process's
core. It refuses a request that lost part of the conversation, a tool, or a tool result.
Prints its port, serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from dialogue import CHUNK_TEXT, ECHO, INSTRUCTIONS, MODEL, TOOL_NAME, Question, question_in

_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_HEAD = "HTTP/1.1 {status}\r\ncontent-type: {type}\r\n{length}\r\n\r\n"


class Refused(Exception):
    """The request is not what a faithful client would have sent."""


def _text(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _last_question(body: dict[str, Any]) -> tuple[Question, list[dict[str, Any]]]:
    """The newest question, and the messages after it."""
    asked = 0
    newest: tuple[Question, int] | None = None
    for at, message in enumerate(body["messages"]):
        question = question_in(_text(message["content"])) if message["role"] == "user" else None
        if question is not None:
            asked += 1
            newest = question, at
    if newest is None:
        raise Refused("no question in the request")
    question, at = newest
    if asked != question.turn:
        raise Refused(f"turn {question.turn} arrived with {asked} questions")
    return question, body["messages"][at + 1 :]


def _results(messages: list[dict[str, Any]]) -> list[str]:
    """What the tools said in this turn, in the order of the calls."""
    results: list[str] = []
    open_ids: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            if open_ids:
                raise Refused(f"calls without a result: {open_ids}")
            open_ids = [call["id"] for call in message.get("tool_calls") or ()]
        elif message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                raise Refused(f"a result for the unknown call {message['tool_call_id']}")
            open_ids.remove(message["tool_call_id"])
            found = ECHO.search(_text(message["content"]))
            results.append(found[0] if found else _text(message["content"])[:80])
    if open_ids:
        raise Refused(f"calls without a result: {open_ids}")
    return results


def _tool_names(body: dict[str, Any]) -> list[str]:
    """Names of the bench's tools; a contender may give them a prefix and offer its own beside."""
    names = (tool["function"]["name"] for tool in body.get("tools") or ())
    return [name for name in names if TOOL_NAME in name]


def _check(body: dict[str, Any], question: Question) -> None:
    if body["model"] != MODEL:
        raise Refused(f"model {body['model']}")
    first = body["messages"][0]
    if first["role"] != "system" or INSTRUCTIONS not in _text(first["content"]):
        raise Refused("the instructions are missing")
    offered = len(_tool_names(body))
    if offered != question.tools:
        raise Refused(f"{offered} tools instead of {question.tools}")


def reply_to(body: dict[str, Any]) -> tuple[Question, dict[str, Any]]:
    """The assistant message a deterministic model gives.

    Raises: Refused when the request is not faithful.
    """
    question, after = _last_question(body)
    _check(body, question)
    results = _results(after)
    done = len(results) // question.calls if question.calls else question.rounds
    if done >= question.rounds:
        return question, {"role": "assistant", "content": question.answer(results)}
    names = _tool_names(body)
    calls = [
        {
            "id": f"call_{question.nonce}_{done}_{position}",
            "type": "function",
            "function": {
                "name": names[position % len(names)],
                "arguments": json.dumps({"text": question.call_text(done, position)}),
            },
        }
        for position in range(question.calls)
    ]
    return question, {"role": "assistant", "content": None, "tool_calls": calls}


def _completion(message: dict[str, Any]) -> bytes:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": MODEL,
        "choices": [choice],
        "usage": _USAGE,
    }
    return json.dumps(body).encode()


def _event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One server-sent event in a chunk of chunked encoding."""
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_780_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return _chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_WORD_EVENT = _event({"content": CHUNK_TEXT})
_LAST_EVENTS = (
    _event({}, "stop"),
    _event({}, choices=[], usage=_USAGE),
    _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
)


def _events(question: Question, message: dict[str, Any]) -> list[bytes]:
    text: str = message["content"]
    words = text.count(CHUNK_TEXT) if question.chunks else 0
    rest = text[words * len(CHUNK_TEXT) :]
    return [
        _event({"role": "assistant", "content": ""}),
        *(_WORD_EVENT for _ in range(words)),
        _event({"content": rest}),
        *_LAST_EVENTS,
    ]


class ModelServer:
    """Counts what it is asked, so that nobody asks more often than needed unseen."""

    def __init__(self) -> None:
        self.requests = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, _, fields = head.decode("latin-1").partition("\r\n")
                length = 0
                for header in fields.split("\r\n"):
                    name, _, value = header.partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                body = await reader.readexactly(length)
                await self._answer(line, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, line: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if line.startswith("GET /requests "):
            self._send(writer, "200 OK", json.dumps({"requests": self.requests}).encode())
            return
        self.requests += 1
        request = json.loads(body)
        try:
            question, message = reply_to(request)
        except Refused as refused:
            error = {"error": {"message": f"bench: {refused}", "type": "invalid_request_error"}}
            self._send(writer, "400 Bad Request", json.dumps(error).encode())
            return
        if request.get("stream"):
            await self._stream(writer, question, message)
        else:
            self._send(writer, "200 OK", _completion(message))

    def _send(self, writer: asyncio.StreamWriter, status: str, body: bytes) -> None:
        length = f"content-length: {len(body)}"
        head = _HEAD.format(status=status, type="application/json", length=length)
        writer.write(head.encode() + body)

    async def _stream(
        self, writer: asyncio.StreamWriter, question: Question, message: dict[str, Any]
    ) -> None:
        """One write per event: at once, or with a real pause after each."""
        chunked = "transfer-encoding: chunked"
        head = _HEAD.format(status="200 OK", type="text/event-stream", length=chunked)
        writer.write(head.encode())
        for event in _events(question, message):
            writer.write(event)
            if question.pause_us:
                await asyncio.sleep(question.pause_us / 1e6)  # noqa: TID251  the pace measured


async def main() -> None:
    """Serve on a free port until standard input ends."""
    server = await asyncio.start_server(ModelServer().connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # connections may still be open: nothing is left to say on them


if __name__ == "__main__":
    asyncio.run(main())
