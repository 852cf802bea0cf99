"""Vectors in Chroma: what an erase leaves in the folder, and folders that cannot be used."""

import array
import random
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from math import hypot
from operator import mul
from pathlib import Path

import anyio
import pytest

from aicore.errors import ConfigError, NotOpenError, StoreBusy, StoreError
from aicore.memory import chroma_folder
from aicore.memory.chroma import ChromaVectors
from aicore.memory.chroma_folder import _ANEW, ChromaFolder, _name
from aicore.memory.port import Namespace

ANN, BOB = Namespace("main", "customer:ann"), Namespace("main", "customer:bob")
LENGTH = 64


def vector(number: int) -> list[float]:
    """A vector whose length is exactly 1, so that Chroma keeps its very bytes."""
    chosen = random.Random(number)
    values = [0.0] * LENGTH
    for place in chosen.sample(range(LENGTH), 4):
        values[place] = chosen.choice((-0.5, 0.5))
    return values


def many(start: int, count: int) -> dict[str, list[float]]:
    return {f"entry-{number}-end": vector(number) for number in range(start, start + count)}


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def holding(folder: Path, values: Sequence[float], id_: str) -> int:
    """Give how many files hold the bytes of a vector or of an id."""
    packed = array.array("f", values).tobytes()
    return sum(packed in data or id_.encode() in data for data in contents(folder))


@pytest.mark.parametrize("count", [20, 2500], ids=["unsynced", "in the HNSW files"])
async def test_nothing_of_what_was_removed_or_erased_is_in_any_file(
    tmp_path: Path, count: int
) -> None:
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(ANN, many(0, count))
        await index.put(BOB, many(5000, 20))
        assert holding(tmp_path, vector(7), "entry-7-end"), "the test would see it"

        await index.remove(ANN, ["entry-7-end"])

        assert holding(tmp_path, vector(7), "entry-7-end") == 0
        assert await index.missing(ANN, ["entry-7-end", "entry-8-end"]) == {"entry-7-end"}
        assert [near.id for near in await index.nearest(ANN, vector(8), 1)] == ["entry-8-end"]

        await index.erase(ANN)

        assert holding(tmp_path, vector(8), "entry-8-end") == 0
        assert list(await index.nearest(ANN, vector(8), 3)) == []
        (near,) = await index.nearest(BOB, vector(5003), 1)
        assert near.id == "entry-5003-end"
    assert holding(tmp_path, vector(8), "entry-8-end") == 0
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        assert len(await index.nearest(BOB, vector(5003), 100)) == 20


async def test_files_of_others_hold_nothing_of_what_was_in_memory(tmp_path: Path) -> None:
    """HNSW files are written with what malloc gave, which was another customer's before."""
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(ANN, many(0, 300))
        for number in range(20):
            await index.put(Namespace("main", f"customer:{number}"), many(5000 + number, 1))
        await index.erase(ANN)

    kept = contents(tmp_path)
    packed = [array.array("f", vector(number)).tobytes() for number in range(300)]
    assert [one for one in packed if any(one in data for data in kept)] == []


async def test_the_names_of_customers_are_in_no_file(tmp_path: Path) -> None:
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(Namespace("main", "customer:+4915112345678"), many(0, 2))

        assert holding(tmp_path, [0.123], "15112345678") == 0


async def test_a_removal_that_a_crash_cut_off_is_taken_up(tmp_path: Path) -> None:
    """At both places: before the original went, and after."""
    folder = tmp_path / "c"
    cut_off = ChromaFolder(folder)
    cut_off.open("m")
    cut_off.put(ANN, many(0, 3))
    cut_off.put(BOB, many(10, 3))
    for namespace, is_gone in ((ANN, False), (BOB, True)):
        collection = cut_off._collection(_name(namespace))
        assert collection is not None
        kept = sorted(collection.get(include=[])["ids"])[:2]
        cut_off._copy(collection, kept, _name(namespace) + _ANEW)
        if is_gone:
            cut_off._opened().delete_collection(_name(namespace))
    cut_off.close()

    async with ChromaVectors(folder, model="m") as index:
        assert len(await index.nearest(ANN, vector(0), 9)) == 3
        assert len(await index.nearest(BOB, vector(10), 9)) == 2
        await index.remove(ANN, ["entry-0-end"])
        assert len(await index.nearest(ANN, vector(0), 9)) == 2


async def test_of_the_best_few_are_missed_even_in_vectors_without_any_order(tmp_path: Path) -> None:
    chosen = random.Random(5)
    vectors = {f"{n}": [chosen.gauss(0, 1) for _ in range(LENGTH)] for n in range(2500)}
    found = 0
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(ANN, vectors)
        for _ in range(20):
            asked = [chosen.gauss(0, 1) for _ in range(LENGTH)]
            near = await index.nearest(ANN, asked, 10)

            def cosine(id_: str, asked: Sequence[float] = asked) -> float:
                return sum(map(mul, vectors[id_], asked)) / hypot(*vectors[id_])

            best = sorted(vectors, key=cosine, reverse=True)[:10]
            found += len({one.id for one in near}.intersection(best))
    assert found >= 190


async def test_another_embedder_is_refused_and_the_folder_left_as_it_was(tmp_path: Path) -> None:
    async with ChromaVectors(tmp_path / "c", model="first") as index:
        await index.put(ANN, many(0, 2))
        with pytest.raises(ConfigError):
            await index.put(ANN, {"x": [1.0, 0.0]})
        with pytest.raises(ConfigError):
            await index.nearest(ANN, [1.0, 0.0], 1)

    with pytest.raises(ConfigError):
        async with ChromaVectors(tmp_path / "c", model="second"):
            pass

    async with ChromaVectors(tmp_path / "c", model="first") as index:
        assert len(await index.nearest(ANN, vector(0), 9)) == 2


async def test_a_folder_that_another_program_has_open_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(ANN, many(0, 2))
    other = sqlite3.connect(tmp_path / "c" / "aicore.sqlite3")
    other.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(chroma_folder, "_LOCK_S", 0.05)
    with pytest.raises(StoreBusy):
        async with ChromaVectors(tmp_path / "c", model="m"):
            pass

    other.close()
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        assert len(await index.nearest(ANN, vector(0), 9)) == 2


async def test_an_erase_that_a_crash_cut_off_is_finished_at_the_next_opening(
    tmp_path: Path,
) -> None:
    cut_off = ChromaFolder(tmp_path / "c")
    cut_off.open("m")
    cut_off.put(ANN, many(0, 300))
    cut_off._note("has_traces", 1)
    cut_off._opened().delete_collection(_name(ANN))
    cut_off.close()
    assert holding(tmp_path, vector(7), "entry-7-end"), "the test would see it"

    async with ChromaVectors(tmp_path / "c", model="m"):
        assert holding(tmp_path, vector(7), "entry-7-end") == 0


async def test_a_folder_of_a_newer_chroma_is_refused(tmp_path: Path) -> None:
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        await index.put(ANN, many(0, 2))
    mark = sqlite3.connect(tmp_path / "c" / "aicore.sqlite3")
    mark.execute("UPDATE mark SET chroma = '99.0.0'")
    mark.commit()
    mark.close()

    with pytest.raises(StoreError):
        async with ChromaVectors(tmp_path / "c", model="m"):
            pass


async def test_places_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "chroma.sqlite3").write_bytes(b"another program's")
    async with ChromaVectors(tmp_path / "broken", model="m"):
        pass
    (tmp_path / "broken" / "chroma.sqlite3").write_bytes(b"garbage" * 1000)

    for folder in ("file", "file/inside", "foreign", "broken"):
        with pytest.raises(StoreError):
            async with ChromaVectors(tmp_path / folder, model="m"):
                pass
    assert (tmp_path / "foreign" / "chroma.sqlite3").read_bytes() == b"another program's"
    assert len(list((tmp_path / "foreign").iterdir())) == 1


async def test_damaged_files_are_said_and_other_customers_still_found(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    async with ChromaVectors(folder, model="m") as index:
        await index.put(ANN, many(0, 2500))
        await index.put(BOB, many(5000, 2))
    for path in folder.rglob("*.bin"):
        if path.with_name("index_metadata.pickle").exists():
            path.write_bytes(b"garbage")

    async with ChromaVectors(folder, model="m") as index:
        with pytest.raises(StoreError):
            await index.nearest(ANN, vector(0), 1)
        assert len(await index.nearest(BOB, vector(5000), 9)) == 2


async def test_a_folder_that_vanishes_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    async with ChromaVectors(folder, model="m") as index:
        await index.put(ANN, many(0, 2))
        shutil.rmtree(folder)
        with pytest.raises(StoreError):
            await index.put(ANN, many(3, 2))


async def test_a_cancelled_put_is_done_or_not_done(tmp_path: Path) -> None:
    async with ChromaVectors(tmp_path / "c", model="m") as index:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await index.put(ANN, many(0, 2500))
        before = await index.missing(ANN, many(0, 2500))
        assert len(before) in {0, 2500}
        assert await index.missing(ANN, many(0, 2500)) == before


async def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(ConfigError):
        async with ChromaVectors(tmp_path / "c", model="m"):
            pass


async def test_nothing_works_outside_async_with(tmp_path: Path) -> None:
    index = ChromaVectors(tmp_path / "c", model="m")
    with pytest.raises(NotOpenError):
        await index.nearest(ANN, vector(0), 1)
    async with index:
        pass
    with pytest.raises(NotOpenError):
        await index.missing(ANN, ["x"])
