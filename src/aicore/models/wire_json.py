"""JSON as it goes over the wire to model servers: strict when sent, tolerant when read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

__all__ = ["parse_json", "to_json", "to_json_text"]

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
    the text that comes out is always well-formed Unicode. Raises: ValueError.
    """
    try:
        return from_json(data)
    except ValueError:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, strict=False)
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError as exc:
        raise ValueError("The JSON is nested too deeply.") from exc
