"""What a memory adds to a turn: CPU of the process, and what a sender waits.

    python bench/memory_turn.py --turns 400
    python bench/memory_turn.py --turns 200 --pause-s 0.05

A scripted provider, a SQLite log and, beside it, a memory in SQLite; rules find the facts. Turns
follow each other at once, or after a pause, in which what waited is learned. The ways are run in
turn, three times each; the figures are of the quickest run, which other programs disturbed least.
CPU includes what is learned behind the reply.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from aicore import Agent, Principal
from aicore.log import SQLiteLog
from aicore.memory import Memory, SQLiteMemory
from aicore.models import ScriptedProvider

SPOKEN = """
appointment tuesday morning tooth pain cleaning crown filling insurance invoice parking address
dentist whitening child school holiday move cancel confirm price cost week doctor nurse bleeding
cold sensitive night guard brace retainer reminder waiting room
"""
WORDS = SPOKEN.split()
CONVERSATIONS = 40
RUNS = 3


def sentence(chance: random.Random) -> str:
    return f"Hello, {' '.join(chance.choice(WORDS) for _ in range(14))}."


async def talk(
    folder: Path, turns: int, pause_s: float, *, has_memory: bool
) -> tuple[float, float, float]:
    """CPU a turn, the median wait of a sender and what one in fifty exceeds, in milliseconds."""
    chance = random.Random(1)
    provider = ScriptedProvider(sentence(chance) for _ in range(turns + 1))
    memory = Memory(SQLiteMemory(folder / "memory.db")) if has_memory else None
    waits_ms = []
    async with Agent(provider=provider, log=SQLiteLog(folder / "log.db"), memory=memory) as agent:
        await agent.send("My name is Ann.", conversation="warm")
        if memory is not None:
            await memory.settled()
        started_s = time.process_time()
        for number in range(turns):
            who = f"web:{number % CONVERSATIONS}"
            sent_s = time.perf_counter()
            await agent.send(
                sentence(chance), conversation=who, principal=Principal("customer", who)
            )
            waits_ms.append((time.perf_counter() - sent_s) * 1000)
            await anyio.sleep(pause_s)
        if memory is not None:
            await memory.settled()
        cpu_ms = (time.process_time() - started_s) * 1000 / turns
    return cpu_ms, statistics.median(waits_ms), statistics.quantiles(waits_ms, n=50)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--pause-s", type=float, default=0.0)
    given = parser.parse_args()
    best: dict[bool, tuple[float, float, float]] = {}
    for _ in range(RUNS):
        for has_memory in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                one = anyio.run(_run, Path(folder), given.turns, given.pause_s, has_memory)
            best[has_memory] = min(best.get(has_memory, one), one)
    for has_memory, (cpu_ms, wait_ms, long_ms) in best.items():
        name = "with memory" if has_memory else "without"
        print(
            f"{name:12} {cpu_ms:6.2f} ms CPU a turn, a sender waits {wait_ms:6.2f} ms (median), "
            f"{long_ms:6.2f} ms (98 of 100)"
        )


async def _run(
    folder: Path, turns: int, pause_s: float, has_memory: bool
) -> tuple[float, float, float]:
    return await talk(folder, turns, pause_s, has_memory=has_memory)


if __name__ == "__main__":
    main()
