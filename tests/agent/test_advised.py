"""What `aicore advise` writes does what it says: who is asked, and what a vendor is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.fake_openai import answering, free_port, serving

from aicore import Agent
from aicore.costs.advice import StayRule, configuration
from aicore.costs.economics import Choice
from aicore.errors import PolicyBlocked, ProviderUnavailable

PLAIN = "My mail is zorvath@example.org, any slot?"
ILL = "I am diabetic, may I come?"


def written(folder: Path, text: str, own_url: str, rented_url: str) -> Path:
    """The configuration with both systems where they are played."""
    file = folder / "aicore.toml"
    vendor = f"""\
kind = "openai-compatible"
locality = "managed"
base_url = "{rented_url}"
price = {{ input_usd = "1", output_usd = "2" }}
"""
    text = text.replace("http://127.0.0.1:8000/v1", own_url)
    log = '\n[log]\npath = "log.db"\n'
    file.write_text(text.replace('kind = "anthropic"', vendor) + log)
    return file


@pytest.mark.parametrize(
    ("placement", "stay", "plain", "ill"),
    [
        ("self-hosted", "all", "own", "own"),
        ("hybrid", "special", "own", "own"),
        ("hybrid", None, "own", "own"),
        ("managed", "none", "rented", "rented"),
        ("managed", None, "rented", None),
    ],
)
async def test_a_configuration_means_what_it_says(
    tmp_path: Path, placement: Choice, stay: StayRule | None, plain: str, ill: str | None
) -> None:
    async with (
        serving(otherwise=lambda asked: answering(asked, "own")) as own,
        serving(otherwise=lambda asked: answering(asked, "rented")) as rented,
    ):
        file = written(tmp_path, configuration(placement, stay), own.base_url, rented.base_url)
        async with Agent.from_config(file) as agent:
            assert (await agent.send(PLAIN, conversation="web:1")).text == plain
            if ill is None:
                with pytest.raises(PolicyBlocked):
                    await agent.send(ILL, conversation="web:2")
            else:
                assert (await agent.send(ILL, conversation="web:2")).text == ill
        assert all(b"zorvath" not in one.body for one in rented.requests)


async def test_what_an_own_machine_cannot_do_goes_out_masked_unless_it_is_special(
    tmp_path: Path,
) -> None:
    async with serving(otherwise=lambda asked: answering(asked, "rented")) as rented:
        dead = f"http://127.0.0.1:{free_port()}/v1"
        file = written(tmp_path, configuration("hybrid", "special"), dead, rented.base_url)
        async with Agent.from_config(file) as agent:
            assert (await agent.send(PLAIN, conversation="web:1")).text == "rented"
            with pytest.raises(ProviderUnavailable):
                await agent.send(ILL, conversation="web:2")
        assert len(rented.requests) == 1
        assert b"zorvath" not in rented.requests[0].body
