"""A business's documents, from the folder to the prompt of whoever asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from aicore import Agent
from aicore.agent.build import build_agent
from aicore.errors import ConfigError
from aicore.memory.memory import Memory
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import ScriptedProvider

CONFIG = """
[memory]
path = "memory.db"
knowledge = ["docs"]

[log]
path = "log.db"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a configuration, a price list and questions that are asked often."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "prices.csv").write_text(
        "article,price\nPuncture repair,12 GBP\nChain replacement,35 GBP\n", encoding="utf-8"
    )
    (docs / "faq.md").write_text(
        "# Questions\n\n## Repairs\n\n**How long does a repair take?**\nTwo working days.\n",
        encoding="utf-8",
    )
    (tmp_path / "aicore.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


async def passages(memory: Memory, count: int) -> None:
    """Wait until so many passages are known."""
    with anyio.fail_after(30):
        while len(await memory.entries("business")) < count:
            await anyio.lowlevel.checkpoint()


async def test_a_customer_is_told_the_price_that_holds_with_its_source(shop: Path) -> None:
    provider = ScriptedProvider(["It is 35 GBP.", "Now 39 GBP.", "Two days."])
    memory = Memory(SQLiteMemory(shop / "memory.db"))
    memory.know([shop / "docs"])
    async with Agent(provider=provider, memory=memory) as agent:
        await memory.ingest(shop / "docs")
        await agent.send("What does a chain replacement cost?", conversation="web:1")
        (shop / "docs" / "prices.csv").write_text(
            "article,price\nPuncture repair,12 GBP\nChain replacement,39 GBP\n", encoding="utf-8"
        )
        done = await memory.ingest(shop / "docs")
        await agent.send("And the price of a chain replacement now?", conversation="web:2")
        await agent.send("How long does a repair take?", conversation="web:3")

    first, second, third = (request.volatile for request in provider.requests)
    assert "prices.csv, row 3" in first
    assert "Chain replacement; price: 35 GBP" in first
    assert (done.added, done.ended, done.unchanged) == (1, 1, 2)
    assert "Chain replacement; price: 39 GBP" in second
    assert "35 GBP" not in second
    assert "faq.md, Repairs" in third
    assert "Two working days." in third
    assert "names the document" in provider.requests[0].prefix.instructions


async def test_a_configuration_names_the_folders(shop: Path) -> None:
    provider = ScriptedProvider(["12 GBP (prices.csv, row 2)."])
    async with build_agent(shop / "aicore.toml", provider=provider) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_read, shop / "memory.db")
        await agent.send("Price of a puncture repair?", conversation="web:1")

    assert "prices.csv, row 2" in provider.requests[0].volatile


async def _until_read(path: Path) -> None:
    async with Memory(SQLiteMemory(path)) as memory:
        await passages(memory, 3)


def test_documents_without_a_memory_are_refused(shop: Path) -> None:
    (shop / "aicore.toml").write_text('[memory]\nknowledge = ["docs"]\n', encoding="utf-8")

    with pytest.raises(ConfigError):
        build_agent(shop / "aicore.toml")


def test_a_folder_is_ingested_from_the_command_line(shop: Path) -> None:
    other = shop / "more"
    other.mkdir()
    (other / "terms.txt").write_text("Returns within a week.", encoding="utf-8")
    (other / "scan.pdf").write_text("no PDF", encoding="utf-8")

    first, second, again, wrong = (
        ingest(shop, folder) for folder in ("docs", "more", "docs", "nowhere")
    )

    assert (first.returncode, first.stdout[:8]) == (0, "3 passag")
    assert second.returncode == 1
    assert "scan.pdf" in second.stdout
    assert again.returncode == 0
    assert "3 as they were" in again.stdout
    assert (wrong.returncode, wrong.stdout) == (2, "")


def ingest(shop: Path, folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aicore", "memory", "ingest", folder],
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_documents_that_cannot_be_read_do_not_end_the_agent(
    shop: Path,
) -> None:
    (shop / "docs" / "broken.pdf").write_text("no PDF", encoding="utf-8")
    memory = Memory(SQLiteMemory(shop / "memory.db"))
    memory.know([shop / "docs", shop / "nowhere"])
    async with Agent(provider=ScriptedProvider(["Hello."]), memory=memory) as agent:
        done = await memory.ingest(shop / "docs")
        reply = await agent.send("Hi", conversation="web:1")

    assert {problem.document for problem in done.problems} == {"docs/broken.pdf", "nowhere/"}
    assert reply.text == "Hello."
