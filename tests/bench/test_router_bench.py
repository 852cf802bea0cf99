"""The router's bench runs, and notices what it is there to notice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contenders import open_contender
from processes import ModelServer, model_server, started
from router import TURNS
from worker import run_turns

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.mark.parametrize("contender", ["provider", "router", "router-budget"])
@pytest.mark.parametrize("key", ["C", "S"])
async def test_each_contender_answers_to_the_letter(
    key: str, contender: str, model: ModelServer, tmp_path: Path
) -> None:
    scenario = replace(TURNS[key], chunks=min(TURNS[key].chunks, 20))
    before = model.requests()
    async with open_contender(contender, model.url, None, tmp_path / "no.db") as running:
        await run_turns(running, scenario, 3)
    assert model.requests() - before == 3


def test_a_crowd_is_answered_though_models_fail() -> None:
    with started(str(BENCH / "fakes" / "faulty_server.py")) as port:
        done = subprocess.run(
            [sys.executable, str(BENCH / "router_crowd.py"), port, "10", "0.5"],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
    told = json.loads(done.stdout)
    assert told["right"] == told["turns"] == 30
    assert told["failed"] == "none"
    assert told["faults"] > 0


def test_the_properties_are_lived_through_and_told() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / "router_properties.py"), "--requests", "400"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "400 requests" in done.stdout
    assert " 0 violations" in done.stdout
