"""How long a search takes: 10,000 facts of one customer, and many customers' facts in one file.

The text is made up of syllables, its words as often as in a language (Zipf), so that common
words are in a large share of the facts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from aicore.memory.port import Entry, Namespace, Query, Source
from aicore.memory.sqlite import SQLiteMemory

_WORDS = 20_000
_FACTS_OF_ONE = 10_000
_QUERIES = 400
_ADDED = 100
_SYLLABLES = [a + b for a in "bcdfghklmnprstvwz" for b in "aeiou"]
# Of one total: a few customers with very many facts, many with few.
_SIZES = (10_000, 3_000, 1_000, 300, 100)
_COLUMNS = (
    "facts",
    "customers",
    "build CPU s",
    "MB",
    "query CPU ms",
    "p99 CPU ms",
    "p50 ms",
    "p99 ms",
    "add ms",
    "forget s",
)


class Text:
    """Text of words that are nobody's, the same at every run."""

    def __init__(self) -> None:
        self._chance = random.Random(7)  # not a secret
        words = ("".join(self._some(_SYLLABLES, 2, 4)) for _ in range(_WORDS))
        self._words = list(words)
        self._often = list(accumulate(1 / (place + 10) for place in range(_WORDS)))

    def _some(self, among: Sequence[str], least: int, most: int) -> list[str]:
        return self._chance.choices(among, k=self._chance.randint(least, most))

    def words(self, least: int, most: int) -> str:
        count = self._chance.randint(least, most)
        return " ".join(self._chance.choices(self._words, cum_weights=self._often, k=count))

    def pick(self, among: Sequence[Namespace], sizes: Sequence[int]) -> list[Namespace]:
        """Give whom to ask about: customers as often as they have facts."""
        return self._chance.choices(among, weights=sizes, k=_QUERIES)


async def measure(folder: Path, total: int) -> list[str]:
    """Build both files and search them; gives lines to print."""
    text = Text()
    return [
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
        await _case(folder / "one.db", text, [_FACTS_OF_ONE]),
        await _case(folder / "many.db", text, list(_sizes(total))),
    ]


def _sizes(total: int) -> Iterator[int]:
    """Give each size the same share of the facts."""
    for size in _SIZES:
        count = max(total // len(_SIZES) // size, 1)
        yield from [size] * count


async def _case(path: Path, text: Text, sizes: Sequence[int]) -> str:
    spaces = [Namespace("bench", f"customer:{number}") for number in range(len(sizes))]
    async with SQLiteMemory(path) as store:
        begun_s = time.process_time()
        for space, size in zip(spaces, sizes, strict=True):
            for start in range(0, size, 1000):
                count = min(1000, size - start)
                await store.add(space, [_fact(text, start + n) for n in range(count)])
        built_s = time.process_time() - begun_s
        cpu_ms, took_ms = await _search(store, text, text.pick(spaces, sizes))
        add_ms, forget_s = await _change(store, text, spaces[0], sizes[0])
    figures = (
        f"{sum(sizes):,}",
        f"{len(sizes):,}",
        f"{built_s:.0f}",
        f"{_size(path):.0f}",
        f"{sum(cpu_ms) / len(cpu_ms):.2f}",
        f"{_quantile(cpu_ms, 0.99):.2f}",
        f"{_quantile(took_ms, 0.5):.2f}",
        f"{_quantile(took_ms, 0.99):.2f}",
        f"{add_ms:.2f}",
        f"{forget_s:.1f}",
    )
    return f"| {' | '.join(figures)} |"


async def _search(
    store: SQLiteMemory, text: Text, spaces: Sequence[Namespace]
) -> tuple[list[float], list[float]]:
    """Give CPU and wall ms of each query, in order of size."""
    queries = [Query(text=text.words(2, 8), at_ms=10**15) for _ in spaces]
    cpu_ms, took_ms = [], []
    for space, query in zip(spaces, queries, strict=True):
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        await store.search(space, query)
        took_ms.append((time.perf_counter() - start_s) * 1000)
        cpu_ms.append((time.process_time() - cpu_start_s) * 1000)
    return sorted(cpu_ms), sorted(took_ms)


async def _change(
    store: SQLiteMemory, text: Text, space: Namespace, size: int
) -> tuple[float, float]:
    """Add facts one by one, then forget one: ms of an addition, and seconds."""
    begun_s = time.perf_counter()
    for number in range(_ADDED):
        await store.add(space, [_fact(text, size + number)])
    added_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    await store.forget(space, [_fact(text, 1).id])
    return added_s * 1000 / _ADDED, time.perf_counter() - begun_s


def _fact(text: Text, number: int) -> Entry:
    return Entry(
        id=f"f{number:08}",
        kind="fact",
        text=text.words(8, 20),
        source=Source(said_by="customer", seq=number),
        at_ms=number * 3_000_000,
        data_class="personal",
        valid_from_ms=0,
    )


def _size(path: Path) -> float:
    return path.stat().st_size / 1e6


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]
