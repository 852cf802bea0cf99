"""One agent, one conversation: moved by a section of its file from system to system, and back.

The systems are played at the wire, but for the model in this process, which is a real tiny one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.models import fake_anthropic, fake_gemini, fake_openai
from tests.models.fake_openai import Asked, FakeOpenAI, Play
from tests.models.tiny_gguf import write_tiny_gguf

from aicore import Agent, Reply
from aicore.errors import ModelError, RoundLimitReached
from aicore.log.events import ModelReplied, ReplySent, TurnFailed
from aicore.log.sqlite import SQLiteLog
from aicore.records import ConversationId

WEB = ConversationId("web:1")
SEARCH = {"type": "contact", "query": "ann"}


def openai(asked: Asked) -> Play:
    done = asked.json["messages"][-1]["role"] == "tool"
    calls = [fake_openai.call(0, "crm_search", json.dumps(SEARCH), "call_0")]
    return fake_openai.answering(asked, "OpenAI." if done else "", [] if done else calls)


def anthropic(asked: Asked) -> Play:
    content = asked.json["messages"][-1]["content"]
    done = isinstance(content, list) and content[0]["type"] == "tool_result"
    if done:
        return fake_anthropic.answering(asked, fake_anthropic.text("Anthropic."))
    return fake_anthropic.answering(
        asked,
        fake_anthropic.thought("Whom do they mean?"),
        fake_anthropic.call("toolu_1", "crm_search", SEARCH),
    )


def gemini(asked: Asked) -> Play:
    parts = asked.json["contents"][-1]["parts"]
    done = any("functionResponse" in part for part in parts)
    calls = [fake_gemini.call("crm_search", SEARCH, signature="c2ln")]
    return fake_gemini.answering(asked, "Gemini." if done else "", [] if done else calls)


def section(kind: str, base_url: str, more: str = "") -> str:
    return f'kind = "{kind}"\nbase_url = "{base_url}"\nmodel = "m"\n{more}'


def write(folder: Path, *sections: str) -> Path:
    """The agent's file. Only what answers differs."""
    file = folder / "aicore.toml"
    rest = f"""
[agent]
instructions = "You are the desk of Lakeside."
[log]
path = "log.db"
[limits]
rounds = 2
output_tokens_per_request = 400
[servers.crm]
local = "aicore_servers.crm:server"
args = ["--data", "{folder}"]
"""
    file.write_text("\n".join([*sections, rest]))
    return file


async def ask(file: Path, text: str) -> Reply:
    async with Agent.from_config(file) as agent:
        return await agent.send(text, conversation=WEB)


async def answered_by(folder: Path) -> Sequence[str]:
    async with SQLiteLog(folder / "log.db") as log:
        events = await log.read(WEB)
    return [one.body.provider for one in events if isinstance(one.body, ModelReplied)]


def bodies(server: FakeOpenAI) -> list[Any]:
    return [one.json for one in server.requests]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "k-123")


@pytest.mark.usefixtures("keys")
async def test_a_conversation_moves_from_system_to_system_with_its_whole_history(
    tmp_path: Path,
) -> None:
    async with (
        fake_openai.serving(otherwise=openai) as local,
        fake_openai.serving(otherwise=anthropic) as claude,
        fake_openai.serving(otherwise=gemini) as google,
    ):
        origins = {
            "ollama": local.base_url,
            "openai": local.base_url,
            "anthropic": fake_gemini.origin(claude),
            "gemini": fake_gemini.origin(google),
        }
        said = {}
        for kind, base_url in origins.items():
            more = 'locality = "managed"' if kind in ("anthropic", "gemini") else ""
            file = write(tmp_path, "[provider]", section(kind, base_url, more))
            reply = await ask(file, f"Is Ann a customer? Asked on {kind}.")
            said[kind] = reply.text
            (record,) = reply.calls
            assert record.result is not None
            assert not record.result.is_error
        assert said == {
            "ollama": "OpenAI.",
            "openai": "OpenAI.",
            "anthropic": "Anthropic.",
            "gemini": "Gemini.",
        }

        # Each has read what was said on the others; a thought of one is not shown to another.
        last = json.dumps(bodies(google)[-1])
        for kind in origins:
            assert f"Asked on {kind}." in last
        assert "Anthropic." in last
        assert "Whom do they mean?" not in last

        # And back, to both at once: a mix of them.
        file = write(
            tmp_path,
            "[providers.own]",
            section("ollama", local.base_url),
            "[providers.rented]",
            section("anthropic", fake_gemini.origin(claude), 'locality = "managed"'),
        )
        assert (await ask(file, "I am diabetic. Am I booked?")).text == "OpenAI."
        assert "diabetic" not in json.dumps(bodies(claude))
    assert (await answered_by(tmp_path))[-1] == "own"


@pytest.mark.usefixtures("keys")
async def test_the_same_conversation_goes_on_in_this_process(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    async with fake_openai.serving(otherwise=openai) as local:
        await ask(write(tmp_path, "[provider]", section("ollama", local.base_url)), "Is Ann known?")
    file = write(tmp_path, f'[provider]\nkind = "in-process"\npath = "{model.name}"\n')
    # A model of random weights may say nothing, or ask for tools until it is stopped.
    with suppress(RoundLimitReached, ModelError):
        await ask(file, "And now?")
    async with SQLiteLog(tmp_path / "log.db") as log:
        last = (await log.read(WEB))[-1].body
    assert isinstance(last, ReplySent) or (
        isinstance(last, TurnFailed) and last.code in ("model", "limit_rounds")
    )
