"""What a server weighs: from starting it to its list of tools, and its memory then."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters, stdio_client

__all__ = ["server_weights"]

BARE = str(Path(__file__).parent / "fakes" / "bare_server.py")
NAMES = ("crm", "mail", "calendars", "payments", "business")


@dataclass(slots=True)
class Weight:
    """One entry per start: milliseconds to the list of tools, and peak memory by then."""

    start_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def server_weights(folder: Path, starts: int) -> dict[str, dict[str, list[float]]]:
    """Weigh each server over stdio; the first round of all fills caches and does not count."""
    commands = {"bare mcp server": [BARE]} | {
        f"aicore-{name}": ["-m", f"aicore_servers.{name}", "--data", str(folder)] for name in NAMES
    }
    weights = {name: Weight() for name in commands}
    for number in range(starts + 1):
        for name, arguments in commands.items():
            start_ms, rss_mb = anyio.run(_weigh, arguments)
            if number:
                weights[name].start_ms.append(start_ms)
                weights[name].rss_mb.append(rss_mb)
    return {name: asdict(weight) for name, weight in weights.items()}


async def _weigh(arguments: list[str]) -> tuple[float, float]:
    before = _children()
    began = time.perf_counter()
    server = StdioServerParameters(command=sys.executable, args=arguments)
    async with Client(stdio_client(server)) as client:
        await client.list_tools()
        start_ms = (time.perf_counter() - began) * 1e3
        (pid,) = _children() - before
        return start_ms, _peak_mb(pid)


def _children() -> set[int]:
    listed = Path("/proc/self/task").glob("*/children")
    return {int(pid) for tasks in listed for pid in tasks.read_text().split()}


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak_kb,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak_kb) / 1024
