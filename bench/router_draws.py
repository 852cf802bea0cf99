"""What a world around a router is drawn from: rules, models, budgets, requests; and one judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, Literal

from aicore.models.budget import BudgetLimits
from aicore.models.port import Capabilities, Origin, OutputSchema, Price, PriceTier, Request
from aicore.records import DataClass, Message, Prefix, Tool

__all__ = [
    "Asked",
    "asked_in",
    "draw_facts",
    "draw_limits",
    "draw_request",
    "draw_rule",
    "may_see",
]

_CLASSES: tuple[DataClass, ...] = ("public", "internal", "personal", "special")
_LOCALITIES = ("in_process", "local", "managed")
_REGIONS = ("eu", "us", None)
_VENDORS = ("openai", "anthropic", None)
_ASKED = re.compile(r"\[id=(\d+) class=(\w+) words=(\d+)\]")
_TOOLS = [
    Tool(name="look", description="Look it up.", parameters={}, server="s", remote_name="look")
]
_SCHEMA = OutputSchema(name="answer", schema={"type": "object"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of itself in its own words, which no router rewrites."""

    id: int
    data_class: str
    words: int

    @property
    def text(self) -> str:
        """The one right answer: no two words in it are the same."""
        return " ".join(f"w{self.id}x{number}" for number in range(self.words))


def asked_in(request: Request) -> Asked:
    """Read a request: the words of its first message."""
    found = _ASKED.search(request.tail[0].text)
    assert found is not None
    return Asked(int(found[1]), found[2], int(found[3]))


def may_see(rule: Mapping[str, Any], facts: Capabilities) -> bool:
    """Judge by the rule as drawn, without the code under test."""
    is_managed = facts.locality == "managed"
    if rule["localities"] is not None and facts.locality not in rule["localities"]:
        return False
    for name in ("regions", "vendors"):
        own = facts.region if name == "regions" else facts.vendor
        allowed = rule[name]
        if allowed is not None and own not in allowed and (is_managed or own is not None):
            return False
    return not (rule["must_mask"] and is_managed and not facts.masks)


def _some(chance: Random, values: tuple[Any, ...], none: float) -> frozenset[Any] | None:
    if chance.random() < none:
        return None
    named = [value for value in values if value is not None]
    return frozenset(chance.sample(named, chance.choice([0, *range(1, len(named) + 1), 1, 2])))


def draw_rule(chance: Random) -> dict[str, Any]:
    """Draw the fields of a DataRule."""
    return {
        "localities": _some(chance, _LOCALITIES, 0.5),
        "regions": _some(chance, _REGIONS, 0.8),
        "vendors": _some(chance, _VENDORS, 0.8),
        "must_mask": chance.random() < 0.2,
    }


def draw_facts(chance: Random) -> Capabilities:
    """Draw what a model is and costs."""
    locality: Literal["in_process", "local", "managed"] = chance.choice(_LOCALITIES)
    is_managed = locality == "managed"
    price = None
    if chance.random() < 0.9:
        dear = chance.choice([0, 1, 15])
        price = Price(
            input_usd=Decimal(dear),
            output_usd=Decimal(dear * 4),
            cached_usd=Decimal(dear) / 10,
            cache_write_usd=Decimal(dear) * chance.choice([1, 2]),
            tiers=[_tier(dear)] if chance.random() < 0.3 else [],
        )
    return Capabilities(
        locality=locality,
        tools=chance.random() < 0.8,
        context_tokens=chance.choice([None, None, 200, 100_000]),
        region=chance.choice(_REGIONS) if is_managed or chance.random() < 0.2 else None,
        vendor=chance.choice(_VENDORS) if is_managed or chance.random() < 0.2 else None,
        schema=chance.random() < 0.5,
        masks=chance.random() < 0.3,
        price=price,
    )


def _tier(dear: int) -> PriceTier:
    return PriceTier(above_tokens=100, input_usd=Decimal(dear * 2), output_usd=Decimal(dear * 8))


def draw_limits(chance: Random) -> BudgetLimits:
    """Draw what may be spent."""
    usual = {"turn": 0.2, "conversation": 0.5, "day": 2.0, "month": 6.0}
    return BudgetLimits(
        **{
            f"{window}_usd": Decimal(str(round(usd * chance.choice([0.02, 0.1, 1.0]), 6)))
            if chance.random() < 0.6
            else None
            for window, usd in usual.items()
        }
    )


def draw_request(chance: Random, number: int) -> Request:
    """Draw a request, which says in its words what it is and what the right answer is."""
    words = chance.choice([1, 3, 12, 40])
    data_class = chance.choice(_CLASSES)
    text = f"[id={number} class={data_class} words={words}] " + "please " * chance.choice([0, 60])
    return Request(
        prefix=Prefix("Be brief.", _TOOLS if chance.random() < 0.3 else ()),
        tail=[Message(role="user", text=text)],
        data_class=data_class,
        max_output_tokens=chance.choice([None, 60, 400]),
        output_schema=_SCHEMA if chance.random() < 0.1 else None,
        origin=Origin(
            business=chance.choice(["dental", "bakery"]),
            conversation=chance.choice(["", "web:1", "web:2", "web:3"]),
            turn=chance.randint(0, 3),
            task=chance.choice(["reply", "summary", "other"]),
        ),
    )
