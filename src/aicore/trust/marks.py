"""Places in a text that hold a personal value, and what to do where they overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aicore.records import DataClass

__all__ = ["SPECIAL_KINDS", "Marked", "apart"]

SPECIAL_KINDS = frozenset({"CARD", "IBAN", "ID", "SECRET", "URL"})
"""Kinds of value that are special: money, numbers of a state, what opens a door."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A personal value: text[start:end]. `kind` is upper case letters, such as EMAIL."""

    start: int
    end: int
    kind: str

    @property
    def data_class(self) -> DataClass:
        """How careful to be with it."""
        return "special" if self.kind in SPECIAL_KINDS else "personal"


def apart(text: str, found: Iterable[Marked]) -> Sequence[Marked]:
    """The same places in order and without overlaps; whatever was marked stays marked.

    The longer one wins; what sticks out of the other keeps its own kind.
    """
    pieces: list[Marked] = []
    ordered = sorted(found, key=lambda mark: (mark.start, -mark.end))
    at = 0
    while at < len(ordered):
        end, last = ordered[at].end, at + 1
        while last < len(ordered) and ordered[last].start < end:
            end = max(end, ordered[last].end)
            last += 1
        cluster = ordered[at:last]
        pieces += cluster if len(cluster) == 1 else _uncovered(text, cluster)
        at = last
    return pieces


_MOST_OVERLAPPING = 50
_DOUBT = {"CARD": 1, "NAME": 2, "PHONE": 3}
"""Of marks on the same place, the kind that is least likely to be something else counts."""


def _uncovered(text: str, cluster: Sequence[Marked]) -> Sequence[Marked]:
    if len(cluster) > _MOST_OVERLAPPING:  # a hostile text: one mark over all of it
        longest = max(cluster, key=lambda mark: mark.end - mark.start)
        return [Marked(cluster[0].start, max(mark.end for mark in cluster), longest.kind)]
    kept: list[Marked] = []
    for mark in sorted(cluster, key=_precedence):
        start = mark.start
        for winner in sorted(kept, key=lambda one: one.start):
            if winner.end <= start or winner.start >= mark.end:
                continue
            kept += _trimmed(text, start, winner.start, mark.kind)
            start = max(start, winner.end)
        kept += _trimmed(text, start, mark.end, mark.kind)
    return sorted(kept, key=lambda one: one.start)


def _precedence(mark: Marked) -> tuple[int, int, int]:
    return mark.start - mark.end, _DOUBT.get(mark.kind, 0), mark.start


def _trimmed(text: str, start: int, end: int, kind: str) -> Sequence[Marked]:
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return [Marked(start, end, kind)] if start < end else []
