"""Answers in Gemini's format, for the server of fake_openai.py.

They parse with the vendor's own types, and its own client reads them: see test_fake_gemini.py.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
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
FOREIGN = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made."""


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


class CheckingVendor:
    """Signs its answers as Gemini 3 does, and refuses conversations as Google documents it.

    Of calls made at once the first is signed, else the last part. Every content with calls must
    begin them with a signature: its own, or the one that stands for calls of others. Each call
    must be answered in the next content, in order. `own` and `foreign` count the answers that
    each request brought back.
    """

    def __init__(self, *answers: Sequence[dict[str, Any]]) -> None:
        self.own: list[int] = []
        self.foreign: list[int] = []
        self._answers = iter(answers)
        self._given: list[list[dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Play:
        contents = asked.json["contents"]
        answered = [one["parts"] for one in contents if one["role"] == "model"]
        faults = [fault for pair in pairwise([*contents, {}]) for fault in self._faults(*pair)]
        if faults:
            return json_play(failed(400, "INVALID_ARGUMENT", faults[0]), status=400)
        self.own.append(sum(parts in self._given for parts in answered))
        self.foreign.append(len(answered) - self.own[-1])
        return self._answer(asked, deepcopy(list(next(self._answers))))

    def _answer(self, asked: Asked, parts: list[dict[str, Any]]) -> Play:
        calls = [part for part in parts if "functionCall" in part]
        for number, part in enumerate(calls):
            part["functionCall"]["id"] = f"f{len(self._given)}-{number}"
        signed = calls[0] if calls else parts[-1]
        signed["thoughtSignature"] = f"AVSoXO4AAA{len(self._given):02}"
        self._given.append(parts)
        if ":streamGenerateContent" not in asked.path:
            return json_play(whole(parts))
        return stream_play(*streamed(*[[part] for part in parts]))

    def _faults(self, content: Any, following: Any) -> Iterable[str]:
        parts = content["parts"]
        if not parts or any(len(part.keys() - {"thoughtSignature"}) != 1 for part in parts):
            yield "Each part must have exactly one kind of data."
        calls = [part for part in parts if "functionCall" in part]
        if content["role"] != "model" or not calls:
            return
        known = {part.get("thoughtSignature") for given in self._given for part in given}
        if calls[0].get("thoughtSignature") not in (known - {None}) | {FOREIGN}:
            yield "Function call is missing a thought_signature in functionCall parts."
        made = [_name_and_id(part["functionCall"]) for part in calls]
        results = following.get("parts", ())
        if made != [_name_and_id(part.get("functionResponse", {})) for part in results]:
            yield "The number of function response parts must equal that of function call parts."


def _name_and_id(function: Mapping[str, Any]) -> tuple[Any, Any]:
    return function.get("name"), function.get("id")
