"""What the folders say is what is remembered, and nothing else."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from aicore.errors import ConfigError, StoreError
from aicore.memory.knowledge.knowledge import Knowledge
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Entry, Namespace, Query
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory

SHOP = Namespace("shop", KNOWLEDGE)
NOW_MS = 4_000_000_000_000


class Folder:
    """A folder of documents and what is remembered of it."""

    def __init__(self, path: Path, store: SQLiteMemory) -> None:
        self.path = path
        self.store = store
        self.places = Places(store, Recall(store))
        self.knowledge = self.again()

    def again(self, *folders: Path, owner: str = "configured") -> Knowledge:
        """What a process that starts now makes."""
        return Knowledge(
            folders or [self.path], self.places, "shop", owner=owner, clock=lambda: NOW_MS
        )

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    async def texts(self) -> list[str]:
        return sorted(entry.text for entry in await self.entries())

    async def entries(self) -> list[Entry]:
        """Everything there is of passages, whether it holds or not."""
        return list(await self.store.list(SHOP, kind="passage"))

    async def found(self, text: str) -> list[Entry]:
        return [one.entry for one in await self.store.search(SHOP, Query(text=text, at_ms=NOW_MS))]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    path = tmp_path / "docs"
    path.mkdir()
    async with SQLiteMemory(tmp_path / "memory.db") as store:
        yield Folder(path, store)


async def test_documents_become_passages_that_can_be_cited(folder: Folder) -> None:
    folder.write("prices.csv", "article,price\nChain,35 EUR\n")
    folder.write("terms/faq.md", "# FAQ\n\n## Opening hours\n\nUntil six.\n")

    done = await folder.knowledge.refresh()

    assert (done.added, done.ended, done.unchanged, list(done.problems)) == (2, 0, 0, [])
    chain, hours = (await folder.found("chain"))[0], (await folder.found("opening hours"))[0]
    assert (chain.source.document, chain.source.place) == ("prices.csv", "row 2")
    assert (hours.source.document, hours.source.place) == ("terms/faq.md", "Opening hours")
    assert {(one.kind, one.data_class, one.source.said_by) for one in (chain, hours)} == {
        ("passage", "public", "document")
    }


async def test_only_what_changed_is_added(folder: Folder) -> None:
    folder.write("prices.csv", "article,price\nChain,35 EUR\nTube,6 EUR\n")
    await folder.knowledge.refresh()
    folder.write("prices.csv", "article,price\nChain,39 EUR\nTube,6 EUR\n")

    done = await folder.knowledge.refresh()

    assert (done.added, done.ended, done.unchanged) == (1, 1, 1)
    assert await folder.texts() == ["article: Chain; price: 39 EUR", "article: Tube; price: 6 EUR"]


def _bytes_of_memory(folder: Path) -> str:
    files = folder.glob("memory.db*")
    return "".join(path.read_bytes().decode("latin-1") for path in files)


async def test_an_old_price_is_never_found_and_leaves_no_trace(
    folder: Folder, tmp_path: Path
) -> None:
    folder.write("prices.csv", "article,price\nChain,35 Doubloons\n")
    await folder.knowledge.refresh()
    folder.write("prices.csv", "article,price\nChain,39 EUR\n")
    await folder.knowledge.refresh()

    assert [one.text for one in await folder.found("chain doubloons")] == [
        "article: Chain; price: 39 EUR"
    ]
    assert "oubloon" not in _bytes_of_memory(tmp_path)


async def test_a_price_that_comes_back_is_found_again(folder: Folder) -> None:
    for price in ("35", "39", "35", "39", "35"):
        folder.write("prices.csv", f"article,price\nChain,{price} EUR\n")
        await folder.knowledge.refresh()

        assert [one.text for one in await folder.found("chain")] == [
            f"article: Chain; price: {price} EUR"
        ]


async def test_a_row_that_moves_is_cited_where_it_is(folder: Folder) -> None:
    folder.write("prices.csv", "article,price\nChain,35 EUR\n")
    await folder.knowledge.refresh()
    folder.write("prices.csv", "article,price\nBell,9 EUR\nChain,35 EUR\n")
    await folder.knowledge.refresh()

    assert [one.source.place for one in await folder.found("chain")] == ["row 3"]


async def test_a_removed_document_is_gone(folder: Folder) -> None:
    path = folder.write("a.md", "Marzipan.")
    folder.write("b.md", "Nougat.")
    await folder.knowledge.refresh()
    path.unlink()

    done = await folder.knowledge.refresh()

    assert (done.added, done.ended, done.unchanged) == (0, 1, 1)
    assert await folder.texts() == ["Nougat."]


async def test_a_document_that_was_removed_while_nobody_looked_is_gone(folder: Folder) -> None:
    path = folder.write("a.md", "Marzipan.")
    folder.write("b.md", "Nougat.")
    await folder.knowledge.refresh()
    path.unlink()

    done = await folder.again().refresh()

    assert (done.added, done.ended, done.unchanged) == (0, 1, 1)
    assert await folder.texts() == ["Nougat."]


async def test_a_new_process_adds_nothing_twice(folder: Folder) -> None:
    folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()

    done = await folder.again().refresh()

    assert (done.added, done.ended, done.unchanged) == (0, 0, 1)


async def test_two_processes_at_once_add_nothing_twice(folder: Folder) -> None:
    folder.write("a.md", "Marzipan.\n\n# More\n\nNougat.")
    others = [folder.again() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for knowledge in others:
            tasks.start_soon(knowledge.refresh)

    assert await folder.texts() == ["Marzipan.", "More\nNougat."]


async def test_a_file_that_only_was_touched_changes_nothing(folder: Folder) -> None:
    path = folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()
    before = await folder.entries()
    os.utime(path, (1, 1))

    done = await folder.knowledge.refresh()

    assert (done.added, done.ended, done.unchanged) == (0, 0, 1)
    assert await folder.entries() == before


async def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read(folder: Folder) -> None:
    path = folder.write("prices.csv", "article,price\nChain,35 EUR\n")
    os.utime(path, (1, 1))
    await folder.knowledge.refresh()
    folder.write("prices.csv", "article,price\nChain,39 EUR\n")
    os.utime(path, (1, 1))
    await folder.knowledge.refresh()

    assert await folder.texts() == ["article: Chain; price: 39 EUR"]


@pytest.mark.parametrize("broken", ["", "\x00\x01\x02" * 99, "# \n"])
async def test_a_broken_document_keeps_its_last_good_version(folder: Folder, broken: str) -> None:
    folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()
    folder.write("a.md", broken)

    done = await folder.knowledge.refresh()

    assert [problem.document for problem in done.problems] == ["a.md"]
    assert await folder.texts() == ["Marzipan."]
    folder.write("a.md", "Marzipan.")
    assert list((await folder.knowledge.refresh()).problems) == []
    assert await folder.texts() == ["Marzipan."]


async def test_a_problem_is_told_for_as_long_as_it_lasts(folder: Folder) -> None:
    folder.write("a.md", "")
    first = await folder.knowledge.refresh()
    second = await folder.knowledge.refresh()

    assert [one.document for one in first.problems] == ["a.md"]
    assert second.problems == first.problems


async def test_a_folder_that_is_not_there_takes_nothing_away(folder: Folder) -> None:
    folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()
    away = folder.path.rename(folder.path.with_name("away"))

    done = await folder.knowledge.refresh()
    assert len(done.problems) == 1
    assert (await folder.again().refresh()).ended == 0
    assert await folder.texts() == ["Marzipan."]

    away.rename(folder.path)
    done = await folder.knowledge.refresh()
    assert (done.added, done.ended, list(done.problems)) == (0, 0, [])


async def test_of_several_folders_only_the_missing_one_stays(folder: Folder) -> None:
    other = folder.path.with_name("other")
    other.mkdir()
    (other / "a.md").write_text("Nougat.", encoding="utf-8")
    gone = folder.write("a.md", "Marzipan.")
    folder.write("b.md", "Fudge.")
    knowledge = folder.again(folder.path, other)
    await knowledge.refresh()
    assert {one.source.document for one in await folder.entries()} == {
        "docs/a.md",
        "docs/b.md",
        "other/a.md",
    }

    other.rename(other.with_name("elsewhere"))
    gone.unlink()
    await knowledge.refresh()

    assert await folder.texts() == ["Fudge.", "Nougat."]


def test_folders_with_one_name_are_refused(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        folder.again(folder.path, tmp_path / "more" / "docs")


async def test_what_others_own_is_left_alone(folder: Folder) -> None:
    folder.write("a.md", "Marzipan.")
    await folder.again(owner="once").refresh()
    await folder.knowledge.refresh()
    folder.write("a.md", "Nougat.")
    await folder.knowledge.refresh()

    assert await folder.texts() == ["Marzipan.", "Nougat."]


async def test_what_a_crash_left_ended_is_deleted_at_the_next_start(folder: Folder) -> None:
    folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()
    [entry] = await folder.entries()
    await folder.store.supersede(SHOP, entry.id, NOW_MS, None)

    done = await folder.again().refresh()

    assert (done.added, done.unchanged) == (1, 0)
    assert await folder.texts() == ["Marzipan."]


async def test_what_a_store_refused_is_done_the_next_time(folder: Folder, tmp_path: Path) -> None:
    """A trigger stands for a disk that is full at the worst moment: the old is ended already."""
    folder.write("prices.csv", "article,price\nChain,35 EUR\n")
    await folder.knowledge.refresh()
    folder.write("prices.csv", "article,price\nChain,39 EUR\n")
    with closing(sqlite3.connect(tmp_path / "memory.db", timeout=5)) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        with pytest.raises(StoreError):
            await folder.knowledge.refresh()
        database.execute("DROP TRIGGER full")

    assert await folder.found("chain") == []
    await folder.knowledge.refresh()
    assert await folder.texts() == ["article: Chain; price: 39 EUR"]


async def test_a_thousand_passages_are_paged(folder: Folder) -> None:
    rows = [f"thing {number},{number} EUR" for number in range(2500)]
    folder.write("prices.csv", "\n".join(["article,price", *rows]))
    await folder.knowledge.refresh()

    done = await folder.again().refresh()

    assert (done.added, done.ended, done.unchanged) == (0, 0, 2500)


async def test_it_is_watched_and_told(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aicore.memory.knowledge")
    folder.write("a.md", "Marzipan.")
    folder.write("broken.pdf", "no PDF")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(folder.knowledge.watch, 0.02)
        with anyio.fail_after(20):
            while not await folder.texts():
                await anyio.lowlevel.checkpoint()
            folder.write("b.md", "Nougat.")
            while len(await folder.texts()) < 2:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    told = [record.getMessage() for record in caplog.records]
    assert sum("broken.pdf" in text for text in told) == 1
    assert not any("Marzipan" in text for text in told)


async def test_a_document_that_is_being_written_waits(folder: Folder) -> None:
    path = folder.write("a.md", "Marzipan.")
    await folder.knowledge.refresh()
    folder.write("a.md", "Mar")
    os.utime(path, (NOW_MS / 1000 - 0.5, NOW_MS / 1000 - 0.5))

    await folder.knowledge.refresh(settled_s=1.0)
    assert await folder.texts() == ["Marzipan."]

    folder.write("a.md", "Marzipan and nougat.")
    await folder.knowledge.refresh(settled_s=1.0)
    assert await folder.texts() == ["Marzipan and nougat."]
