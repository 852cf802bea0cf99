"""Which provider answers a chat: the configured one, else a local server, else flows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.fake_openai import answering, serving

from aicore import Agent
from aicore.agent.choose import choose_provider
from aicore.config import Settings
from aicore.errors import ConfigError
from aicore.models.discovery import FoundServer

LAKESIDE = Path(__file__).parents[2] / "examples" / "aicore_examples" / "lakeside"


async def nothing() -> FoundServer | None:
    return None


async def test_what_is_configured_wins() -> None:
    settings = Settings(provider={"kind": "flows", "file": str(LAKESIDE / "assistant.yaml")})
    chosen = await choose_provider(settings)
    assert chosen.provider.name == "flows"
    assert "as configured" in chosen.why


async def test_a_model_server_that_runs_is_taken_and_named() -> None:
    async with serving(otherwise=lambda asked: answering(asked, "I am a model.")) as server:
        port = int(server.base_url.rsplit(":", 1)[1].split("/")[0])
        found = FoundServer(base_url=server.base_url, model="m", product="a fake")

        async def find() -> FoundServer | None:
            return found

        file = str(LAKESIDE / "assistant.yaml")
        chosen = await choose_provider(Settings(provider={"kind": "auto", "file": file}), find)
        async with Agent(provider=chosen.provider) as agent:
            reply = await agent.send("Who are you?", conversation="c")
    assert reply.text == "I am a model."
    assert str(port) in chosen.why


async def test_without_a_model_server_the_flows_answer_and_it_says_so() -> None:
    file = str(LAKESIDE / "assistant.yaml")
    chosen = await choose_provider(Settings(provider={"file": file}), nothing)
    assert chosen.provider.name == "flows"
    assert "no model" in chosen.why


async def test_with_nothing_to_answer_the_remedy_is_named() -> None:
    with pytest.raises(ConfigError, match="base_url"):
        await choose_provider(Settings(), nothing)
