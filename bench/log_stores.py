"""What a log costs on SQLite and on PostgreSQL, one call at a time and sixteen at once.

    python bench/log_stores.py                     # PostgreSQL from the wheel, fsync on
    python bench/log_stores.py postgresql://…      # a server of yours; makes its tables there

Milliseconds of wall time per call, median and 99th percentile; CPU of this process per round of
receive, claim, append and read; events a second of sixteen writers; and how long after its append
another process's event is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from aicore.log import EventLog
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.registry import open_log
from aicore.records import ConversationId, Principal

ROUNDS = 400
WARM_UP = 30
WRITERS = 16
EACH = 60
RUN = secrets.token_hex(4)
CUSTOMER = Principal("customer", "ann")
CALLS = ("receive", "claim", "append", "read 20")


def named(name: object) -> ConversationId:
    return ConversationId(f"{RUN}:{name}")


async def one_at_a_time(log: EventLog) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {call: [] for call in CALLS}
    for number in range(WARM_UP + ROUNDS):
        conversation = named(number % 50)
        text = MessageReceived(text="x" * 400, principal=CUSTOMER, message_id=f"{RUN}{number}")
        times = [time.perf_counter()]
        received = await log.receive(conversation, text)
        times.append(time.perf_counter())
        claim = await log.claim(conversation)
        times.append(time.perf_counter())
        await log.append(claim, received.seq, [ReplySent(text="y" * 600)])
        times.append(time.perf_counter())
        await log.read(conversation, max(0, received.seq - 19))
        times.append(time.perf_counter())
        if number >= WARM_UP:
            for call, begin, end in zip(CALLS, times[:-1], times[1:], strict=True):
                took[call].append((end - begin) * 1000)
    return took


async def many_at_once(log: EventLog) -> float:
    async def write(number: int) -> None:
        claim = await log.claim(named(f"w{number}"))
        for _ in range(EACH):
            claim = await log.append(claim, 1, [ReplySent(text="y" * 600)])

    begin = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for number in range(WRITERS):
            tasks.start_soon(write, number)
    return WRITERS * EACH / (time.perf_counter() - begin)


async def time_to_tell(log: EventLog, other: EventLog) -> list[float]:
    took = []
    subscription = log.subscribe()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, subscription)
        await anyio.sleep(0.5)
        await log.receive(named("begin"), MessageReceived(text="x", principal=CUSTOMER))
    for _ in range(100):
        await other.receive(named("told"), MessageReceived(text="x", principal=CUSTOMER))
        begin = time.perf_counter()
        await anext(subscription)
        took.append((time.perf_counter() - begin) * 1000)
    return took


def shown(values: list[float]) -> str:
    values = sorted(values)
    return f"{statistics.median(values):.2f} / {values[int(len(values) * 0.99)]:.2f}"


async def measure(name: str, url: str) -> None:
    async with open_log(url) as log, open_log(url) as other:
        cpu = time.process_time()
        took = await one_at_a_time(log)
        cpu_ms = (time.process_time() - cpu) * 1000 / (ROUNDS + WARM_UP)
        figures = [f"{call} {shown(values)}" for call, values in took.items()]
        figures.append(f"CPU a round {cpu_ms:.2f}")
        figures.append(f"{WRITERS} writers {await many_at_once(log):.0f}/s")
        figures.append(f"told after {shown(await time_to_tell(log, other))}")
        print(f"{name}: {', '.join(figures)}", flush=True)


@contextlib.contextmanager
def server_of_a_wheel() -> Iterator[str]:
    path = Path(__file__).parents[1] / "tests" / "postgres_server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SETTINGS["fsync"] = "on"
    with module.running_postgres() as server:
        yield server.new_database()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure("SQLite", f"{folder}/log.db"))
    given = contextlib.nullcontext(sys.argv[1]) if sys.argv[1:] else server_of_a_wheel()
    with given as url:
        asyncio.run(measure("PostgreSQL", url))


if __name__ == "__main__":
    main()
