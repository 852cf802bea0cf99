"""How much of a conversation is sent can be set, and flows do not mind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.agent.long_talks import SMALL, TALK, Model, summaries

from aicore import Agent
from aicore.agent.build import build_agent
from aicore.config import load
from aicore.errors import ConfigError
from aicore.flows import FlowProvider
from aicore.log import MemoryLog

MODEL = '[provider]\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
SHOP: dict[str, Any] = {
    "assistant": "Shop",
    "zone": "Europe/Berlin",
    "region": "DE",
    "disclosure": "I am an automated assistant.",
    "answers": [
        {
            "questions": ["how are socks washed"],
            "text": "Socks are washed at 30 degrees, with nothing else. " * 12,
            "source": "Care",
        }
    ],
    "flows": [
        {
            "flow": "order",
            "triggers": ["order socks"],
            "slots": {
                "name": {"type": "name", "ask": "Which name?"},
                "email": {"type": "email", "ask": "Which address?"},
            },
            "steps": [
                {"collect": "name"},
                {"collect": "email"},
                {"say": "Noted for {name}: {email}."},
            ],
        }
    ],
}


def written(folder: Path, text: str) -> Path:
    path = folder / "aicore.toml"
    path.write_text(text)
    return path


def test_a_file_sets_the_limits(tmp_path: Path) -> None:
    settings = load(written(tmp_path, '[context]\ncompact_at_tokens = 900\nsummary = "model"\n'))
    assert settings.context.compact_at_tokens == 900
    assert settings.context.summary == "model"


@pytest.mark.parametrize(
    "text",
    ["[context]\nkeep_turn = 1\n", '[context]\nsummary = "poem"\n', "[context]\nkeep_turns = 0\n"],
)
def test_what_cannot_be_set_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, text))


def test_limits_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"{MODEL}[context]\ncompact_at_tokens = 1000\n")
    with pytest.raises(ConfigError, match="keep_tokens"):
        build_agent(path)


def test_flows_cannot_write_summaries(tmp_path: Path) -> None:
    path = written(tmp_path, '[context]\nsummary = "model"\n')
    with pytest.raises(ConfigError):
        build_agent(path, provider=FlowProvider(SHOP))
    build_agent(path, provider=Model())


async def test_a_flow_goes_on_where_it_was_after_a_compaction() -> None:
    """Its state travels with its answers: the last of them must stay in view."""
    log = MemoryLog()
    async with log, Agent(provider=FlowProvider(SHOP), log=log, context=SMALL) as agent:
        assert "Which name?" in (await agent.send("order socks", conversation=TALK)).text
        before = 0
        for _ in range(30):
            await agent.send("how are socks washed?", conversation=TALK)
            before = len(await summaries(log))
        assert "Which address?" in (await agent.send("Ann Lee", conversation=TALK)).text
        for _ in range(30):
            await agent.send("how are socks washed?", conversation=TALK)
        assert len(await summaries(log)) > before > 0
        last = await agent.send("ann@example.org", conversation=TALK)
    assert last.text == "Noted for Ann Lee: ann@example.org."
