"""An agent over a masked provider, and processes that share a vault."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.models.fake_openai import answering, call, serving

from aicore import Agent
from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import ModelError, StoreError
from aicore.log import MemoryLog
from aicore.log.sqlite_schema import SCHEMA
from aicore.memory.memory import Memory
from aicore.memory.model_extraction import ModelExtraction
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import OpenAICompatible
from aicore.records import ConversationId
from aicore.trust.masked import Masked
from aicore.trust.vault_registry import open_vaults

NAME, EMAIL = "Annabel Quokka", "ann@quokka.example"


async def test_an_agent_works_as_ever_and_its_model_reads_no_address() -> None:
    booked: list[tuple[str, str]] = []

    def book(name: str, email: str) -> dict[str, str]:
        """Book an appointment."""
        booked.append((name, email))
        return {"booked for": name, "confirmed to": email}

    def answer(asked: Any) -> Any:
        last = asked.json["messages"][-1]
        said = last["content"]
        if last["role"] == "user" and "My name is" in said:
            name, email = (f"[[{part.split(']]')[0]}]]" for part in said.split("[[")[1:3])
            made = json.dumps({"name": name, "email": email})
            return answering(asked, "", [call(0, "book", made)])
        return answering(asked, f"Done: {said}")

    log = MemoryLog()
    async with serving(otherwise=answer) as server:
        provider = Masked(OpenAICompatible(base_url=server.base_url, model="m"), open_vaults(None))
        async with Agent(provider=provider, tools=[book], log=log) as agent:
            first = await agent.send(f"My name is {NAME}, {EMAIL}", conversation="web:1")
            second = await agent.send("Who am I? Annabel?", conversation="web:1")
            events = repr(await log.read(ConversationId("web:1")))
        bodies = [one.body.decode() for one in server.requests]

    assert booked == [(NAME, EMAIL)]
    assert EMAIL in first.text
    assert "Annabel" in second.text
    assert "[[" not in first.text + second.text
    assert [word for word in ("Quokka", "Annabel", EMAIL) if any(word in b for b in bodies)] == []
    assert EMAIL in events
    assert "[[NAME_" not in events


async def test_conversation_goes_on_after_an_invented_placeholder() -> None:
    replies = iter(["Write to [[EMAIL_deadbeef_1]].", "Sorry, all is well."])
    async with serving(otherwise=lambda asked: answering(asked, next(replies))) as server:
        provider = Masked(OpenAICompatible(base_url=server.base_url, model="m"), open_vaults(None))
        async with Agent(provider=provider) as agent:
            with pytest.raises(ModelError):
                await agent.send("hi", conversation="web:1")
            assert (await agent.send("hm?", conversation="web:1")).text == "Sorry, all is well."


def test_processes_that_share_a_vault_agree_on_every_placeholder(tmp_path: Path) -> None:
    child = Path(__file__).with_name("vault_child.py")
    places = [f"sqlite:///{tmp_path / 'vault.db'}", str(tmp_path / "vault.key")]
    running = [
        subprocess.Popen([sys.executable, child, *places, str(number)], stdout=subprocess.PIPE)
        for number in range(3)
    ]
    told = [json.loads(process.communicate(timeout=50)[0]) for process in running]

    assert told[0] == told[1] == told[2]
    assert len(set(told[0].values())) == 40


async def test_another_file_of_ours_is_no_vault(tmp_path: Path) -> None:
    SQLiteFile(tmp_path / "shop.db", SCHEMA).open_writer().close()
    with pytest.raises(StoreError, match="log"):
        async with open_vaults(str(tmp_path / "shop.db"), key_file=tmp_path / "vault.key"):
            pass


def asks_for_facts(body: bytes) -> bool:
    return b"take notes" in body and b"likes sailing" in body


async def test_facts_are_asked_for_under_the_names_of_their_conversation(tmp_path: Path) -> None:
    async with serving(otherwise=lambda asked: answering(asked, '{"facts": []}')) as server:
        provider = Masked(OpenAICompatible(base_url=server.base_url, model="m"), open_vaults(None))
        memory = Memory(SQLiteMemory(tmp_path / "m.db"), extraction=ModelExtraction(provider))
        async with Agent(provider=provider, memory=memory) as agent:
            await agent.send(f"My name is {NAME}", conversation="web:1")
            await agent.send("Quokka likes sailing\nQuokka does", conversation="web:1")
            with anyio.fail_after(10):
                while not any(asks_for_facts(one.body) for one in server.requests):
                    await anyio.lowlevel.checkpoint()
        bodies = [one.body.decode() for one in server.requests]
    assert [body for body in bodies if "Quokka" in body] == []
