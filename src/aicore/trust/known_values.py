"""Finds values that are known already, wherever they stand in a text.

What a CRM, a mail or a payment says in a field for names is a name, whether or not anything in a
message shows it. Matched by whole words, in any case, with or without accents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from aicore.trust.as_read import AsRead
from aicore.trust.marks import Marked
from aicore.trust.ordinary_words import fold, is_ordinary

__all__ = ["KnownValues", "words_of"]

_WORD = re.compile(r"[^\W_]+")
_NAME_PART = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019-])+")
_SHORTEST_PART = 3
_SHORTEST = 3
_FEWEST_DIGITS = 4
_SHORTEST_CODE = 5
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_SPELLED_OUT = re.compile(r"(?<=[aou])e(?=\w)")


def words_of(text: str) -> frozenset[str]:
    """The words of a text, as known values begin with."""
    return frozenset(_WORD.findall(fold(AsRead(text).text)))


class KnownValues:
    """A set of values with their kinds; `find` takes time by the length of the text alone."""

    def __init__(self) -> None:
        self._by_word: dict[str, dict[str, tuple[int, str]]] = {}

    def add(self, kind: str, value: str) -> None:
        """Know a value. Of a name also its parts, if they have 3 letters and are no everyday words.

        An umlaut is known as two letters too, and the other way round.
        What is too short or too ordinary to be told from other text is left out.
        """
        whole = " ".join(AsRead(value).text.split())
        if kind == "NAME":
            for part in _parts_of(whole):
                if len(part) >= _SHORTEST_PART and not is_ordinary(part):
                    self._put_spellings(kind, part)
        words = _WORD.findall(whole)
        digits = sum(map(str.isdigit, whole))
        letters = sum(map(str.isalpha, whole))
        is_ordinary_word = all(map(is_ordinary, words))
        is_code = bool(digits) and digits + letters >= _SHORTEST_CODE
        if (letters >= _SHORTEST and not is_ordinary_word) or digits >= _FEWEST_DIGITS or is_code:
            self._put_spellings(kind, whole)

    def may_be_among(self, words: Set[str]) -> bool:
        """Whether a text of these words, folded, may hold any; False is certain."""
        return not self._by_word.keys().isdisjoint(words)

    def find(self, text: str) -> Iterator[Marked]:
        """Find the known values in a text; of several that begin at a word, the longest."""
        if not self._by_word:
            return
        read = AsRead(text)
        folded = fold(read.text).replace("\n", " ")
        for word in _WORD.finditer(folded):
            for value, (before, kind) in self._by_word.get(word[0], {}).items():
                start = word.start() - before
                end = start + len(value)
                if start >= 0 and folded.startswith(value, start) and _is_apart(folded, start, end):
                    yield Marked(*read.place(start, end), kind)
                    break

    def _put_spellings(self, kind: str, value: str) -> None:
        self._put(kind, value)
        lower = value.lower()
        for other in (lower.translate(_UMLAUTS), _SPELLED_OUT.sub("", lower)):
            if other != lower and len(other) > _SHORTEST_PART and not is_ordinary(other):
                self._put(kind, other)

    def _put(self, kind: str, value: str) -> None:
        folded = fold(value)
        first = _WORD.search(folded)
        if first is None:
            return
        # What is there is never changed, only replaced: a thread may be looking.
        values = self._by_word.get(first[0], {})
        if folded not in values:
            more = {**values, folded: (first.start(), kind)}
            longest_first = sorted(more.items(), key=lambda item: -len(item[0]))
            self._by_word[first[0]] = dict(longest_first)
        if (ending := first[0] + "s") and first.end() == len(folded) and first.start() == 0:
            # A German genitive is one word with its name.
            self._by_word[ending] = {folded: (0, kind), **self._by_word.get(ending, {})}


def _parts_of(name: str) -> Iterator[str]:
    for part in _NAME_PART.findall(name):
        yield part
        if "-" in part:
            yield from part.split("-")


def _is_apart(folded: str, start: int, end: int) -> bool:
    """Whether a place begins and ends with words, but for an s of possession behind it."""
    if start > 0 and folded[start].isalnum() and folded[start - 1].isalnum():
        return False
    if end < len(folded) and folded[end - 1].isalnum() and folded[end].isalnum():
        is_possessive = folded[end] == "s" and not folded[end + 1 : end + 2].isalnum()
        return is_possessive and folded[start:end].isalpha()
    return True
