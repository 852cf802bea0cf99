"""Three OpenAI-compatible stand-ins on one port that refuse, break off and stall at random.

Paths are /a/v1, /b/v1 and /c/v1. A question says what the answer is, so that a lost or a doubled
word is seen. Asked to go on with a broken answer, it goes on, repeats a few words first, or
begins anew, as models do. Prints its port; GET /told gives what it was asked and how it failed.
Serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
from collections import Counter
from typing import Any

_ASKED = re.compile(r"\[crowd id=(\w+) words=(\d+)\]")
_FAULTS = {"429": 0.06, "503": 0.03, "cut": 0.06, "stall": 0.02, "closed": 0.02}
_STALL_S = 30.0
_WORDS_A_CHUNK = 3
_PAUSE_S = 0.005

_chance = random.Random(5)
_told: Counter[str] = Counter()


def answer_to(question: str) -> str:
    """The one right answer: no two of its words are the same."""
    found = _ASKED.search(question)
    assert found is not None
    return " ".join(f"{found[1]}x{number}" for number in range(int(found[2])))


def _text_for(messages: list[dict[str, Any]]) -> str:
    """The whole answer, or its rest after what was shown already."""
    questions = [at for at, one in enumerate(messages) if _ASKED.search(one["content"] or "")]
    text = answer_to(messages[questions[-1]]["content"])
    if questions[-1] == len(messages) - 1:
        return text
    shown = messages[-2]["content"]
    words = shown.split(" ")
    repeated = " ".join(words[-4:]) if len(words) > 4 else ""
    return _chance.choice([text, text[len(shown) :], repeated + text[len(shown) :]])


def _fault() -> str:
    drawn = _chance.random()
    for fault, share in _FAULTS.items():
        drawn -= share
        if drawn < 0:
            _told[fault] += 1
            return fault
    return ""


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"object": "chat.completion.chunk", "model": "faulty", "choices": [choice]}
    return _chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


def _plain(status: str, body: dict[str, Any], more: str = "") -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


async def _answer(body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    """Answer one request; False when the connection ends with it."""
    _told["asked"] += 1
    fault = _fault()
    if fault == "closed":
        return False
    if fault in ("429", "503"):
        status = "429 Too Many Requests" if fault == "429" else "503 Service Unavailable"
        after = "retry-after: 1\r\n" if fault == "429" else ""
        writer.write(_plain(status, {"error": {"message": "busy"}}, after))
        return True
    words = _text_for(body["messages"]).split(" ")
    cut = _chance.randrange(len(words) + 1) if fault in ("cut", "stall") else len(words) + 1
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for start in range(0, len(words), _WORDS_A_CHUNK):
        if start >= cut:
            await asyncio.sleep(_STALL_S if fault == "stall" else 0)  # noqa: TID251  the fault
            return False
        part = " ".join(words[start : start + _WORDS_A_CHUNK])
        writer.write(_event({"content": part if not start else f" {part}"}))
        await writer.drain()
        await asyncio.sleep(_PAUSE_S)  # noqa: TID251  the pace of a model
    writer.write(_event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    return True


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        goes_on = True
        while goes_on:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /told "):
                writer.write(_plain("200 OK", dict(_told)))
                continue
            found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(found[1]) if found else 0)
            goes_on = await _answer(json.loads(body), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve on a free port until standard input ends."""
    server = await asyncio.start_server(_connected, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # connections may still be open: nothing is left to say on them


if __name__ == "__main__":
    asyncio.run(main())
