"""The same story with log and memory in one PostgreSQL: remembered, corrected, forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio

from aicore import Agent, Principal
from aicore.log.registry import open_log
from aicore.memory import Memory, MemoryLimits, PostgresMemory
from aicore.models import ScriptedProvider

ANN, BOB = Principal("customer", "ann"), Principal("customer", "bob")


async def talk(url: str, *messages: tuple[str, Principal, str]) -> list[str]:
    """Have messages answered and learned from; gives what the prompts say is remembered."""
    provider = ScriptedProvider([f"Reply {n}." for n in range(len(messages))])
    memory = Memory(PostgresMemory(url), limits=MemoryLimits(quiet_s=0))
    async with Agent(provider=provider, log=open_log(url), memory=memory) as agent:
        for conversation, who, text in messages:
            await agent.send(text, conversation=conversation, principal=who)
            with anyio.fail_after(20):
                await memory.settled()
    return [request.volatile for request in provider.requests]


async def test_remembered_corrected_and_forgotten_on_postgres(postgres: Any) -> None:
    url = postgres.new_database()
    await talk(
        url,
        ("web:1", ANN, "My number is 0151 1111111."),
        ("web:2", ANN, "My number is 0151 2222222."),
        ("web:3", BOB, "My dog is called Quincy."),
    )
    (told,) = await talk(url, ("web:4", ANN, "Which number do you have?"))
    assert "2222222" in told
    assert "1111111" not in told
    assert "Quincy" not in told
    log, memory = open_log(url), Memory(PostgresMemory(url))
    async with log, memory:
        facts = [one for one in await memory.entries(str(ANN)) if one.valid_to_ms is None]
        (phone,) = [one for one in facts if one.topic == "phone"]
        now_ms = phone.at_ms + 1
        right = await memory.correct(str(ANN), phone.id, "0151 3333333", now_ms=now_ms)
        assert right.source.said_by == "staff"
    (told,) = await talk(url, ("web:5", ANN, "Which number do you have?"))
    assert "3333333" in told
    assert "2222222" not in told
    log, memory = open_log(url), Memory(PostgresMemory(url))
    async with log, memory:
        forgotten = await memory.forget_all(str(ANN), log)
        assert forgotten.conversations == 4
        assert await memory.subjects() == [str(BOB)]
        assert [one.conversation for one in await log.conversations()] == ["web:3"]
    (told,) = await talk(url, ("web:1", ANN, "Which number do you have?"))
    assert "Remembered" not in told


def test_aicore_memory_works_on_postgres(postgres: Any, tmp_path: Path, capsys: Any) -> None:
    import argparse

    from aicore.cli.memory import run_memory

    url = postgres.new_database()
    anyio.run(talk, url, ("web:1", ANN, "My dog is called Rex."))
    config = tmp_path / "aicore.toml"
    config.write_text(f'[log]\nurl = "{url}"\n[memory]\nurl = "{url}"\n', encoding="utf-8")
    options = argparse.Namespace(part="list", subject=str(ANN), config=config)

    assert run_memory(options) == 0
    assert "Pet: Rex (dog)" in capsys.readouterr().out
