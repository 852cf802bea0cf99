"""The measurements: turns side by side, imports, and cold starts."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from processes import ModelServer, Worker, mcp_target
from scenarios import SCENARIOS, Scenario, verify_requests

__all__ = ["Row", "cold_starts", "imports", "side_by_side"]


@dataclass(slots=True)
class Row:
    """What was measured of one contender in one scenario; one entry per round in each list.

    `cpu_ms` and `wall_ms` are per turn. `segments_ms` holds, for a growing conversation, CPU per
    turn of each part, one list per repeat.
    """

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    segments_ms: list[list[float]] = field(default_factory=list)
    requests_per_turn: float = 0.0
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """Who competes: names, and the Python each runs with."""

    pythons: dict[str, str]


class _Contest:
    """Workers of all contenders in one scenario, taking turns."""

    def __init__(self, scenario: Scenario, model: ModelServer, workers: dict[str, Worker]) -> None:
        self._scenario = scenario
        self._model = model
        self._workers = workers
        self.rows = {name: Row() for name in workers}

    def _part(
        self, name: str, turns: int, conversation: str | None, first: int
    ) -> tuple[float, float]:
        """Run turns of one contender, count its model requests; CPU and wall ms per turn."""
        before = self._model.requests()
        measured = self._workers[name].run(turns, conversation, first)
        requests = self._model.requests() - before
        verify_requests(self._scenario, turns, requests)
        row = self.rows[name]
        row.requests_per_turn = requests / turns
        row.rss_mb = measured["rss_mb"]
        return measured["cpu_ms"] / turns, measured["wall_ms"] / turns

    def warm_up(self) -> None:
        """Run turns that do not count."""
        for name in self._workers:
            self._part(name, self._scenario.warm_up, None, 1)

    def round(self, number: int) -> None:
        """One round of every contender; who begins changes from round to round."""
        scenario = self._scenario
        turns = scenario.turns // scenario.segments
        parts: dict[str, list[tuple[float, float]]] = {name: [] for name in self._workers}
        for segment in range(scenario.segments):
            names = list(self._workers)
            for name in names if (number + segment) % 2 else reversed(names):
                conversation = f"r{number}" if scenario.is_growing else None
                parts[name].append(self._part(name, turns, conversation, segment * turns + 1))
        for name, row in self.rows.items():
            cpu = [part[0] for part in parts[name]]
            row.cpu_ms.append(sum(cpu) / len(cpu))
            row.wall_ms.append(sum(part[1] for part in parts[name]) / len(cpu))
            row.segments_ms.append(cpu)


def side_by_side(
    scenario: Scenario, pythons: dict[str, str], model: ModelServer, *, lie: bool = False
) -> dict[str, Row]:
    """Measure contenders in one scenario, interleaved round by round.

    `pythons` gives each contender's interpreter. `lie` makes the tools answer wrongly, to see
    that it is noticed. Raises: WrongAnswer, WorkerFailed.
    """
    with ExitStack() as stack:
        target = stack.enter_context(mcp_target(scenario, lie=lie))
        workers = {
            name: stack.enter_context(Worker(python, name, scenario, model.url, target))
            for name, python in pythons.items()
        }
        contest = _Contest(scenario, model, workers)
        contest.warm_up()
        for number in range(scenario.repeats):
            contest.round(number)
        return contest.rows


def imports(statements: dict[str, tuple[str, str]], repeats: int) -> dict[str, Row]:
    """CPU and wall time of import statements, each in a fresh process.

    `statements` maps a title to an interpreter and its statement. The first round fills the
    bytecode cache and does not count.
    """
    rows = {title: Row() for title in statements}
    for number in range(repeats + 1):
        for title, (python, statement) in statements.items():
            code = (
                "import time; w, c = time.perf_counter(), time.process_time()\n"
                f"{statement}\n"
                "c, w = time.process_time() - c, time.perf_counter() - w\n"
                "import resource; r = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
                "print(c * 1e3, w * 1e3, r / 1024)"
            )
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
            if number:
                cpu, wall, rss = map(float, done.stdout.split())
                rows[title].cpu_ms.append(cpu)
                rows[title].wall_ms.append(wall)
                rows[title].rss_mb = rss
    return rows


def cold_starts(
    key: str, pythons: dict[str, str], model: ModelServer, repeats: int
) -> dict[str, Row]:
    """From starting a process to its first checked answer, in a scenario's first turn."""
    scenario = replace(SCENARIOS[key], turns=1)
    rows = {name: Row() for name in pythons}
    with mcp_target(scenario) as target:
        for number in range(repeats + 1):
            for name, python in pythons.items():
                began = time.perf_counter()
                with Worker(python, name, scenario, model.url, target) as worker:
                    measured = worker.run(1)
                    wall_ms = (time.perf_counter() - began) * 1e3
                if number:
                    rows[name].wall_ms.append(wall_ms)
                    rows[name].cpu_ms.append(measured["alive_cpu_ms"])
                    rows[name].rss_mb = measured["rss_mb"]
    return rows
