"""One contender in a process of its own, measured by itself.

    worker.py CONTENDER SCENARIO MODEL_URL TARGET

TARGET is JSON: the MCP server's URL, the command that starts it over stdio, or null.
Reads one command a line, `{"turns", "conversation", "first"}`, and answers each with
`{"cpu_ms", "wall_ms", "rss_mb", "alive_cpu_ms"}`, or with `{"error"}`. Time is taken round the
turns only; every answer is checked after the clock has stopped. CPU is of all threads of this
process, and of no other: models and tool servers do not count.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import Contender, open_contender
from scenarios import SCENARIOS, Scenario, verify


@dataclass(frozen=True, slots=True)
class Measured:
    """What the turns of one command took, in all."""

    cpu_ms: float
    wall_ms: float


async def run_turns(
    contender: Contender,
    scenario: Scenario,
    turns: int,
    conversation: str | None = None,
    first: int = 1,
) -> Measured:
    """Run turns and check their answers.

    `conversation` holds them all, the first being its `first`-th turn; None: each has its own.
    Raises: WrongAnswer.
    """
    label = conversation or f"c{time.monotonic_ns():x}"
    questions = [
        scenario.question(f"{label}n{number}", first + number if conversation else 1)
        for number in range(turns)
    ]
    one_turn = contender.stream if scenario.chunks else contender.send
    answers: list[str] = []
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    if scenario.at_once == 1:
        for number, question in enumerate(questions):
            answers.append(await one_turn(conversation or f"{label}-{number}", question.text()))
    else:
        for start in range(0, turns, scenario.at_once):
            group = questions[start : start + scenario.at_once]
            together = (one_turn(f"{label}-{q.nonce}", q.text()) for q in group)
            answers += await asyncio.gather(*together)  # noqa: TID251  one failure fails the run
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    verify(scenario, questions, answers)
    return Measured(cpu * 1e3, wall * 1e3)


async def obey(
    name: str, scenario: Scenario, model_url: str, target: str | list[str] | None
) -> None:
    """Open the contender and run what standard input asks for, until it ends."""
    with tempfile.TemporaryDirectory(prefix="aicore-bench-") as folder:
        log_path = Path(folder) / "bench.db"
        async with open_contender(name, model_url, target, log_path) as contender:
            while line := await asyncio.to_thread(sys.stdin.readline):
                command: dict[str, Any] = json.loads(line)
                measured = await run_turns(contender, scenario, **command)
                say(
                    cpu_ms=measured.cpu_ms,
                    wall_ms=measured.wall_ms,
                    rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    alive_cpu_ms=time.process_time() * 1e3,
                )


def say(**values: object) -> None:
    """One line for the run."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    contender_name, key, url, mcp_target = sys.argv[1:]
    try:
        asyncio.run(obey(contender_name, SCENARIOS[key], url, json.loads(mcp_target)))
    except Exception as error:  # noqa: BLE001  the boundary of the process: told to the run
        traceback.print_exc()
        say(error=f"{type(error).__name__}: {error}")
        sys.exit(1)
