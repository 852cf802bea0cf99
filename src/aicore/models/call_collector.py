"""Tool calls put together from what a server sends, whole or in pieces."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aicore.models.wire_json import parse_json, to_json_text
from aicore.records import ToolCall

__all__ = ["CallCollector"]


_NO_ARGUMENTS = ("", "null")


@dataclass(slots=True)
class _Draft:
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        last = next((piece for piece in reversed(self.pieces) if not piece.isspace()), "")
        # Parsing is left for where it can succeed: some servers repeat the name in every piece.
        return last.rstrip().endswith("}") and _parse_object(self.arguments) is not None


class CallCollector:
    """Collects `tool_calls` entries, tolerating servers that leave index or id out or repeat them.

    Ollama sends no index (ollama/ollama#7881), or 0 for every call (#15457); others no id.
    """

    def __init__(self) -> None:
        self._drafts: list[_Draft] = []
        self._at: dict[int, _Draft] = {}

    def add(self, entry: Any, *, index: int | None = None) -> None:
        """Take one entry; `index` overrides its own."""
        if not isinstance(entry, Mapping):
            return
        if index is None:
            index = _typed(entry, "index", int)
        call_id = _typed(entry, "id", str) or ""
        function = _typed(entry, "function", dict) or {}
        name = _typed(function, "name", str) or ""
        draft = self._draft(index, call_id, name)
        draft.id = draft.id or call_id
        draft.name = draft.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            if arguments:
                draft.pieces.append(arguments)
        elif arguments is not None:  # some servers send the object itself
            draft.pieces.append(json.dumps(arguments))

    def whole(self, *, is_cut: bool) -> tuple[list[ToolCall], bool]:
        """Give the usable calls, in order, and whether any had to be left out.

        `is_cut`: the answer hit its length limit, so a last call without arguments is not whole.
        An id that is missing, or repeated in this answer, is replaced.
        """
        calls: list[ToolCall] = []
        used: set[str] = set()
        last = self._drafts[-1] if self._drafts else None
        for draft in self._drafts:
            text = draft.arguments.strip()
            is_unfinished = is_cut and draft is last and not text
            arguments = {} if text in _NO_ARGUMENTS else _parse_object(text)
            if arguments is None or not draft.name or is_unfinished:
                continue
            call_id = draft.id
            while not call_id or call_id in used:
                # Mistral takes ids of nine letters and digits only; the others take anything.
                call_id = uuid.uuid4().hex[:9]
            used.add(call_id)
            calls.append(ToolCall(call_id, draft.name, arguments))
        return calls, len(calls) < len(self._drafts)

    @property
    def size(self) -> int:
        """Characters of all calls, for an estimate of tokens."""
        return sum(len(draft.name) + len(draft.arguments) for draft in self._drafts)

    def _draft(self, index: int | None, call_id: str, name: str) -> _Draft:
        if index is None:
            draft = self._drafts[-1] if self._drafts else None
        else:
            draft = self._at.get(index)
        if draft is None or _is_another(draft, call_id, name):
            draft = _Draft()
            self._drafts.append(draft)
        if index is not None:
            self._at[index] = draft
        return draft


def _is_another(draft: _Draft, call_id: str, name: str) -> bool:
    if call_id and draft.id:
        return call_id != draft.id
    if not name or not draft.name:
        return False
    return name != draft.name or draft.is_whole


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        value = parse_json(text)
        to_json_text(value)  # refuses NaN and infinity, which the next request could not carry
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _typed(entry: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = entry.get(key)
    return value if isinstance(value, kind) else None
