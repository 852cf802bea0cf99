"""Ranks entries by their words, BM25 with the figures of one namespace, over packed postings.

A namespace has its own figures, so that no customer's words change what another one finds, and
so that a search reads what belongs to one customer and nothing else. Entries are numbered within
their namespace. The posting of an entry under a word is its number and a weight that is worked
out once, when it is added: BM25's share of the entry, from how often the word is in it and how
long it is, https://doi.org/10.1561/1500000019. What is left for the search is to add up weights.
"""

from __future__ import annotations

import heapq
import math
import sys
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from aicore.memory.neighbours import split_context
from aicore.memory.port import Entry
from aicore.memory.words import words_of, words_of_date

__all__ = [
    "BLOCK",
    "best",
    "number_of",
    "pack",
    "packed_postings",
    "unpack",
    "without",
    "word_weights",
]

BLOCK = 2048
"""How many numbers share a row of postings, so that adding an entry rewrites little."""

# How often a word counts: in the text itself, one utterance away, two away, as its date.
_TEXT = 2.0
_NEAR = 1.0
_FAR = 0.5
_DATE = 1.0
# Where more of the same word no longer counts, and how much a long text is held against itself.
_SATURATION = 1.2
_LENGTH = 0.4
# In place of the mean of all entries, which would change every weight with every entry.
_USUAL_LENGTH = 60.0
_SCALE = 65_535
_FEW = 2_000


def word_weights(entry: Entry, known: dict[str, list[str]] | None = None) -> dict[str, int]:
    """Give the weight, 1 to 65535, of every word of an entry, of its neighbours and its date.

    `known` keeps the words of lines, for other entries that have them beside them.
    """
    known = {} if known is None else known
    near, far = split_context(entry.context)
    # When a document was read says nothing about what is in it.
    date = [] if entry.kind == "passage" else words_of_date(entry.at_ms)
    counts: defaultdict[str, float] = defaultdict(float)
    length = 0.0
    for words, share in (
        (_words_of_line(entry.text, known), _TEXT),
        *((_words_of_line(line, known), _NEAR) for line in near.split("\n")),
        *((_words_of_line(line, known), _FAR) for line in far.split("\n")),
        (date, _DATE),
    ):
        for word in words:
            counts[word] += share
        length += share * len(words)
    damping = _SATURATION * (1 - _LENGTH + _LENGTH * length / _USUAL_LENGTH)
    weights = {
        count: max(1, round(_SCALE * count / (count + damping))) for count in set(counts.values())
    }
    return {word: weights[count] for word, count in counts.items()}


def _words_of_line(line: str, known: dict[str, list[str]]) -> list[str]:
    words = known.get(line)
    if words is None:
        words = known[line] = words_of(line)
    return words


def pack(postings: Iterable[tuple[int, int]]) -> bytes:
    """Pack (number, weight) pairs of one block, in the order of their numbers."""
    return _packed((number % BLOCK) << 16 | weight for number, weight in postings)


def _packed(postings: Iterable[int]) -> bytes:
    packed = array("I", postings)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(packed: bytes) -> array[int]:
    """Give back what was packed: place in the block times 65536, plus weight."""
    postings = array("I")
    postings.frombytes(packed)
    if sys.byteorder == "big":
        postings.byteswap()
    return postings


def number_of(block: int, posting: int) -> int:
    """Give the number of an entry from its block and its posting."""
    return block * BLOCK + (posting >> 16)


def without(packed: bytes, block: int, numbers: frozenset[int], instead: bytes = b"") -> bytes:
    """Leave out the postings of these numbers; those that are packed in `instead` come in."""
    kept = [one for one in unpack(packed) if number_of(block, one) not in numbers]
    return _packed(sorted([*kept, *unpack(instead)]) if instead else kept)


def packed_postings(
    entries: Iterable[tuple[int, Entry]],
) -> dict[tuple[str, int], bytes]:
    """Give the packed postings of entries, by number and in its order, by word and block."""
    blocks: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    known: dict[str, list[str]] = {}
    for number, entry in entries:
        postings, place = blocks[number // BLOCK], number % BLOCK << 16
        for word, weight in word_weights(entry, known).items():
            postings[word].append(place | weight)
    keys = sorted((word, block) for block, postings in blocks.items() for word in postings)
    return {(word, block): _packed(blocks[block][word]) for word, block in keys}


class _Word:
    """The postings of one looked-for word, and what it is worth at most."""

    def __init__(self, blocks: Mapping[int, bytes], total: int) -> None:
        self._blocks = {block: unpack(packed) for block, packed in blocks.items()}
        self.count = sum(map(len, self._blocks.values()))
        known = max(total, self.count)
        self.worth = math.log(1 + (known - self.count + 0.5) / (self.count + 0.5)) / _SCALE
        self.most = self.worth * _SCALE

    def add_all(self, scores: dict[int, float]) -> None:
        worth = self.worth
        known = scores.get
        for block, postings in self._blocks.items():
            first = block * BLOCK
            scores |= {
                (number := first + (posting >> 16)): known(number, 0.0) + (posting & 0xFFFF) * worth
                for posting in postings
            }

    def add_to(self, scores: dict[int, float]) -> None:
        """Add to the scores that are there, and make no new ones."""
        for number, score in scores.items():
            block, place = divmod(number, BLOCK)
            postings = self._blocks.get(block)
            if postings is None:
                continue
            at = bisect_left(postings, place << 16)
            if at < len(postings) and postings[at] >> 16 == place:
                scores[number] = score + (postings[at] & 0xFFFF) * self.worth


def best(words: Sequence[Mapping[int, bytes]], total: int, count: int) -> list[tuple[int, float]]:
    """Give the numbers with the highest scores, best first, at most `count`.

    `words`: for each looked-for word its packed postings by block. `total`: how many entries
    there are. Rare words first; when what the rest is worth cannot lift a new entry among the
    best, only those that can still be among them are looked up (MaxScore,
    https://doi.org/10.1016/0306-4573(95)00020-H).
    """
    ranked = sorted((_Word(blocks, total) for blocks in words), key=lambda word: -word.most)
    left = sum(word.most for word in ranked)
    scores: dict[int, float] = {}
    is_settled = False
    for word in ranked:
        if not is_settled and word.count > _FEW and len(scores) >= count:
            least = heapq.nlargest(count, scores.values())[-1]
            if least >= left:
                is_settled = True
                scores = {number: s for number, s in scores.items() if s + left >= least}
        if is_settled:
            word.add_to(scores)
        else:
            word.add_all(scores)
        left -= word.most
    return heapq.nsmallest(count, scores.items(), key=lambda item: (-item[1], -item[0]))
