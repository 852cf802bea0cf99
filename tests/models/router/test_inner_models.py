"""Who asks another provider is judged by that one: flows with a model, routers in routers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.models.router.scene import LOCAL, MANAGED, PRICE, always, asked

from aicore import Agent
from aicore.errors import PolicyBlocked, ProviderUnavailable
from aicore.flows import FlowProvider
from aicore.models import Capabilities, Price
from aicore.models.router import DataRule, DataRules, Router, RouterLimits

ADVICE: dict[str, Any] = {
    "assistant": "Shop",
    "zone": "Europe/Berlin",
    "region": "DE",
    "disclosure": "I am an automated assistant.",
    "flows": [
        {
            "flow": "advise",
            "triggers": ["advice"],
            "steps": [{"agent": {"goal": "Help.", "max_turns": 3}}, {"say": "Goodbye."}],
        }
    ],
}
ILL = "I am diabetic and need advice"
FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))
AT_ONCE = RouterLimits(wait_s=0.0)


async def test_flows_with_a_vendors_model_are_no_fallback_for_what_it_may_not_see() -> None:
    vendor = always("Seen.", "vendor", MANAGED)
    flows = FlowProvider(ADVICE, model=vendor)
    down = always(ProviderUnavailable("off"), "own")
    async with Router([down], fallback=flows, limits=AT_ONCE) as router:
        with pytest.raises(ProviderUnavailable):
            await router.complete(asked(ILL, data_class="special"))
        assert vendor.requests == []
        assert (await router.complete(asked("advice"))).route is not None
        assert len(vendor.requests) == 1
    assert router.capabilities.locality == "managed"


async def test_a_router_in_flows_is_told_how_careful_to_be() -> None:
    vendor = always("Seen.", "vendor", replace(MANAGED, price=FREE))  # it ranks first
    own = always("Kept.", "own", replace(LOCAL, price=PRICE))
    model = Router([vendor, own])
    async with Agent(provider=FlowProvider(ADVICE, model=model)) as agent:
        reply = await agent.send(ILL, conversation="web:1")
    assert "Kept." in reply.text
    assert [one.data_class for one in own.requests] == ["special"]
    assert vendor.requests == []


async def test_flows_go_on_when_their_model_may_not_see_the_data() -> None:
    vendor = always("Seen.", "vendor", MANAGED)
    async with Agent(provider=FlowProvider(ADVICE, model=Router([vendor]))) as agent:
        reply = await agent.send(ILL, conversation="web:1")
    assert reply.text
    assert vendor.requests == []


@pytest.mark.parametrize(
    "members",
    [
        [replace(LOCAL, region="us")],
        [replace(LOCAL, region="us"), LOCAL],
        [replace(LOCAL, region="us"), replace(LOCAL, region="eu")],
        [LOCAL, MANAGED],
    ],
)
async def test_a_router_in_a_router_hides_no_region(members: list[Capabilities]) -> None:
    inside = [always("Seen.", f"m{at}", one) for at, one in enumerate(members)]
    inner = Router(inside, rules=DataRules.open())
    only_eu = DataRules({"personal": DataRule(regions=frozenset({"eu"}))})
    async with Router([inner], rules=only_eu) as router:
        with pytest.raises(PolicyBlocked):
            await router.complete(asked())


async def test_a_router_over_own_machines_is_an_own_machine() -> None:
    inner = Router([always("Kept.", "a", LOCAL), always("Kept.", "b", LOCAL)])
    async with Router([inner]) as router:
        assert (await router.complete(asked(ILL, data_class="special"))).text == "Kept."


def test_flows_cost_what_their_model_costs() -> None:
    priced = FlowProvider(ADVICE, model=always("Seen.", "vendor", replace(MANAGED, price=PRICE)))
    assert priced.capabilities.price == PRICE
    assert FlowProvider(ADVICE, model=always("", "vendor", MANAGED)).capabilities.price is None


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([PRICE, PRICE, FREE], PRICE),
        ([FREE], FREE),
        ([PRICE, None], None),
        (
            [PRICE, replace(PRICE, input_usd=Decimal(3), output_usd=Decimal(1))],
            (Decimal(3), Decimal(2)),
        ),
        (
            [PRICE, replace(PRICE, output_usd=Decimal(1), cache_write_usd=Decimal(4))],
            (Decimal(4), Decimal(2)),
        ),
    ],
)
def test_a_router_costs_at_most_what_its_dearest_does(
    prices: list[Price | None], expected: Price | tuple[Decimal, Decimal] | None
) -> None:
    members = [always("", f"m{at}", replace(LOCAL, price=one)) for at, one in enumerate(prices)]
    told = Router(members).capabilities.price
    if isinstance(expected, tuple):
        assert told is not None
        assert (told.input_usd, told.output_usd) == expected
    else:
        assert told == expected
