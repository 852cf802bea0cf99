"""How long the log's calls take in different stores, by turns in one run.

    python bench/log_stores.py sqlite:////tmp/shop.db redis://127.0.0.1:6379/0

Each url must name a store that holds no log yet; what is written stays in it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio

from aicore.errors import ConfigError
from aicore.log import EventLog
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.registry import open_log
from aicore.records import ConversationId, Principal

T = TypeVar("T")

_TEXT = "lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed " * 13  # about 800 bytes
_TURNS = 3_000
_ROUND = 100
_AT_ONCE = 32
_LONG = 10_000
_LONG_ID = ConversationId("bench:long")


class Store:
    """An open log, and how long each of its calls took, in seconds."""

    def __init__(self, url: str, log: EventLog) -> None:
        self.name = urlsplit(url).scheme or "sqlite"
        self.url = url
        self.took: dict[str, list[float]] = {}
        self.cpu_s = 0.0
        self._log = log
        self._written = 0

    async def turns(self, count: int) -> None:
        """Message, claim, reply: one after the other, in conversations of twenty turns."""
        begin_s = time.process_time()
        for _ in range(count):
            await self._turn(ConversationId(f"bench:{self._written // 20}"))
        self.cpu_s += time.process_time() - begin_s

    async def at_once(self, count: int) -> float:
        """Turns per second of many conversations side by side."""

        async def talk(conversation: ConversationId) -> None:
            for _ in range(count // _AT_ONCE):
                await self._turn(conversation, is_timed=False)

        begin_s = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(_AT_ONCE):
                tasks.start_soon(talk, ConversationId(f"bench:side:{number}"))
        return count / (time.perf_counter() - begin_s)

    async def read_long(self) -> float:
        """Milliseconds to read a conversation of 10,000 events, the best of five."""
        claim = await self._log.claim(_LONG_ID)
        for _ in range(_LONG // 100):
            claim = await self._log.append(claim, 1, [ReplySent(text=_TEXT)] * 100)
        took = []
        for _ in range(5):
            begin_s = time.perf_counter()
            events = await self._log.read(_LONG_ID)
            took.append(time.perf_counter() - begin_s)
            if len(events) != _LONG:
                sys.exit(f"{self.name} has {len(events)} events instead of {_LONG}")
        return min(took) * 1000

    async def _turn(self, conversation: ConversationId, *, is_timed: bool = True) -> None:
        self._written += 1
        message = MessageReceived(
            text=_TEXT, principal=Principal("customer", "1"), message_id=f"m{self._written}"
        )
        time_of = self._time if is_timed else _only_do
        received = await time_of("receive", lambda: self._log.receive(conversation, message))
        claim = await time_of("claim", lambda: self._log.claim(conversation))
        bodies = [ReplySent(text=_TEXT)]
        await time_of("append", lambda: self._log.append(claim, received.seq, bodies))

    async def _time(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        begin_s = time.perf_counter()
        answer = await call()
        self.took.setdefault(what, []).append(time.perf_counter() - begin_s)
        return answer


async def _only_do(what: str, call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def _quantile(took: Sequence[float], share: float) -> float:
    return sorted(took)[int(len(took) * share)] * 1000


async def _bytes_per_event(url: str, turns: int) -> str:
    """How much memory of a Redis server each event took; "" for other stores."""
    if not url.startswith(("redis", "valkey")):
        return ""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as client:
        told: dict[str, Any] = await client.info("memory")
    used = told["used_memory"] - told["used_memory_startup"] - told.get("mem_clients_normal", 0)
    return f"{used / (turns * 2):.0f}"


async def _main(urls: Sequence[str], turns: int) -> None:
    async with AsyncExitStack() as stack:
        stores = []
        for url in urls:
            log = await stack.enter_async_context(open_log(url))
            if await log.conversations(limit=1):
                raise ConfigError("A store holds a log already. Name an empty one.")
            stores.append(Store(url, log))
        for _ in range(turns // _ROUND):
            for store in stores:
                await store.turns(_ROUND)
            stores.reverse()
        print("| store | call | p50 ms | p99 ms |\n|---|---|---|---|")
        for store in sorted(stores, key=lambda one: one.name):
            for what, took in store.took.items():
                times = f"{_quantile(took, 0.5):.2f} | {_quantile(took, 0.99):.2f}"
                print(f"| {store.name} | {what} | {times} |")
        print("\n| store | CPU ms a turn | turns/s, 32 at once | read 10,000 ms | bytes an event |")
        print("|---|---|---|---|---|")
        for store in sorted(stores, key=lambda one: one.name):
            held = await _bytes_per_event(store.url, turns)
            cpu_ms = store.cpu_s / turns * 1000
            speed = await store.at_once(turns)
            read_ms = await store.read_long()
            print(f"| {store.name} | {cpu_ms:.2f} | {speed:.0f} | {read_ms:.0f} | {held} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--turns", type=int, default=_TURNS)
    arguments = parser.parse_args()
    anyio.run(_main, arguments.urls, arguments.turns)
