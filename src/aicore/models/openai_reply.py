"""Answers in OpenAI's chat format, whole or streamed, as the many servers really send them.

`finish_reason` is not believed: vLLM says `tool_calls` of a cut call (vllm-project/vllm#53269)
and `stop` after a forced one (#25054), llama.cpp `length` although all calls are whole. What
counts is whether a call is there and its arguments parse.
"""

from __future__ import annotations

from typing import Any

from aicore.models.call_collector import CallCollector
from aicore.models.http_model import Asked, BrokenOffError, ErrorInReply
from aicore.models.port import Completion, Finish
from aicore.models.prices import priced
from aicore.models.sse import EventSplitter
from aicore.models.wire_json import parse_json
from aicore.records import Usage

__all__ = ["ReplyCollector"]

_DONE = b"[DONE]"
_CHARS_PER_TOKEN = 4


class ReplyCollector:
    """Collects one answer. Give it the parts, then take the completion."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls = CallCollector()
        self._reason = ""
        self._usage: Any = None
        self._model = ""
        self._is_refused = False
        self._splitter = EventSplitter()
        self._has_choice = False
        self.has_begun = False
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Whether there is an answer and the server said, in some way, that this is all."""
        return bool(self._reason) or (self.is_done and (self._has_choice or self._is_refused))

    def refuse(self) -> None:
        """Note that a content filter answered instead of the model."""
        self._is_refused = self.is_done = True

    def add_part(self, part: bytes) -> str:
        """Take bytes of a stream, b"" for its end; gives the text in the events they complete.

        Raises: ErrorInReply, BrokenOffError.
        """
        events = self._splitter.feed(part) if part else self._splitter.finish()
        if not events:
            return ""
        self.has_begun = True
        texts = []
        for event in events:
            if event.strip() == _DONE:
                self.is_done = True
                break
            try:
                text = self._take(event, "delta")
            except (ErrorInReply, BrokenOffError):
                if not self.is_complete:
                    raise
                self.is_done = True  # the answer was whole before this came
                break
            if text:
                texts.append(text)
        return "".join(texts)

    def check_complete(self) -> None:
        """Raise BrokenOffError unless the server said that this is all."""
        if not self.is_complete:
            raise BrokenOffError("The stream ended in the middle.")

    def add_whole(self, body: bytes) -> str:
        """Take a whole answer; gives its text.

        Raises: ErrorInReply, BrokenOffError.
        """
        text = self._take(body, "message")
        if not self._has_choice:
            raise BrokenOffError("The answer has no choices.")
        self.is_done = True
        return text

    def completion(self, asked: Asked) -> Completion:
        """Give what was collected."""
        is_cut = self._reason == "length"
        calls, has_broken = self._calls.whole(is_cut=is_cut)
        finish: Finish = "stop"
        if self._is_refused or self._reason == "content_filter":
            finish, calls = "refused", []
        elif has_broken or (is_cut and not calls):
            finish = "length"
        text = "".join(self._texts)
        return Completion(
            text=text,
            calls=tuple(calls),
            usage=priced(asked.price, self._counted(asked, text)),
            finish=finish,
            model=self._model or asked.model,
        )

    def _take(self, data: bytes, part: str) -> str:
        try:
            return self._add(parse_json(data), part)
        except ValueError as exc:
            raise BrokenOffError("The answer is not JSON.") from exc
        except (AttributeError, LookupError, TypeError) as exc:
            raise BrokenOffError("The answer has not the shape of one.") from exc

    def _add(self, data: dict[str, Any], part: str) -> str:
        if data.get("error") or data.get("object") == "error":
            raise ErrorInReply(data.get("error") or data)
        if usage := data.get("usage"):
            self._usage = usage
        if not self._model and isinstance(data.get("model"), str):
            self._model = data["model"]
        choices = data.get("choices")
        if not choices:  # usage comes in a chunk without any
            return ""
        choice = choices[0]
        self._has_choice = True
        if reason := choice.get("finish_reason"):
            if reason == "error":  # OpenRouter, when the vendor behind it failed
                raise ErrorInReply(choice.get("error") or "The vendor failed.")
            self._reason = reason
        message = choice.get(part)
        return self._add_message(message, is_whole=part == "message") if message else ""

    def _add_message(self, message: dict[str, Any], *, is_whole: bool) -> str:
        text = message.get("content")
        if text.__class__ is not str:
            text = _joined(text)
        if refusal := message.get("refusal"):
            self._is_refused = True
            text += refusal
        if calls := message.get("tool_calls"):
            for index, call in enumerate(calls):
                self._calls.add(call, index=index if is_whole else None)
        if text:
            self._texts.append(text)
        return text

    def _counted(self, asked: Asked, text: str) -> Usage:
        told = self._usage if isinstance(self._usage, dict) else {}
        input_tokens = _count(told.get("prompt_tokens"))
        output_tokens = _count(told.get("completion_tokens"))
        if input_tokens is None or output_tokens is None:
            size = len(text) + self._calls.size
            return Usage(
                input_tokens=asked.body_bytes // _CHARS_PER_TOKEN,
                output_tokens=-(-size // _CHARS_PER_TOKEN),
                is_reported=False,
            )
        details = told.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        if cached is None:
            cached = told.get("prompt_cache_hit_tokens")  # DeepSeek has a field of its own
        return Usage(
            input_tokens=input_tokens,
            cached_tokens=min(_count(cached) or 0, input_tokens),
            output_tokens=output_tokens,
        )


def _count(value: Any) -> int | None:
    """Give a count of tokens; less than none would make a bill smaller."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None


def _joined(content: Any) -> str:
    """Give the text of a list of content parts; other kinds of part are left out."""
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
