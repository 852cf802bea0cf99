"""Subscriptions over PostgreSQL when connections break, rows move and memory is short."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from aicore.databases import postgres as databases
from aicore.errors import StoreBusy
from aicore.log import Event, postgres_listener
from aicore.log.events import ReplySent
from aicore.log.postgres import PostgresLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
LISTENERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend' AND query NOT LIKE '%%WITH earlier%%'
        AND query NOT LIKE '%%set_config%%' AND query <> ''
"""
CUT = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend'
"""


SPOIL = (
    """
    CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.kind := 'newer'; RETURN NEW; END $$
    """,
    """
    CREATE TRIGGER spoil BEFORE INSERT ON aicore_log.event FOR EACH ROW
    WHEN (NEW.seq = 2) EXECUTE FUNCTION spoil()
    """,
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PATIENCE_S", 0.4)


@pytest.fixture
def url(postgres: Any) -> str:
    made: str = postgres.new_database()
    return made


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


Told = tuple[ConversationId, Event]


@asynccontextmanager
async def listening(
    log: PostgresLog, say: Any, conversation: ConversationId | None = None
) -> AsyncIterator[AsyncIterator[Told]]:
    """A subscription that has begun: its first event was taken."""
    subscription = log.subscribe(conversation)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, subscription)
        await anyio.lowlevel.checkpoint()
        await log.receive(conversation or ConversationId("begin"), say("begin"))
    try:
        yield subscription
    finally:
        await subscription.aclose()


async def take(subscription: AsyncIterator[Told], count: int) -> list[tuple[ConversationId, int]]:
    with anyio.fail_after(20):
        told = [await anext(subscription) for _ in range(count)]
    return [(conversation, event.seq) for conversation, event in told]


async def test_what_came_while_the_connection_was_lost_is_told_once_and_in_order(
    postgres: Any, url: str, say: Any
) -> None:
    """The listener's connection is cut again and again while two logs write."""
    chance = random.Random(2)
    conversations = [ConversationId(f"web:{number}") for number in range(4)]
    async with PostgresLog(url) as log, PostgresLog(url) as other:
        await other.receive(SHOP, say("before"))
        async with listening(log, say) as subscription:
            wanted: set[tuple[ConversationId, int]] = set()
            for number in range(60):
                writer = chance.choice((log, other, other))
                conversation = chance.choice(conversations)
                received = await writer.receive(conversation, say(f"{number}"))
                wanted.add((conversation, received.seq))
                if number % 12 == 5:
                    postgres.execute(CUT, name_of(url))
            told = await take(subscription, 60)
    assert len(told) == len(set(told))
    assert set(told) == wanted
    for conversation in conversations:
        numbers = [seq for one, seq in told if one == conversation]
        assert numbers == sorted(numbers)


async def test_a_listener_outlives_a_restart_of_the_server(
    postgres: Any, url: str, say: Any
) -> None:
    async with PostgresLog(url) as log, PostgresLog(url) as other:
        async with listening(log, say) as subscription:
            postgres.stop()
            with pytest.raises(StoreBusy):
                await other.receive(SHOP, say("lost"))
            postgres.start()
            with anyio.fail_after(20):
                for text in ("one", "two"):
                    while True:
                        try:
                            await other.receive(SHOP, say(text, text))
                            break
                        except StoreBusy:
                            continue
            with anyio.fail_after(20):
                told = [await anext(subscription) for _ in range(2)]
        assert [event.body.text for _, event in told] == ["one", "two"]


async def test_own_events_are_told_while_nothing_can_listen(
    postgres: Any, url: str, say: Any
) -> None:
    """The server gives the listener no connection, and the pool has its own."""
    postgres.execute("CREATE ROLE narrow LOGIN SUPERUSER")
    async with PostgresLog(postgres.url(name_of(url), user="narrow")) as log:
        await log.receive(SHOP, say("first"))
        postgres.execute("ALTER ROLE narrow NOLOGIN")
        subscription = log.subscribe()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, subscription)
                await anyio.lowlevel.checkpoint()
                await log.receive(SHOP, say("second"))
            claim = await log.append(await log.claim(SHOP), 1, [ReplySent(text="x")])
            assert await anext(subscription) == (SHOP, (await log.read(SHOP, 2))[0])
            postgres.execute("ALTER ROLE narrow LOGIN")
            await log.append(claim, 1, [ReplySent(text="y")])
            assert (await anext(subscription))[1].seq == 4


async def test_what_was_told_is_forgotten_in_quiet_times_and_none_is_told_twice(
    postgres: Any, url: str, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_listener, "_SILENCE_S", 0.02)
    async with (
        PostgresLog(url) as log,
        PostgresLog(url) as other,
        listening(log, say) as subscription,
    ):
        wanted = []
        for number, writer in zip(range(50), itertools.cycle((log, other)), strict=False):
            conversation = ConversationId(f"web:{number % 23}")
            received = await writer.receive(conversation, say(f"{number}"))
            wanted.append((conversation, received.seq))
            if number % 5 == 4:
                # Of one conversation in order, as always; of several in any.
                assert sorted(await take(subscription, 5)) == sorted(wanted[-5:])
        with anyio.fail_after(10):
            while log._listener._told:
                await anyio.lowlevel.checkpoint()
        postgres.execute(CUT, name_of(url))
        await other.receive(OTHER, say("after"))
        assert (await take(subscription, 1))[0][0] == OTHER


async def test_numbers_that_another_server_gave_are_not_taken_for_news(
    postgres: Any, url: str, say: Any
) -> None:
    """Tables that were restored from a dump have transaction numbers of their old server."""
    async with PostgresLog(url) as log, PostgresLog(url) as other:
        for conversation in (SHOP, OTHER):
            await log.receive(conversation, say("old"))
        for table, column in (("conversation", "moved"), ("event", "added")):
            postgres.execute(
                f"UPDATE aicore_log.{table} SET {column} = '99999999'", database=name_of(url)
            )
        async with listening(log, say) as subscription:
            postgres.execute(CUT, name_of(url))
            await other.receive(SHOP, say("new"))
            assert await take(subscription, 1) == [(SHOP, 2)]


async def test_events_that_another_log_restores_are_told(postgres: Any, url: str, say: Any) -> None:
    async with PostgresLog(url) as source, PostgresLog(url, business="b") as log:
        for number in range(3):
            await source.receive(SHOP, say(f"{number}"))
        [stored] = await source.conversations()
        events = await source.read(SHOP)
        async with (
            PostgresLog(url, business="b") as other,
            listening(log, say, SHOP) as subscription,
        ):
            await log.erase(await log.claim(SHOP))
            await other.restore(stored, events[:2])
            await log.restore(stored, events)
            assert await take(subscription, 3) == [(SHOP, 1), (SHOP, 2), (SHOP, 3)]


async def test_an_event_that_cannot_be_understood_stops_nobody(
    postgres: Any, url: str, say: Any
) -> None:
    async with (
        PostgresLog(url) as log,
        PostgresLog(url) as other,
        listening(log, say) as subscription,
    ):
        await other.receive(SHOP, say("one"))
        assert await take(subscription, 1) == [(SHOP, 1)]
        for statement in SPOIL:
            postgres.execute(statement, database=name_of(url))
        await other.append(await other.claim(SHOP), 1, [ReplySent(text="x")])
        await other.receive(OTHER, say("next"))
        assert await take(subscription, 1) == [(OTHER, 1)]


async def test_one_connection_listens_and_only_while_somebody_subscribes(
    postgres: Any, url: str, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_listener, "_SILENCE_S", 0.05)
    tasks_before = len(asyncio.all_tasks())
    async with PostgresLog(url) as log:
        await log.receive(SHOP, say())
        assert not postgres.execute(LISTENERS, name_of(url))
        async with listening(log, say), listening(log, say):
            assert len(postgres.execute(LISTENERS, name_of(url))) == 1
        with anyio.fail_after(10):
            while postgres.execute(LISTENERS, name_of(url)):
                await anyio.lowlevel.checkpoint()
        async with listening(log, say) as subscription:
            await log.receive(OTHER, say())
            assert await take(subscription, 1) == [(OTHER, 1)]
    assert len(asyncio.all_tasks()) == tasks_before
