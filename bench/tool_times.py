"""How long each tool takes on its local backend, in process, beside a bare server's echo."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fakes.bare_server import server as bare
from jobs import JOBS, Desk
from mcp import Client

from aicore_servers import calendars, crm, mail, payments

__all__ = ["open_desk", "tool_times"]

ADDRESS = "office@main.example"
SERVERS: dict[str, tuple[Any, ...]] = {
    "crm": (crm,),
    "mail": (mail, "--address", ADDRESS),
    "calendar": (calendars, "--address", ADDRESS),
    "payments": (payments, "--max-day-minor", str(10**12)),
}


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    """Open the four servers on empty stores."""
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(
                Client(module.server("--data", str(folder), "--confirm", "never", *extra))
            )
            for name, (module, *extra) in SERVERS.items()
        }
        yield Desk(clients)


async def tool_times(folder: Path, calls: int) -> dict[str, list[float]]:
    """Give the milliseconds of each call of each tool, and of `echo`, which is always between.

    Through the protocol, without a process between: what is measured is the tool. Arguments are
    made ready, and drafts or invoices that a call needs written, before the clock starts.
    """
    taken: dict[str, list[float]] = {job.tool: [] for job in JOBS} | {"echo": []}
    async with open_desk(folder) as desk, Client(bare) as echo:
        for number in range(calls):
            for job in JOBS:
                arguments = await job.arguments(desk, number)
                began = time.perf_counter()
                await desk.call(job.tool, arguments)
                taken[job.tool].append((time.perf_counter() - began) * 1e3)
            began = time.perf_counter()
            await echo.call_tool("echo", {"text": "hello"})
            taken["echo"].append((time.perf_counter() - began) * 1e3)
    return taken
