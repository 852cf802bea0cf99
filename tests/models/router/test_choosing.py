"""The decision: its order, its explanation, and that it is the same each time."""

from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from aicore.models import Capabilities
from aicore.models.router.choosing import Candidate, Decision, Facts, choose
from aicore.models.router.rules import DataRule, DataRules

IN_PROCESS = Capabilities(locality="in_process", tools=False, context_tokens=2000)
LOCAL = Capabilities(locality="local", context_tokens=8000, schema=True)
MANAGED = Capabilities(locality="managed", vendor="openai", region="us", context_tokens=100_000)
FACTS = Facts(data_class="personal", input_tokens=100, queue_s=10)
EMBEDDED = Candidate(name="embedded", capabilities=IN_PROCESS)
SERVER = Candidate(name="server", capabilities=LOCAL, cost_usd=Decimal(0))
VENDOR = Candidate(name="vendor", capabilities=MANAGED, cost_usd=Decimal("0.01"))
ALL = [EMBEDDED, SERVER, VENDOR]


def names(decision: Decision) -> list[str]:
    return [ALL[place].name for place in decision.ready]


def why(decision: Decision) -> dict[str, str]:
    return {one.provider: one.stage for one in decision.ruled_out}


def test_own_machines_come_first_and_then_the_lowest_price() -> None:
    dear = replace(VENDOR, name="dear", cost_usd=Decimal("0.02"))
    unknown = replace(VENDOR, name="unknown", cost_usd=None)
    candidates = [unknown, dear, VENDOR, SERVER]

    decision = choose(FACTS, candidates, DataRules.careful())

    assert [candidates[place].name for place in decision.ready] == [
        "server",
        "vendor",
        "dear",
        "unknown",
    ]


def test_every_step_rules_out_and_says_so() -> None:
    down = replace(SERVER, name="down", health="rests for 3 s more")
    unpriced = replace(SERVER, name="unpriced", cost_usd=None)
    candidates = [VENDOR, EMBEDDED, down, unpriced, SERVER]
    facts = replace(FACTS, data_class="special", needs_tools=True, has_budget=True)

    decision = choose(facts, candidates, DataRules.careful())

    assert [(one.provider, one.stage) for one in decision.ruled_out] == [
        ("vendor", "data class"),
        ("embedded", "capability"),
        ("down", "health"),
        ("unpriced", "budget"),
    ]
    assert all(one.rule for one in decision.ruled_out)
    assert decision.ready == [4]
    assert sorted(decision.allowed) == [2, 4], "who is down may come back"


@pytest.mark.parametrize(
    ("changes", "emptied_by"),
    [({"input_tokens": 10**6}, "capability"), ({"data_class": "special"}, "data class")],
)
def test_step_that_left_nobody_is_told(changes: dict[str, object], emptied_by: str) -> None:
    decision = choose(replace(FACTS, **changes), [VENDOR], DataRules.careful())  # type: ignore[arg-type]

    assert decision.emptied_by == emptied_by
    assert decision.allowed == decision.ready == []


def test_class_is_looked_at_before_anything_else() -> None:
    """A provider that fails every step is told to be ruled out by the first."""
    bad = replace(VENDOR, health="disabled", cost_usd=None)
    facts = replace(
        FACTS, data_class="special", needs_schema=True, has_budget=True, input_tokens=10**6
    )

    assert why(choose(facts, [bad], DataRules.careful())) == {"vendor": "data class"}


def test_long_queue_of_own_machines_bursts_to_a_vendor_and_special_data_waits() -> None:
    busy = replace(SERVER, wait_s=11.0)

    burst = choose(FACTS, [busy, VENDOR], DataRules.careful())
    waits = choose(replace(FACTS, data_class="special"), [busy, VENDOR], DataRules.careful())

    assert (burst.ready, burst.is_burst) == ([1, 0], True)
    assert (waits.ready, waits.is_burst) == ([0], False)


def test_short_queue_does_not_burst() -> None:
    decision = choose(FACTS, [replace(SERVER, wait_s=9.0), VENDOR], DataRules.careful())

    assert (decision.ready, decision.is_burst) == ([0, 1], False)


def test_latency_can_be_preferred() -> None:
    slow, fast = replace(SERVER, latency_s=2.0), replace(VENDOR, latency_s=0.5)

    assert choose(FACTS, [slow, fast], DataRules.careful()).ready == [0, 1]
    by_time = choose(replace(FACTS, prefer="latency"), [slow, fast], DataRules.careful())
    assert by_time.ready == [1, 0]


def test_same_facts_and_snapshot_give_the_same_decision() -> None:
    random = Random(5)
    for _ in range(200):
        candidates = [
            replace(
                one,
                health=random.choice(["", "rests"]),
                wait_s=random.choice([0.0, 20.0]),
                latency_s=random.random(),
                cost_usd=random.choice([None, Decimal(random.randint(0, 3))]),
            )
            for one in random.sample(ALL, k=random.randint(1, 3))
        ]
        facts = replace(FACTS, data_class=random.choice(["public", "special"]))

        assert choose(facts, candidates, DataRules.careful()) == choose(
            facts, candidates, DataRules.careful()
        )


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (DataRule(), set()),
        (DataRule(localities=frozenset({"in_process"})), {"server", "vendor"}),
        (DataRule(regions=frozenset({"eu"})), {"vendor"}),
        (DataRule(regions=frozenset({"us"})), set()),
        (DataRule(vendors=frozenset({"anthropic"})), {"vendor"}),
        (DataRule(must_mask=True), {"vendor"}),
        (DataRule(localities=frozenset()), {"embedded", "server", "vendor"}),
    ],
)
def test_rules_hold_vendors_to_their_lists(rule: DataRule, refused: set[str]) -> None:
    assert {one.name for one in ALL if rule.refusal(one.capabilities)} == refused


def test_vendor_that_says_nothing_is_on_no_list_and_a_masking_one_may_be_asked() -> None:
    silent = Capabilities(locality="managed")
    masked = Capabilities(locality="managed", masks=True)
    proxy = Capabilities(locality="local", vendor="openai")

    assert DataRule(regions=frozenset({"eu"})).refusal(silent)
    assert DataRule(vendors=frozenset({"openai"})).refusal(silent)
    assert not DataRule(must_mask=True).refusal(masked)
    assert DataRule(vendors=frozenset({"anthropic"})).refusal(proxy)


def test_class_without_a_rule_stays_on_own_machines() -> None:
    rules = DataRules({"public": DataRule()})

    decision = choose(FACTS, ALL, rules)

    assert names(decision) == ["embedded", "server"]
    assert names(choose(replace(FACTS, data_class="public"), ALL, rules)) == [
        "embedded",
        "server",
        "vendor",
    ]
