"""Where a log keeps what on a Redis server: apart from other businesses, and in one slot each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis.crc import key_slot

from aicore.errors import ConfigError, CredentialError, CustomerError, NotOpenError, StoreError
from aicore.log import Event, Stored
from aicore.log.events import ReplySent
from aicore.log.redis import RedisLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
Say = Callable[..., Any]

BUSINESSES = ("main", "a}b", "}", "{", "a b", "\ud800", "main}:events:web", "", "日本")


async def use_everything(log: RedisLog, say: Say) -> None:
    received = await log.receive(SHOP, say("text", message_id="m1"))
    claim = await log.claim(SHOP)
    claim = await log.append(claim, received.seq, [ReplySent(text="x")])
    await log.receive(SHOP, say("text"))
    other = ConversationId("other")
    event = Event(1, 1, 5, say("x", message_id="m2"))
    await log.restore(Stored(other, head=1, epoch=1, born_ms=5), [event])
    assert len(await log.conversations()) == 2
    assert len(await log.open_turns()) == 2
    await log.claim(ConversationId("held"))
    await log.release(await log.claim(ConversationId("free")))
    await log.erase(await log.claim(other))


@pytest.mark.parametrize("business", BUSINESSES, ids=ascii)
async def test_all_keys_of_a_business_are_in_one_slot(valkey: Any, say: Say, business: str) -> None:
    url = valkey.new_url()
    async with RedisLog(url, business=business) as log:
        await use_everything(log, say)
        keys = valkey.ask("KEYS", "*", url=url)
        assert len(keys) >= 8
        assert all(key.startswith(b"aicore:{log:") for key in keys)
        assert len({key_slot(key) for key in keys}) == 1


async def test_no_business_reaches_into_another(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    for business in BUSINESSES:
        async with RedisLog(url, business=business) as log:
            assert not await log.conversations()
            await use_everything(log, say)
    for business in BUSINESSES:
        async with RedisLog(url, business=business) as log:
            assert len(await log.read(SHOP)) == 3


async def test_a_node_of_a_cluster_that_has_the_slot_is_enough(valkey: Any, say: Say) -> None:
    """In cluster mode the server itself refuses a script that reaches into another slot."""
    with valkey.start(cluster_enabled="yes", databases="1") as node:
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in _raw(node.ask("CLUSTER", "INFO")):
            pass
        async with RedisLog(node.url) as log:
            await use_everything(log, say)


def _raw(answer: Any) -> bytes:
    if isinstance(answer, dict):
        return "".join(f"{name}:{value}\n" for name, value in answer.items()).encode()
    return bytes(answer)


async def test_an_id_that_is_no_text_is_the_customers_error(valkey: Any, say: Say) -> None:
    async with RedisLog(valkey.new_url()) as log:
        with pytest.raises(CustomerError):
            await log.receive(ConversationId("\ud800"), say())
        with pytest.raises(CustomerError):
            await log.receive(SHOP, say("text", message_id="\ud800"))
        assert not await log.conversations()
        await log.receive(SHOP, say())


async def test_times_are_the_servers_or_those_of_a_clock(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log, RedisLog(url, clock=lambda: 5.0) as past:
        await log.receive(SHOP, say())
        claim = await past.claim(ConversationId("web:2"))
        await past.append(claim, 0, [ReplySent(text="x")])
        seconds, _ = valkey.ask("TIME", url=url)
        assert abs((await log.read(SHOP))[0].at_ms / 1000 - int(seconds)) < 60
        assert claim.born_ms == 5_000
        assert (await log.read(claim.conversation))[0].at_ms == 5_000


async def test_a_log_is_used_in_the_event_loop_that_opened_it(valkey: Any) -> None:
    failed: list[BaseException] = []

    async with RedisLog(valkey.new_url()) as log:

        def elsewhere() -> None:
            try:
                asyncio.run(log.read(SHOP))  # type: ignore[arg-type]
            except NotOpenError as exc:
                failed.append(exc)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
    assert failed


async def test_a_unix_socket_will_do(valkey: Any, say: Say) -> None:
    with valkey.start(unixsocket="log.sock", requirepass="p@ss/word") as server:
        url = f"unix://{server.folder}/log.sock?db=3&password=p%40ss%2Fword"
        async with RedisLog(url) as log:
            await log.receive(SHOP, say())
        assert server.ask("DBSIZE", url=url) > 0
        with pytest.raises(CredentialError) as refused:
            async with RedisLog(f"unix://{server.folder}/log.sock?password=wr0ng"):
                pass
        assert "wr0ng" not in str(refused.value)


async def test_a_database_that_the_server_does_not_have_is_refused(valkey: Any) -> None:
    with pytest.raises(StoreError, match="database"):
        async with RedisLog(valkey.url.removesuffix("0") + "99999"):
            pass


def test_a_url_without_a_scheme_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        RedisLog("shop.db")
