"""What the router costs per call and per streamed chunk, and how it bears a crowd and failures.

    python bench/router.py                     both parts, about four minutes
    PEER=litellm python bench/router.py        with LiteLLM's Router, in an environment of its own
    python bench/router.py --only crowd        1,000 conversations at once, with failures injected
    python bench/router.py --quick             shows that it works, not how fast it is

CPU is of the client's process alone; the models are stand-ins on loopback in another process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from machine import describe_machine
from processes import ModelServer, Worker, model_server, started
from run import OUT, peer_python
from scenarios import SCENARIOS, Scenario

AIM = 1.2
PEERS = {"litellm": "litellm==1.106.0"}
HERE = Path(__file__).parent
OURS = ("raw", "provider", "router", "router-budget")
TURNS = {
    "C": replace(SCENARIOS["C"], turns=50, repeats=30),
    "S": replace(SCENARIOS["S"], turns=6, repeats=30),
    "S-paced": replace(SCENARIOS["S-paced"], turns=2, repeats=10),
}


@dataclass(slots=True)
class Row:
    """CPU milliseconds a turn, round by round, and how often a model was asked for a turn."""

    cpu_ms: list[float] = field(default_factory=list)
    requests: int = 0
    turns: int = 0


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 when the crowd lost or doubled anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few turns")
    parser.add_argument("--only", choices=("overhead", "crowd"), help="one part")
    parser.add_argument("--peer", choices=PEERS, default=os.environ.get("PEER") or None)
    options = parser.parse_args(arguments)
    pythons = dict.fromkeys(OURS, sys.executable)
    if options.peer:
        pythons[options.peer] = str(peer_python(options.peer, PEERS[options.peer]))
    lines = ["# Router", "", *_machine(pythons)]
    is_whole = True
    if options.only != "crowd":
        with model_server() as model:
            for key, scenario in TURNS.items():
                sized = _quick(scenario) if options.quick else scenario
                lines += _table(sized, overhead(sized, pythons, model))
                print(f"  {key} measured", file=sys.stderr)
    if options.only != "overhead":
        told, is_whole = crowd(50 if options.quick else 1000)
        lines += told
    text = "\n".join(lines) + "\n"
    print(text)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "router.md").write_text(text)
    return 0 if is_whole else 1


def overhead(scenario: Scenario, pythons: dict[str, str], model: ModelServer) -> dict[str, Row]:
    """Run every contender round by round. Raises: WrongAnswer, WorkerFailed."""
    rows = {name: Row() for name in pythons}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(python, name, scenario, model.url, None))
            for name, python in pythons.items()
        }
        for worker in workers.values():
            worker.run(max(scenario.warm_up, 30))  # so that the router has seen enough to hedge
        for number in range(scenario.repeats):
            names = list(workers)
            for name in names if number % 2 else reversed(names):
                before = model.requests()
                cpu_ms = workers[name].run(scenario.turns)["cpu_ms"] / scenario.turns
                rows[name].cpu_ms.append(cpu_ms)
                rows[name].requests += model.requests() - before
                rows[name].turns += scenario.turns
    return rows


def crowd(conversations: int) -> tuple[list[str], bool]:
    """Let so many talk at once, three turns each; what came of it, and whether all was right."""
    with started(str(HERE / "fakes" / "faulty_server.py")) as port:
        command = [sys.executable, str(HERE / "router_crowd.py"), port, str(conversations)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [f"## Crowd\n\nIt broke:\n{done.stderr[-2000:]}"], False
    told = json.loads(done.stdout)
    is_whole = told["right"] == told["turns"]
    lines = [
        "## Crowd",
        "",
        f"{conversations:,} conversations at once, {told['turns']:,} streamed answers, one process "
        f"with one router over three models; {told['faults']:,} failures injected in "
        f"{told['asked']:,} requests: {told['kinds']}.",
        "",
        f"- whole answers, no word lost or doubled: {told['right']:,} of {told['turns']:,}",
        f"- failed with a typed error: {told['failed']}",
        f"- gone on with after a break: {told['joined']:,}; asked a second at once: "
        f"{told['hedges']:,}",
        f"- {told['wall_s']:.1f} s, {told['cpu_s']:.1f} s of CPU, peak {told['rss_mb']:.0f} MB",
    ]
    return lines, is_whole


def _quick(scenario: Scenario) -> Scenario:
    return replace(scenario, turns=2, repeats=2, warm_up=2)


def _machine(pythons: dict[str, str]) -> list[str]:
    return [f"- {name}: {text}" for name, text in describe_machine(pythons).items()] + [""]


def _table(scenario: Scenario, rows: dict[str, Row]) -> list[str]:
    header = f"| {scenario.title} | CPU ms | ÷ raw | ÷ provider | µs a chunk more | asked |"
    lines = [f"## {scenario.key}", "", header, "| --- | --: | --: | --: | --: | --: |"]
    for name, row in rows.items():
        chunks = scenario.chunks or 1
        pairs = zip(row.cpu_ms, rows["provider"].cpu_ms, strict=True)
        added_us = statistics.median((mine - its) * 1000 / chunks for mine, its in pairs)
        lines.append(
            f"| {name} | {statistics.median(row.cpu_ms):.3f} | {_ratio(row, rows['raw'])} | "
            f"{_ratio(row, rows['provider'])} | {added_us:.1f} | {row.requests / row.turns:.2f} |"
        )
    ratio = _median(rows["router"], rows["raw"])
    return [*lines, "", f"Aim router ÷ raw {AIM}: {'met' if ratio <= AIM else '**missed**'}", ""]


def _median(row: Row, yardstick: Row) -> float:
    """Round by round, so that what slows the machine for a while slows both."""
    pairs = zip(row.cpu_ms, yardstick.cpu_ms, strict=True)
    return statistics.median(mine / its for mine, its in pairs)


def _ratio(row: Row, yardstick: Row) -> str:
    best = min(row.cpu_ms) / min(yardstick.cpu_ms)
    return f"{_median(row, yardstick):.2f} (best {best:.2f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
