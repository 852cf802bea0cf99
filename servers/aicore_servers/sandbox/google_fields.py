"""Partial answers: the parameter `fields`, such as `id,payload(headers,parts/filename)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aicore_servers.sandbox.google_wire import invalid

__all__ = ["selected"]

_TOKEN = re.compile(r"[A-Za-z0-9_*-]+|[(),/]")
_Mask = dict[str, "_Mask"]


def selected(answer: dict[str, Any], fields: str) -> dict[str, Any]:
    """Give what the mask names of an answer.

    Raises:
        Refusal: the mask cannot be read.
    """
    tokens = _TOKEN.findall(fields)
    if "".join(tokens) != fields:
        raise invalid(f"Invalid field selection {fields}")
    mask = _mask(iter([*tokens, ")"]))
    chosen: dict[str, Any] = _cut(answer, mask)
    return chosen


def _mask(tokens: Iterator[str]) -> _Mask:
    """Read up to the closing bracket."""
    mask: _Mask = {}
    inner: _Mask = mask
    last: _Mask = mask
    for word in tokens:
        if word == ")":
            return mask
        if word == "(":
            last.update(_mask(tokens))
        elif word == "/":
            inner = last
        elif word == ",":
            inner = mask
        else:
            last = inner.setdefault(word, {})
    raise invalid("Invalid field selection")


def _cut(value: Any, mask: _Mask) -> Any:
    if isinstance(value, list):
        return [_cut(each, mask) for each in value]
    if not mask or not isinstance(value, dict):
        return value
    return {
        name: _cut(each, mask.get(name, mask.get("*", {})))
        for name, each in value.items()
        if name in mask or "*" in mask
    }
