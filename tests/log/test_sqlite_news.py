"""Listening to a SQLite file that other processes write to."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.errors import TemporaryError
from aicore.log import Event, SQLiteLog, sqlite_news
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def started(log: SQLiteLog, say: Any, conversation: ConversationId | None = None) -> Any:
    """A subscription that has begun."""
    subscription = log.subscribe(conversation)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, subscription)
        await anyio.wait_all_tasks_blocked()
        await log.receive(conversation or OTHER, say("first"))
    return subscription


async def test_two_writing_processes_are_heard_in_order_and_once(
    path: Path, say: Any, start_writer: Any
) -> None:
    async with SQLiteLog(path) as log:
        writers = [start_writer("race", path, name, 30) for name in "ab"]
        for writer in writers:
            assert json.loads(writer.stdout.readline()) == ["ready"]
        with anyio.fail_after(30):
            heard: list[Event] = []
            subscription = await started(log, say, SHOP)
            for writer in writers:
                writer.stdin.write("\n")
                writer.stdin.flush()
            for number in range(3):
                await log.receive(SHOP, say(f"own {number}"))
            while len(heard) < 3 + 30 + 60:  # own, messages of both (each once), replies
                _, event = await anext(subscription)
                heard.append(event)
        assert heard == list(await log.read(SHOP, 1))


async def test_what_is_appended_while_nobody_waits_is_told_when_somebody_does(
    path: Path, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_news, "_AT_ONCE", 4)
    async with SQLiteLog(path) as log, SQLiteLog(path) as other:
        subscription = await started(log, say)
        for number in range(10):
            await other.receive(SHOP, say(f"{number}"))
        await log.receive(SHOP, say("own"))
        with anyio.fail_after(5):
            texts = [(await anext(subscription))[1].body.text for _ in range(11)]
        assert texts == [*map(str, range(10)), "own"]


async def test_a_listener_that_waited_too_long_is_cut_off_and_can_begin_again(
    path: Path, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_news, "_KEPT", 5)
    monkeypatch.setattr(sqlite_news, "_PRUNED_EVERY", 5)
    async with SQLiteLog(path) as log, SQLiteLog(path) as other:
        subscription = await started(log, say)
        for number in range(20):
            await other.receive(SHOP, say(f"{number}"))
        with anyio.fail_after(5), pytest.raises(TemporaryError):
            await anext(subscription)
        again = await started(log, say)
        await other.receive(SHOP, say("heard"))
        with anyio.fail_after(5):
            assert (await anext(again))[1].body == say("heard")


async def test_a_new_listener_is_not_told_what_came_while_nobody_listened(
    path: Path, say: Any
) -> None:
    async with SQLiteLog(path) as log, SQLiteLog(path) as other:
        subscription = await started(log, say)
        await subscription.aclose()
        await other.receive(SHOP, say("unheard"))
        again = await started(log, say)
        await other.receive(SHOP, say("heard"))
        with anyio.fail_after(5):
            assert (await anext(again))[1].body == say("heard")


async def test_other_businesses_in_the_file_are_not_heard(path: Path, say: Any) -> None:
    async with SQLiteLog(path) as log, SQLiteLog(path, business="garage") as garage:
        subscription = await started(log, say)
        await garage.receive(SHOP, say("tyres"))
        await log.receive(SHOP, say("bread"))
        with anyio.fail_after(5):
            assert (await anext(subscription))[1].body == say("bread")
