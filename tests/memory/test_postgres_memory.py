"""The memory and the vectors in PostgreSQL: what the suites do not ask of every store."""

import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import psycopg
import pytest

from aicore.errors import ConfigError, StoreBusy, StoreError
from aicore.memory import postgres_traces
from aicore.memory.port import Entry, Namespace, Query, Source
from aicore.memory.postgres import PostgresMemory
from aicore.memory.postgres_vectors import PostgresVectors
from aicore.memory.sqlite import SQLiteMemory

ANN, BOB = Namespace("shop", "customer:ann"), Namespace("shop", "customer:bob")


def entry(id_: str, text: str) -> Entry:
    return Entry(
        id=id_,
        kind="fact",
        text=text,
        source=Source(said_by="customer"),
        at_ms=0,
        data_class="personal",
        valid_from_ms=0,
    )


def traces(server: Any, url: str) -> list[Any]:
    name = urlsplit(url).path.removeprefix("/")
    rows: list[Any] = server.execute("SELECT part FROM aicore_memory.trace", database=name)
    return rows


async def test_it_finds_what_the_memory_in_sqlite_finds_in_the_same_order(
    postgres: Any, tmp_path: Path
) -> None:
    chance = random.Random(3)
    words = [f"word{chance.getrandbits(40):x}" for _ in range(80)]
    texts = [" ".join(chance.choices(words, k=chance.randrange(3, 15))) for _ in range(900)]
    entries = [entry(f"f{number}", text) for number, text in enumerate(texts)]
    gone = [f"f{number}" for number in chance.sample(range(900), 60)]
    stores = (SQLiteMemory(tmp_path / "m.db"), PostgresMemory(postgres.new_database()))
    async with stores[0] as one, stores[1] as other:
        for store in (one, other):
            for start in range(0, 900, 90):
                await store.add(ANN, entries[start : start + 90])
            await store.forget(ANN, gone)
        for _ in range(50):
            query = Query(text=" ".join(chance.choices(words, k=3)), k=15)
            answers = [await store.search(ANN, query) for store in (one, other)]
            assert answers[0] == answers[1]
            assert answers[0]


async def is_busy(call: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(StoreBusy):
        await call()


async def test_without_a_server_it_says_so_and_works_again_when_there_is_one(
    postgres: Any,
) -> None:
    url = postgres.new_database()
    async with PostgresMemory(url) as store, PostgresVectors(url, model="m") as vectors:
        await store.add(ANN, [entry("f1", "likes tea")])
        await vectors.put(ANN, {"f1": [1.0, 0.0]})
        postgres.stop()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(is_busy, lambda: store.search(ANN, Query(text="tea")))
                group.start_soon(is_busy, lambda: vectors.nearest(ANN, [1.0, 0.0], 3))
                group.start_soon(is_busy, PostgresMemory(url).__aenter__)
                group.start_soon(is_busy, PostgresVectors(url, model="m").__aenter__)
        finally:
            postgres.start()
        assert len(await store.search(ANN, Query(text="tea"))) == 1
        assert len(await vectors.nearest(ANN, [1.0, 0.0], 3)) == 1


async def test_a_database_of_a_newer_version_is_refused(postgres: Any) -> None:
    url = postgres.new_database()
    name = urlsplit(url).path.removeprefix("/")
    async with PostgresMemory(url), PostgresVectors(url, model="m"):
        pass
    for schema in ("aicore_memory", "aicore_vectors"):
        postgres.execute(f"INSERT INTO {schema}.version VALUES (99)", database=name)

    with pytest.raises(StoreError):
        async with PostgresMemory(url):
            pass
    with pytest.raises(StoreError):
        async with PostgresVectors(url, model="m"):
            pass


async def test_without_pgvector_it_says_what_to_install(postgres: Any) -> None:
    """As for a user who may not install extensions."""
    url = postgres.new_database()
    name = urlsplit(url).path.removeprefix("/")
    role = f"role_{secrets.token_hex(4)}"
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    postgres.execute(f"CREATE SCHEMA aicore_vectors AUTHORIZATION {role}", database=name)
    try:
        index = PostgresVectors(postgres.url(name, user=role), model="m")
        with pytest.raises(ConfigError):
            async with index:
                pass

        postgres.execute("CREATE EXTENSION vector", database=name)
        async with index:
            await index.put(ANN, {"a": [1.0, 0.0]})
            assert len(await index.nearest(ANN, [1.0, 0.0], 3)) == 1
    finally:
        postgres.execute(f"DROP OWNED BY {role}", database=name)
        postgres.execute(f"DROP ROLE {role}")


async def test_pgvector_may_be_in_a_schema_of_its_own(postgres: Any) -> None:
    url = postgres.new_database()
    name = urlsplit(url).path.removeprefix("/")
    postgres.execute("CREATE SCHEMA extensions", database=name)
    postgres.execute("CREATE EXTENSION vector SCHEMA extensions", database=name)
    async with PostgresVectors(url, model="m") as index:
        await index.put(ANN, {"a": [1.0, 0.0], "b": [0.0, 1.0], "zero": [0.0, 0.0]})
        found = await index.nearest(ANN, [1.0, 0.0], 9)
    assert [(near.id, near.similarity) for near in found] == [("a", 1), ("b", 0), ("zero", 0)]


async def test_the_dimension_of_an_embedder_that_changed_is_refused_at_the_opening(
    postgres: Any,
) -> None:
    url = postgres.new_database()
    async with PostgresVectors(url, model="first") as index:
        await index.put(ANN, {"a": [1.0, 0.0]})
    with pytest.raises(ConfigError):
        async with PostgresVectors(url, model="second"):
            pass
    async with PostgresVectors(url, model="first") as index:
        assert await index.missing(ANN, ["a"]) == set()


async def test_a_reader_from_before_keeps_traces_and_is_told_and_waited_out_later(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup, say: what it may still see cannot be written over."""
    url = postgres.new_database()
    async with PostgresMemory(url) as store:
        await store.add(ANN, [entry("f1", "quokka"), entry("f2", "wombat")])
        async with await psycopg.AsyncConnection.connect(url) as reader:
            await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await reader.execute("SELECT count(*) FROM pg_class")
            with monkeypatch.context() as patience:
                patience.setattr(postgres_traces, "_READERS_S", 0.2)
                with pytest.raises(StoreBusy):
                    await store.forget(ANN, ["f1"])
            assert await store.search(ANN, Query(text="quokka")) == []
            assert len(await store.search(ANN, Query(text="wombat"))) == 1
            assert traces(postgres, url)
        assert await store.forget(ANN, ["f2"]) == 1
        assert traces(postgres, url) == []


async def test_traces_of_an_erase_that_was_cut_off_are_removed_at_the_next_opening(
    postgres: Any,
) -> None:
    url = postgres.new_database()
    name = urlsplit(url).path.removeprefix("/")
    async with PostgresMemory(url) as store:
        await store.add(ANN, [entry("f1", "quokka")])
    postgres.execute("INSERT INTO aicore_memory.trace (part) VALUES (3)", database=name)

    async with PostgresMemory(url) as store:
        assert traces(postgres, url) == []
        assert len(await store.search(ANN, Query(text="quokka"))) == 1


async def test_topics_are_found_however_long_they_are(postgres: Any) -> None:
    url = postgres.new_database()
    short, long = "phone", "preference: " + "x" * 5000
    async with PostgresMemory(url) as store:
        entries = [replace(entry(f"f{n}", "text"), topic=f"topic {n}") for n in range(2000)]
        entries += [replace(entry("s", "text"), topic=short), replace(entry("l", "t"), topic=long)]
        await store.add(ANN, entries)
        for topic, id_ in ((short, "s"), (long, "l"), ("topic 7", "f7")):
            assert [one.id for one in await store.list(ANN, topic=topic)] == [id_]


async def test_statistics_of_the_server_hold_no_text(postgres: Any) -> None:
    url = postgres.new_database()
    name = urlsplit(url).path.removeprefix("/")
    async with PostgresMemory(url) as store, PostgresVectors(url, model="m") as vectors:
        await store.add(ANN, [entry(f"f{n}", f"quokka{n}") for n in range(200)])
        await vectors.put(ANN, {f"f{n}": [1.0, float(n)] for n in range(200)})
        postgres.execute("ANALYZE", database=name)
        rows = postgres.execute(
            "SELECT attname, most_common_vals::text || histogram_bounds::text FROM pg_stats "
            "WHERE schemaname LIKE 'aicore%'",
            database=name,
        )
    assert [row for row in rows if row[1] and ("quokka" in row[1] or "customer" in row[1])] == []
    assert "text" not in {row[0] for row in rows}


async def test_many_who_add_and_search_and_forget_at_once_lose_nothing(postgres: Any) -> None:
    url = postgres.new_database()
    async with PostgresMemory(url) as here, PostgresMemory(url) as there:

        async def work(store: PostgresMemory, number: int) -> None:
            space = (ANN, BOB)[number % 2]
            for step in range(6):
                await store.add(space, [entry(f"{number}-{step}", f"common quokka{number}")])
                assert await store.search(space, Query(text=f"quokka{number}"))
            assert await store.forget(space, [f"{number}-0"]) == 1

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(work, (here, there)[number % 2], number)
        for space in (ANN, BOB):
            assert len(await here.search(space, Query(text="common", k=99))) == 4 * 5
            assert len(await there.list(space)) == 4 * 5
    assert traces(postgres, url) == []


async def test_a_class_of_the_first_version_has_its_new_name(postgres: Any) -> None:
    url = postgres.new_database()
    async with PostgresMemory(url) as store:
        await store.add(ANN, [entry("f1", "quokka"), entry("f2", "wombat")])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO aicore_memory")
        connection.execute("UPDATE entry SET data_class = 'sensitive' WHERE id = 'f1'")
        connection.execute("DELETE FROM version WHERE version > 1")
    async with PostgresMemory(url) as store:
        classes = {one.id: one.data_class for one in await store.list(ANN)}
        assert classes == {"f1": "special", "f2": "personal"}
