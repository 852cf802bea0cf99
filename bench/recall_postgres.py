"""How fast the memory in PostgreSQL recalls, and whether it finds what the one in SQLite finds.

python bench/recall_postgres.py postgresql://user@host/empty_database
python bench/recall_postgres.py URL --entries 200000        # in total, for the speed
python bench/recall_postgres.py URL --locomo locomo10.json  # the same as SQLite, on LoCoMo

It writes under the business "bench", and erases that in the end.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import recall_locomo
from recall_speed import Text

from aicore.memory.port import Entry, Namespace, Query, Source
from aicore.memory.postgres import PostgresMemory
from aicore.memory.postgres_vectors import PostgresVectors
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory

_OF_ONE = 10_000
_QUERIES = 400
_LENGTH = 384
_AT_ONCE = 1000


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


async def _timed(what: str, ask: Callable[[], Awaitable[object]]) -> None:
    took_ms = []
    begun_s = time.process_time()
    for _ in range(_QUERIES):
        start_s = time.perf_counter()
        await ask()
        took_ms.append((time.perf_counter() - start_s) * 1000)
    cpu_ms = (time.process_time() - begun_s) * 1000 / _QUERIES
    took_ms.sort()
    p50, p99 = (took_ms[int(len(took_ms) * share)] for share in (0.5, 0.99))
    print(f"| {what} | {cpu_ms:.2f} | {p50:.2f} | {p99:.2f} |")


async def _words(url: str, total: int) -> None:
    text, chance = Text(), random.Random(7)  # not a secret
    spaces = [Namespace("bench", f"customer:{n}") for n in range(max(total // _OF_ONE, 1))]
    async with PostgresMemory(url) as store:
        for count, space in enumerate(spaces, 1):
            for start in range(0, _OF_ONE, _AT_ONCE):
                await store.add(space, [_fact(text, start + n) for n in range(_AT_ONCE)])
            if count in {1, len(spaces)}:
                asked = spaces[:count]

                async def ask(asked: Sequence[Namespace] = asked) -> None:
                    query = Query(text=text.words(2, 8), at_ms=10**15)
                    await store.search(chance.choice(asked), query)

                await _timed(f"words, {count * _OF_ONE:,} entries, {count} namespaces", ask)
        start_s = time.perf_counter()
        await store.forget(spaces[0], ["f00000007"])
        print(f"| forget one of {len(spaces) * _OF_ONE:,} | | {_since_ms(start_s):.0f} | |")
        start_s = time.perf_counter()
        for space in spaces:
            await store.erase(space)
        print(f"| erase a namespace of {_OF_ONE:,} | | {_since_ms(start_s) / len(spaces):.0f} | |")


async def _meaning(url: str, total: int) -> None:
    chance = random.Random(7)  # not a secret
    spaces = [Namespace("bench", f"customer:{n}") for n in range(max(total // _OF_ONE, 1))]

    def vector() -> list[float]:
        return [chance.gauss(0, 1) for _ in range(_LENGTH)]

    async with PostgresVectors(url, model="bench") as index:
        for count, space in enumerate(spaces, 1):
            for start in range(0, _OF_ONE, _AT_ONCE):
                await index.put(space, {f"f{start + n:08}": vector() for n in range(_AT_ONCE)})
            if count in {1, len(spaces)}:
                asked = spaces[:count]

                async def ask(asked: Sequence[Namespace] = asked) -> None:
                    await index.nearest(chance.choice(asked), vector(), 10)

                await _timed(f"vectors, {count * _OF_ONE:,} entries, {count} namespaces", ask)
        for space in spaces:
            await index.erase(space)


def _since_ms(start_s: float) -> float:
    return (time.perf_counter() - start_s) * 1000


async def _speed(url: str, total: int) -> None:
    print("| what | our CPU ms | p50 ms | p99 ms |\n|---|---|---|---|")
    await _words(url, total)
    await _meaning(url, total)


async def _locomo(url: str, path: Path) -> None:
    """Ask every question of both stores."""
    dialogues = recall_locomo.read(path)
    space = Namespace("bench", "customer:locomo")
    for half, numbers in recall_locomo.HALVES.items():
        scores = {"SQLite": recall_locomo.Score(), "PostgreSQL": recall_locomo.Score()}
        same = count = 0
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder:
                stores = (SQLiteMemory(Path(folder, "m.db")), PostgresMemory(url))
                async with stores[0], stores[1]:
                    await stores[1].erase(space)
                    finds = [
                        await recall_locomo._remember(dialogues[number], Recall(store), store)
                        for store in stores
                    ]
                    for question in dialogues[number].questions:
                        answers = [await find(question.text) for find in finds]
                        for score, answer in zip(scores.values(), answers, strict=True):
                            score.add(answer, question.evidence)
                        same += answers[0] == answers[1]
                        count += 1
                    await stores[1].erase(space)
        for name, score in scores.items():
            print(half, name, *(f"@{k} {score.percent(k):.1f}" for k in recall_locomo.PLACES))
        print(f"{half}: the same answer in the same order for {same} of {count} questions")


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of an empty database that has pgvector")
    parser.add_argument("--locomo", type=Path, help="LoCoMo's data/locomo10.json")
    parser.add_argument("--entries", type=int, default=200_000)
    asked = parser.parse_args(arguments)
    if asked.locomo is not None:
        anyio.run(_locomo, asked.url, asked.locomo)
    else:
        anyio.run(_speed, asked.url, asked.entries)


if __name__ == "__main__":
    main(sys.argv[1:])
