"""Thousands of random requests through a real Router: no rule and no budget is ever passed.

The world they live in, and the judges in it, are bench/router_world.py; bench/router_properties.py
lives through a hundred thousand. A judge that sees nothing would be no good: these are tried too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicore.models.budget import MemoryLedger, Reservation
from aicore.models.port import Capabilities
from aicore.models.router import DataRules

sys.path.append(str(Path(__file__).parents[3] / "bench"))

from router_draws import may_see
from router_world import Tally, play

FREE = {"localities": None, "regions": None, "vendors": None, "must_mask": False}
CLOUD = Capabilities(locality="managed", region="us", vendor="openai")
OWN = Capabilities(locality="local")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A world is full of warnings."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def worlds(count: int, requests: int = 300, **options: Any) -> Tally:
    """What was seen in so many worlds."""
    total = Tally()
    for seed in range(count):
        total.add(play(seed, requests, **options))
    return total


def test_no_rule_and_no_budget_is_passed_and_no_word_lost() -> None:
    seen = worlds(10)

    assert seen.violations == []
    assert seen.requests == 3000
    # What did not happen was not tried.
    assert seen.calls > 1000
    assert min(seen.hedges, seen.bursts, seen.joined, seen.degraded) > 0
    assert {"answered", "policy_blocked", "budget", "gave up", "left"} <= set(seen.ends)
    assert {"429", "503", "timeout", "connect", "cut", "end", "overflow"} <= set(seen.faults)


def test_models_that_cost_more_than_they_said_pass_a_limit_by_one_call_at_most() -> None:
    seen = worlds(4, is_honest=False, at_once=1)

    assert seen.violations == []
    assert 0 < seen.worst_overshoot <= seen.dearest


def test_a_world_is_the_same_whenever_it_is_lived_through() -> None:
    assert play(3, 200) == play(3, 200)


def test_a_router_that_ignores_rules_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    anywhere = DataRules.open().by_class["public"]
    monkeypatch.setattr(DataRules, "rule", lambda self, data_class: anywhere)

    assert any("data" in violation for violation in worlds(3).violations)


def test_a_ledger_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = MemoryLedger.settle

    async def forget(self: MemoryLedger, reservation: Reservation, _: Decimal) -> None:
        await settle(self, reservation, Decimal(0))

    monkeypatch.setattr(MemoryLedger, "settle", forget)

    assert any("bills" in violation for violation in worlds(10).violations)


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        ({}, CLOUD, True),
        ({"localities": frozenset({"local"})}, CLOUD, False),
        ({"localities": frozenset({"local"})}, OWN, True),
        ({"regions": frozenset({"eu"})}, CLOUD, False),
        ({"regions": frozenset({"us"})}, CLOUD, True),
        ({"regions": frozenset({"eu"})}, replace(CLOUD, region=None), False),
        ({"regions": frozenset({"eu"})}, OWN, True),
        ({"regions": frozenset({"eu"})}, replace(OWN, region="us"), False),
        ({"vendors": frozenset({"anthropic"})}, CLOUD, False),
        ({"must_mask": True}, CLOUD, False),
        ({"must_mask": True}, replace(CLOUD, masks=True), True),
        ({"must_mask": True}, OWN, True),
    ],
)
def test_the_judge_knows_the_rules(
    rule: Mapping[str, Any], facts: Capabilities, expected: bool
) -> None:
    assert may_see({**FREE, **rule}, facts) is expected
