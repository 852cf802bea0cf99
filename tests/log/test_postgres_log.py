"""The log in PostgreSQL where it differs from others: ids, businesses, outages, erasing."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

from aicore import Agent, Server
from aicore.databases import postgres as databases
from aicore.errors import ConfigError, CustomerError, StoreBusy, StoreError
from aicore.log import OpenTurn, postgres_history
from aicore.log.events import MessageReceived, ModelReplied, ReplySent, ToolFinished, ToolStarted
from aicore.log.postgres import PostgresLog
from aicore.log.postgres_schema import SCHEMA, from_key, to_key
from aicore.models import ScriptedProvider
from aicore.records import ConversationId, ToolCall

SHOP = ConversationId("web:1")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PATIENCE_S", 0.4)


@pytest.fixture
def url(postgres: Any) -> str:
    made: str = postgres.new_database()
    return made


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


IDS = ["", "a", "a\0", "a\0\0", "a\0b", "a\x01", "a\x01\x01", "a\x01b", "a\x02", "ab", "é", "😀"]


def test_ids_with_nul_are_kept_in_the_same_order_and_come_back() -> None:
    keys = [to_key(text) for text in IDS]
    assert [key.encode() for key in keys] == sorted(key.encode() for key in keys)
    assert [from_key(key) for key in keys] == IDS
    assert not any("\0" in key for key in keys)
    chance = random.Random(3)
    for _ in range(500):
        text = "".join(chance.choice("\0\x01\x02a") for _ in range(chance.randrange(9)))
        assert from_key(to_key(text)) == text


async def test_any_id_names_its_own_conversation(url: str, say: Any) -> None:
    async with PostgresLog(url, business="b\0") as log:
        for text in IDS:
            await log.receive(ConversationId(text), say(text, text))
        stored = await log.conversations()
        assert [one.conversation for one in stored] == IDS
        assert [one.conversation for one in await log.conversations(ConversationId("a\0"), 2)] == [
            "a\0\0",
            "a\0b",
        ]
        for text in IDS:
            [event] = await log.read(ConversationId(text))
            assert event.body == say(text, text)
        assert sorted(turn.conversation for turn in await log.open_turns()) == sorted(IDS)


@pytest.mark.parametrize("text", ["\ud83d", "x" * 1_001], ids=["surrogate", "long"])
async def test_an_id_that_cannot_be_kept_is_refused(url: str, say: Any, text: str) -> None:
    with pytest.raises(CustomerError):
        PostgresLog(url, business=text)
    async with PostgresLog(url) as log:
        with pytest.raises(CustomerError):
            await log.receive(ConversationId(text), say())
        with pytest.raises(CustomerError):
            await log.receive(SHOP, say("hello", text))
        with pytest.raises(CustomerError):
            await log.claim(ConversationId(text))
        assert await log.conversations() == []
        long_one = await log.receive(SHOP, say("hello", "m" * 1_000))
        assert long_one.is_new


async def test_businesses_in_one_database_do_not_see_each_other(url: str, say: Any) -> None:
    async with PostgresLog(url, business="a") as one, PostgresLog(url, business="b") as other:
        assert (await one.receive(SHOP, say("for a", "m1"))).seq == 1
        received = await other.receive(SHOP, say("for b", "m1"))
        assert (received.seq, received.is_new) == (1, True)
        assert (await one.claim(SHOP)).epoch == (await other.claim(SHOP)).epoch == 1
        assert [event.body for event in await other.read(SHOP)] == [say("for b", "m1")]
        assert await one.open_turns() == [OpenTurn(SHOP, 1)]
        await one.erase(await one.claim(SHOP))
        assert await one.conversations() == []
        assert len(await other.read(SHOP)) == 1


async def test_events_have_the_time_of_the_server_or_of_the_clock_that_was_given(
    postgres: Any, url: str, say: Any
) -> None:
    async with PostgresLog(url) as log, PostgresLog(url, clock=lambda: 7.5) as timed:
        await log.receive(SHOP, say())
        await timed.receive(SHOP, say())
        times = [event.at_ms for event in await log.read(SHOP)]
    [(now_ms,)] = postgres.execute("SELECT (extract(epoch FROM now()) * 1000)::bigint")
    assert now_ms - 60_000 < times[0] <= now_ms
    assert times[1] == 7_500


async def test_an_operator_can_read_events_in_sql(postgres: Any, url: str, say: Any) -> None:
    async with PostgresLog(url) as log:
        await log.receive(SHOP, say("Grüße 😀"))
    rows = postgres.execute(
        "SELECT kind, data::json->>'text' FROM aicore_log.event", database=name_of(url)
    )
    assert rows == [("message_received", "Grüße 😀")]


async def test_an_event_of_a_newer_version_or_damaged_is_for_the_operator(
    postgres: Any, url: str, say: Any
) -> None:
    async with PostgresLog(url) as log:
        await log.receive(SHOP, say())
        for change in ("kind = 'new'", "kind = 'reply_sent', data = '{\"newer\":1}'", "data = ''"):
            statement = f"UPDATE aicore_log.event SET {change}"
            postgres.execute(statement, database=name_of(url))
            with pytest.raises(StoreError):
                await log.read(SHOP)


async def test_a_newer_schema_is_refused_and_left_alone(postgres: Any, url: str) -> None:
    async with PostgresLog(url):
        pass
    newer = SCHEMA.version + 1
    postgres.execute("INSERT INTO aicore_log.version VALUES (%s)", newer, database=name_of(url))
    with pytest.raises(StoreError):
        await PostgresLog(url).__aenter__()
    postgres.execute(
        "DELETE FROM aicore_log.version WHERE version = %s", newer, database=name_of(url)
    )
    async with PostgresLog(url) as log:
        await log.claim(SHOP)


def test_what_is_no_url_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError):
        PostgresLog("shop.db")


async def test_a_log_whose_server_is_down_at_the_start_can_be_entered_later(
    postgres: Any, url: str, say: Any
) -> None:
    log = PostgresLog(url)
    postgres.stop()
    with pytest.raises(StoreBusy) as busy:
        await log.__aenter__()
    assert busy.value.retry_after_s is not None
    postgres.start()
    async with log:
        await log.receive(SHOP, say())


async def test_a_server_that_comes_up_while_the_log_is_entered_is_waited_for(
    postgres: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PATIENCE_S", 20.0)
    log = PostgresLog(url)
    postgres.stop()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.__aenter__)
        await anyio.to_thread.run_sync(postgres.start)
    await log.claim(SHOP)
    await log.__aexit__(None, None, None)


class Bookings:
    """A server whose one tool books, once per operation key, and lets something happen then."""

    def __init__(self) -> None:
        self.booked: set[str] = set()
        self.calls = 0
        self.then: Any = None
        self.server: MCPServer[Any] = MCPServer("bookings")
        meta = {"aicore/honours-operation-key": True}
        self.server.tool(meta=meta, structured_output=False)(self.book)

    async def book(self, ctx: Context[Any]) -> str:
        """Book."""
        self.calls += 1
        self.booked.add(str((ctx.request_context.meta or {})["aicore/operation-key"]))
        if self.then is not None:
            then, self.then = self.then, None
            await anyio.to_thread.run_sync(then)
        return "booked"


def make_agent(url: str, bookings: Bookings, script: list[Any]) -> Agent:
    return Agent(
        provider=ScriptedProvider(script),
        servers=[Server.local(bookings.server)],
        log=PostgresLog(url),
        resume_on_enter=False,
    )


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_turn_whose_server_goes_away_in_the_middle_is_finished_once_by_resume(
    postgres: Any, url: str, how: str
) -> None:
    bookings = Bookings()
    bookings.then = getattr(postgres, how)
    agent = make_agent(url, bookings, [ToolCall("c1", "book", {}), "It is booked."])
    async with agent:
        with pytest.raises(StoreBusy):
            await agent.send("Book it.", conversation="web:1", message_id="m1")
        with pytest.raises(StoreBusy):
            await agent.send("Are you there?", conversation="web:2", message_id="m2")
        postgres.start()
        async with PostgresLog(url) as log:
            kinds = [type(event.body) for event in await log.read(SHOP)]
            assert kinds == [MessageReceived, ModelReplied, ToolStarted]
            assert await log.open_turns() == [OpenTurn(SHOP, 1)]
        with anyio.fail_after(30):
            resumed = await agent.resume()
            while not resumed or resumed[0].reply is None:  # the pool may just have tried
                resumed = await agent.resume()
        assert resumed[0].reply.text == "It is booked."
        assert not await agent.resume()
        again = await agent.send("Book it.", conversation="web:1", message_id="m1")
        assert again.text == "It is booked."
    assert bookings.calls == 2
    assert len(bookings.booked) == 1
    async with PostgresLog(url) as log:
        bodies = [type(event.body) for event in await log.read(SHOP)]
    assert bodies == [
        MessageReceived,
        ModelReplied,
        ToolStarted,
        ToolFinished,
        ModelReplied,
        ReplySent,
    ]


async def test_an_agent_starts_when_its_server_is_there(postgres: Any, url: str) -> None:
    postgres.stop()
    with pytest.raises(StoreBusy):
        await make_agent(url, Bookings(), []).__aenter__()
    postgres.start()
    async with make_agent(url, Bookings(), ["Hello."]) as agent:
        assert (await agent.send("Hi", conversation="web:1")).text == "Hello."


async def test_leaving_while_the_server_is_down_waits_for_nobody(
    postgres: Any, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = PostgresLog(url)
    with caplog.at_level(logging.WARNING), anyio.fail_after(10):
        async with log:
            await log.claim(SHOP)
            postgres.stop()
        postgres.start()
    async with log:
        assert (await log.claim(SHOP)).epoch == 2


WORD = "xylophonezebra"


def files_with(folder: Path, word: str) -> list[str]:
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]


async def fill(log: PostgresLog, say: Any) -> None:
    chance = random.Random(5)
    big = "".join(chance.choice("abcdefghij") for _ in range(30_000))  # moved out of its row
    for number in range(12):
        await log.receive(ConversationId(f"keep:{number}"), say("fine " * 50, f"k{number}"))
        text = [f"{WORD} {number}", f"{WORD} " * 2_000, f"{WORD}{big}"][number % 3]
        await log.receive(ConversationId(WORD), say(text, f"{WORD}{number}"))


async def test_what_is_erased_is_in_no_file_of_the_tables_and_soon_in_no_file_at_all(
    postgres: Any, url: str, say: Any
) -> None:
    async with PostgresLog(url) as log:
        await fill(log, say)
        postgres.execute("ANALYZE", database=name_of(url))
        postgres.execute("CHECKPOINT")
        assert files_with(postgres.data / "base", WORD)
        await log.erase(await log.claim(ConversationId(WORD)))
        postgres.execute("CHECKPOINT")
        assert files_with(postgres.data / "base", WORD) == []
        assert len(await log.conversations()) == 12
        assert len(await log.open_turns()) == 12
    # The write-ahead log keeps it until its files are used again.
    assert files_with(postgres.data / "pg_wal", WORD)
    for _ in range(3):
        postgres.execute("SELECT pg_switch_wal()")
        postgres.execute("CHECKPOINT")
    assert files_with(postgres.data / "pg_wal", WORD) == []


async def test_large_tables_are_not_blocked_by_an_erase_and_say_what_to_run(
    postgres: Any,
    url: str,
    say: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(postgres_history, "MAX_REWRITE_BYTES", 0)
    async with PostgresLog(url) as log:
        await fill(log, say)
        with caplog.at_level(logging.WARNING):
            await log.erase(await log.claim(ConversationId(WORD)))
        assert len(await log.conversations()) == 12
    [record] = [one for one in caplog.records if one.name.startswith("aicore")]
    assert WORD not in record.getMessage()
    statement = record.getMessage().partition("run: ")[2]
    assert statement.startswith("VACUUM FULL ")
    postgres.execute(statement, database=name_of(url))
    postgres.execute("CHECKPOINT")
    assert files_with(postgres.data / "base", WORD) == []


async def test_an_erase_that_cannot_rewrite_says_so_and_the_next_one_does(
    postgres: Any, url: str, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    async with PostgresLog(url) as log:
        await fill(log, say)
        claim = await log.claim(ConversationId(WORD))
        with psycopg.connect(url) as reader:  # in a transaction, it keeps the tables busy
            reader.execute("SELECT count(*) FROM aicore_log.event")
            monkeypatch.setattr(databases, "_ANSWER_S", 0.5)
            with pytest.raises(StoreBusy):
                await log.erase(claim)
        monkeypatch.undo()
        assert await log.read(ConversationId(WORD)) == []
        await log.erase(await log.claim(ConversationId("keep:1")))
        postgres.execute("CHECKPOINT")
        assert files_with(postgres.data / "base", WORD) == []
