"""What a server must be set to, and who may use it: refused in a sentence that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from aicore.errors import ConfigError, CredentialError, StoreBusy, StoreError
from aicore.log import Stored
from aicore.log import redis_server as redis_server_module
from aicore.log.redis import RedisLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
LOG_KEY = "aicore:{log:main}"
Say = Callable[..., Any]

NOT_DURABLE = {
    "no file": ({"appendonly": "no"}, "appendonly yes"),
    "snapshots": ({"appendonly": "no", "save": ["3600", "1"]}, "appendonly yes"),
    "every second": ({"appendfsync": "everysec"}, "appendfsync always"),
    "never": ({"appendfsync": "no"}, "appendfsync always"),
    "rewriting": ({"no_appendfsync_on_rewrite": "yes"}, "no-appendfsync-on-rewrite no"),
    "renamed": ({"rename_command": ["CONFIG", "SECRET"]}, "CONFIG GET"),
    "forbidden": (
        {"user": ["default", "on", "nopass", "~*", "&*", "+@all", "-config"]},
        "CONFIG GET",
    ),
}


@pytest.mark.parametrize(("settings", "remedy"), NOT_DURABLE.values(), ids=NOT_DURABLE)
async def test_a_server_that_could_lose_events_is_refused_unless_its_owner_answers_for_it(
    valkey: Any,
    say: Say,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    remedy: str,
) -> None:
    with valkey.start(**settings) as server:
        with pytest.raises(ConfigError) as refused:
            async with RedisLog(server.url):
                pass
        assert remedy in str(refused.value)
        assert "durability" in str(refused.value)
        assert server.ask("DBSIZE") == 0
        caplog.clear()
        async with RedisLog(f"{server.url}?durability=asserted") as log:
            await log.receive(SHOP, say())
        [warning] = [one for one in caplog.records if one.levelno == logging.WARNING]
        assert remedy in warning.getMessage()
        async with RedisLog(server.url, durability="asserted") as log:
            assert len(await log.read(SHOP)) == 1


async def test_the_url_cannot_take_back_what_the_code_checks_and_an_unknown_word_is_refused(
    valkey: Any,
) -> None:
    with pytest.raises(ConfigError):
        RedisLog(f"{valkey.url}?durability=perhaps")
    with valkey.start(appendonly="no") as server, pytest.raises(ConfigError):
        async with RedisLog(f"{server.url}?durability=checked"):
            pass


@pytest.mark.parametrize("durability", ["checked", "asserted"])
async def test_a_server_that_evicts_is_always_refused(valkey: Any, durability: Any) -> None:
    with (
        valkey.start(maxmemory_policy="allkeys-lru") as server,
        pytest.raises(ConfigError, match="maxmemory-policy noeviction"),
    ):
        async with RedisLog(server.url, durability=durability):
            pass


async def test_eviction_is_seen_where_only_config_is_forbidden(valkey: Any) -> None:
    settings = {"maxmemory_policy": "volatile-ttl", "rename_command": ["CONFIG", ""]}
    with (
        valkey.start(**settings) as server,
        pytest.raises(ConfigError, match="maxmemory-policy noeviction"),
    ):
        async with RedisLog(server.url, durability="asserted"):
            pass


async def test_where_nothing_may_be_asked_the_owner_can_still_answer_for_it(
    valkey: Any, say: Say
) -> None:
    user = ["default", "on", "nopass", "~*", "&*", "+@all", "-config", "-info"]
    with valkey.start(user=user) as server:
        with pytest.raises(ConfigError):
            async with RedisLog(server.url):
                pass
        async with RedisLog(server.url, durability="asserted") as log:
            await log.receive(SHOP, say())


@pytest.mark.parametrize("durability", ["checked", "asserted"])
async def test_a_replica_is_always_refused(valkey: Any, durability: Any) -> None:
    with (
        valkey.start(replicaof=["127.0.0.1", str(valkey.port)]) as replica,
        pytest.raises(ConfigError, match="replica"),
    ):
        async with RedisLog(replica.url, durability=durability):
            pass


async def test_a_primary_that_becomes_a_replica_takes_no_writes_and_recovers(
    valkey: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("before"))
            server.ask("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(StoreBusy):
                await log.receive(SHOP, say("during"))
            server.ask("REPLICAOF", "NO", "ONE")
            await log.receive(SHOP, say("after"))
            assert [event.body.text for event in await log.read(SHOP)] == ["before", "after"]


async def test_a_wrong_password_is_refused_and_no_password_is_told(valkey: Any, say: Say) -> None:
    with valkey.start(requirepass="s3cret-one") as server:
        place = server.url.removeprefix("redis://")
        for user in ("", ":wr0ng-one@", "nobody:wr0ng-one@"):
            with pytest.raises(CredentialError) as refused:
                async with RedisLog(f"redis://{user}{place}"):
                    pass
            assert "wr0ng-one" not in str(refused.value)
            assert "nobody" not in str(refused.value)
        for scheme in ("redis", "valkey"):
            async with RedisLog(f"{scheme}://:s3cret-one@{place}") as log:
                await log.receive(SHOP, say())


@pytest.mark.parametrize("command", ["rpush", "xadd", "time", "pttl", "evalsha", "eval"])
async def test_a_user_that_may_not_do_all_is_told_what_to_allow_before_anything_is_written(
    valkey: Any, command: str
) -> None:
    user = ["default", "on", "nopass", "~*", "&*", "+@all", f"-{command}"]
    with valkey.start(user=user) as server:
        with pytest.raises(ConfigError, match=f"(?i){command}"):
            async with RedisLog(server.url):
                pass
        assert server.ask("DBSIZE") == 0


async def test_a_right_that_is_taken_away_later_is_told_too(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say())
            server.ask("ACL", "SETUSER", "default", "-hset")
            with pytest.raises(ConfigError, match="hset"):
                await log.receive(SHOP, say())
            server.ask("ACL", "SETUSER", "default", "+hset")
            assert (await log.receive(SHOP, say())).seq == 2


async def test_the_rights_that_the_docs_name_are_enough(valkey: Any, say: Say) -> None:
    rights = "+@read +@write +@scripting +@connection +time +info +config|get +bgrewriteaof +bgsave"
    user = ["default", "on", "nopass", "~aicore:{log:*", "-@all", *rights.split()]
    with valkey.start(user=user, save=["3600", "1"]) as server:
        async with RedisLog(server.url) as log, anyio.create_task_group() as tasks:
            heard = log.subscribe()

            async def listen() -> None:
                await anext(heard)

            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            await log.receive(SHOP, say(message_id="m1"))
            claim = await log.claim(SHOP)
            claim = await log.append(claim, 1, [say("x")])
            await log.release(claim)
            assert len(await log.conversations()) == len(await log.open_turns()) == 1
            await log.restore(Stored(ConversationId("web:2"), 0, 1, 5), ())
            await log.erase(await log.claim(SHOP))


async def test_a_server_that_is_full_takes_no_events_and_goes_on_when_it_has_room(
    valkey: Any, say: Say
) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("before"))
            claim = await log.claim(SHOP)
            server.ask("CONFIG", "SET", "maxmemory", "1mb")
            for call in (log.receive(SHOP, say("m1")), log.append(claim, 1, [say("x")])):
                with pytest.raises(StoreError, match="maxmemory"):
                    await call
            assert len(await log.read(SHOP)) == 1
            server.ask("CONFIG", "SET", "maxmemory", "0")
            assert (await log.append(claim, 1, [say("x")])).head == 2
            server.ask("CONFIG", "SET", "maxmemory", "1mb")
            await log.erase(await log.claim(SHOP))  # which makes room
            assert not await log.read(SHOP)


async def test_a_server_whose_disk_fails_takes_no_events_and_goes_on_when_it_works(
    valkey: Any, say: Say
) -> None:
    with valkey.start(save=["3600", "1"]) as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("before"))
            in_the_way = server.folder / "dump.rdb"  # a folder, so that no file can be put there
            in_the_way.mkdir()
            server.ask("BGSAVE")
            await _until_saved(server, "err")
            with pytest.raises(StoreError, match="disk"):
                await log.receive(SHOP, say("during"))
            in_the_way.rmdir()
            server.ask("BGSAVE")
            await _until_saved(server, "ok")
            await log.receive(SHOP, say("after"))
            assert [event.body.text for event in await log.read(SHOP)] == ["before", "after"]


async def _until_saved(server: Any, status: str) -> None:
    async with asyncio.timeout(10):
        said = None
        while said != status:
            told = await asyncio.to_thread(server.ask, "INFO", "persistence")
            said = told["rdb_last_bgsave_status"]


async def test_other_keys_of_the_database_are_left_alone(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    for name in ("events", "inbound", "aicore:something", "log:main"):
        valkey.ask("SET", name, "theirs", url=url)
    async with RedisLog(url) as log:
        await log.receive(SHOP, say())
        await log.erase(await log.claim(SHOP))
    for name in ("events", "inbound", "aicore:something", "log:main"):
        assert valkey.ask("GET", name, url=url) == b"theirs"


@pytest.mark.parametrize("kind", ["text", "hash"])
async def test_a_key_of_another_program_is_not_taken_for_a_log(valkey: Any, kind: str) -> None:
    url = valkey.new_url()
    if kind == "text":
        valkey.ask("SET", LOG_KEY, "theirs", url=url)
    else:
        valkey.ask("HSET", LOG_KEY, "their", "field", url=url)
    with pytest.raises(StoreError, match="Another program"):
        async with RedisLog(url):
            pass
    assert valkey.ask("DBSIZE", url=url) == 1


async def test_a_log_of_a_newer_layout_is_refused_and_left_as_it_is(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log:
        await log.receive(SHOP, say())
    valkey.ask("HSET", LOG_KEY, "version", 99, url=url)
    with pytest.raises(StoreError, match=r"newer.*99"):
        async with RedisLog(url):
            pass
    async with RedisLog(url, business="another") as log:
        await log.receive(SHOP, say())
    assert valkey.ask("HGET", LOG_KEY, "version", url=url) == b"99"


async def test_a_conversation_that_lost_a_part_takes_no_more_events(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log:
        await log.receive(SHOP, say())
        claim = await log.claim(SHOP)
        valkey.ask("DEL", f"{LOG_KEY}:events:{SHOP}", url=url)
        for call in (log.receive(SHOP, say()), log.append(claim, 1, [say()])):
            with pytest.raises(StoreError, match="deleted"):
                await call


async def test_an_event_of_a_newer_version_is_not_guessed(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as log:
        await log.receive(SHOP, say())
        valkey.ask("LSET", f"{LOG_KEY}:events:{SHOP}", 0, "markmark 1 1 unheard_of {}", url=url)
        with pytest.raises(StoreError, match="Event 1"):
            await log.read(SHOP)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/0",
        "127.0.0.1:6379",
        "redis://127.0.0.1:port/0",
        "redis://127.0.0.1/0?socket_keepalive=soon&ssl_ca_certs=x",
        "redis://127.0.0.1/0?no_such_option=1",
        "redis://127.0.0.1/0?protocol=3",
        "redis://127.0.0.1/0?ssl_check_hostname=no&db=one",
    ],
)
async def test_a_url_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        async with RedisLog(url):
            pass


async def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.exceptions", None)
    with pytest.raises(ConfigError, match=r"aicore-mcp\[redis\]"):
        async with RedisLog("redis://127.0.0.1/0"):
            pass


@contextlib.contextmanager
def stand_in(version: bytes, answer: bytes) -> Iterator[str]:
    """The url of what answers INFO as that version does, and everything else with one answer."""

    class Serve(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while data := self.request.recv(65536):
                    text = b"redis_version:%s\r\nrole:master\r\n" % version
                    is_info = b"\r\nINFO\r\n" in data
                    said = b"$%d\r\n%s\r\n" % (len(text), text) if is_info else answer
                    self.request.sendall(said * max(data.count(b"SETINFO"), 1))

    class Server(socketserver.ThreadingTCPServer):
        # Its clients close their connections when their event loop goes on.
        block_on_close = False
        daemon_threads = True

    with Server(("127.0.0.1", 0), Serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


async def test_a_server_that_is_too_old_is_refused() -> None:
    with (
        stand_in(b"6.2.14", b"-ERR unknown command\r\n") as url,
        pytest.raises(StoreError, match=r"6\.2\.14"),
    ):
        async with RedisLog(url, durability="asserted"):
            pass


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-MOVED 1 127.0.0.1:1\r\n", ConfigError),
        (b"-BUSY Valkey is busy running a script\r\n", StoreBusy),
        (b"-CLUSTERDOWN Hash slot not served\r\n", StoreBusy),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", StoreBusy),
        (b"-ERR something new\r\n", StoreError),
    ],
)
async def test_what_no_server_here_can_be_brought_to_say_is_understood_too(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, error: type[Exception]
) -> None:
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    with stand_in(b"7.2.0", answer) as url, pytest.raises(error):
        async with RedisLog(url, durability="asserted"):
            pass


async def test_a_server_that_misses_its_replicas_takes_no_events(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
            with pytest.raises(StoreBusy):
                await log.receive(SHOP, say())
            server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
            assert (await log.receive(SHOP, say())).seq == 1


async def test_a_database_that_the_server_does_not_have_is_named(valkey: Any) -> None:
    with pytest.raises(StoreError, match="no database of this number"):
        async with RedisLog(f"{valkey.url.rpartition('/')[0]}/99999"):
            pass
