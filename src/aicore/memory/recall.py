"""Recall: what is worth telling a model, found by words and, where there is one, by meaning.

Words decide wherever they say something; meaning adds what they do not reach. How the two are
weighed was measured, see docs/memory-recall.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from aicore.memory.meaning import Meaning
from aicore.memory.port import (
    Embedder,
    Entry,
    Found,
    MemoryStore,
    Namespace,
    Query,
    Source,
    VectorIndex,
)
from aicore.memory.showing import show
from aicore.memory.words import words_of
from aicore.records import DataClass

__all__ = ["Recall", "RecallLimits", "show"]

_LOOKED_FOR = 20_000  # characters of a question
_DAY_MS = 86_400_000


# Measured, see docs/memory-recall.md. What the nearest vector counts, against 1.0 for the best
# match of words: the first where all looked-for words were found, both together where none was.
_MEANING = 0.3
_MEANING_ALONE = 0.7
# What an entry of today has ahead of an old one, halved every 90 days.
_RECENCY = 0.1
_LEAST_SHARE = 0.1
# From so many vectors on the whole of `stands_out` is asked for, of fewer a part of it.
_ENOUGH = 50
# What is this much weaker than the best is not worth its tokens.
_WORTH_TELLING = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallLimits:
    """What a recall may cost, and what it takes to be told.

    `candidates`: how many entries of each namespace are looked at, by words and by meaning, where
    there are vectors.
    `embed_s`: how long a query's vector, and what is near it, are waited for; recall goes by words
    alone then. `rest_s`: how long it does so after a failure, before it asks again.
    `stands_out`: an entry that has none of the looked-for words is told when its vector is so many
    standard deviations nearer than the mean of those looked at, of fewer than 50 in proportion; 0
    tells all that are nearer than the mean. There is always a nearest one, and no similarity
    that means "related" with every embedder, so this is about how much one stands out. It keeps
    most of what does not answer from being told, and some of what does.
    """

    candidates: int = 100
    embed_s: float = 2.0
    rest_s: float = 45.0
    stands_out: float = 1.6


class Recall:
    """Finds entries in a store by their words and, with an index and an embedder, by meaning.

    It opens and closes nothing. Nothing of special texts is ever sent to a managed embedder or
    index.
    """

    def __init__(
        self,
        store: MemoryStore,
        vectors: VectorIndex | None = None,
        embedder: Embedder | None = None,
        *,
        limits: RecallLimits = RecallLimits(),  # frozen
    ) -> None:
        self._store = store
        self._limits = limits
        self._meaning: Meaning | None = None
        if vectors is not None and embedder is not None:
            self._meaning = Meaning(store, vectors, embedder, rest_s=limits.rest_s)

    async def find(
        self,
        namespaces: Sequence[Namespace],
        text: str,
        *,
        now_ms: int,
        data_classes: Collection[DataClass] | None = None,
        leave_out: Callable[[Source], bool] = lambda _: False,
        k: int = 10,
    ) -> Sequence[Found]:
        """Give the entries of these namespaces that answer a text best, best first, at most `k`.

        Only such as hold at `now_ms`, are of `data_classes` (None: all), and whose source is not
        left out. An embedder or index that is down is logged once and not asked for a while; words
        are enough then.

        Raises: StoreBusy, StoreError of the store.
        """
        text = text[:_LOOKED_FOR]
        words = frozenset(words_of(text))
        meaning = self._meaning
        if meaning is not None and not meaning.may_ask(text):
            meaning = None
        limits = self._limits
        count = 3 * k if meaning is None else max(limits.candidates, k)
        query = Query(text=text, k=count, at_ms=now_ms, data_classes=data_classes)
        # Words first: what they find is there whatever becomes of the vectors.
        by_words = [
            await self._by_words(namespace, query, leave_out, k) for namespace in namespaces
        ]
        all_near: Mapping[Namespace, Mapping[str, float]] = {}
        if meaning is not None:
            all_near = await meaning.near(
                namespaces, text, limits.candidates, within_s=limits.embed_s
            )
        ranked: list[Found] = []
        for namespace, said in zip(namespaces, by_words, strict=True):
            near = all_near.get(namespace, {})
            found = await self._with_near(namespace, said, near)
            allowed = {
                id_: one
                for id_, one in found.items()
                if _holds(one.entry, now_ms)
                and (data_classes is None or one.entry.data_class in data_classes)
                and not leave_out(one.entry.source)
            }
            ranked += self._weigh(allowed, near, words, now_ms)
        ranked.sort(key=lambda one: (-one.score, -one.entry.at_ms, one.entry.id))
        least = _WORTH_TELLING * ranked[0].score if ranked else 0.0
        return [one for one in ranked[:k] if one.score >= least]

    async def embed_missing(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Make vectors of those entries that have none. Sensitive ones stay out of managed hands.

        Without an index or an embedder nothing is done.

        A text that the embedder refuses is passed over.

        Raises: StoreBusy, StoreError; ProviderUnavailable, CredentialError, ConfigError.
        """
        if self._meaning is not None:
            await self._meaning.embed_missing(namespace, entries)

    async def _by_words(
        self, namespace: Namespace, query: Query, leave_out: Callable[[Source], bool], k: int
    ) -> Sequence[Found]:
        """Search, and look further where too many of those found are left out."""
        while True:
            found = await self._store.search(namespace, query)
            left = sum(not leave_out(one.entry.source) for one in found)
            if left >= k or len(found) < query.k:
                return found
            query = replace(query, k=4 * query.k)

    async def _with_near(
        self, namespace: Namespace, found: Sequence[Found], near: Mapping[str, float]
    ) -> dict[str, Found]:
        """Add, without a score, what only the vectors found; what is not in the store is gone."""
        both = {one.entry.id: one for one in found}
        others = [id_ for id_ in near if id_ not in both]
        if others:
            entries = await self._store.get(namespace, others)
            both |= {id_: Found(entry, 0.0) for id_, entry in entries.items()}
        return both

    def _weigh(
        self,
        found: Mapping[str, Found],
        near: Mapping[str, float],
        words: frozenset[str],
        now_ms: int,
    ) -> list[Found]:
        """Score the entries of one namespace so that those of several can be compared.

        Words and meaning are each brought to 0 to 1, as models differ in how far apart vectors
        are. Meaning counts more the fewer of the looked-for words the best match has.
        """
        best = max(found.values(), key=lambda one: one.score, default=None)
        if best is None:
            return []
        share = _share(best.entry, words) if best.score > 0 else 0.0
        meanings = [near[id_] for id_ in found if id_ in near]
        top = max(meanings, default=0.0)
        floor = min(near.values()) if len(near) > 1 else 0.0
        least = self._least_near(near.values())
        meaning = (_MEANING + _MEANING_ALONE * (1 - share)) / max(top - floor, 1e-6)
        whole = max(share, top, _LEAST_SHARE)
        weighed = []
        for id_, one in found.items():
            if one.score <= 0 and near.get(id_, least) < least:
                continue
            score = one.score / best.score if share else 0.0
            score += meaning * (near.get(id_, floor) - floor)
            score *= whole * (1 + _RECENCY * _freshness(one.entry, now_ms))
            weighed.append(Found(one.entry, score))
        return weighed

    def _least_near(self, near: Collection[float]) -> float:
        """Give the similarity from which what has none of the words is worth telling."""
        if not near:
            return 0.0
        part = min(1.0, (len(near) - 1) / _ENOUGH)
        mean = fmean(near)
        # Not `pstdev`, which is exact and a hundred times slower.
        deviation = math.sqrt(fmean([(one - mean) ** 2 for one in near]))
        # A little less, as the mean of equal figures may be above all of them.
        return mean + self._limits.stands_out * part * deviation - 1e-6


def _share(entry: Entry, words: frozenset[str]) -> float:
    """Give how many of the looked-for words an entry has, 0 to 1."""
    has = words_of(f"{entry.text}\n{entry.context}")
    return len(words.intersection(has)) / len(words) if words else 0.0


def _freshness(entry: Entry, now_ms: int) -> float:
    """Give 1 for what was said today, half of it every 90 days; a document holds today."""
    if entry.kind == "passage":
        return 1.0
    return float(0.5 ** (max(now_ms - entry.at_ms, 0) / _DAY_MS / 90))


def _holds(entry: Entry, at_ms: int) -> bool:
    is_over = entry.valid_to_ms is not None and entry.valid_to_ms <= at_ms
    return entry.valid_from_ms <= at_ms and not is_over
