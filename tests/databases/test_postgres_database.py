"""A PostgreSQL database of ours: opened, brought forward, shared, lost and found again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
import psycopg
import pytest

from aicore.databases import postgres as databases
from aicore.databases.postgres import Connection, Postgres, PostgresSchema, fetch
from aicore.errors import (
    AicoreError,
    ConfigError,
    CredentialError,
    CustomerError,
    NotOpenError,
    StoreBusy,
    StoreError,
)

ONE = ("CREATE TABLE thing (name text PRIMARY KEY, amount bigint NOT NULL DEFAULT 0)",)
SCHEMA = PostgresSchema(what="store", name="aicore_things", migrations=(ONE,))
ADD = "INSERT INTO thing (name) VALUES (%s)"
NAMES = "SELECT name FROM thing ORDER BY name"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PATIENCE_S", 0.4)


@pytest.fixture
def url(postgres: Any) -> str:
    made: str = postgres.new_database()
    return made


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@asynccontextmanager
async def opened(
    url: str, schema: PostgresSchema = SCHEMA, size: int = 8
) -> AsyncIterator[Postgres]:
    store = Postgres(url, schema, max_connections=size)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def open_fails(url: str, schema: PostgresSchema = SCHEMA) -> AicoreError:
    with pytest.raises(AicoreError) as failed:
        await Postgres(url, schema).open()
    return failed.value


async def test_sixteen_that_open_it_at_once_make_its_tables_once(url: str) -> None:
    stores = [Postgres(url, SCHEMA, max_connections=1) for _ in range(16)]
    async with AsyncExitStack() as stack:
        for store in stores:
            stack.push_async_callback(store.close)
        async with anyio.create_task_group() as tasks:
            for store in stores:
                tasks.start_soon(store.open)
        await stores[0].fetch(ADD, ("a",))
        assert await stores[15].fetch(NAMES) == [("a",)]


async def test_an_older_schema_is_brought_forward_and_keeps_its_rows(url: str) -> None:
    async with opened(url) as old:
        await old.fetch(ADD, ("a",))
    newer = PostgresSchema("store", SCHEMA.name, (ONE, ("ALTER TABLE thing ADD extra text",)))
    async with opened(url, newer) as store:
        assert await store.fetch("SELECT name, extra FROM thing") == [("a", None)]
        assert await store.fetch("SELECT version FROM version ORDER BY 1") == [(1,), (2,)]
    error = await open_fails(url)
    assert type(error) is StoreError


async def test_a_migration_that_fails_leaves_what_was_there(url: str) -> None:
    broken = PostgresSchema("store", SCHEMA.name, (ONE, ("CREATE TABLE more ()", "NO SQL")))
    assert type(await open_fails(url, broken)) is StoreError
    async with opened(url) as store:
        assert await store.fetch("SELECT to_regclass('more')") == [(None,)]


async def test_two_kinds_of_stores_share_a_database(url: str) -> None:
    kinds = [PostgresSchema("store", f"aicore_{name}", (ONE,)) for name in "ab"]
    async with opened(url, kinds[0]) as one, opened(url, kinds[1]) as other:
        await one.fetch(ADD, ("a",))
        assert await other.fetch(NAMES) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://me:geheim@[::1/x",
        "geheim",
        "http://me:geheim@h",
        "postgresql://me:ab/geheim@db.example.com/shop",
        "postgresql://me:ab@geheim@127.0.0.1:1/shop",
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Postgres(wrong, SCHEMA)
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_without_psycopg_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"aicore-mcp\[postgres\]"):
        Postgres("postgresql:///x", SCHEMA)


async def test_without_its_pool_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Postgres("postgresql:///x", SCHEMA)
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)
    with pytest.raises(ConfigError, match=r"aicore-mcp\[postgres\]"):
        await store.open()


def test_a_store_shows_where_it_is_and_neither_user_nor_password() -> None:
    store = Postgres("postgresql://ann:geheim@db.invalid:5433/shop?sslmode=require", SCHEMA)
    assert str(store) == "store at db.invalid:5433/shop"


async def test_a_wrong_password_is_a_matter_of_credentials(postgres: Any, url: str) -> None:
    postgres.demand_password("locked")
    postgres.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    postgres.execute(f"GRANT ALL ON DATABASE {name_of(url)} TO locked")
    place = f"@/{name_of(url)}?host={quote(str(postgres.data))}"
    for password in (":geheim", ""):
        error = await open_fails(f"postgresql://locked{password}{place}")
        assert type(error) is CredentialError
        assert "geheim" not in f"{error} {error.__cause__}"
    async with opened(f"postgresql://locked:right{place}") as store:
        assert await store.fetch(NAMES) == []


async def test_an_unknown_user_database_or_lack_of_rights_is_for_the_operator(
    postgres: Any, url: str
) -> None:
    assert type(await open_fails(postgres.url("nowhere"))) is StoreError
    assert (
        type(await open_fails(postgres.url(name_of(url), user="nobody_known"))) is CredentialError
    )
    postgres.execute("CREATE ROLE plain LOGIN")
    assert type(await open_fails(postgres.url(name_of(url), user="plain"))) is StoreError
    postgres.execute(f"REVOKE CONNECT ON DATABASE {name_of(url)} FROM PUBLIC")
    assert type(await open_fails(postgres.url(name_of(url), user="plain"))) is StoreError


async def test_a_database_in_another_encoding_is_refused(postgres: Any) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    assert type(await open_fails(postgres.url("latin"))) is StoreError


@pytest.mark.parametrize("place", ["127.0.0.1:1/x", "/x?host=/nowhere", "host.invalid/x"])
async def test_a_server_that_is_not_there_is_temporary(place: str) -> None:
    error = await open_fails(f"postgresql://me:geheim@{place}")
    assert isinstance(error, StoreBusy)
    assert error.retry_after_s
    assert "geheim" not in f"{error} {error.__cause__}"
    assert "may not have been done" not in str(error)


async def test_a_server_with_no_free_connection_is_temporary(postgres: Any, url: str) -> None:
    postgres.execute("CREATE ROLE single LOGIN CONNECTION LIMIT 1")
    postgres.execute(f"GRANT ALL ON DATABASE {name_of(url)} TO single")
    at = postgres.url(name_of(url), user="single")
    async with await psycopg.AsyncConnection.connect(at):
        assert isinstance(await open_fails(at), StoreBusy)


async def test_when_all_connections_are_in_use_callers_wait_and_then_are_told(url: str) -> None:
    async with opened(url, size=2) as store:
        go_on = anyio.Event()

        async def hold(connection: Connection) -> None:
            await go_on.wait()

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(store.run, hold)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StoreBusy):
                await store.fetch("SELECT 1")
            tasks.start_soon(store.fetch, ADD, ("waited",))
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        assert await store.fetch(NAMES) == [("waited",)]


async def test_a_lost_race_is_run_again(url: str) -> None:
    async with opened(url) as store:
        await store.fetch(ADD, ("a",))
        runs = 0
        both_read = anyio.Event()

        async def add_one(connection: Connection) -> None:
            nonlocal runs
            runs += 1
            await fetch(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            [(amount,)] = await fetch(connection, "SELECT amount FROM thing")
            if runs == 2:
                both_read.set()
            await both_read.wait()
            await fetch(connection, "UPDATE thing SET amount = %s", (amount + 1,))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.transact, add_one)
                tasks.start_soon(store.transact, add_one)
        assert await store.fetch("SELECT amount FROM thing") == [(2,)]
        assert runs == 3


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", StoreError),
        ("25006", StoreError),
        ("XX001", StoreError),
        ("42P01", StoreError),
        ("57P01", StoreBusy),
        ("57014", StoreBusy),
        ("53300", StoreBusy),
        ("40P01", StoreBusy),
        ("54000", CustomerError),
        ("28000", CredentialError),
        ("22012", StoreError),
    ],
)
async def test_what_the_server_reports_is_sorted_by_who_must_act(
    url: str, state: str, kind: type[AicoreError]
) -> None:
    async with opened(url) as store:
        fail = f"DO $$ BEGIN RAISE EXCEPTION 'Ann said so' USING ERRCODE = '{state}'; END $$"
        with pytest.raises(kind) as failed:
            await store.fetch(fail)
        assert type(failed.value) is kind
        await store.fetch(ADD, ("it goes on",))


async def test_a_cancelled_write_is_done_or_never_begun_and_the_pool_stays_whole(url: str) -> None:
    async with opened(url, size=2) as store:
        slow_add = "INSERT INTO thing (name) SELECT %s FROM pg_sleep(0.02)"
        begun = 0

        async def write(name: str) -> None:
            await store.fetch(slow_add, (name,))

        for steps in range(30):
            async with anyio.create_task_group() as tasks:
                for other in range(3):
                    tasks.start_soon(write, f"{steps}-{other}")
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            rows = len(await store.fetch(NAMES))
            with anyio.move_on_after(0.05):
                await anyio.sleep_forever()
            assert len(await store.fetch(NAMES)) == rows, "a cancelled write was done later"
            begun = rows
        assert 0 < begun < 90
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, f"after-{number}")
        assert len(await store.fetch(NAMES)) == begun + 20


async def test_idle_connections_that_the_server_closed_are_replaced_unseen(
    postgres: Any, url: str
) -> None:
    async with opened(url, size=4) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(store.fetch, ADD, (f"{number}",))
        postgres.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            name_of(url),
        )
        async with anyio.create_task_group() as tasks:
            for number in range(4, 8):
                tasks.start_soon(store.fetch, ADD, (f"{number}",))
        assert len(await store.fetch(NAMES)) == 8


async def test_a_connection_lost_in_mid_statement_is_told_and_the_next_call_works(
    postgres: Any, url: str
) -> None:
    async with opened(url) as store:
        with anyio.fail_after(20):
            with pytest.raises(StoreBusy):
                await store.fetch("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(9)")
            await store.fetch(ADD, ("next",))


async def test_a_server_that_answers_never_is_given_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_ANSWER_S", 0.2)
    async with opened(url) as store:
        with anyio.fail_after(20):
            with pytest.raises(StoreBusy):
                await store.fetch("SELECT pg_sleep(50)")
            await store.fetch(ADD, ("next",))


async def test_while_the_server_is_down_calls_are_told_and_after_its_restart_they_work(
    postgres: Any, url: str
) -> None:
    async with opened(url) as store:
        postgres.kill()
        with pytest.raises(StoreBusy):
            await store.fetch(ADD, ("lost",))
        postgres.start()
        with anyio.fail_after(20):
            while True:
                try:
                    await store.fetch(ADD, ("kept",))
                    break
                except StoreBusy:
                    continue
        assert await store.fetch(NAMES) == [("kept",)]


async def test_closing_waits_for_what_runs_and_then_it_is_not_open(url: str) -> None:
    store = Postgres(url, SCHEMA)
    with pytest.raises(NotOpenError):
        await store.fetch("SELECT 1")
    await store.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.fetch, "INSERT INTO thing SELECT 'x' FROM pg_sleep(0.1)")
        await anyio.wait_all_tasks_blocked()
        await store.close()
    with pytest.raises(NotOpenError):
        await store.fetch("SELECT 1")
    await store.open()
    assert await store.fetch(NAMES) == [("x",)]
    await anyio.to_thread.run_sync(partial(anyio.run, _in_another_loop, store))
    await store.close()


async def _in_another_loop(store: Postgres) -> None:
    with pytest.raises(NotOpenError):
        await store.fetch("SELECT 1")
