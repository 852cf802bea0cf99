"""Listening on Redis: in the server's order, once, and without a hole after a lost connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from aicore.errors import TemporaryError
from aicore.log import EventLog, redis_scripts
from aicore.log.events import ReplySent
from aicore.log.redis import RedisLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
NEWS = "aicore:{log:main}:news"
Say = Callable[..., Any]


class Listener:
    """Takes what a subscription gives, from the moment it is entered."""

    def __init__(self, log: EventLog, conversation: ConversationId | None = None) -> None:
        self._log = log
        self._subscription = log.subscribe(conversation)
        self.heard: list[tuple[ConversationId, int]] = []
        self.error: Exception | None = None
        self._more = anyio.Event()

    async def listen(self) -> None:
        try:
            async for conversation, event in self._subscription:
                self.heard.append((conversation, event.seq))
                self._notify()
        except TemporaryError as exc:
            self.error = exc
        self._notify()

    async def has_heard(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.heard) < count and self.error is None:
                await self._more.wait()

    def _notify(self) -> None:
        self._more.set()
        self._more = anyio.Event()


async def test_a_listener_hears_every_process_in_order_and_once(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as one, RedisLog(url) as two, anyio.create_task_group() as tasks:
        listeners = [Listener(one), Listener(two), Listener(two, SHOP)]
        for listener in listeners:
            tasks.start_soon(listener.listen)
        await anyio.wait_all_tasks_blocked()
        await two.receive(OTHER, say("so that the listener of the second log has begun"))

        async def write(log: RedisLog) -> None:
            for _ in range(30):
                await log.receive(SHOP, say())

        async with anyio.create_task_group() as writers:
            writers.start_soon(write, one)
            writers.start_soon(write, two)
        for listener, count in zip(listeners, (61, 61, 60), strict=True):
            await listener.has_heard(count)
        tasks.cancel_scope.cancel()
    all_of_shop = [(SHOP, seq) for seq in range(1, 61)]
    assert [one for one in listeners[0].heard if one[0] == SHOP] == all_of_shop
    assert listeners[1].heard == [(OTHER, 1), *all_of_shop]
    assert listeners[2].heard == all_of_shop


async def test_what_was_written_while_a_listener_had_no_connection_is_told_later(
    valkey: Any, proxy: Any, say: Say
) -> None:
    url = valkey.new_url()
    database = url.rpartition("/")[2]
    async with (
        proxy(valkey.port) as between,
        RedisLog(url) as direct,
        RedisLog(between.url.removesuffix("0") + database) as log,
        anyio.create_task_group() as tasks,
    ):
        listener = Listener(log)
        tasks.start_soon(listener.listen)
        await anyio.wait_all_tasks_blocked()
        await log.receive(SHOP, say("first"))
        await listener.has_heard(1)
        # The listener's next answer is lost, with the news in it.
        between.fail("hold")
        await direct.receive(SHOP, say("lost on the way"))
        await between.held()
        claim = await direct.claim(SHOP)
        await direct.append(claim, 1, [ReplySent(text="not asked for yet")])
        await direct.receive(OTHER, say("of a conversation never heard of"))
        between.drop()
        await listener.has_heard(4)
        await direct.receive(SHOP, say("last"))
        await listener.has_heard(5)
        tasks.cancel_scope.cancel()
    assert listener.heard == [(SHOP, 1), (SHOP, 2), (SHOP, 3), (OTHER, 1), (SHOP, 4)]
    assert listener.error is None


async def test_a_listener_outlives_its_server(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log, anyio.create_task_group() as tasks:
            listener = Listener(log)
            tasks.start_soon(listener.listen)
            await anyio.wait_all_tasks_blocked()
            for number in range(1, 4):
                await log.receive(SHOP, say())
                await listener.has_heard(number)
                server.kill()
                server.launch()
            async with RedisLog(server.url) as other:
                await other.receive(SHOP, say())
            await listener.has_heard(4)
            tasks.cancel_scope.cancel()
        assert listener.heard == [(SHOP, seq) for seq in range(1, 5)]


async def test_a_listener_that_missed_more_than_is_kept_is_told(
    valkey: Any, proxy: Any, say: Say
) -> None:
    url = valkey.new_url()
    database = url.rpartition("/")[2]
    async with (
        proxy(valkey.port) as between,
        RedisLog(url) as direct,
        RedisLog(between.url.removesuffix("0") + database) as log,
        anyio.create_task_group() as tasks,
    ):
        listener = Listener(log)
        tasks.start_soon(listener.listen)
        await anyio.wait_all_tasks_blocked()
        await log.receive(SHOP, say("first"))
        await listener.has_heard(1)
        between.fail("hold")
        await direct.receive(SHOP, say("second"))
        await between.held()
        for _ in range(20):
            await direct.receive(SHOP, say())
        # As if as many had been written as make the server drop the oldest.
        valkey.ask("XTRIM", NEWS, "MAXLEN", 5, url=url)
        between.drop()
        await listener.has_heard(99)
    assert listener.heard == [(SHOP, 1)]
    assert isinstance(listener.error, TemporaryError)


async def test_a_listener_of_a_server_that_was_set_back_is_told(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log, anyio.create_task_group() as tasks:
            listener = Listener(log)
            tasks.start_soon(listener.listen)
            await anyio.wait_all_tasks_blocked()
            await log.receive(SHOP, say())
            await listener.has_heard(1)
            server.ask("FLUSHALL")
            server.kill()
            server.launch()
            await listener.has_heard(99)
        assert isinstance(listener.error, TemporaryError)


async def test_only_so_many_news_are_kept(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log:
        claim = await log.claim(SHOP)
        for _ in range(redis_scripts.NEWS_KEPT + 300):
            claim = await log.append(claim, 1, [ReplySent(text="x")])
    # The server trims whole nodes of a hundred entries.
    kept = valkey.ask("XLEN", NEWS, url=url)
    assert redis_scripts.NEWS_KEPT <= kept < redis_scripts.NEWS_KEPT + 200


async def test_an_event_that_cannot_be_understood_ends_the_listening_and_not_the_log(
    valkey: Any, say: Say
) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log, anyio.create_task_group() as tasks:
        listener = Listener(log)
        tasks.start_soon(listener.listen)
        await anyio.wait_all_tasks_blocked()
        await log.receive(SHOP, say())
        await listener.has_heard(1)
        # As a newer version would write it.
        events = f"aicore:{{log:main}}:events:{OTHER}"
        valkey.ask("RPUSH", events, "markmark 1 1 unheard_of {}", url=url)
        valkey.ask("XADD", NEWS, "0-*", "c", OTHER, "f", 1, "l", 1, url=url)
        await listener.has_heard(99)
        assert isinstance(listener.error, TemporaryError)
        assert (await log.receive(SHOP, say())).seq == 2
