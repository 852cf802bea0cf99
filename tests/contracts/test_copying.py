"""History moves between any two logs without loss. Each store is copied from, and to."""

from __future__ import annotations

import itertools
import logging
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from aicore.databases import sqlite_file
from aicore.errors import StoreBusy, StoreError
from aicore.log import EventLog, MemoryLog, SQLiteLog, copying
from aicore.log.copying import check_log, copy_log
from aicore.log.events import (
    ApprovalRequested,
    MessageReceived,
    ModelReplied,
    ReplySent,
    TurnWaiting,
)
from aicore.records import ApprovalId, ConversationId, Principal, ToolCall, Usage

MakeLog = Callable[..., EventLog]
CALL = ToolCall("c1", "pay", {"amount_minor": 5, "note": "é😀\0"})


def said(text: str, message_id: str | None = None) -> MessageReceived:
    return MessageReceived(text=text, principal=Principal("customer", "ann"), message_id=message_id)


async def talk(log: EventLog, number: int) -> None:
    """A message and its turn: done, waiting for a person, or left open, by its number."""
    conversation = ConversationId(f"web:{number % 7}")
    received = await log.receive(conversation, said(f"text {number} \ud83d", f"m{number}"))
    if number % 3 == 0:
        return
    claim = await log.claim(conversation)
    reply = ModelReplied(
        text="", calls=(CALL,), usage=Usage(input_tokens=1), provider="p", model="m", finish="stop"
    )
    claim = await log.append(claim, received.seq, [reply])
    asked = ApprovalRequested(approval_id=ApprovalId("a"), call=CALL, reason="money")
    waiting = TurnWaiting(approval_ids=(ApprovalId("a"),), text="wait")
    done = [ReplySent(text="done")] if number % 3 == 1 else [asked, waiting]
    await log.append(claim, received.seq, done)


async def assert_same(one: EventLog, other: EventLog) -> None:
    listed = list(await one.conversations())
    assert list(await other.conversations()) == listed
    for stored in listed:
        conversation = stored.conversation
        assert list(await other.read(conversation)) == list(await one.read(conversation))
    assert set(await other.open_turns()) == set(await one.open_turns())


async def test_a_history_moves_out_and_back_without_loss(make_log: MakeLog, tmp_path: Path) -> None:
    async with (
        make_log() as log,
        SQLiteLog(tmp_path / "between.db") as between,
        make_log(business="copy") as back,
    ):
        for number in range(30):
            await talk(log, number)
        await log.claim(ConversationId("claimed only"))
        first = await copy_log(log, between)
        await assert_same(log, between)
        second = await copy_log(between, back)
        await assert_same(between, back)
        assert first == second
        assert (first.conversations, first.busy) == (8, 0)
        for number in range(30):
            again = await back.receive(ConversationId("other"), said("x", f"m{number}"))
            assert not again.is_new
        assert (await check_log(back)).faulty == []


async def test_a_second_run_copies_only_what_is_new(make_log: MakeLog, tmp_path: Path) -> None:
    async with make_log() as log, SQLiteLog(tmp_path / "copy.db") as copy:
        for number in range(20):
            await talk(log, number)
        await copy_log(log, copy)
        before = await log.conversations()
        assert (await copy_log(log, copy)).events == 0
        assert await log.conversations() == before  # nothing was claimed for nothing
        await talk(log, 21)
        assert (await copy_log(log, copy)).events == 1
        await assert_same(log, copy)


async def test_a_store_with_events_of_its_own_is_refused_and_left_as_it_was(
    make_log: MakeLog,
) -> None:
    async with MemoryLog() as source, make_log() as target:
        for number in range(3):
            await talk(source, number)
        await target.receive(ConversationId("web:99"), said("own"))
        with pytest.raises(StoreError):
            await copy_log(source, target)
        assert [one.conversation for one in await target.conversations()] == ["web:99"]


@pytest.mark.parametrize("conversation", ["web:1", "web:0"])
async def test_a_copy_that_was_used_since_is_refused(make_log: MakeLog, conversation: str) -> None:
    async with MemoryLog() as source, make_log() as target:
        for number in range(3):
            await talk(source, number)
        await copy_log(source, target)
        await target.receive(ConversationId(conversation), said("own"))
        with pytest.raises(StoreError):
            await copy_log(source, target)


async def test_a_conversation_in_use_is_left_for_the_next_run(make_log: MakeLog) -> None:
    async with make_log() as log, make_log() as agent, MemoryLog() as copy:
        for number in range(5):
            await talk(log, number)
        busy = 0 if agent is log else 1  # in one process's memory there is nobody else
        held = await agent.claim(ConversationId("web:1"))
        copied = await copy_log(log, copy)
        assert (copied.conversations, copied.busy) == (5, busy)
        assert len(await copy.conversations()) == 5 - busy
        await agent.release(held)
        assert (await copy_log(log, copy)).busy == 0
        await assert_same(log, copy)


async def test_without_claims_what_is_in_use_is_copied_too(make_log: MakeLog) -> None:
    async with make_log() as log, make_log() as agent, MemoryLog() as copy:
        await talk(log, 1)
        held = await agent.claim(ConversationId("web:1"))
        await copy_log(log, copy, claims=False)
        await assert_same(log, copy)
        await agent.append(held, 1, [ReplySent(text="still mine")])


async def test_a_run_that_is_cut_off_is_simply_repeated(make_log: MakeLog, tmp_path: Path) -> None:
    chance = random.Random(5)
    async with make_log() as log, SQLiteLog(tmp_path / "copy.db") as copy:
        for number in range(40):
            await talk(log, number)
        for _ in range(5):
            steps = chance.randrange(60)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(copy_log, log, copy)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await copy_log(log, copy)
        await assert_same(log, copy)


async def test_a_live_source_is_copied_as_far_as_it_came(make_log: MakeLog) -> None:
    async with make_log() as log, MemoryLog() as copy:
        for number in range(10):
            await talk(log, number)

        async def go_on() -> None:
            for number in range(100, 130):
                await log.receive(ConversationId(f"web:{number % 5}"), said("more"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            await copy_log(log, copy)
        await copy_log(log, copy)
        await assert_same(log, copy)


async def test_what_was_erased_since_the_last_copy_is_named_and_erased_when_told(
    make_log: MakeLog,
) -> None:
    gone, begun_again = ConversationId("web:1"), ConversationId("web:2")
    async with MemoryLog() as source, make_log() as target:
        for number in range(5):
            await talk(source, number)
        await copy_log(source, target)
        before = await target.conversations()
        for conversation in (gone, begun_again):
            await source.erase(await source.claim(conversation))
        await source.receive(begun_again, said("new", "m2"))
        await source.receive(ConversationId("web:3"), said("more"))
        for erased in ((), (gone,), (begun_again, "web:3")):
            with pytest.raises(StoreError, match=r"web:[12]"):
                await copy_log(source, target, erased=erased)
            assert await target.conversations() == before
        copied = await copy_log(source, target, erased=(gone, begun_again, "web:0"))
        assert (copied.conversations, copied.events) == (4, 2)
        await assert_same(source, target)


async def test_an_erasure_while_it_is_copied_is_no_fault(make_log: MakeLog) -> None:
    told: list[str] = []
    async with make_log() as log:
        for steps in range(0, 60, 4):
            for number in range(7):
                await log.receive(ConversationId(f"web:{number}"), said("x", f"{steps}-{number}"))
            async with MemoryLog() as copy, anyio.create_task_group() as tasks:
                tasks.start_soon(_erase_after, log, steps)
                try:
                    await copy_log(log, copy, claims=False)
                except StoreError as error:
                    told.append(str(error))  # it was copied, and erased before it was compared
            assert (await check_log(log)).faulty == []
    assert all("web:3" in one for one in told)


async def _erase_after(log: EventLog, steps: int) -> None:
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    await log.erase(await log.claim(ConversationId("web:3")))


async def test_a_target_out_of_reach_is_waited_for_and_not_taken_for_a_conversation_in_use(
    make_log: MakeLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.02)
    monkeypatch.setattr(copying, "_PAUSES_S", (0.01,) * 3)
    caplog.set_level(logging.INFO, "aicore.log.copying")
    path = tmp_path / "copy.db"
    async with make_log() as log, SQLiteLog(path) as copy:
        for number in range(20):
            await talk(log, number)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                await copy_log(log, copy)
            assert not await copy.conversations()
            monkeypatch.setattr(copying, "_PAUSES_S", (0.01,) * 1000)
            caplog.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(copy_log, log, copy)
                while not caplog.records:
                    await anyio.lowlevel.checkpoint()
                other.execute("ROLLBACK")
        assert {record.getMessage().split()[0] for record in caplog.records} == {"store_busy"}
        await assert_same(log, copy)


async def test_a_sound_log_in_use_is_never_told_to_be_faulty(make_log: MakeLog) -> None:
    async with make_log() as log:

        async def work(me: int) -> None:
            for number in itertools.count():
                conversation = ConversationId(f"web:{me}:{number % 5}")
                received = await log.receive(conversation, said("x", f"{me}-{number}"))
                claim = await log.claim(conversation)
                await anyio.lowlevel.checkpoint()
                await log.append(claim, received.seq, [ReplySent(text="hi")])
                if number % 7 == 0:
                    await log.erase(await log.claim(conversation))

        async with anyio.create_task_group() as tasks:
            for me in range(3):
                tasks.start_soon(work, me)
            for _ in range(10):
                assert (await check_log(log)).faulty == []
            tasks.cancel_scope.cancel()
