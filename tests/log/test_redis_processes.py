"""Several processes on one Redis server, and a server that is killed: nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from subprocess import Popen
from typing import Any

import anyio
import pytest

from aicore.errors import Fenced, StoreBusy
from aicore.log import Event, Received
from aicore.log import redis_server as redis_server_module
from aicore.log.events import CLOSING, MessageReceived, ReplySent, ToolStarted, TurnRetried
from aicore.log.owner import this_process
from aicore.log.redis import RedisLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
HOLDER = "aicore:{log:main}:holder:"
Say = Callable[..., Any]


async def lines_of(process: Popen[str]) -> list[list[Any]]:
    """Everything a writer said, when it has ended by itself."""
    with anyio.fail_after(50):
        out, _ = await anyio.to_thread.run_sync(process.communicate, abandon_on_cancel=True)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines() if line.endswith("]")]


async def first_line_of(process: Popen[str]) -> list[Any]:
    assert process.stdout is not None
    with anyio.fail_after(20):
        line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    said: list[Any] = json.loads(line)
    return said


async def test_two_processes_on_one_conversation_lose_nothing(
    valkey: Any, start_writer: Any
) -> None:
    url = valkey.new_url()
    writers = [start_writer("race", url, name, 60) for name in "ab"]
    for writer in writers:
        assert await first_line_of(writer) == ["ready"]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [line for writer in writers for line in await lines_of(writer)]
    async with RedisLog(url) as log:
        events = await log.read(SHOP)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    replies = {e.body.text: e.seq for e in events if isinstance(e.body, ReplySent)}
    assert replies == {text: seq for what, text, seq, *_ in told if what == "appended"}
    assert len(replies) == 120
    messages = {e.body.message_id: e.seq for e in events if isinstance(e.body, MessageReceived)}
    for _, message_id, seq, _ in (line for line in told if line[0] == "received"):
        assert messages[message_id] == seq
    new = [message_id for what, message_id, *rest in told if what == "received" and rest[1]]
    assert len(new) == len(set(new)) == 60
    assert set(new) == set(messages)


async def test_a_writer_killed_at_any_moment_leaves_all_it_was_told(
    valkey: Any, start_writer: Any
) -> None:
    """Twelve times `kill -9`, and each next writer claims the dead one's conversations at once."""
    url = valkey.new_url()
    told = await lines_of(start_writer("crash", url, 12, 11))
    async with RedisLog(url) as log:
        open_turns = {(turn.conversation, turn.turn) for turn in await log.open_turns()}
        logs = {name: await log.read(ConversationId(name)) for name in ("web:1", "web:2", "web:3")}
    for events in logs.values():
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = [line for line in told if line != ["opening"]]
    for what, conversation, seq, message_id in told:
        body = logs[conversation][seq - 1].body
        if what == "received":
            assert isinstance(body, MessageReceived)
            assert body.message_id == message_id
        else:
            assert isinstance(body, ToolStarted | ReplySent)
            assert message_id == (body.text if isinstance(body, ReplySent) else body.call_id)
    assert len(told) > 100
    last: dict[tuple[str, int], Event] = {}
    for name, events in logs.items():
        last.update({(name, event.turn): event for event in events})
    assert open_turns == {turn for turn, e in last.items() if type(e.body) not in CLOSING}


async def test_a_living_process_keeps_its_conversation_and_a_killed_one_loses_it_at_once(
    valkey: Any, start_writer: Any
) -> None:
    url = valkey.new_url()
    holder = start_writer("hold", url, SHOP)
    _, pid = await first_line_of(holder)
    async with RedisLog(url) as log:
        with pytest.raises(StoreBusy) as busy:
            await log.claim(SHOP)
        assert busy.value.retry_after_s is not None
        assert 60 < busy.value.retry_after_s <= 120
        assert str(pid) in str(busy.value)
        await log.claim(OTHER)
        holder.kill()
        with anyio.fail_after(5):
            while True:
                try:
                    claim = await log.claim(SHOP)
                    break
                except StoreBusy:
                    await anyio.lowlevel.checkpoint()
        assert claim.epoch == 2


async def test_a_process_that_leaves_gives_its_conversations_back(
    valkey: Any, start_writer: Any
) -> None:
    url = valkey.new_url()
    holder = start_writer("hold", url, SHOP)
    await first_line_of(holder)
    holder.stdin.close()
    await anyio.to_thread.run_sync(holder.wait)
    async with RedisLog(url) as log:
        assert (await log.claim(SHOP)).epoch == 2


async def test_a_lease_is_renewed_by_appends_and_ends_by_the_servers_clock(
    valkey: Any, say: Say
) -> None:
    url = valkey.new_url()

    def shorten(by_ms: int) -> None:
        left_ms = valkey.ask("PTTL", HOLDER + SHOP, url=url)
        valkey.ask("PEXPIRE", HOLDER + SHOP, left_ms - by_ms, url=url)

    async with RedisLog(url) as one, RedisLog(url) as two:
        claim = await one.claim(SHOP)
        shorten(100_000)
        await one.receive(SHOP, say())
        with pytest.raises(StoreBusy) as busy:
            await two.claim(SHOP)
        assert busy.value.retry_after_s is not None
        assert 15 < busy.value.retry_after_s <= 20
        claim = await one.append(await one.claim(SHOP), 1, [TurnRetried()])
        shorten(119_000)
        claim = await one.append(claim, 1, [TurnRetried()])
        with pytest.raises(StoreBusy) as busy:
            await two.claim(SHOP)
        assert busy.value.retry_after_s is not None
        assert busy.value.retry_after_s > 110
        shorten(120_000)
        await two.claim(SHOP)
        with pytest.raises(Fenced):
            await one.append(claim, 1, [ReplySent(text="too late")])


@pytest.mark.parametrize(
    ("changes", "is_dead"),
    [
        ({}, True),
        ({"boot": "of another machine of the same name"}, False),
        ({"boot": ""}, False),
        ({"host": "another.invalid"}, False),
    ],
    ids=["here", "other boot", "unknown boot", "other host"],
)
async def test_only_a_process_of_this_very_machine_can_be_known_to_be_dead(
    valkey: Any, changes: dict[str, str], is_dead: bool
) -> None:
    url = valkey.new_url()
    gone = str(replace(this_process(), pid=2**22 + 1, **changes))
    async with RedisLog(url) as log:
        await log.release(await log.claim(SHOP))
        valkey.ask("SET", HOLDER + SHOP, gone, "PX", 60_000, url=url)
        if is_dead:
            assert (await log.claim(SHOP)).epoch == 2
        else:
            with pytest.raises(StoreBusy):
                await log.claim(SHOP)


async def test_a_turn_that_came_to_rest_lets_others_claim(valkey: Any, say: Say) -> None:
    url = valkey.new_url()
    async with RedisLog(url) as one, RedisLog(url) as two:
        await one.receive(SHOP, say())
        claim = await one.claim(SHOP)
        with pytest.raises(StoreBusy):
            await two.claim(SHOP)
        await one.append(claim, 1, [ReplySent(text="done")])
        await two.claim(SHOP)
        with pytest.raises(StoreBusy):
            await one.claim(SHOP)


class Progress:
    """Wakes whoever waits for something to have been done."""

    def __init__(self) -> None:
        self._done = anyio.Event()

    def tell(self) -> None:
        self._done.set()
        self._done = anyio.Event()

    async def wait(self) -> None:
        await self._done.wait()


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_what_a_server_acknowledged_it_has_after_it_was_killed(
    valkey: Any, say: Say, how: str
) -> None:
    """Eight writers at once; the server ends in the midst of them and starts again."""
    acknowledged: list[tuple[ConversationId, int, str]] = []
    progress = Progress()
    with valkey.start() as server:
        async with RedisLog(server.url) as log, anyio.create_task_group() as tasks:

            async def write(conversation: ConversationId) -> None:
                for number in range(50):
                    message_id = f"{conversation}-{number}"
                    received = await log.receive(conversation, say("x", message_id=message_id))
                    assert received.is_new
                    acknowledged.append((conversation, received.seq, message_id))
                    claim = await log.claim(conversation)
                    claim = await log.append(claim, received.seq, [ReplySent(text=message_id)])
                    acknowledged.append((conversation, claim.head, message_id))
                    progress.tell()

            for number in range(8):
                tasks.start_soon(write, ConversationId(f"web:{number}"))
            for some in (150, 350, 550):
                while len(acknowledged) < some:
                    await progress.wait()
                getattr(server, how)()
                server.launch()
        assert len(acknowledged) == 8 * 100
        getattr(server, how)()
        server.launch()
        async with RedisLog(server.url) as log:
            logs = {name: await log.read(name) for name, _, _ in acknowledged}
    for conversation, seq, message_id in acknowledged:
        body = logs[conversation][seq - 1].body
        said = body.text if isinstance(body, ReplySent) else getattr(body, "message_id", None)
        assert said == message_id
    assert all(len(events) == 100 for events in logs.values())


async def test_a_server_that_is_down_loses_nothing_and_the_log_recovers_by_itself(
    valkey: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("before"))
            claim = await log.claim(SHOP)
            server.kill()
            for call in (
                log.receive(SHOP, say("during")),
                log.append(claim, 1, [ReplySent(text="x")]),
                log.claim(SHOP),
                log.read(SHOP),
                log.open_turns(),
            ):
                with pytest.raises(StoreBusy) as busy:
                    await call
                assert busy.value.retry_after_s is not None
            server.launch()
            assert (await log.append(claim, 1, [ReplySent(text="x")])).head == 2
            assert len(await log.read(SHOP)) == 2


async def test_a_call_waits_for_a_server_that_starts_again(valkey: Any, say: Say) -> None:
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.receive(SHOP, say("before"))
            server.stop()
            received: list[Received] = []

            async def deliver() -> None:
                received.append(await log.receive(SHOP, say("during")))

            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(deliver)
                    await anyio.wait_all_tasks_blocked()
                    await anyio.to_thread.run_sync(server.launch)
            assert received == [Received(2, True)]


async def test_a_server_that_is_down_at_the_start_is_told_so(
    valkey: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    with valkey.start() as server:
        server.stop()
        log = RedisLog(server.url)
        with pytest.raises(StoreBusy) as busy:
            async with log:
                pass
        assert server.url.rpartition("/")[0] in str(busy.value)
        server.launch()
        async with log:
            await log.receive(SHOP, say())


async def test_leaving_while_the_server_is_down_does_not_fail(
    valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    with valkey.start() as server:
        async with RedisLog(server.url) as log:
            await log.claim(SHOP)
            server.kill()
        server.launch()
        async with RedisLog(server.url) as log:
            with pytest.raises(StoreBusy):
                await log.claim(SHOP)  # this process lives, and did not say that it left
