"""Finds tools by what they are for, in the words of whoever looks for one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aicore.memory.words import words_of
from aicore.records import Tool

__all__ = ["ToolIndex"]

# How much a word counts by where it stands. Hundreds of other weights were tried on one half of
# bench/tool_set; the best of them were no better on the other half.
_NAME, _SERVER, _DESCRIPTION, _PARAMETERS = 3.0, 1.5, 1.0, 0.4
_K1, _B = 1.2, 0.4
_MOST_DESCRIPTION = 600
_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-./]+")


class ToolIndex:
    """An index over one catalog: BM25 over fields, in this process's memory."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tuple(tools)
        self._weights = [_weighted(tool) for tool in self._tools]
        self._lengths = [sum(weights.values()) for weights in self._weights]
        self._mean_length = sum(self._lengths) / max(len(self._lengths), 1) or 1.0
        held_by = Counter(word for weights in self._weights for word in weights)
        self._rarity = {
            word: math.log(1 + (len(self._tools) - count + 0.5) / (count + 0.5))
            for word, count in held_by.items()
        }

    def search(self, query: str, k: int) -> list[Tool]:
        """The best tools for a need, best first, at most `k`; an exact name comes first."""
        wanted = set(words_of(_apart(query)))
        ranked = [
            (tool.name == query.strip(), self._score(at, wanted), -at)
            for at, tool in enumerate(self._tools)
        ]
        ranked.sort(reverse=True)
        return [self._tools[-at] for is_it, score, at in ranked[:k] if is_it or score > 0]

    def _score(self, at: int, wanted: set[str]) -> float:
        weights = self._weights[at]
        norm = _K1 * (1 - _B + _B * self._lengths[at] / self._mean_length)
        return sum(
            self._rarity[word] * weights[word] * (_K1 + 1) / (weights[word] + norm)
            for word in wanted & weights.keys()
        )


def _weighted(tool: Tool) -> Mapping[str, float]:
    weights: Counter[str] = Counter()
    for text, weight in (
        (tool.remote_name, _NAME),
        (tool.server, _SERVER),
        (tool.description[:_MOST_DESCRIPTION], _DESCRIPTION),
        (" ".join(_parameter_words(tool.parameters)), _PARAMETERS),
    ):
        for word in words_of(_apart(text)):
            weights[word] += weight  # type: ignore[assignment]  # a Counter may hold floats
    return weights


def _parameter_words(schema: Mapping[str, Any]) -> Iterator[str]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, one in properties.items():
            yield str(name)
            if isinstance(one, Mapping):
                yield str(one.get("description", ""))


def _apart(text: str) -> str:
    """`createInvoice_draft` as the words it is made of."""
    return _BETWEEN_WORDS.sub(" ", text)
