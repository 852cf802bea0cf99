"""Vectors beside the store: made up for when they were missed, and deleted with their entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import anyio
import pytest

from aicore import Agent, Principal
from aicore.errors import ProviderUnavailable
from aicore.log import MemoryLog
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.port import Namespace
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors
from aicore.models import ScriptedProvider

ANN = Principal("customer", "ann")
SPACE = Namespace("main", str(ANN))


class Letters:
    """An embedder that counts letters; one that is down raises."""

    name = "letters"
    model = "letters"
    locality: Literal["in_process", "local", "managed"] = "managed"

    def __init__(self) -> None:
        self.is_down = False
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self.is_down:
            raise ProviderUnavailable("down")
        self.asked += texts
        return [[1.0 + text.count(letter) for letter in "aeiou"] for text in texts]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


def memory(folder: Path, embedder: Letters) -> Memory:
    vectors = SQLiteVectors(folder / "v.db", model="letters")
    store = SQLiteMemory(folder / "m.db")
    return Memory(store, vectors=vectors, embedder=embedder, limits=MemoryLimits(quiet_s=0))


async def talk(one: Memory, log: MemoryLog, *texts: str) -> None:
    provider = ScriptedProvider(["Ok."] * len(texts))
    async with Agent(provider=provider, log=log, memory=one) as agent:
        for text in texts:
            await agent.send(text, conversation="web:1", principal=ANN)
            with anyio.fail_after(10):
                await one.settled()


async def test_what_is_learned_is_embedded_but_nothing_sensitive_by_a_managed_embedder(
    tmp_path: Path,
) -> None:
    embedder = Letters()
    async with MemoryLog() as log:
        await talk(memory(tmp_path, embedder), log, "My dog is called Rex.", "I have diabetes.")

    assert {"My dog is called Rex.", "Pet: Rex (dog)"} <= set(embedder.asked)
    assert not any("diabet" in text for text in embedder.asked)


async def test_vectors_that_an_embedder_owed_are_made_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._EMBED_RETRY_S", 0.01)
    made = anyio.Event()

    class Back(Letters):
        async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
            vectors = await super().embed(texts)
            if "My dog is called Rex." in texts:
                made.set()
            return vectors

    embedder = Back()
    embedder.is_down = True
    provider = ScriptedProvider(["Ok."])
    one = memory(tmp_path, embedder)
    async with MemoryLog() as log, Agent(provider=provider, log=log, memory=one) as agent:
        await agent.send("My dog is called Rex.", conversation="web:1", principal=ANN)
        with anyio.fail_after(10):
            await one.settled()
        embedder.is_down = False
        with anyio.fail_after(10):
            await made.wait()


async def test_what_is_forgotten_has_no_vector(tmp_path: Path) -> None:
    embedder = Letters()
    async with MemoryLog() as log:
        await talk(memory(tmp_path, embedder), log, "My dog is called Rex.", "Bye")
        async with memory(tmp_path, embedder) as one:
            entries = await one.entries(str(ANN))
            rex = [entry.id for entry in entries if entry.text == "Pet: Rex (dog)"]
            await one.forget(str(ANN), rex)
            index = one._places.vectors
            assert index is not None
            near = await index.nearest(SPACE, [1.0] * 5, 99)
            assert {found.id for found in near} == {
                entry.id for entry in await one.entries(str(ANN))
            }
            assert len(near) < len(entries)
            await one.forget_all(str(ANN), log)
            assert list(await index.nearest(SPACE, [1.0] * 5, 99)) == []
