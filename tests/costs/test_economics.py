"""Renting, owning or both: tables reckoned by hand, and what must hold for any demand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore.costs.demand import Demand, HourOfUse
from aicore.costs.economics import (
    Best,
    Box,
    Case,
    Costs,
    best,
    break_even,
    managed_usd,
    option,
    reckon,
    refusals,
    utilisation,
    variations,
)
from aicore.costs.throughput import Throughput

SPEED = Throughput(provider="box", tokens_per_s_out=Decimal(100), tokens_per_s_in=Decimal(1000))
NEARLY = Decimal("1e-9")
COSTS = Costs(
    box=Box(usd_per_hour=Decimal(1)),
    ops_hours_per_month=Decimal(10),
    ops_usd_per_hour=Decimal(50),
)


def an_hour(times: int, usd: str) -> HourOfUse:
    """2,000 seconds of a box: a million tokens in at 1,000/s and 100,000 out at 100/s."""
    return HourOfUse(
        input_tokens=1_000_000 * times, output_tokens=100_000 * times, managed_usd=Decimal(usd)
    )


def a_week(usd: str = "2", peak_usd: str = "6") -> Demand:
    """100 hours of 2,000 seconds, 10 of 6,000, 58 of nothing."""
    hours = {number: an_hour(1, usd) for number in range(100)}
    hours |= {number: an_hour(3, peak_usd) for number in range(100, 110)}
    return Demand(window_hours=168, hours=hours, of_provider={"box": {0: (1_000_000, 100_000)}})


def a_case(demand: Demand) -> Case:
    return Case(demand=demand, throughput=SPEED, costs=COSTS)


def cents(amount: Decimal | None) -> str:
    return "none" if amount is None else f"{amount:.2f}"


def test_a_cheap_vendor_by_hand() -> None:
    """A box may be planned for 70 % of an hour, 2,520 s; a month is 730 h, the window 168 h."""
    case = a_case(a_week())
    # The second busiest of 168 hours has 6,000 s: 6,000 / 2,520 = 2.4.
    assert case.static_boxes == 3
    assert case.floor_boxes == 0
    # 100 x 2 + 10 x 6 = 260 in the window.
    assert cents(managed_usd(case)) == "1129.76"
    rows = [option(case, boxes) for boxes in range(4)]
    assert [cents(row.self_usd) for row in rows] == ["none", "none", "none", "2690.00"]
    # One box: 730 + 500, and ten hours in which 3,480 of 6,000 s overflow: 10 x 6 x 0.58 = 34.80.
    # Two: 1,460 + 500, and 960 of 6,000 s: 10 x 6 x 0.16 = 9.60.
    assert [cents(row.hybrid_usd) for row in rows] == ["1129.76", "1381.21", "2001.71", "2690.00"]
    assert [row.hours_over for row in rows] == [110, 10, 10, 0]
    # 34,800 and 9,600 of 260,000 s.
    assert [f"{row.overflow_share:.4f}" for row in rows] == ["1.0000", "0.1338", "0.0369", "0.0000"]
    assert best(case) == Best(choice="managed", boxes=0, month_usd=managed_usd(case))


def test_a_dear_vendor_by_hand() -> None:
    case = a_case(a_week("20", "60"))
    assert cents(managed_usd(case)) == "11297.62"
    # 1,230 + 348 x 730/168, 1,960 + 96 x 730/168, 2,690.
    assert [cents(option(case, boxes).hybrid_usd) for boxes in (1, 2, 3)] == [
        "2742.14",
        "2377.14",
        "2690.00",
    ]
    found = best(case)
    assert (found.choice, found.boxes, cents(found.month_usd)) == ("hybrid", 2, "2377.14")


def test_break_even_by_hand() -> None:
    """143 million tokens for 260 dollars and 260,000 s: 1.818 $/M, 1.818 ms a token."""
    one = break_even(a_case(a_week()), 1)
    assert one.tokens_per_day is not None
    assert one.utilisation is not None
    # 1,230 a month / 1.8182e-6 / 30.4167 days; 22,241,096 x 0.0018182 s / 86,400 s.
    assert round(one.tokens_per_day) == 22_241_096
    assert f"{one.utilisation:.4f}" == "0.4680"
    assert one.is_reachable
    cheap = break_even(a_case(a_week("1", "3")), 1)
    assert cheap.utilisation is not None
    assert f"{cheap.utilisation:.4f}" == "0.9361"
    assert not cheap.is_reachable


def test_break_even_counts_what_must_stay_as_well() -> None:
    """As much again must stay: twice the tokens and the work for what the vendor asks."""
    hours = {
        number: replace(
            hour,
            sensitive_input_tokens=hour.input_tokens,
            sensitive_output_tokens=hour.output_tokens,
        )
        for number, hour in a_week().hours.items()
    }
    one = break_even(a_case(replace(a_week(), hours=hours)), 1)
    assert one.tokens_per_day is not None
    assert one.utilisation is not None
    assert round(one.tokens_per_day) == 44_482_192
    assert f"{one.utilisation:.4f}" == "0.9361"
    assert not one.is_reachable


def test_what_the_figures_leave_out_is_said() -> None:
    assert reckon(a_case(a_week())).caveats == []
    bought = Costs(box=Box(hardware_usd_per_month=Decimal(90)))
    demand = replace(a_week(), assumed_tokens=14_300_000, unlabelled_tokens=71_500_000)
    found = reckon(replace(a_case(demand), costs=bought)).caveats
    for word, caveat in zip(("--ops-hours", "--power", "10.0%", "50.0%"), found, strict=True):
        assert word in caveat


def test_sensitive_use_never_overflows_and_sets_a_floor() -> None:
    demand = a_week()
    hours = dict(demand.hours)
    # 3,000 s of a box that no vendor may have, in an hour that has 2,000 s of other work.
    hours[0] = replace(hours[0], sensitive_input_tokens=1_000_000, sensitive_output_tokens=200_000)
    case = a_case(replace(demand, hours=hours))
    assert case.floor_boxes == 2  # 3,000 / 2,520
    found = reckon(case)
    assert not found.is_managed_allowed
    assert [row.hybrid_usd is None for row in found.options] == [True, True, False, False]
    assert found.best is not None
    # Two boxes take 5,040 of that hour's 5,000 s.
    assert (found.best.choice, found.best.boxes) == ("hybrid", 2)
    assert cents(found.best.month_usd) == "2001.71"


def test_what_a_fifth_more_or_less_would_change() -> None:
    """At 1,129.76 for the vendor and 1,381.21 for one box with him it takes more than a fifth."""
    found = {(one.what, one.factor): one.best for one in variations(a_case(a_week()))}
    assert len(found) == 6
    assert {one.choice for one in found.values()} == {"managed"}
    dearer = found["vendor's price", Decimal("1.2")]
    assert cents(dearer.month_usd) == "1355.71"
    # 1.15 times the first price: the vendor asks 1,299.23; a fifth more, and owning is cheaper.
    demand = a_week("2.3", "6.9")
    near = {(one.what, one.factor): one.best for one in variations(a_case(demand))}
    assert near["vendor's price", Decimal("1.2")].choice == "hybrid"
    assert near["vendor's price", Decimal("0.8")].choice == "managed"


def test_how_the_box_was_used_by_hand() -> None:
    """2,000 s of 168 hours, 1.1 million tokens, a box for 1 dollar an hour."""
    used = utilisation(a_case(a_week()))
    assert used.tokens == 1_100_000
    assert f"{used.busy:.6f}" == "0.003307"
    assert cents(used.idle_usd) == "167.44"  # 168 x (1 - 0.003307)
    assert used.peak_to_mean is not None
    assert abs(used.peak_to_mean - 168) < NEARLY
    assert used.hours_over == 0
    assert cents(used.full_usd_per_million) == "0.51"  # 0.5556 h x 1 $ / 1.1
    assert cents(used.effective_usd_per_million) == "152.73"  # 168 $ / 1.1


def test_a_box_that_nobody_used_is_idle_all_the_time() -> None:
    used = utilisation(replace(a_case(a_week()), throughput=replace(SPEED, provider="other")))
    assert used.busy == 0
    assert used.idle_usd == 168
    assert used.effective_usd_per_million is None


def test_owned_hardware_is_paid_by_the_month() -> None:
    box = Box(power_usd_per_month=Decimal(40), hardware_usd_per_month=Decimal(160))
    assert box.month_usd == 200
    assert Costs(box=box).month_usd(3) == 600
    assert COSTS.month_usd(0) == 0


def test_a_verdict_needs_a_measurement_a_price_a_week_and_a_vendor() -> None:
    week = a_week()
    assert refusals(week, SPEED, COSTS) == []
    assert len(refusals(week, None, COSTS)) == 1
    assert len(refusals(week, SPEED, Costs(box=Box()))) == 1
    assert len(refusals(replace(week, window_hours=167), SPEED, COSTS)) == 1
    one_unpriced = {0: HourOfUse(input_tokens=100, unpriced_tokens=5)}
    assert refusals(Demand(window_hours=168, hours=one_unpriced), SPEED, COSTS) == []
    two_unpriced = {0: HourOfUse(input_tokens=100, unpriced_tokens=6)}
    unknown = Demand(window_hours=168, hours=two_unpriced)
    assert len(refusals(unknown, SPEED, COSTS)) == 1
    # Then what a vendor asks is unknown, which is not nothing; what boxes cost is known.
    blind = reckon(a_case(unknown))
    assert blind.managed_usd is None
    assert [one.hybrid_usd for one in blind.options] == [None, 1230, 1960, 2690]
    assert [one.tokens_per_day for one in blind.break_even] == [None, None, None]
    refused = reckon(a_case(replace(week, window_hours=167)))
    assert refused.best is None
    assert refused.variations == []
    assert len(refused.refusals) == 1


def test_tokens_without_a_price_cost_what_the_others_do() -> None:
    """4 of 100 have none, and the others cost 96 dollars: together 100, not 96."""
    hours = {
        0: HourOfUse(input_tokens=50, managed_usd=Decimal(50)),
        1: HourOfUse(input_tokens=50, unpriced_tokens=4, managed_usd=Decimal(46)),
    }
    case = a_case(Demand(window_hours=730, hours=hours))
    assert managed_usd(case) == 100
    assert option(case, 0).hybrid_usd == 100
    assert best(case).month_usd == 100


def test_nobody_knows_a_break_even_without_a_price() -> None:
    hours = {0: HourOfUse(input_tokens=10, unpriced_tokens=10)}
    assert break_even(a_case(Demand(window_hours=168, hours=hours)), 1).tokens_per_day is None


AMOUNTS = st.integers(0, 5_000_000)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    hours = draw(
        st.dictionaries(
            st.integers(0, 199),
            st.builds(
                HourOfUse,
                input_tokens=AMOUNTS,
                output_tokens=st.integers(1, 500_000),
                sensitive_input_tokens=st.one_of(st.just(0), AMOUNTS),
                managed_usd=st.decimals(0, 500, places=2),
            ),
            min_size=1,
            max_size=12,
        )
    )
    return Demand(window_hours=200, hours=hours)


@settings(max_examples=60)
@given(demands())
def test_what_holds_for_any_demand(demand: Demand) -> None:
    case = a_case(demand)
    rows = [option(case, boxes) for boxes in range(case.peak_boxes + 2)]
    overflow = [case.overflow(row.boxes).usd for row in rows]
    assert all(less <= more for more, less in pairwise(overflow))
    assert overflow[-1] == 0
    for row in rows:
        assert (row.hybrid_usd is None) == (row.boxes < case.floor_boxes)
        assert (row.self_usd is None) == (row.boxes < case.static_boxes)
        if row.hybrid_usd is not None:
            assert row.hybrid_usd >= case.costs.month_usd(row.boxes)
            assert row.hybrid_usd <= case.costs.month_usd(row.boxes) + managed_usd(case) + NEARLY
    if not case.floor_boxes:
        assert rows[0].hybrid_usd is not None
        assert abs(rows[0].hybrid_usd - managed_usd(case)) < NEARLY
    every = [one for row in rows for one in (row.self_usd, row.hybrid_usd) if one is not None]
    assert abs(best(case).month_usd - min(every)) < NEARLY
    assert case.floor_boxes <= case.static_boxes <= case.peak_boxes


@settings(max_examples=60)
@given(demands(), st.integers(2, 5))
def test_more_of_everything_scales(demand: Demand, times: int) -> None:
    case = a_case(demand)
    dearer = {
        n: replace(one, managed_usd=one.managed_usd * times) for n, one in demand.hours.items()
    }
    assert abs(
        managed_usd(a_case(replace(demand, hours=dearer))) - times * managed_usd(case)
    ) < Decimal("1e-6")
    twice = replace(
        case,
        throughput=replace(
            SPEED,
            tokens_per_s_out=SPEED.tokens_per_s_out * times,
            tokens_per_s_in=Decimal(1000) * times,
        ),
    )
    assert twice.static_boxes <= case.static_boxes
    assert abs(twice.work_seconds * times - case.work_seconds) < Decimal("1e-6")
    assert best(twice).month_usd <= best(case).month_usd + NEARLY
    cheaper = replace(case, costs=replace(COSTS, ops_hours_per_month=Decimal(0)))
    assert best(cheaper).month_usd <= best(case).month_usd


def test_thousands_of_boxes_are_reckoned_at_once() -> None:
    slow = Throughput(provider="box", tokens_per_s_out=Decimal("0.01"))
    hours = {number: an_hour(1 + number % 7, "2") for number in range(2000)}
    demand = Demand(window_hours=2000, hours=hours)
    found = reckon(Case(demand=demand, throughput=slow, costs=COSTS))
    assert found.static_boxes == 27778  # 7 x 100,000 / 0.01 / 2,520
    assert len(found.options) == 5
    assert found.best is not None
    assert found.best.choice == "managed"


@pytest.mark.parametrize("choice", ["managed", "self-hosted"])
def test_of_two_that_cost_the_same_the_simpler_is_best(choice: str) -> None:
    hours = {0: an_hour(1, "0")} if choice == "managed" else {0: an_hour(1, "9000")}
    free = Costs(box=Box())
    case = replace(a_case(Demand(window_hours=168, hours=hours)), costs=free)
    assert best(case).choice == choice
