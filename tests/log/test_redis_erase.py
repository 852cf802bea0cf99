"""What was erased is in no file of the server, and what others said still is."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.errors import StoreBusy
from aicore.log import redis_files
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.redis import RedisLog
from aicore.records import ConversationId, Principal

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
SECRETS = ("+4915550101", "wamid-zanzibar", "xylophone", "quagmire")
GONE = ConversationId(SECRETS[0])
Say = Callable[..., Any]


def traces(folder: Path, words: tuple[str, ...] = SECRETS) -> set[str]:
    """Which words are in any file below a folder; every file is read."""
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert texts
    return {word for word in words if any(word.encode() in text for text in texts)}


async def until_gone(folder: Path, words: tuple[str, ...] = SECRETS) -> None:
    """The server unlinks its old files in a thread of its own, a moment after it is done."""
    with anyio.move_on_after(5):
        while await asyncio.to_thread(traces, folder, words):
            pass


async def fill(log: RedisLog, conversation: ConversationId) -> None:
    name, message_id, text, reply = SECRETS
    for number in range(3):
        message = MessageReceived(
            text=f"{text} {number}",
            principal=Principal("customer", name),
            channel="whatsapp",
            message_id=f"{message_id}-{number}-{conversation}",
        )
        received = await log.receive(conversation, message)
        claim = await log.claim(conversation)
        await log.append(claim, received.seq, [ReplySent(text=f"{reply} {number}")])


@pytest.mark.parametrize(
    "settings", [{}, {"save": ["3600", "1"]}, {"aof_use_rdb_preamble": "no"}], ids=str
)
async def test_nothing_of_an_erased_conversation_is_in_the_servers_files(
    valkey: Any, say: Say, settings: dict[str, Any]
) -> None:
    with valkey.start(**settings) as server:
        async with RedisLog(server.url) as log:
            await fill(log, GONE)
            await log.receive(OTHER, say("umbrella"))
            await log.receive(GONE, say("xylophone: left open"))
            if "save" in settings:
                server.ask("SAVE")
            assert traces(server.folder) == set(SECRETS)
            await log.erase(await log.claim(GONE))
            await until_gone(server.folder)
            assert traces(server.folder) == set()
            assert traces(server.folder, ("umbrella",)) == {"umbrella"}
            # Nor is it in what a person would find with the server's own tools.
            for key in server.ask("KEYS", "*"):
                assert not any(word.encode() in server.ask("DUMP", key) for word in SECRETS)
                assert not any(word.encode() in key for word in SECRETS)
        server.stop()
        assert traces(server.folder) == set()
        server.launch()
        async with RedisLog(server.url) as log:
            assert not await log.read(GONE)
            assert len(await log.read(OTHER)) == 1
            assert [one.conversation for one in await log.conversations()] == [OTHER]


async def test_several_erasures_at_once_leave_nothing(valkey: Any, say: Say) -> None:
    names = [ConversationId(f"{SECRETS[0]}-{number}") for number in range(5)]
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            for name in names:
                await fill(log, name)
            claims = [await log.claim(name) for name in names]
            async with anyio.create_task_group() as tasks:
                for claim in claims:
                    tasks.start_soon(log.erase, claim)
            await until_gone(server.folder)
        assert traces(server.folder) == set()


async def test_writers_go_on_while_a_conversation_is_erased(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await fill(log, GONE)

            async def write() -> None:
                for _ in range(100):
                    await log.receive(OTHER, say("umbrella"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                tasks.start_soon(log.erase, await log.claim(GONE))
            await until_gone(server.folder)
            assert traces(server.folder) == set()
        server.kill()
        server.launch()
        async with RedisLog(server.url) as log:
            assert len(await log.read(OTHER)) == 100


@pytest.mark.parametrize(
    "settings",
    [
        {"user": ["default", "on", "nopass", "~*", "&*", "+@all", "-bgrewriteaof"]},
        {"rename_command": ["BGREWRITEAOF", ""]},
    ],
    ids=["ACL", "renamed"],
)
async def test_where_rewriting_is_forbidden_that_is_logged_and_the_conversation_gone(
    valkey: Any, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    with valkey.start(**settings) as server:
        async with RedisLog(server.url) as log:
            await fill(log, GONE)
            caplog.clear()
            await log.erase(await log.claim(GONE))
            assert not await log.read(GONE)
    [warning] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "BGREWRITEAOF" in warning.getMessage()
    assert not any(word in warning.getMessage() for word in SECRETS)


async def test_a_server_that_cannot_rewrite_its_files_is_told_of(valkey: Any) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await fill(log, GONE)
            claim = await log.claim(GONE)
            # A folder, so that the new file cannot be put there.
            in_the_way = server.folder / "appendonlydir" / "appendonly.aof.2.base.rdb"
            in_the_way.mkdir()
            with pytest.raises(StoreBusy):
                await log.erase(claim)
            in_the_way.rmdir()
            assert not await log.read(GONE)
            # The next erasure takes the traces of this one with it.
            await fill(log, OTHER)
            await log.erase(await log.claim(OTHER))
            await until_gone(server.folder)
            assert traces(server.folder) == set()


async def test_a_server_that_takes_too_long_is_told_of(
    valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_files, "_REWRITTEN_S", 0.0)
    async with RedisLog(valkey.new_url()) as log:
        await fill(log, GONE)
        with pytest.raises(StoreBusy) as busy:
            await log.erase(await log.claim(GONE))
        assert busy.value.retry_after_s is not None
        assert not await log.read(GONE)


async def test_a_conversation_that_lost_events_can_be_erased(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            for _ in range(3):
                await log.receive(SHOP, say())
            server.ask("RPOP", "aicore:{log:main}:events:web:1")
            with anyio.fail_after(10):
                await log.erase(await log.claim(SHOP))
            assert not await log.conversations()


async def test_a_conversation_with_an_event_of_a_newer_version_can_be_erased(
    valkey: Any, say: Say
) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("x", message_id="m1"))
            server.ask("RPUSH", "aicore:{log:main}:events:web:1", "12345678 1 1 newer_kind {}")
            await log.erase(await log.claim(SHOP))
            assert (await log.receive(SHOP, say("x", message_id="m1"))).is_new


async def test_an_erasure_that_is_cancelled_is_finished(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("a unique-word-in-it"))
            claim = await log.claim(SHOP)
            await log.receive(OTHER, say("stays"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.erase, claim)
                while SHOP in [one.conversation for one in await log.conversations()]:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await until_gone(server.folder, ("unique-word-in-it",))
        assert not traces(server.folder, ("unique-word-in-it",))


async def test_erasures_wait_for_a_snapshot_that_is_written(valkey: Any, say: Say) -> None:
    with valkey.start(save=["3600", "1"]) as server:
        async with RedisLog(server.url) as log, RedisLog(server.url) as other:
            for number in range(12):
                conversation = ConversationId(f"web:{number}")
                await log.receive(conversation, say("y" * 1000))
            async with anyio.create_task_group() as tasks:
                for number, one in zip(range(12), itertools.cycle((log, other)), strict=False):
                    claim = await one.claim(ConversationId(f"web:{number}"))
                    tasks.start_soon(one.erase, claim)
            assert not await log.conversations()
