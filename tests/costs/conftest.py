"""A shop's log, written by real agents on a clock of ours; its figures are in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from aicore import Agent
from aicore.errors import ProviderUnavailable
from aicore.log import SQLiteLog
from aicore.models.port import Capabilities, Completion, Price
from aicore.models.route import Attempt, Route, RuledOut
from aicore.models.scripted import Reply, ScriptedProvider
from aicore.records import ToolCall, Usage

PRICE = Price(
    input_usd=Decimal(2),
    output_usd=Decimal(10),
    cached_usd=Decimal("0.2"),
    cache_write_usd=Decimal("2.5"),
    source="own",
    as_of="2026-11-01",
)
RENTED = Capabilities(locality="managed", price=PRICE, vendor="openai")
BOX = Capabilities(locality="local")
ROUTER = Capabilities(locality="managed", reads_class=True)


def free_slots(day: str) -> list[str]:
    """Give the free times of a day."""
    return ["09:00"] if day else []


def answer(usage: Usage, **more: object) -> Completion:
    return Completion(text="ok", usage=usage, model="m", **more)  # type: ignore[arg-type] # fields of it


def attempt(provider: str, outcome: str, usage: Usage | None) -> Attempt:
    return Attempt(provider=provider, model="m", outcome=outcome, elapsed_ms=1, usage=usage)  # type: ignore[arg-type] # given by tests


class Shop:
    """Lets agents with this or that provider write its log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._now_s = 0.0

    def at(self, text: str) -> None:
        """Set the clock, UTC."""
        self._now_s = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def log(self, business: str = "shop") -> SQLiteLog:
        return SQLiteLog(self.path, business=business, clock=lambda: self._now_s)

    async def talk(
        self, name: str, capabilities: Capabilities, replies: Sequence[Reply], *said: str
    ) -> None:
        provider = ScriptedProvider(replies, name=name, capabilities=capabilities)
        async with Agent(provider=provider, log=self.log(), tools=[free_slots]) as agent:
            for text in said:
                await agent.send(text, conversation="web:1")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "talk.db")


SPECIAL = Route(
    data_class="special",
    because="only the own machine may have it",
    ruled_out=(
        RuledOut("rented", "data class", "special data stays on own machines"),
        RuledOut("other", "health", "it is down"),
    ),
    attempts=(
        attempt("box", "failed", None),
        attempt("box", "answered", Usage(input_tokens=200, output_tokens=20)),
    ),
)
CUT = Usage(input_tokens=500, output_tokens=4, cost_usd=Decimal("0.00104"))
BURST = Route(
    data_class="personal",
    because="the own machine's queue is too long",
    attempts=(
        attempt("rented", "failed", Usage(input_tokens=300, cost_usd=Decimal("0.0006"))),
        attempt(
            "rented", "cut", Usage(input_tokens=500, output_tokens=4, cost_usd=Decimal("0.00104"))
        ),
        attempt("second", "lost", Usage(input_tokens=500, output_tokens=3, is_reported=False)),
        attempt("rented", "answered", Usage(input_tokens=500, output_tokens=10)),
    ),
    is_burst=True,
)
IN_VAIN = Route(
    data_class="personal",
    because="nobody answered",
    attempts=(attempt("rented", "failed", Usage(input_tokens=100, cost_usd=Decimal("0.0002"))),),
)


@pytest.fixture
async def told(shop: Shop) -> Shop:
    """Two days of a shop."""
    shop.at("2026-11-02T10:15")
    cached = Usage(input_tokens=1000, cached_tokens=300, cache_write_tokens=200, output_tokens=10)
    asks = Completion(
        text="",
        calls=(ToolCall("c1", "free_slots", {"day": "Tuesday"}),),
        usage=Usage(input_tokens=100, output_tokens=20),
        model="m",
    )
    last = answer(Usage(input_tokens=150, output_tokens=5))
    await shop.talk("rented", RENTED, [answer(cached), asks, last], "hello", "any slot?")
    shop.at("2026-11-02T12:59")
    guessed = Usage(input_tokens=400, output_tokens=50, is_reported=False)
    await shop.talk("box", BOX, [answer(guessed)], "and today?")
    shop.at("2026-11-03T23:30")
    kept = answer(Usage(input_tokens=200, output_tokens=20), provider="box", route=SPECIAL)
    burst = answer(
        Usage(input_tokens=500, output_tokens=10), provider="rented", price=PRICE, route=BURST
    )
    await shop.talk("router", ROUTER, [kept, burst], "I am ill", "and tomorrow?")
    failed, plain = ProviderUnavailable("down"), ProviderUnavailable("down")
    failed.route = IN_VAIN
    for error in (failed, plain):
        with pytest.raises(ProviderUnavailable):
            await shop.talk("router", ROUTER, [error], "still there?")
    return shop
