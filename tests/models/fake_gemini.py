"""Answers in Gemini's format, for the server of fake_openai.py.

They parse with the vendor's own types, and its own client reads them: see test_fake_gemini.py.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.models.fake_openai import Asked, FakeOpenAI, Play, json_play, stream_play

USAGE = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 57,
}
SIGNATURE = "AVSoXO4AAAAA"
OTHER_SIGNATURE = "AVSoXO5BBBBB"


def said(text: str, signature: str | None = None, **more: Any) -> dict[str, Any]:
    """A part with text."""
    return {"text": text, **_signed(signature), **more}


def call(
    name: str,
    arguments: Mapping[str, Any] | None = None,
    call_id: str | None = None,
    signature: str | None = None,
) -> dict[str, Any]:
    """A part with a call; Gemini leaves out arguments that are none."""
    function: dict[str, Any] = {"name": name}
    if arguments is not None:
        function["args"] = dict(arguments)
    if call_id is not None:
        function["id"] = call_id
    return {"functionCall": function, **_signed(signature)}


def _signed(signature: str | None) -> dict[str, str]:
    return {} if signature is None else {"thoughtSignature": signature}


def whole(
    parts: Sequence[Mapping[str, Any]] | None = (said("Hello!"),),
    *,
    finish: str | None = "STOP",
    usage: Mapping[str, Any] | None = USAGE,
    **changes: Any,
) -> dict[str, Any]:
    """An answer, or one chunk of a stream."""
    candidate: dict[str, Any] = {"index": 0}
    if parts is not None:
        candidate["content"] = {"parts": [dict(part) for part in parts], "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    data: dict[str, Any] = {"candidates": [candidate]}
    if usage is not None:
        data["usageMetadata"] = dict(usage)
    return {**data, "modelVersion": "gemini-fake-001", "responseId": "r1", **changes}


def blocked(reason: str = "SAFETY") -> dict[str, Any]:
    """What comes when the prompt was blocked: no candidates."""
    usage = {"promptTokenCount": 20, "totalTokenCount": 20}
    return {"promptFeedback": {"blockReason": reason}, "usageMetadata": usage}


def failed(code: int, status: str, message: str = "No.", details: Any = None) -> dict[str, Any]:
    """Google's error object."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details is not None:
        error["details"] = details
    return {"error": error}


def event(data: Any) -> bytes:
    """One server-sent event, as Google ends its lines."""
    return b"data: " + json.dumps(data).encode() + b"\r\n\r\n"


def streamed(*chunks: Sequence[Mapping[str, Any]], finish: str = "STOP") -> list[bytes]:
    """A stream: the parts of each chunk; usage grows, the last chunk says why it ends."""
    *first, last = chunks
    sent = {"promptTokenCount": 20, "totalTokenCount": 20}
    events = [event(whole(parts, finish=None, usage=sent)) for parts in first]
    return [*events, event(whole(last, finish=finish))]


def answering(asked: Asked, text: str, calls: Iterable[dict[str, Any]] = ()) -> Play:
    """Answer with this, as a stream when asked for one."""
    calls = list(calls)
    if ":streamGenerateContent" not in asked.path:
        return json_play(whole([*([said(text)] if text else []), *calls]))
    pieces = [[said(text[at : at + 5])] for at in range(0, len(text), 5)]
    return stream_play(*streamed(*pieces, *([calls] if calls else []), [said("")]))


def echo(asked: Asked) -> Play:
    """Repeat the last message, as a stream when asked for one."""
    return answering(asked, f"You said: {asked.json['contents'][-1]['parts'][-1]['text']}")


def origin(server: FakeOpenAI) -> str:
    """The address that the path of a model follows."""
    return server.base_url.removesuffix("/v1")
