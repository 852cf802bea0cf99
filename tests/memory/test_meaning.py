"""An embedder or an index that refuses, fails or hangs takes nothing with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, Self

import anyio
import pytest

from aicore import Agent, Principal
from aicore.errors import (
    ConfigError,
    ContextOverflow,
    CredentialError,
    ModelError,
    OperatorError,
    ProviderUnavailable,
    StoreError,
)
from aicore.log import MemoryLog
from aicore.memory.memory import Memory
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Entry, Namespace, Near, Source
from aicore.memory.recall import Recall, RecallLimits
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors
from aicore.models import ScriptedProvider
from aicore.records import Conversation, ConversationId

ANN = Namespace("main", "customer:ann")
NOW_MS = 1_790_000_000_000


class Embedder:
    """An embedder that fails, hangs or refuses long texts."""

    name = "letters"
    model = "letters"
    locality: Literal["in_process", "local", "managed"] = "local"

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.error = error
        self.hangs = hangs
        self.asked: list[Sequence[str]] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.asked.append(texts)
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error
        if any(len(text) > 1000 for text in texts):
            raise ModelError("too long")
        return [[1.0 + text.count(letter) for letter in "aeiou"] for text in texts]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


class Vectors(SQLiteVectors):
    """An index that fails or hangs."""

    error: Exception | None = None
    hangs = False

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error
        return await super().nearest(namespace, vector, k)


def entry(id_: str, text: str) -> Entry:
    return Entry(
        id=id_,
        kind="episode",
        text=text,
        source=Source(said_by="customer", conversation=ConversationId("c0"), seq=1),
        at_ms=NOW_MS,
        data_class="personal",
        valid_from_ms=NOW_MS,
    )


REFUSALS = [
    ProviderUnavailable("down"),
    CredentialError("revoked"),
    ContextOverflow("too long"),
    ModelError("refused"),
    ConfigError("unknown model"),
    OperatorError("pay first"),
]


async def recalled(memory: Memory) -> str:
    return await memory.recall(
        Conversation(ConversationId("c1"), Principal("customer", "ann")),
        "where is my blue sofa",
        now_ms=NOW_MS + 1,
        with_special=True,
        in_view=lambda _: False,
    )


@pytest.mark.parametrize("error", REFUSALS)
async def test_whatever_an_embedder_raises_the_words_are_told(
    tmp_path: Path, error: Exception
) -> None:
    vectors = Vectors(tmp_path / "v.db", model="letters")
    async with Memory(
        SQLiteMemory(tmp_path / "m.db"), vectors=vectors, embedder=Embedder(error)
    ) as memory:
        await memory.store.add(ANN, [entry("e1", "The blue sofa goes to the back door.")])
        assert "back door" in await recalled(memory)


@pytest.mark.parametrize("error", [StoreError("refused"), ConfigError("other length"), None])
async def test_an_index_that_fails_or_hangs_leaves_the_words(
    tmp_path: Path, error: Exception | None
) -> None:
    async with (
        SQLiteMemory(tmp_path / "m.db") as store,
        Vectors(tmp_path / "v.db", model="letters") as vectors,
    ):
        vectors.error, vectors.hangs = error, error is None
        await store.add(ANN, [entry("e1", "The blue sofa goes to the back door.")])
        recall = Recall(store, vectors, Embedder(), limits=RecallLimits(embed_s=0.05))
        with anyio.fail_after(5):
            found = await recall.find([ANN], "blue sofa", now_ms=NOW_MS + 1)
    assert [one.entry.id for one in found] == ["e1"]


async def test_after_a_failure_it_goes_on_without_for_a_while(tmp_path: Path) -> None:
    embedder = Embedder(ProviderUnavailable("down"))
    async with (
        SQLiteMemory(tmp_path / "m.db") as store,
        Vectors(tmp_path / "v.db", model="letters") as vectors,
    ):
        recall = Recall(store, vectors, embedder)
        for _ in range(3):
            await recall.find([ANN], "blue sofa", now_ms=NOW_MS + 1)
        assert len(embedder.asked) == 1
        # A text that it refuses is no failure: the next one is asked for.
        embedder = Embedder(ModelError("too long"))
        recall = Recall(store, vectors, embedder)
        for _ in range(3):
            await recall.find([ANN], "blue sofa", now_ms=NOW_MS + 1)
        assert len(embedder.asked) == 3


async def test_a_text_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    embedder = Embedder()
    async with (
        SQLiteMemory(tmp_path / "m.db") as store,
        Vectors(tmp_path / "v.db", model="letters") as vectors,
    ):
        places = Places(store, Recall(store, vectors, embedder), vectors, embedder)
        entries = [entry(f"e{n:02}", f"short {n}") for n in range(20)]
        entries[7] = entry("e07", "long " * 300)
        await store.add(ANN, entries)
        await store.add(Namespace("main", "customer:bob"), [entry("e1", "short")])
        await places.embed_rest("main")
        ids = [one.id for one in entries]
        assert set(await vectors.missing(ANN, ids)) == {"e07"}
        assert not await vectors.missing(Namespace("main", "customer:bob"), ["e1"])
        count = len(embedder.asked)
        await places.embed_rest("main")
        assert len(embedder.asked) == count


async def test_an_embedder_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.meaning._BATCH_S", 0.01)
    async with (
        SQLiteMemory(tmp_path / "m.db") as store,
        Vectors(tmp_path / "v.db", model="letters") as vectors,
    ):
        recall = Recall(store, vectors, Embedder(hangs=True))
        with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
            await recall.embed_missing(ANN, [entry("e1", "short")])


@pytest.mark.parametrize("is_all", [False, True])
async def test_a_vector_made_while_its_entry_is_deleted_goes_as_well(
    tmp_path: Path, is_all: bool
) -> None:
    class Slow(SQLiteMemory):
        """A store in which somebody is just making vectors when it is to delete."""

        async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
            await places.embed_rest("main")
            return await super().forget(namespace, ids)

        async def erase(self, namespace: Namespace) -> int:
            await places.embed_rest("main")
            return await super().erase(namespace)

    embedder = Embedder()
    async with (
        Slow(tmp_path / "m.db") as store,
        Vectors(tmp_path / "v.db", model="letters") as vectors,
    ):
        places = Places(store, Recall(store, vectors, embedder), vectors, embedder)
        await store.add(ANN, [entry("e1", "A secret")])
        await (places.erase(ANN) if is_all else places.forget(ANN, ["e1"]))
        assert list(await vectors.nearest(ANN, [1.0] * 5, 9)) == []


async def test_nobody_who_learns_or_reads_documents_waits_for_an_embedder(tmp_path: Path) -> None:
    embedder = Embedder(hangs=True)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "price.md").write_text("A haircut is 40 EUR.", encoding="utf-8")
    vectors = Vectors(tmp_path / "v.db", model="letters")
    memory = Memory(SQLiteMemory(tmp_path / "m.db"), vectors=vectors, embedder=embedder)
    memory.know([docs])
    provider = ScriptedProvider(["Ok."])
    async with MemoryLog() as log, Agent(provider=provider, log=log, memory=memory) as agent:
        await agent.send(
            "My number is 0151 1234567.",
            conversation="web:1",
            principal=Principal("customer", "ann"),
        )
        with anyio.fail_after(15):
            while len(await memory.subjects()) < 2:
                await anyio.lowlevel.checkpoint()
            (docs / "price.md").write_text("A haircut is 60 EUR.", encoding="utf-8")
            while not any("60" in one.text for one in await memory.entries(KNOWLEDGE)):
                await anyio.lowlevel.checkpoint()
