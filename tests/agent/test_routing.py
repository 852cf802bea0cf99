"""A configuration decides who answers: one line moves a business, and data stays where it said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.models.fake_openai import (
    Asked,
    FakeOpenAI,
    Play,
    answering,
    call,
    json_play,
    serving,
)

from aicore import Agent
from aicore.agent.choose import choose_provider
from aicore.agent.routing import build_members
from aicore.config import OwnPrice, Settings, load
from aicore.errors import BudgetReached, ConfigError, CredentialError, PolicyBlocked
from aicore.log.events import ModelReplied, TurnFailed
from aicore.models.router import Router
from aicore.records import ConversationId

FLOWS = """\
assistant: Lakeside
language: en
zone: Europe/Berlin
region: DE
date_order: DMY
disclosure: I am a program.
flows:
  - flow: hours
    triggers: [opening hours]
    steps:
      - say: We open at nine.
"""
ILL = "I am diabetic, may I come?"


def play(name: str) -> Any:
    def answer(asked: Asked) -> Play:
        return answering(asked, f"I am {name}.")

    return answer


@asynccontextmanager
async def two_systems(
    folder: Path, more: str = "", *, local: Any = None, managed: Any = None
) -> AsyncIterator[tuple[Path, FakeOpenAI, FakeOpenAI]]:
    """A configuration with a model on an own machine and one of a vendor, both played here."""
    async with (
        serving(otherwise=local or play("local")) as own,
        serving(otherwise=managed or play("managed")) as vendor,
    ):
        text = f"""
[providers.gpu]
kind = "openai-compatible"
base_url = "{own.base_url}"
model = "m"

[providers.cloud]
kind = "openai-compatible"
base_url = "{vendor.base_url}"
model = "m"
locality = "managed"
price = {{ input_usd = "1", output_usd = "2" }}

{more}
"""
        file = folder / "aicore.toml"
        file.write_text(text)
        yield file, own, vendor


async def answers(file: Path, *messages: str) -> list[str]:
    async with Agent.from_config(file) as agent:
        return [(await agent.send(one, conversation="web:1")).text for one in messages]


@pytest.mark.parametrize(("use", "expected"), [("gpu", "local"), ("cloud", "managed")])
async def test_one_line_moves_the_business(tmp_path: Path, use: str, expected: str) -> None:
    async with two_systems(tmp_path, f'[router]\nuse = ["{use}"]') as (file, _, _):
        assert await answers(file, "hi") == [f"I am {expected}."]


async def test_special_data_stays_on_own_machines_and_so_does_what_follows(tmp_path: Path) -> None:
    more = "[privacy.personal]\nlocal_only = false"
    async with two_systems(tmp_path, more) as (file, own, vendor):
        settings = load(file)
        assert settings.is_routed
        await answers(file, "hello", ILL, "thanks")
        assert all(ILL.encode() not in one.body for one in vendor.requests)
        assert [ILL.encode() in one.body for one in own.requests][-2:] == [True, True]


async def test_an_own_machine_that_is_down_sends_no_special_data_elsewhere(tmp_path: Path) -> None:
    def down(asked: Asked) -> Play:
        return json_play({"error": {"message": "no"}}, status=401)

    async with two_systems(tmp_path, local=down) as (file, _, vendor):
        async with Agent.from_config(file) as agent:
            with pytest.raises(CredentialError):
                await agent.send(ILL, conversation="web:1")
            reply = await agent.send("hi", conversation="web:2")
        assert reply.text == "I am managed."
        assert all(ILL.encode() not in one.body for one in vendor.requests)


async def test_a_class_nobody_may_see_is_refused_and_the_log_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    more = f'[router]\nuse = ["cloud"]\n[log]\npath = "{log}"'
    async with two_systems(tmp_path, more) as (file, _, vendor):
        async with Agent.from_config(file) as agent:
            with pytest.raises(PolicyBlocked) as blocked:
                await agent.send(ILL, conversation="web:1")
            assert blocked.value.data_class == "special"
            assert set(blocked.value.rules) == {"cloud"}
            events = await agent._log.read(ConversationId("web:1"))
        (failed,) = [one.body for one in events if isinstance(one.body, TurnFailed)]
        assert failed.code == "policy_blocked"
        assert failed.route["ruled_out"][0][:2] == ["cloud", "data class"]
        assert vendor.requests == []


async def test_flows_answer_when_nobody_else_may_and_say_that_a_person_follows_up(
    tmp_path: Path,
) -> None:
    (tmp_path / "flows.yaml").write_text(FLOWS)
    more = '[router]\nuse = ["cloud"]\nfallback = "flows.yaml"'
    async with two_systems(tmp_path, more) as (file, _, vendor):
        (text,) = await answers(file, "I am diabetic. What are your opening hours?")
        assert "We open at nine." in text
        assert "colleague" in text
        assert vendor.requests == []


async def test_each_answer_says_who_gave_it_at_what_price_and_by_which_way(tmp_path: Path) -> None:
    async with (
        two_systems(tmp_path, '[router]\nuse = ["cloud"]') as (file, _, _),
        Agent.from_config(file) as agent,
    ):
        reply = await agent.send("hi", conversation="web:1")
        events = await agent._log.read(ConversationId("web:1"))
    (replied,) = [one.body for one in events if isinstance(one.body, ModelReplied)]
    assert replied.provider == "cloud"
    assert replied.price["input_usd"] == "1"
    assert replied.route["data_class"] == replied.data_class == "personal"
    assert reply.usage.cost_usd is not None
    assert reply.usage.cost_usd == replied.usage.cost_usd


async def test_a_budget_that_is_used_up_stops_the_spending(tmp_path: Path) -> None:
    more = '[router]\nuse = ["cloud"]\n[budget]\nday_usd = "0.0000001"'
    async with two_systems(tmp_path, more) as (file, _, vendor):
        async with Agent.from_config(file) as agent:
            with pytest.raises(BudgetReached):
                await agent.send("hi", conversation="web:1")
        assert vendor.requests == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[providers.a]\nkind = "ollama"\nmodel = "m"\n[provider]\nkind = "ollama"', "provider"),
        ('[providers.a]\nkind = "ollama"\nmodel = "m"\n[router]\nuse = ["b"]', "'b'"),
        ('[providers.a]\nkind = "flows"\nfile = "x.yaml"', "providers.a.kind"),
        ('[providers.a]\nkind = "olama"\nmodel = "m"', "ollama"),
        ('[providers.a]\nkind = "openai-compatible"\nmodel = "m"', "providers.a.base_url"),
        ("[privacy.secret]\nlocal_only = true", "secret"),
        ("[privacy.special]\nlocal_only = true", "No provider"),
        ("[privacy.special]\nlocal_onyl = true", "local_only"),
        ('[privacy.special]\nlocal_only = true\nvendors = ["x"]', "local_only"),
        ("[privacy]\nvault = 'sqlite:///v.db'", "key_env"),
        ("[budget]\nday_usd = -1", "day_usd"),
        ("[budget]\npath = 'a'\nurl = 'sqlite:///b'", "budget"),
        ("[prices.m]\ninput_usd = '1'", "output_usd"),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_setting(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "aicore.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Agent.from_config(file)
    assert named in str(refused.value)


def test_a_price_of_the_owners_own_counts_for_an_own_machine_too(tmp_path: Path) -> None:
    file = tmp_path / "aicore.toml"
    file.write_text(
        '[provider]\nkind = "ollama"\nmodel = "m"\n'
        '[prices.m]\ninput_usd = "0.1"\noutput_usd = "0.2"\n'
    )
    price = Agent.from_config(file)._parts.provider.capabilities.price
    assert price is not None
    assert price.source == "own"


@pytest.mark.parametrize(
    ("named", "source"), [("amazon.nova-lite-v1:0", None), ("amazon.nova-pro-v1:0", "own")]
)
def test_an_endpoint_paid_by_the_hour_has_no_price_but_the_owners(
    monkeypatch: pytest.MonkeyPatch, named: str, source: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    model = "amazon.nova-pro-v1:0"
    fields = {"kind": "sagemaker", "endpoint": "e", "region": "eu-central-1", "model": model}
    prices = {named: OwnPrice(input_usd=Decimal(1), output_usd=Decimal(2))}
    (member,) = build_members(Settings(providers={"s": fields}, prices=prices))
    price = member.provider.capabilities.price
    assert (price and price.source) == source


def test_places_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = {"gpu": {"kind": "vllm", "model": "q"}}
    monkeypatch.setenv("AICORE_PROVIDERS__GPU__AT_ONCE", "8")
    (member,) = build_members(Settings(providers=providers))
    assert member.at_once == 8
    for value in ("many", "0", "1.5", "-2"):
        monkeypatch.setenv("AICORE_PROVIDERS__GPU__AT_ONCE", value)
        with pytest.raises(ConfigError, match=r"providers\.gpu\.at_once"):
            build_members(Settings(providers=providers))


def test_a_plain_provider_has_no_router() -> None:
    assert not Settings(provider={"kind": "ollama", "model": "m"}).is_routed


def test_rules_make_a_router_of_one(tmp_path: Path) -> None:
    file = tmp_path / "aicore.toml"
    file.write_text('[provider]\nkind = "ollama"\nmodel = "m"\n[budget]\nday_usd = 3\n')
    assert isinstance(Agent.from_config(file)._parts.provider, Router)


MASKED = """\
[privacy.personal]
pseudonymise = true
[privacy]
vault = "sqlite:///vault.db"
key_file = "vault.key"
[router]
use = ["cloud"]
"""


async def test_a_vendor_sees_placeholders_and_the_customer_values(tmp_path: Path) -> None:
    def echo(asked: Asked) -> Play:
        said = asked.json["messages"][-1]["content"].split("\n")[0]
        return answering(asked, f"You wrote: {said}")

    more = f'{MASKED}\n[log]\npath = "log.db"'
    async with two_systems(tmp_path, more, managed=echo) as (file, _, vendor):
        (text,) = await answers(file, "My mail is ann.lee@example.org, please note it.")
        assert text == "You wrote: My mail is ann.lee@example.org, please note it."
        assert all(b"ann.lee" not in one.body for one in vendor.requests)
        # The vault is kept: after a restart what was said before is masked the same way.
        await answers(file, "Which was it?")
        first, last = (one.json["messages"] for one in vendor.requests)
        masked = first[-1]["content"].split("\n")[0]
        assert masked in last[-3]["content"]
        assert b"ann.lee" not in (tmp_path / "vault.db").read_bytes()


async def test_what_a_labelled_tool_gave_is_masked_wherever_it_is_said(tmp_path: Path) -> None:
    server = f'local = "aicore_servers.crm:server"\nargs = ["--data", "{tmp_path}"]'
    more = f"{MASKED}\n[servers.crm]\n{server}"
    record = '{"type":"contact","records":[{"set":{"name":"Wilhelmina Okafor"}}]}'
    replies = [
        ("", "crm_upsert", record),
        ("", "crm_search", '{"type":"contact","query":"okaf"}'),
        ("Is it about okafor?", "", ""),
    ]

    def play_on(asked: Asked) -> Play:
        done = sum(message["role"] == "tool" for message in asked.json["messages"])
        text, name, arguments = replies[min(done, 2)]
        calls = [call(0, name, arguments, f"c{done}")] if name else []
        return answering(asked, text, calls)

    async with two_systems(tmp_path, more, managed=play_on) as (file, _, vendor):
        await answers(file, "Please add a customer.", "The one called wilhelmina, yes.")
        last = vendor.requests[-1].body.decode().casefold()
        assert "wilhelmina" not in last
        assert "name_" in last


def test_a_log_that_outlives_what_was_masked_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "aicore.toml"
    text = (
        '[provider]\nkind = "openai"\nmodel = "m"\napi_key_env = "PATH"\n'
        "[privacy.personal]\npseudonymise = true\n"
    )
    file.write_text(text)
    Agent.from_config(file)
    file.write_text(f'{text}[log]\npath = "log.db"\n')
    with pytest.raises(ConfigError, match=r"privacy\.vault"):
        Agent.from_config(file)


def test_a_recogniser_whose_model_is_not_installed_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "aicore.toml"
    file.write_text(
        '[provider]\nkind = "openai"\nmodel = "m"\napi_key_env = "PATH"\n'
        "[privacy.personal]\npseudonymise = true\n"
        '[privacy]\nrecogniser = { de = "no_such_model" }\n'
    )
    with pytest.raises(ConfigError, match="no_such_model"):
        Agent.from_config(file)


async def test_who_may_answer_is_said_by_name(tmp_path: Path) -> None:
    async with two_systems(tmp_path) as (file, _, _):
        assert (
            await choose_provider(load(file))
        ).why == "answering with gpu or cloud, as configured."


@pytest.mark.parametrize(("price", "is_refused"), [("", True), ('{ input_usd = "0", ', False)])
async def test_a_limit_in_money_needs_the_price_of_everybody(
    tmp_path: Path, price: str, is_refused: bool
) -> None:
    async with two_systems(tmp_path, '[limits]\ncost_usd = "0.5"') as (file, _, _):
        if is_refused:
            with pytest.raises(ConfigError, match="price"):
                Agent.from_config(file)
            return
        free = f'model = "m"\nprice = {price}output_usd = "0" }}'
        file.write_text(file.read_text().replace('model = "m"', free, 1))
        assert await answers(file, "hi") == ["I am local."]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ('kind = "vllm"', "own machine"),
        ('kind = "vllm"\nbase_url = "https://gpu.example.com/v1"', None),
        ('kind = "litellm"\nlocality = "local"', None),
        ('kind = "openai-compatible"\nbase_url = "http://127.0.0.1:9/v1"', None),
    ],
)
def test_a_system_on_an_own_machine_sends_no_bill_and_others_may(
    tmp_path: Path, section: str, expected: str | None
) -> None:
    file = tmp_path / "aicore.toml"
    file.write_text(f'[provider]\n{section}\nmodel = "m"\n')
    price = Agent.from_config(file)._parts.provider.capabilities.price
    assert (None if price is None else price.source) == expected


async def test_whom_a_colleague_was_promised_to_is_listed_until_a_model_answers(
    tmp_path: Path, aicore_here: Callable[..., Any]
) -> None:
    (tmp_path / "flows.yaml").write_text(FLOWS)
    more = '[router]\nfallback = "flows.yaml"\n[log]\npath = "log.db"'
    up: list[str] = []

    def answer(asked: Asked) -> Play:
        if up:
            return answering(asked, "I am back.")
        return json_play({"error": {"message": "no"}}, status=401)

    async with two_systems(tmp_path, more, local=answer, managed=answer) as (file, _, _):
        await answers(file, "Do you take \x1b[31mdogs?")
        listed = await anyio.to_thread.run_sync(aicore_here, tmp_path, "follow-ups")
        assert listed.returncode == 0
        assert "web:1" in listed.stdout
        assert "dogs?" in listed.stdout
        assert "\x1b[31m" not in listed.stdout
        up.append("again")
        assert await answers(file, "And cats?") == ["I am back."]
        listed = await anyio.to_thread.run_sync(aicore_here, tmp_path, "follow-ups")
        assert "web:1" not in listed.stdout
