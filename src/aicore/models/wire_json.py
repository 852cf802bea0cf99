"""JSON as it goes over the wire to model servers: strict when sent, tolerant when read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json

__all__ = ["parse_json", "to_json", "to_json_text"]

# Whoever walks through a value does so one call a level, and Python's calls have a limit.
_MAX_DEPTH = 200

to_json_text: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
"""Encode compactly. Raises ValueError for a number that JSON cannot hold."""


def to_json(value: Any) -> bytes:
    """Encode compactly as UTF-8; a surrogate without its partner becomes U+FFFD."""
    text = to_json_text(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def parse_json(data: bytes | str) -> Any:
    """Parse, mending what models and their servers get wrong.

    Bytes that are no UTF-8, lone surrogates and raw control characters in strings are accepted;
    the text that comes out is always well-formed Unicode. Raises: ValueError, also for what is
    nested more than 200 deep.
    """
    try:
        return from_json(data)  # which has a limit of its own, the same
    except ValueError:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    try:
        value = _shallow(json.loads(text, strict=False))
    except RecursionError as exc:
        raise ValueError("The JSON is nested too deeply.") from exc
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _shallow(value: Any) -> Any:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [inner for one in level for inner in _inner(one)]
        if not level:
            return value
    raise ValueError("The JSON is nested too deeply.")


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
