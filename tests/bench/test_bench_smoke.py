"""Every scenario of the bench runs, and the bench notices a contender that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from contenders import open_contender
from contenders.raw import open_raw
from dialogue import INSTRUCTIONS, Question
from fakes.model_server import Refused, reply_to
from measure import Row, imports
from processes import ModelServer, mcp_target, model_server
from report import Results, as_markdown
from scenarios import LOGGED, SCENARIOS, Scenario, WrongAnswer, verify, verify_requests
from worker import run_turns

from aicore.errors import AicoreError

RUN = Path(__file__).parents[2] / "bench" / "run.py"
QUESTION = Question("n1", turn=1, rounds=1, calls=2, tools=2)


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


class Targets:
    """One tool server per transport and number of tools, started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, int], str | list[str] | None] = {}

    def of(self, scenario: Scenario) -> str | list[str] | None:
        key = scenario.transport, scenario.tools
        if key not in self._running:
            self._running[key] = self._stack.enter_context(mcp_target(scenario))
        return self._running[key]


@pytest.fixture(scope="module")
def targets() -> Iterator[Targets]:
    with ExitStack() as stack:
        yield Targets(stack)


RUNS = [(key, name) for key in SCENARIOS for name in ("raw", "aicore")]
DURABLE_RUNS = [(key, "aicore-sqlite") for key in LOGGED]


@pytest.mark.parametrize(("key", "contender"), RUNS + DURABLE_RUNS)
async def test_scenario_runs_and_asks_the_model_no_more_than_needed(
    key: str, contender: str, model: ModelServer, targets: Targets, tmp_path: Path
) -> None:
    full = SCENARIOS[key]
    scenario = replace(full, at_once=min(full.at_once, 5), chunks=min(full.chunks, 30))
    conversation = "growing" if scenario.is_growing else None
    before = model.requests()
    log_path = tmp_path / "bench.db"
    async with open_contender(contender, model.url, targets.of(scenario), log_path) as running:
        measured = await run_turns(running, scenario, 5, conversation)
    verify_requests(scenario, 5, model.requests() - before)
    assert measured.cpu_ms > 0
    assert log_path.exists() == (contender == "aicore-sqlite")


@pytest.mark.parametrize("contender", ["raw", "aicore"])
async def test_wrong_tool_result_is_noticed(
    contender: str, model: ModelServer, tmp_path: Path
) -> None:
    scenario = SCENARIOS["A-stdio"]
    with mcp_target(scenario, lie=True) as target:
        async with open_contender(contender, model.url, target, tmp_path / "no.db") as running:
            with pytest.raises(WrongAnswer):
                await run_turns(running, scenario, 1)


async def test_lost_history_is_noticed(model: ModelServer) -> None:
    async with open_raw(model.url, None) as forgetful:
        await forgetful.send("c1", SCENARIOS["C"].question("n1", 1).text())
        with pytest.raises(Exception, match="400"):
            await forgetful.send("c2", SCENARIOS["C"].question("n2", 2).text())


async def test_lost_tools_are_noticed_as_the_model_refuses(
    model: ModelServer, tmp_path: Path
) -> None:
    async with open_contender("aicore", model.url, None, tmp_path / "no.db") as toolless:
        with pytest.raises(AicoreError, match="0 tools instead of 1"):
            await toolless.send("c1", SCENARIOS["A-http"].question("n1", 1).text())


def _request(*messages: dict[str, object]) -> dict[str, object]:
    tools = [{"function": {"name": f"look_up_orders_00{n}"}} for n in range(2)]
    first = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": "x"}]
    first[1]["content"] = QUESTION.text()
    return {"model": "bench-model", "tools": tools, "messages": [*first, *messages]}


def test_model_refuses_a_call_that_was_left_without_a_result() -> None:
    _, calling = reply_to(_request())
    first_id = calling["tool_calls"][0]["id"]
    result = {"role": "tool", "tool_call_id": first_id, "content": "echo:n1.0.0:00000000"}
    with pytest.raises(Refused, match="without a result"):
        reply_to(_request(calling, result))


def test_model_refuses_a_result_of_a_call_it_never_made() -> None:
    _, calling = reply_to(_request())
    result = {"role": "tool", "tool_call_id": "call_other", "content": "x"}
    with pytest.raises(Refused, match="unknown call"):
        reply_to(_request(calling, result))


def test_results_in_another_order_make_a_wrong_answer() -> None:
    scenario = replace(SCENARIOS["B"], rounds=1, calls=2, tools=2)
    swapped = QUESTION.answer(QUESTION.expected().split(": ")[1].split(" ")[::-1])
    with pytest.raises(WrongAnswer):
        verify(scenario, [QUESTION], [swapped])
    verify(scenario, [QUESTION], [QUESTION.expected()])


@pytest.mark.parametrize("requests", [7, 9])
def test_asking_the_model_too_often_or_too_rarely_is_noticed(requests: int) -> None:
    with pytest.raises(WrongAnswer):
        verify_requests(SCENARIOS["A-http"], 4, requests)


def test_import_time_is_taken_in_a_fresh_process() -> None:
    rows = imports(
        {"nothing": (sys.executable, "pass"), "json": (sys.executable, "import json")}, 1
    )
    assert rows["json"].cpu_ms[0] > rows["nothing"].cpu_ms[0]


def test_report_tells_a_missed_aim_from_a_met_one() -> None:
    results = Results(machine={"cpu": "one"}, is_quick=False)
    raw = Row(cpu_ms=[1.0, 1.0], wall_ms=[1.0, 1.0])
    for key, cost_ms, verdict in (("C", 1.1, "| yes |"), ("S", 0.9, "| **no** |")):
        mine = Row(cpu_ms=[cost_ms, cost_ms], wall_ms=[1.0, 1.0])
        results.turns = {key: {"aicore": mine, "raw": raw}}
        assert verdict in as_markdown(results)


def test_quick_run_prints_and_keeps_its_figures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "--quick", "--only", "C", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "C: plain chat" in done.stdout
    assert "Do not quote" in done.stdout
    assert (tmp_path / "latest.md").read_text() in done.stdout
    assert (
        len(json.loads((tmp_path / "latest.json").read_text())["turns"]["C"]["raw"]["cpu_ms"]) == 2
    )


def test_unknown_part_is_refused_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "--only", "Z"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 2
    assert "C,A,B,D,S,F,L,import,cold" in done.stderr
