"""What the command says of a shop whose agent asks through the real router."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import anyio.to_thread
import pytest
from tests.costs.conftest import BOX, PRICE, Shop, answer

from aicore import Agent
from aicore.cli import main
from aicore.errors import ModelError, PolicyBlocked, ProviderUnavailable
from aicore.models.port import Capabilities
from aicore.models.router import Router, RouterLimits
from aicore.models.scripted import Reply, ScriptedProvider
from aicore.records import Usage

CHEAP = Capabilities(locality="managed", price=PRICE, vendor="openai", region="eu")
WORK = Usage(input_tokens=1000, output_tokens=100)  # 0.002 + 0.001
SPECIAL = "I am pregnant, is that a problem?"


def cost(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def figures(shop: Shop, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    place = ("--url", str(shop.path), "--business", "shop", *words)
    assert await anyio.to_thread.run_sync(lambda: cost("--json", *place)) == 0
    return json.loads(capsys.readouterr().out)


async def send(shop: Shop, members: list[ScriptedProvider], text: str, to: str = "1") -> None:
    router = Router(members, limits=RouterLimits(backoff_s=0, hedge_share=0))
    async with Agent(provider=router, log=shop.log()) as agent:
        await agent.send(text, conversation=f"web:{to}")


def vendor(name: str, *replies: Reply) -> ScriptedProvider:
    return ScriptedProvider(replies, name=name, capabilities=CHEAP)


async def test_what_failed_on_the_way_is_waste_and_estimated(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.at("2026-11-02T10:00")
    # It worked on the request until its time was up: a bill may come.
    slow = ProviderUnavailable("too slow", status=504)
    first = vendor("first", slow, slow, slow)
    await send(shop, [first, vendor("second", answer(WORK))], "Are you open?")
    report = (await figures(shop, capsys))["report"]
    assert report["by"]["provider"][-1]["name"] in {"first", "second"}
    spent = {one["name"]: one["spent"] for one in report["by"]["provider"]}
    assert Decimal(spent["second"]["cost_usd"]) == Decimal("0.003")
    [waste] = report["waste"]
    assert waste["kind"] == "retried"
    assert waste["spent"]["requests"] == spent["first"]["requests"] == len(first.requests)
    assert Decimal(waste["spent"]["cost_usd"]) == Decimal(spent["first"]["cost_usd"]) > 0
    assert report["coverage"]["reported_requests"] == 1
    assert [(one["provider"], one["as_of"]) for one in report["prices"]] == [
        ("second", "2026-11-01")
    ]


async def test_what_must_stay_is_told_with_whom_it_was_kept_from(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.at("2026-11-02T10:00")
    box = ScriptedProvider([answer(WORK)], name="box", capabilities=BOX)
    await send(shop, [box, vendor("rented")], SPECIAL)
    report = (await figures(shop, capsys))["report"]
    assert report["kept"] == [
        {"provider": "box", "barred": ["rented"], "requests": 1, "tokens": 1100}
    ]
    assert report["tokens_of_class"] == {"special": 1100}
    assert report["total"]["cost_usd"] is None  # nobody said what the box costs


async def test_what_nobody_answered_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.at("2026-11-02T10:00")
    with pytest.raises(PolicyBlocked):
        await send(shop, [vendor("rented")], SPECIAL)
    with pytest.raises(ModelError):
        await send(shop, [vendor("rented", ModelError("refused"))], "and now?", "2")
    report = (await figures(shop, capsys))["report"]
    assert report["failed_turns"] == {"model": 1, "policy_blocked": 1}
    assert all(one["kind"] == "turn failed" for one in report["waste"])
    place = ("--url", str(shop.path), "--business", "shop")
    assert await anyio.to_thread.run_sync(lambda: cost(*place)) == 0
    assert "policy_blocked" in capsys.readouterr().out


async def test_the_command_says_of_a_shop_what_the_report_says(
    told: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures of tests/costs/test_report.py, as they are printed."""
    place = ("--url", str(told.path), "--business", "shop", "--by", "provider")
    assert await anyio.to_thread.run_sync(lambda: cost(*place)) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "Requests 11 in 1 conversation",
        "Tokens 3,750 in, 122 out",
        "Spent $0.005350 + 3 unpriced",
        "Price known 72.7% of requests, 69.7% of tokens",  # 8 of 11, 2,699 of 3,872
        "Counted by provider 81.8% of requests, 75.4% of tokens",  # 9 of 11, 2,919 of 3,872
        "rented 7 2,650 11.3% 49 $0.005350 100.0%",  # 300 of 2,650 cached
        "box 3 600 0.0% 70 unknown -",
        "second 1 500 0.0% 3 unknown -",
        "Saved $0.000440",
        "retried 2 300 $0.000600 11.2%",
        "cut 1 504 $0.001040 19.4%",
        "hedge lost 1 503 unknown -",
        "turn failed 1 100 $0.000200 3.7%",
        "box rented 1 220",
        "rented m own 2026-11-01 4",
        "1 answer came from a vendor because a queue was too long.",
        "2 turns failed: provider_unavailable.",
    ):
        assert line in lines, line
