"""Live subscriptions leave nothing behind."""

import gc

import anyio
import pytest

from aicore.log.events import Event, ReplySent
from aicore.log.fanout import Fanout, Subscription
from aicore.records import ConversationId

SHOP = ConversationId("web:1")


def event(seq: int) -> Event:
    return Event(seq, 1, 0, ReplySent(text="x"))


async def _listen(fanout: Fanout) -> None:
    async for _ in Subscription(fanout, None):
        pass


async def test_a_cancelled_listener_is_unsubscribed() -> None:
    fanout = Fanout()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, fanout)
        await anyio.wait_all_tasks_blocked()
        assert len(fanout) == 1
        fanout.publish(SHOP, [event(1)])
        tasks.cancel_scope.cancel()
    gc.collect()  # an exception on its way may hold the listener's frame
    assert len(fanout) == 0


async def test_a_dropped_iterator_is_unsubscribed() -> None:
    fanout = Fanout()
    subscription = Subscription(fanout, None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, subscription)
        await anyio.wait_all_tasks_blocked()
        assert len(fanout) == 1
        fanout.publish(SHOP, [event(1)])
    del subscription
    gc.collect()
    assert len(fanout) == 0


async def test_every_listener_gets_every_event() -> None:
    fanout = Fanout()
    seen: list[tuple[str, int]] = []

    async def listen(name: str) -> None:
        seen.extend([(name, one.seq) async for _, one in Subscription(fanout, None)])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, "a")
            tasks.start_soon(listen, "b")
            await anyio.wait_all_tasks_blocked()
            fanout.publish(SHOP, [event(1), event(2)])
            fanout.close()
    assert sorted(seen) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


async def test_a_subscription_closed_before_it_began_is_over() -> None:
    fanout = Fanout()
    subscription = Subscription(fanout, None)
    await subscription.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)
    await subscription.aclose()
    assert len(fanout) == 0


async def test_closing_wakes_a_listener_that_waits() -> None:
    fanout = Fanout()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, fanout)
            tasks.start_soon(_listen, fanout)
            await anyio.wait_all_tasks_blocked()
            fanout.close()
    assert len(fanout) == 0
