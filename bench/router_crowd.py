"""Many conversations at once through one router, in a process of its own.

    router_crowd.py PORT CONVERSATIONS [IDLE_S]

PORT is that of fakes/faulty_server.py. After IDLE_S seconds without a word a model is given up.
Each conversation has three streamed turns; each answer is compared to the letter. Prints one line
of JSON.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

import anyio

from aicore.errors import AicoreError
from aicore.models import OpenAICompatible, Price, Timeouts
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger
from aicore.models.port import Completion, Origin, Request
from aicore.models.router import Router, RouterLimits
from aicore.records import Message, Prefix

TURNS = 3
WORDS = 40
# Every fifth request fails at first here, all at once: so many may be asked again.
LIMITS = RouterLimits(retry_share=1.0, retry_burst=1000, wait_s=60)
PREFIX = Prefix("You answer at length.")
PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(4))


@dataclass(slots=True)
class Seen:
    """What came of all turns."""

    right: int = 0
    joined: int = 0
    hedges: int = 0
    failed: Counter[str] = field(default_factory=Counter)


async def talk(router: Router, number: int, seen: Seen) -> None:
    """Have one conversation."""
    tail: list[Message] = []
    for turn in range(1, TURNS + 1):
        id_ = f"c{number}t{turn}"
        tail.append(Message(role="user", text=f"[crowd id={id_} words={WORDS}]"))
        origin = Origin(conversation=f"c{number}", turn=turn, task="reply")
        request = Request(prefix=PREFIX, tail=tuple(tail), origin=origin, max_output_tokens=500)
        text, completion = "", None
        try:
            async for part in router.stream(request):
                if isinstance(part, Completion):
                    completion = part
                else:
                    text += part.delta
        except AicoreError as exc:
            seen.failed[f"{exc.code}: {exc}"[:120]] += 1
        expected = " ".join(f"{id_}x{word}" for word in range(WORDS))
        seen.right += completion is not None and text == completion.text == expected
        if completion is not None and completion.route is not None:
            attempts = completion.route.attempts
            seen.joined += any(attempt.outcome == "cut" for attempt in attempts)
            seen.hedges += any(attempt.is_hedge for attempt in attempts)
        tail.append(Message(role="assistant", text=expected))


async def main(port: str, conversations: int, idle_s: float) -> None:
    """Let them all talk at once."""
    logging.disable(logging.CRITICAL)  # thousands of failures
    patient = Timeouts(connect_s=30, first_token_s=30, idle_s=idle_s, total_s=120)
    root = f"http://127.0.0.1:{port}"
    members = [
        OpenAICompatible(
            base_url=f"{root}/{name}/v1", model="faulty", name=name, price=PRICE, timeouts=patient
        )
        for name in "abc"
    ]
    limits = BudgetLimits(conversation_usd=Decimal(1), day_usd=Decimal(10_000))
    seen = Seen()
    wall, cpu = time.perf_counter(), time.process_time()
    router = Router(members, budget=Budget(MemoryLedger(), limits), limits=LIMITS)
    async with router, anyio.create_task_group() as group:
        for number in range(conversations):
            group.start_soon(talk, router, number, seen)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    with urllib.request.urlopen(f"{root}/told", timeout=5) as response:  # noqa: ASYNC210  at the end
        told = json.load(response)
    asked = told.pop("asked")
    print(
        json.dumps(
            {
                "turns": conversations * TURNS,
                "right": seen.right,
                "joined": seen.joined,
                "hedges": seen.hedges,
                "failed": dict(seen.failed.most_common(5)) or "none",
                "asked": asked,
                "faults": sum(told.values()),
                "kinds": ", ".join(f"{kind} {count}" for kind, count in sorted(told.items())),
                "wall_s": wall,
                "cpu_s": cpu,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]), float((*sys.argv, "5")[3]))
