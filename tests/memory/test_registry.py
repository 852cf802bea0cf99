"""What a configuration names as memory is what is made; a mistake is named with the remedy."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError

from aicore import Agent
from aicore.config import MemorySettings
from aicore.errors import ConfigError
from aicore.memory.registry import open_memory
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import ScriptedProvider

EMBEDDER = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}


def test_no_place_is_no_memory() -> None:
    assert open_memory(MemorySettings(), "main") is None


@pytest.mark.parametrize("given", ["path", "url"])
async def test_a_sqlite_file_by_path_or_url(tmp_path: Path, given: str) -> None:
    path = tmp_path / "m.db"
    settings = (
        MemorySettings(path=path) if given == "path" else MemorySettings(url=f"sqlite:///{path}")
    )
    memory = open_memory(settings, "lakeside")
    assert memory is not None
    async with memory:
        assert isinstance(memory.store, SQLiteMemory)
        assert memory.business == "lakeside"
        assert await anyio.Path(path).exists()


async def test_rows_of_vectors_have_a_file_beside_the_store(tmp_path: Path) -> None:
    settings = MemorySettings(path=tmp_path / "m.db", vectors="rows", embedder=EMBEDDER)
    memory = open_memory(settings, "main")
    assert memory is not None
    async with memory:
        assert await anyio.Path(tmp_path / "m-vectors.db").exists()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "postgre://x"}, "postgres"),
        ({"url": "mongodb://x"}, "memory.url"),
        ({"url": "sqlite://"}, "sqlite"),
        ({"url": "redis://x", "vectors": "rows", "embedder": EMBEDDER}, "memory.url"),
        ({"path": "x.db", "vectors": "row", "embedder": EMBEDDER}, "rows"),
        ({"path": "x.db", "vectors": "pgvector", "embedder": EMBEDDER}, "postgresql"),
        ({"path": "x.db", "vectors": "chroma", "embedder": EMBEDDER}, "chroma:PLACE"),
        ({"path": "x.db", "vectors": "pinecone:h.io", "embedder": EMBEDDER}, "PINECONE_API_KEY"),
        ({"path": "x.db", "extract": "model"}, "extract"),
    ],
)
def test_a_mistake_is_named_with_the_remedy(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        open_memory(MemorySettings.model_validate(fields), "main")


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "x.db", "url": "sqlite:///x.db"},
        {"path": "x.db", "vectors": "rows"},
        {"path": "x.db", "embedder": EMBEDDER},
        {"path": "x.db", "extract": "guess"},
        {"path": "x.db", "budget_tokens": 0},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MemorySettings.model_validate(fields)


async def test_an_agent_of_a_file_with_a_memory_and_flows_remembers(tmp_path: Path) -> None:
    """Flows are told what is recalled, too, and make nothing of it."""
    (tmp_path / "flow.yaml").write_text(
        "assistant: T\nzone: Europe/Berlin\nregion: DE\ngreeting: Hello.\n"
        "disclosure: I am a machine.\ncontact: Call us.\nflows:\n  - flow: hello\n"
        "    title: Say hello\n    triggers: [hello]\n    steps:\n      - say: Hi there.\n",
        encoding="utf-8",
    )
    (tmp_path / "aicore.toml").write_text(
        '[provider]\nkind = "flows"\nfile = "flow.yaml"\n[log]\npath = "log.db"\n'
        '[memory]\npath = "memory.db"\n',
        encoding="utf-8",
    )
    for number in range(2):
        async with Agent.from_config(tmp_path / "aicore.toml") as agent:
            reply = await agent.send("hello, my name is Ann", conversation=f"web:{number}")
            assert "Hi there." in reply.text
            memory = agent._parts.memory
            assert memory is not None
            with anyio.fail_after(10):
                await memory.settled()
            assert "customer:web:0" in await memory.subjects()


def test_a_provider_finds_facts_where_it_is_asked_to(tmp_path: Path) -> None:
    settings = MemorySettings(path=tmp_path / "m.db", extract="model")

    assert open_memory(settings, "main", provider=ScriptedProvider([])) is not None
