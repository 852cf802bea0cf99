"""Answers in Gemini's format, whole or streamed.

The end is told by `finishReason`, which is STOP with calls too; older models repeat it in every
chunk, so an answer ends with its body. Calls come whole. What a reason means is decided here:
blocked answers are refused; accidents of the model (a malformed call, an answer that is none) may
go well the next time, so they are ProviderUnavailable; a missing signature is a fault of the
request, a ModelError; a blocked account a CredentialError.
"""

from __future__ import annotations

import uuid
from typing import Any

from aicore.models.gemini_parts import PartRecord
from aicore.models.http_model import Asked, BrokenOffError, ErrorInReply
from aicore.models.port import Completion, Finish
from aicore.models.prices import priced
from aicore.models.sse import EventSplitter
from aicore.models.wire_json import parse_json, to_json_text
from aicore.records import ToolCall, Usage

__all__ = ["GeminiReply"]

_CHARS_PER_TOKEN = 4
_CUT = frozenset({"MAX_TOKENS", "CONTINUATION"})
_REFUSED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"}
    | {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"}
)
_UNTOLD = "FINISH_REASON_UNSPECIFIED"
# By the status that HTTP would have for it; every other reason has none.
_STATUS = {"MISSING_THOUGHT_SIGNATURE": 400, "PUP_LIMITED_DISABLED": 403}


class GeminiReply:
    """Collects one answer. Give it the parts, then take the completion."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []
        self._ids: set[str] = set()
        self._parts = PartRecord()
        self._has_broken = False
        self._reason = ""
        self._usage: Any = None
        self._model = ""
        self._is_refused = False
        self._splitter = EventSplitter()
        self.has_begun = False
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Whether there is an answer and the server said, in some way, that this is all."""
        return bool(self._reason) or self._is_refused

    def refuse(self) -> None:
        """Note that a content filter answered instead of the model."""
        self._is_refused = self.is_done = True

    def add_part(self, part: bytes) -> str:
        """Take bytes of a stream, b"" for its end; gives the text in the events they complete.

        Raises: ErrorInReply, BrokenOffError.
        """
        events = self._splitter.feed(part) if part else self._splitter.finish()
        texts = []
        for event in events:
            self.has_begun = True
            try:
                texts.append(self._take(event))
            except (ErrorInReply, BrokenOffError):
                if not self.is_complete:
                    raise
                self.is_done = True  # the answer was whole before this came
                break
        return "".join(texts)

    def check_complete(self) -> None:
        """Raise BrokenOffError unless the server said that this is all."""
        if not self.is_complete:
            raise BrokenOffError("The answer ended in the middle.")

    def add_whole(self, body: bytes) -> str:
        """Take a whole answer, or a stream's chunks in a list; gives its text.

        Raises: ErrorInReply, BrokenOffError.
        """
        text = self._take(body)
        self.check_complete()
        self.is_done = True
        return text

    def completion(self, asked: Asked) -> Completion:
        """Give what was collected."""
        is_cut = self._has_broken or (self._reason in _CUT and not self._calls)
        finish: Finish = "length" if is_cut else "stop"
        text = "".join(self._texts)
        return Completion(
            text=text,
            calls=() if self._is_refused else tuple(self._calls),
            usage=priced(asked.price, self._counted(asked, text)),
            finish="refused" if self._is_refused else finish,
            model=self._model or asked.model,
            state=self._parts.state(asked.model),
        )

    def _take(self, data: bytes) -> str:
        try:
            read = parse_json(data)
            chunks = read if isinstance(read, list) else [read]
            return "".join([self._add(chunk) for chunk in chunks])
        except ValueError as exc:
            raise BrokenOffError("The answer is not JSON.") from exc
        except (AttributeError, LookupError, TypeError) as exc:
            raise BrokenOffError("The answer has not the shape of one.") from exc

    def _add(self, chunk: dict[str, Any]) -> str:
        if error := chunk.get("error"):
            raise ErrorInReply(error)
        if usage := chunk.get("usageMetadata"):
            self._usage = usage
        if not self._model and isinstance(chunk.get("modelVersion"), str):
            self._model = chunk["modelVersion"]
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            self._is_refused = True
        candidates = chunk.get("candidates")
        if not candidates:
            return ""
        candidate = candidates[0]
        content = candidate.get("content") or {}
        text = "".join([self._add_part_of(part) for part in content.get("parts") or ()])
        if reason := candidate.get("finishReason"):
            self._end(reason.upper())
        return text

    def _add_part_of(self, part: dict[str, Any]) -> str:
        signature = part.get("thoughtSignature")
        if not isinstance(signature, str):
            signature = None
        text = part.get("text") or ""
        if text.__class__ is not str:
            raise TypeError("text is no text")
        if part.get("thought"):
            self._parts.add_thought(text, signature)
            return ""
        if called := part.get("functionCall"):
            self._add_call(called, signature)
            return ""
        self._parts.add_text(text, signature)
        if text:
            self._texts.append(text)
        return text

    def _add_call(self, called: dict[str, Any], signature: str | None) -> None:
        name, arguments = called.get("name"), called.get("args")
        # Only Vertex AI sends calls in pieces, and only if asked to.
        is_piece = called.get("willContinue") or called.get("partialArgs")
        if is_piece or not isinstance(name, str) or not name or not _is_whole(arguments):
            self._has_broken = True
            return
        told = called.get("id")
        given = told if isinstance(told, str) and told else None
        call_id = given or ""
        while not call_id or call_id in self._ids:
            call_id = uuid.uuid4().hex[:9]
        self._ids.add(call_id)
        self._calls.append(ToolCall(call_id, name, arguments or {}))
        self._parts.add_call(given, signature)

    def _end(self, reason: str) -> None:
        if reason == _UNTOLD:
            return
        if reason in _REFUSED:
            self._is_refused = True
        elif reason != "STOP" and reason not in _CUT:
            # `finishMessage` is not passed on: it may quote the conversation.
            message = f"The model ended with {reason}."
            raise ErrorInReply({"code": _STATUS.get(reason), "message": message})
        self._reason = reason

    def _counted(self, asked: Asked, text: str) -> Usage:
        told = self._usage if isinstance(self._usage, dict) else {}
        counts = {key: value for key, value in told.items() if type(value) is int and value >= 0}
        if "promptTokenCount" not in counts:
            calls = sum(len(call.name) + len(str(call.arguments)) for call in self._calls)
            return Usage(
                input_tokens=asked.body_bytes // _CHARS_PER_TOKEN,
                output_tokens=-(-(len(text) + calls) // _CHARS_PER_TOKEN),
                is_reported=False,
            )
        input_tokens = counts["promptTokenCount"] + counts.get("toolUsePromptTokenCount", 0)
        return Usage(
            input_tokens=input_tokens,
            cached_tokens=min(counts.get("cachedContentTokenCount", 0), input_tokens),
            output_tokens=counts.get("candidatesTokenCount", 0)
            + counts.get("thoughtsTokenCount", 0),
        )


def _is_whole(arguments: Any) -> bool:
    """Whether the next request can carry them: not with NaN or infinity."""
    try:
        to_json_text(arguments)
    except ValueError:
        return False
    return isinstance(arguments, dict | None)
