"""History moves between any two logs without loss. Each store is copied from, and to."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from aicore.errors import StoreError
from aicore.log import EventLog, MemoryLog, SQLiteLog
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
