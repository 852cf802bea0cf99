"""Passages have vectors where there is an embedder, and lose them with the document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pytest

from aicore.errors import ProviderUnavailable
from aicore.memory.knowledge.knowledge import Knowledge
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Namespace
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors

SHOP = Namespace("shop", KNOWLEDGE)
MEANINGS = (("bicycle", "bike", "fahrrad"), ("bread", "loaf", "brot"), ("hours", "open"))


class ByMeaning:
    """An embedder that knows a few words."""

    name = "by meaning"
    model = "few-words"
    locality: Literal["in_process", "local", "managed"] = "in_process"

    def __init__(self) -> None:
        self.is_down = False
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self.is_down:
            raise ProviderUnavailable("The embedder is down.")
        self.embedded += texts
        lowered = [text.lower() for text in texts]
        return [
            [0.01, *(float(any(word in text for word in words)) for words in MEANINGS)]
            for text in lowered
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


@pytest.fixture
def embedder() -> ByMeaning:
    return ByMeaning()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("We mend any bicycle.", encoding="utf-8")
    (folder / "b.md").write_text("A loaf is baked daily.", encoding="utf-8")
    return folder


@pytest.fixture
async def places(tmp_path: Path, embedder: ByMeaning) -> AsyncIterator[Places]:
    async with (
        SQLiteMemory(tmp_path / "memory.db") as store,
        SQLiteVectors(tmp_path / "vectors.db", model=embedder.model) as vectors,
    ):
        yield Places(store, Recall(store, vectors, embedder), vectors, embedder)


async def found(places: Places, text: str) -> list[str]:
    answer = await places.recall.find([SHOP], text, now_ms=4_000_000_000_000, k=1)
    return [one.entry.source.document for one in answer]


async def test_passages_are_found_by_meaning(places: Places, docs: Path) -> None:
    await Knowledge([docs], places, "shop").refresh()

    assert await found(places, "Fahrrad?") == ["a.md"]
    assert await found(places, "Brot?") == ["b.md"]


async def test_only_new_passages_are_embedded(
    places: Places, docs: Path, embedder: ByMeaning
) -> None:
    knowledge = Knowledge([docs], places, "shop")
    await knowledge.refresh()
    embedder.embedded.clear()
    (docs / "b.md").write_text("A loaf is baked on Fridays.", encoding="utf-8")
    await knowledge.refresh()
    await Knowledge([docs], places, "shop").refresh()

    assert embedder.embedded == ["A loaf is baked on Fridays."]


async def test_an_embedder_that_is_down_is_asked_again(
    places: Places, docs: Path, embedder: ByMeaning
) -> None:
    knowledge = Knowledge([docs], places, "shop")
    embedder.is_down = True
    with pytest.raises(ProviderUnavailable):
        await knowledge.refresh()
    assert await found(places, "bicycle") == ["a.md"]

    embedder.is_down = False
    done = await knowledge.refresh()

    assert (done.added, done.unchanged) == (0, 2)
    assert await found(places, "Fahrrad?") == ["a.md"]


async def test_vectors_go_with_the_document(places: Places, docs: Path) -> None:
    knowledge = Knowledge([docs], places, "shop")
    await knowledge.refresh()
    assert places.vectors is not None
    ids = [entry.id for entry in await places.store.list(SHOP)]
    assert not await places.vectors.missing(SHOP, ids)
    (docs / "a.md").unlink()
    (docs / "b.md").unlink()
    await knowledge.refresh()

    assert set(await places.vectors.missing(SHOP, ids)) == set(ids)
