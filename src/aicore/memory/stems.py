"""What stands for all forms of a word: its beginning, without the endings of its language."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["stem"]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Cut endings from a word in lower case without accents."""
    for ending in ("ings", "ing", "ies", "ed", "es", "en", "er", "ly", "s", "e", "n", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
