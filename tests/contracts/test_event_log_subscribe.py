"""What every event log promises of its live events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any, cast

import anyio
import pytest

from aicore.errors import Fenced, TemporaryError
from aicore.log import EventLog
from aicore.log.events import (
    MessageReceived,
    ModelReplied,
    ReplySent,
)
from aicore.log.fanout import MAX_BEHIND, Subscription
from aicore.records import (
    ConversationId,
    Principal,
    ToolCall,
    Usage,
)

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
ANN = Principal("customer", "ann")


MakeLog = Callable[..., EventLog]


def said(
    text: str = "hello", message_id: str | None = None, channel: str = "api"
) -> MessageReceived:
    return MessageReceived(text=text, principal=ANN, channel=channel, message_id=message_id)


def replied(text: str = "hi") -> ModelReplied:
    return ModelReplied(
        text=text,
        calls=(ToolCall("c1", "crm_find", {"name": "Ann", "deep": [1, {"a": None}]}),),
        usage=Usage(input_tokens=7, cached_tokens=3, output_tokens=2, cost_usd=Decimal("0.0010")),
        provider="openai:llama",
        model="llama",
        finish="stop",
        state={"opaque": [1, 2]},
    )


async def _start(subscription: AsyncIterator[Any], into: list[Any], log: EventLog) -> None:
    """Take one event, so that the subscription has begun."""
    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            into.append(await anext(subscription))

        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        await log.receive(SHOP, said("first"))


async def test_a_subscriber_gets_events_from_its_first_anext_on_in_order(make_log: MakeLog) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        await log.receive(SHOP, said("before"))
        subscription = log.subscribe()
        await log.receive(SHOP, said("between"))
        with anyio.fail_after(5):
            await _start(subscription, seen, log)
            claim = await log.append(await log.claim(SHOP), 1, [replied(), ReplySent(text="x")])
            await log.receive(OTHER, said("elsewhere"))
            seen += [await anext(subscription) for _ in range(3)]
        stored = list(await log.read(SHOP, after=2)) + list(await log.read(OTHER))
    assert [event for _, event in seen] == stored
    assert [conversation for conversation, _ in seen] == [SHOP, SHOP, SHOP, OTHER]
    assert claim.head == 5


async def test_a_subscriber_of_one_conversation_gets_no_other(make_log: MakeLog) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        subscription = log.subscribe(SHOP)
        with anyio.fail_after(5):
            await _start(subscription, seen, log)
            await log.receive(OTHER, said("not for you"))
            await log.receive(SHOP, said("for you"))
            seen.append(await anext(subscription))
    assert [event.body.text for _, event in seen] == ["first", "for you"]


async def test_a_message_delivered_again_and_a_refused_append_are_not_announced(
    make_log: MakeLog,
) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        await log.receive(SHOP, said(message_id="m1"))
        zombie = await log.claim(SHOP)
        subscription = log.subscribe()
        with anyio.fail_after(5):
            await _start(subscription, seen, log)
            await log.receive(SHOP, said(message_id="m1"))
            with pytest.raises(Fenced):
                await log.append(zombie, 1, [ReplySent(text="x")])
            await log.receive(SHOP, said("last"))
            assert (await anext(subscription))[1].body == said("last")


async def test_a_cancelled_anext_loses_no_event(make_log: MakeLog) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        subscription = log.subscribe()
        with anyio.fail_after(5):
            await _start(subscription, seen, log)
            with anyio.move_on_after(0):
                await anext(subscription)
            await log.receive(SHOP, said("kept"))
            assert (await anext(subscription))[1].body == said("kept")


async def test_a_subscription_ends_when_the_log_closes(make_log: MakeLog) -> None:
    seen: list[Any] = []

    async def listen(subscription: AsyncIterator[Any]) -> None:
        seen.extend([event async for _, event in subscription])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, make_log() as log:
            tasks.start_soon(listen, log.subscribe())
            await anyio.wait_all_tasks_blocked()
            await log.receive(SHOP, said("last"))
    assert [event.body for event in seen] == [said("last")]


async def test_a_closed_subscription_takes_no_more_events(make_log: MakeLog) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        with anyio.fail_after(5):
            async with aclosing(cast("Subscription", log.subscribe())) as subscription:
                await _start(subscription, seen, log)
                await log.receive(SHOP, said("dropped"))
            await log.receive(SHOP, said("unheard"))
            assert [one async for one in subscription] == []


async def test_a_slow_subscriber_is_cut_off_without_a_gap_and_told(make_log: MakeLog) -> None:
    seen: list[Any] = []
    async with make_log() as log:
        subscription = log.subscribe()
        with anyio.fail_after(20):
            await _start(subscription, seen, log)
            claim = await log.claim(SHOP)
            claim = await log.append(claim, 1, [ReplySent(text="x")] * (MAX_BEHIND - 1))
            claim = await log.append(claim, 1, [ReplySent(text="x")] * 5)
            for _ in range(MAX_BEHIND):
                seen.append(await anext(subscription))
            with pytest.raises(TemporaryError):
                await anext(subscription)
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)
        last = seen[-1][1].seq
        assert [event.seq for _, event in seen] == list(range(1, last + 1))
        assert [event.seq for event in await log.read(SHOP, after=last)] == [
            last + number for number in range(1, claim.head - last + 1)
        ]


async def test_what_another_log_on_the_store_appends_is_told_within_a_second(
    make_log: MakeLog,
) -> None:
    async with make_log() as log, make_log() as other:
        seen: list[Any] = []
        subscription = log.subscribe()
        with anyio.fail_after(10):
            await _start(subscription, seen, log)
            for text in ("one", "two"):
                await other.receive(OTHER, said(text))
                with anyio.fail_after(1):
                    seen.append(await anext(subscription))
        assert [(one, event) for one, event in seen[1:]] == [
            (OTHER, event) for event in await log.read(OTHER)
        ]


async def test_what_two_logs_append_by_turns_is_told_to_both_in_order_and_once(
    make_log: MakeLog,
) -> None:
    async with make_log() as log, make_log() as other:
        of_log: list[Any] = []
        of_other: list[Any] = []

        async def listen(subscription: AsyncIterator[Any], into: list[Any]) -> None:
            async for told in subscription:
                into.append(told)
                if told[1].body == said("last"):
                    return

        with anyio.fail_after(20):
            subscriptions = log.subscribe(SHOP), other.subscribe()
            await _start(subscriptions[0], of_log, log)
            await _start(subscriptions[1], of_other, other)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, subscriptions[0], of_log)
                tasks.start_soon(listen, subscriptions[1], of_other)
                for number in range(20):
                    await (log, other)[number % 2].receive(SHOP, said(f"{number}"))
                    writer = (log, other)[number // 2 % 2]
                    await writer.append(await writer.claim(SHOP), 1, [ReplySent(text=f"{number}")])
                await log.receive(SHOP, said("last"))
        stored = [(SHOP, event) for event in await log.read(SHOP)]
    assert of_log == stored
    assert of_other == stored[1:]


async def test_what_was_erased_and_begun_again_is_told_from_its_new_beginning(
    make_log: MakeLog,
) -> None:
    seen: list[Any] = []
    async with make_log() as log, make_log() as other:
        subscription = log.subscribe()
        with anyio.fail_after(10):
            await _start(subscription, seen, log)
            await other.erase(await other.claim(SHOP))
            await other.receive(SHOP, said("again"))
            conversation, event = await anext(subscription)
    assert (conversation, event.seq, event.body) == (SHOP, 1, said("again"))
