"""Build, buy or both: the law first, then what was measured, then what was said and published."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from decimal import Decimal

import pytest

from aicore.config import ClassSettings, Settings
from aicore.costs.advice import Answers, Known, StayRule, advise, configuration
from aicore.costs.economics import Best, Choice, Economics, Refusal

BUSY = Known(
    days=Decimal(30),
    requests_per_month=60_000_000,
    conversations_per_month=9_000_000,
    cost_usd=Decimal(90_000),
)
SMALL = Known(
    days=Decimal(30),
    requests_per_month=4_000,
    conversations_per_month=900,
    cost_usd=Decimal("3.20"),
)


def reckoned(choice: Choice | None, *reasons: str) -> Economics:
    best = None if choice is None else Best(choice=choice, boxes=1, month_usd=Decimal(400))
    return Economics(
        managed_usd=Decimal(500),
        is_managed_allowed=True,
        floor_boxes=0,
        static_boxes=1,
        tokens_per_day=Decimal(10**6),
        options=(),
        break_even=(),
        best=best,
        variations=(),
        refusals=[Refusal(one, "Do so.") for one in reasons],
    )


def known(economics: Economics | None = None, **facts: object) -> Known:
    fields = {"days": Decimal(30), "requests_per_month": 4_000, "conversations_per_month": 900}
    return Known(**{**fields, "cost_usd": Decimal(4), "economics": economics, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "facts", "expected"),
    [
        (Answers(must_stay="all", sets_apart=False), known(reckoned("managed")), "self-hosted"),
        (Answers(must_stay="special"), known(reckoned("managed")), "hybrid"),
        (Answers(must_stay="special"), known(reckoned("self-hosted")), "self-hosted"),
        (Answers(must_stay="none"), known(reckoned("self-hosted")), "self-hosted"),
        (Answers(must_stay="none"), known(reckoned("managed")), "managed"),
        (Answers(must_stay="none", sets_apart=True), known(reckoned("managed")), "hybrid"),
        (Answers(must_stay="none", sets_apart=False), SMALL, "managed"),
        (Answers(must_stay="none", sets_apart=True), SMALL, "hybrid"),
        (Answers(must_stay="none", sets_apart=True), BUSY, "self-hosted"),
        (Answers(must_stay="none", sets_apart=False), BUSY, "hybrid"),
        (Answers(must_stay="none"), BUSY, "hybrid"),
        (Answers(must_stay="none"), Known(), "managed"),
        (Answers(), known(special_share=Decimal("0.2")), "hybrid"),
        (Answers(has_own_data=True), known(usable_conversations=3), "managed"),
        (Answers(has_own_data=True), known(usable_conversations=900), "hybrid"),
    ],
)
def test_the_answer_follows_from_what_is_known(
    answers: Answers, facts: Known, expected: Choice
) -> None:
    advice = advise(answers, facts)
    assert advice.placement == expected
    assert len(advice.findings) == 4
    assert advice.reason


def test_the_own_figures_are_tested_against_what_is_published() -> None:
    (_, _, bill, _) = advise(Answers(must_stay="none"), BUSY).findings
    assert bill.source == "your log"
    assert "60,000,000" in bill.answer
    assert "0.00150" in bill.answer
    assert bill.speaks_for == "hybrid"


def test_technical_staff_counts_with_many_conversations_only() -> None:
    def bill(staff: bool, conversations: int) -> Choice | None:
        facts = known(conversations_per_month=conversations)
        return advise(Answers(has_staff=staff), facts).findings[2].speaks_for

    assert bill(staff=True, conversations=12_000) == "hybrid"
    assert bill(staff=False, conversations=12_000) == "managed"
    assert bill(staff=True, conversations=900) == "managed"


def test_a_measured_result_counts_more_than_any_threshold() -> None:
    facts = known(reckoned("managed"), requests_per_month=80_000_000)
    (_, _, bill, _) = advise(Answers(), facts).findings
    assert (bill.source, bill.speaks_for) == ("measured", "managed")


def test_what_is_missing_is_said() -> None:
    advice = advise(Answers(), known(reckoned(None, "The window is too short."), cost_usd=None))
    told = "\n".join(advice.to_find_out)
    for word in ("law", "The window is too short. Do so.", "[prices]", "--staff"):
        assert word in told
    assert "aicore measure" in "\n".join(advise(Answers(), SMALL).to_find_out)


@pytest.mark.parametrize("placement", ["self-hosted", "managed", "hybrid"])
def test_the_configuration_is_one(placement: Choice) -> None:
    settings = Settings(**tomllib.loads(configuration(placement)))
    assert settings.is_routed
    assert set(settings.router.use) == set(settings.providers)


def test_special_data_leaves_only_where_the_owner_said_so() -> None:
    def special(stay: StayRule | None) -> ClassSettings | None:
        return Settings(**tomllib.loads(configuration("managed", stay))).privacy.special

    assert special(None) is None  # the careful default: own machines only
    allowed = special("none")
    assert allowed is not None
    assert allowed.pseudonymise
    mixed = Settings(**tomllib.loads(configuration("hybrid", "special"))).privacy
    assert mixed.special is not None
    assert mixed.special.local_only
    assert mixed.personal is not None
    assert mixed.personal.pseudonymise


def test_who_is_to_own_a_machine_is_told_what_the_figures_leave_out() -> None:
    economics = replace(reckoned("self-hosted"), caveats=("No power is counted.",))
    answers = Answers(must_stay="none", has_staff=False)
    told = "\n".join(advise(answers, known(economics)).to_find_out)
    assert "No power is counted." in told
    assert "--ops-hours-per-month" in told
    rented = "\n".join(advise(answers, known(reckoned("managed"))).to_find_out)
    assert "--ops-hours-per-month" not in rented


def test_a_measured_result_says_what_the_other_way_would_cost() -> None:
    (_, _, bill, _) = advise(Answers(), known(reckoned("self-hosted"))).findings
    assert "$400.00" in bill.answer
    assert "$500.00" in bill.answer
