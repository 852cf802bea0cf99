"""The parts of a Gemini answer: what of their order and signatures has to be kept.

Gemini signs its thoughts. A signature comes on a part of the answer and has to come back on that
part: Gemini 3 answers 400 otherwise. Of calls made at once only the first is signed. The state of
a message holds the model that signed it, and how its parts followed each other, one `[kind,
value, signature]` each: of text the number of characters, of a call the id that Gemini gave or
None, of a thought its text. The text and the calls themselves stand in the message alone.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from aicore.errors import ModelError
from aicore.models.port import Request
from aicore.records import Message

__all__ = [
    "NOTHING",
    "PartRecord",
    "Signer",
    "given_id",
    "is_signature_refused",
    "parts_of",
    "unsigned",
]

# What Google documents for calls that were not made by the model that reads them. Of a content
# Gemini 3 asks it of the first call; other models let it pass.
_UNSIGNED = "skip_thought_signature_validator"
NOTHING = "(empty)"
"""Stands for a text that is none: a content without any is refused."""

# Google says it in several ways, under 400 and as the reason why an answer ended.
_SIGNATURE = re.compile(r"thought[ _]signature", re.IGNORECASE)

_Entry = tuple[str, Any, str | None]


class PartRecord:
    """Notes the parts of an answer as they come."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add_text(self, text: str, signature: str | None) -> None:
        """Note text. A signed part is never joined with another."""
        if not text and signature is None:
            return
        if self._entries and signature is None:
            kind, size, signed = self._entries[-1]
            if kind == "text" and signed is None:
                self._entries[-1] = "text", size + len(text), None
                return
        self._entries.append(("text", len(text), signature))

    def add_call(self, call_id: str | None, signature: str | None) -> None:
        """Note a call, with the id that it came with."""
        self._entries.append(("call", call_id, signature))

    def add_thought(self, text: str, signature: str | None) -> None:
        """Note a thought; without a signature nobody needs it again."""
        if signature is not None:
            self._entries.append(("thought", text, signature))

    def state(self, model: str) -> dict[str, Any] | None:
        """Give what the next request to the model needs, None where the message says it all."""
        is_needed = any(
            signature is not None or (kind == "call" and value is not None)
            for kind, value, signature in self._entries
        )
        parts = [list(entry) for entry in self._entries]
        return {"model": model, "parts": parts} if is_needed else None


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signatures are worth something: no other provider's, and no other model's."""

    provider: str
    model: str


def parts_of(message: Message, signer: Signer) -> list[dict[str, Any]]:
    """Give the parts of an assistant message, as they came if `signer` answered it."""
    parts: list[dict[str, Any]] = []
    calls = iter(message.calls)
    at = 0
    for kind, value, signature in _entries(message, signer):
        part: dict[str, Any]
        if kind == "text":
            part = {"text": message.text[at : at + value]}
            at += value
        elif kind == "thought":
            part = {"text": value, "thought": True}
        else:
            call = next(calls)
            identity = {} if value is None else {"id": value}
            called = {**identity, "name": call.name, "args": dict(call.arguments)}
            part = {"functionCall": called}
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    for part in parts:
        if "functionCall" in part:
            part.setdefault("thoughtSignature", _UNSIGNED)
            break
    return parts or [{"text": NOTHING}]


def given_id(message: Message, index: int, signer: Signer) -> str | None:
    """Give the id that Gemini gave the call at `index`, None where it gave none."""
    ids: list[str | None]
    ids = [value for kind, value, _ in _entries(message, signer) if kind == "call"]
    return ids[index]


def is_signature_refused(error: ModelError, request: Request, provider: str) -> bool:
    """Tell whether a request failed by a signature, of which it has some.

    Signatures are said to expire, and not to be valid under another account.
    """
    is_signed = any(one.provider == provider and one.state is not None for one in request.tail)
    return is_signed and _SIGNATURE.search(str(error)) is not None


def unsigned(request: Request) -> Request:
    """The same request without any state, and without the bytes that hold one."""
    tail = [replace(one, state=None, encoded={}) for one in request.tail]
    return replace(request, tail=tail)


def _entries(message: Message, signer: Signer) -> list[_Entry]:
    kept = _kept(message.state, signer.model) if message.provider == signer.provider else []
    calls = [entry for entry in kept if entry[0] == "call"]
    size = sum(value for kind, value, _ in kept if kind == "text")
    if size == len(message.text) and len(calls) == len(message.calls):
        return kept
    # Somebody changed the text, or took calls out: what belongs to the calls can still be kept.
    text: list[_Entry] = [("text", len(message.text), None)] if message.text else []
    unknown: list[_Entry] = [("call", None, None)] * len(message.calls)
    return text + (calls + unknown)[: len(message.calls)]


def _kept(state: Any, model: str) -> list[_Entry]:
    if not isinstance(state, dict) or state.get("model") != model:
        return []
    parts = state.get("parts")
    if not isinstance(parts, list) or not all(map(_is_entry, parts)):
        return []
    return [(kind, value, signature) for kind, value, signature in parts]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[2], str | None):
        return False
    kind, value, _ = entry
    if kind == "text":
        return isinstance(value, int) and value >= 0
    return isinstance(value, str) if kind == "thought" else isinstance(value, str | None)
