"""Answers in Anthropic's Messages format, whole or streamed.

A stream is whole after `message_stop` and not before. Kinds of event and of block that are not
known are passed over, as the format asks for: the vendor adds to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aicore.models.anthropic_request import digest_of
from aicore.models.anthropic_thinking import Layout, Thinking
from aicore.models.call_collector import CallCollector
from aicore.models.http_faults import is_refusal_error
from aicore.models.http_model import Asked, BrokenOffError, ErrorInReply
from aicore.models.port import Completion, Finish
from aicore.models.prices import priced
from aicore.models.sse import EventSplitter
from aicore.models.wire_json import parse_json
from aicore.records import Usage

__all__ = ["MessageCollector"]

_CHARS_PER_TOKEN = 4
# A turn is paused only where tools of the vendor run, whose results we could not give back.
_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "pause_turn"})


@dataclass(slots=True)
class _Block:
    kind: str
    first: dict[str, Any]
    place: int
    pieces: list[str] = field(default_factory=list)
    signature: str = ""
    text_chars: int = 0


class MessageCollector:
    """Collects one answer. Give it the parts, then take the completion.

    `provider` is who keeps the answer's thinking.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._texts: list[str] = []
        self._blocks: list[_Block] = []
        self._at: dict[int, _Block] = {}
        self._calls = CallCollector()
        self._reason = ""
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._splitter = EventSplitter()
        self._has_message = False
        self._has_cut_call = False
        self._is_refused = False
        self.has_begun = False
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Whether there is an answer and the server said that this is all."""
        return self.is_done and (self._has_message or self._is_refused)

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
        before = len(self._texts)
        for event in events:
            self._take(event)
            if self.is_done:
                break
        return "".join(self._texts[before:])

    def check_complete(self) -> None:
        """Raise BrokenOffError unless the server said that this is all."""
        if not self.is_complete:
            raise BrokenOffError("The stream ended in the middle.")

    def add_whole(self, body: bytes) -> str:
        """Take a whole answer; gives its text. Raises: ErrorInReply, BrokenOffError."""
        self._take(body)
        if not self.is_complete:
            raise BrokenOffError("The answer is no message.")
        return "".join(self._texts)

    def completion(self, asked: Asked) -> Completion:
        """Give what was collected."""
        is_cut = self._reason in _CUT
        calls, has_broken = self._calls.whole(is_cut=is_cut)
        has_broken = has_broken or self._has_cut_call
        finish: Finish = "stop"
        if self._is_refused or self._reason == "refusal":
            finish, calls = "refused", []
        elif has_broken or (is_cut and not calls):
            finish = "length"
        text = "".join(self._texts)
        has_all = not has_broken and finish != "refused"
        return Completion(
            text=text,
            calls=tuple(calls),
            usage=priced(asked.price, self._counted(asked, text)),
            finish=finish,
            model=self._model or asked.model,
            state=self._state(asked) if has_all else None,
        )

    def _take(self, data: bytes) -> None:
        try:
            self._add(parse_json(data))
        except ValueError as exc:
            raise BrokenOffError("The answer is not JSON.") from exc
        except (AttributeError, LookupError, TypeError) as exc:
            raise BrokenOffError("The answer has not the shape of one.") from exc

    def _add(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._add_delta(event["index"], event["delta"])
        elif kind == "content_block_start":
            self._start_block(event["index"], event["content_block"])
        elif kind == "message_delta":
            self._note(event["delta"].get("stop_reason"), event.get("usage"))
        elif kind == "message_start":
            self._start(event["message"])
        elif kind == "message":
            self._start(event)
            self._add_content(event["content"])
            self.is_done = True
        elif kind == "message_stop":
            self.is_done = True
        elif kind == "error" or event.get("error"):
            self._fail(event.get("error") or event)
        elif kind is None:
            raise BrokenOffError("The answer has not the shape of one.")

    def _fail(self, error: Any) -> None:
        if not is_refusal_error(error):
            raise ErrorInReply(error)
        self.refuse()

    def _start(self, message: dict[str, Any]) -> None:
        self._has_message = True
        model = message.get("model")
        self._model = model if isinstance(model, str) else self._model
        self._note(message.get("stop_reason"), message.get("usage"))

    def _note(self, reason: Any, usage: Any) -> None:
        if isinstance(reason, str):
            self._reason = reason
        # Counts are totals; what has not changed may be left out.
        for key, count in usage.items() if isinstance(usage, dict) else ():
            if isinstance(count, int) and count >= 0:
                self._usage[key] = count

    def _add_content(self, blocks: list[dict[str, Any]]) -> None:
        if self._reason in _CUT and blocks and blocks[-1]["type"] == "tool_use":
            # Here cut arguments are an object like any other: they cannot be told from all.
            self._has_cut_call = True
            blocks = blocks[:-1]
        for index, block in enumerate(blocks):
            self._start_block(index, block)

    def _start_block(self, index: int, first: dict[str, Any]) -> None:
        block = _Block(first["type"], first, len(self._blocks))
        self._at[index] = block
        self._blocks.append(block)
        if block.kind == "text":
            self._add_text(block, first["text"])
        elif block.kind == "tool_use":
            function = {"name": first["name"]}
            self._calls.add({"id": first.get("id"), "function": function}, index=block.place)
            if first.get("input"):  # in a stream it comes in pieces
                self._add_input(block, first["input"])
        elif block.kind == "thinking":
            block.pieces.append(_string(first.get("thinking", "")))
            block.signature = _string(first.get("signature", ""))

    def _add_delta(self, index: int, delta: dict[str, Any]) -> None:
        block, kind = self._at[index], (self._at[index].kind, delta["type"])
        if kind == ("text", "text_delta"):
            self._add_text(block, delta["text"])
        elif kind == ("tool_use", "input_json_delta"):
            self._add_input(block, delta["partial_json"])
        elif kind == ("thinking", "thinking_delta"):
            block.pieces.append(_string(delta["thinking"]))
        elif kind == ("thinking", "signature_delta"):
            block.signature = _string(delta["signature"])

    def _add_text(self, block: _Block, text: Any) -> None:
        if _string(text):
            self._texts.append(text)
            block.text_chars += len(text)

    def _add_input(self, block: _Block, arguments: Any) -> None:
        self._calls.add({"function": {"arguments": arguments}}, index=block.place)

    def _state(self, asked: Asked) -> dict[str, Any] | None:
        layout = self._layout()
        if not layout or asked.request is None:
            return None
        thinking = Thinking(
            after=digest_of(asked.request, self._provider, asked.model),
            context=asked.request.volatile,
            layout=layout,
        )
        return thinking.to_json()

    def _layout(self) -> Layout:
        """Give the order of the blocks, () where nothing was thought."""
        parts: list[Any] = []
        for block in self._blocks:
            if block.kind == "text":
                parts.append(block.text_chars)
            elif block.kind == "tool_use":
                parts.append(None)
            elif block.kind == "redacted_thinking":
                parts.append(block.first)
            elif block.kind == "thinking" and block.signature:  # else it was cut
                thought = "".join(block.pieces)
                parts.append(block.first | {"thinking": thought, "signature": block.signature})
        while parts and isinstance(parts[-1], dict):  # a message may not end with it
            parts.pop()
        return tuple(parts) if any(isinstance(part, dict) for part in parts) else ()

    def _counted(self, asked: Asked, text: str) -> Usage:
        told = self._usage
        if "input_tokens" not in told or "output_tokens" not in told:
            size = len(text) + self._calls.size
            return Usage(
                input_tokens=asked.body_bytes // _CHARS_PER_TOKEN,
                output_tokens=-(-size // _CHARS_PER_TOKEN),
                is_reported=False,
            )
        cached = told.get("cache_read_input_tokens", 0)
        written = told.get("cache_creation_input_tokens", 0)
        return Usage(
            input_tokens=told["input_tokens"] + cached + written,  # told without the cache's
            cached_tokens=cached,
            cache_write_tokens=written,
            output_tokens=told["output_tokens"],
        )


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
