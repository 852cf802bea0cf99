"""A connection that breaks around a call: nothing is doubled, nothing done is called failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

from aicore.errors import HeadMoved, StoreBusy
from aicore.log import Claim, Event, OpenTurn, Received, Stored, redis_scripts
from aicore.log import redis_server as redis_server_module
from aicore.log.events import Body, ReplySent, TurnWaiting
from aicore.log.redis import RedisLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
BODIES: list[Body] = [TurnWaiting(approval_ids=(), text="wait"), ReplySent(text="done")]
Say = Callable[..., Any]


@pytest.fixture(params=["cut before", "cut after"])
def fault(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def log(valkey: Any, proxy: Any) -> AsyncIterator[Any]:
    """A log behind a proxy, which is its attribute `proxy`; it has one connection, used before."""
    for script in vars(redis_scripts).values():
        if isinstance(script, redis_scripts.Script):
            valkey.ask("SCRIPT", "LOAD", script.text)  # so that no answer asks for its text
    url = valkey.new_url()
    async with proxy(valkey.port) as between:
        database = url.rpartition("/")[2]
        async with RedisLog(between.url.removesuffix("0") + database) as opened:
            opened.proxy = between  # type: ignore[attr-defined]
            opened.direct_url = url  # type: ignore[attr-defined]
            yield opened


@pytest.fixture
async def direct(log: Any) -> AsyncIterator[RedisLog]:
    """Another log over the same store, with no proxy."""
    async with RedisLog(log.direct_url) as opened:
        yield opened


async def texts(log: RedisLog, conversation: ConversationId = SHOP) -> list[str]:
    return [event.body.text for event in await log.read(conversation)]  # type: ignore[union-attr]


async def test_a_message_is_one_event_and_its_sender_hears_that_it_is_new(
    log: Any, say: Say, fault: Any
) -> None:
    await log.receive(SHOP, say("before"))
    log.proxy.fail(fault)
    assert await log.receive(SHOP, say("text", message_id="m1")) == Received(2, True)
    assert await log.receive(SHOP, say("text", message_id="m1")) == Received(2, False)
    assert await texts(log) == ["before", "text"]


async def test_a_message_delivered_again_stays_an_old_one(log: Any, say: Say, fault: Any) -> None:
    await log.receive(SHOP, say("text", message_id="m1"))
    log.proxy.fail(fault)
    assert await log.receive(SHOP, say("text", message_id="m1")) == Received(1, False)
    log.proxy.fail(fault)
    assert await log.receive(OTHER, say("text", message_id="m1")) == Received(1, False)


async def test_a_message_without_an_id_is_one_event_too(log: Any, say: Say, fault: Any) -> None:
    for _ in range(20):
        await log.receive(SHOP, say("same"))
    log.proxy.fail(fault)
    assert await log.receive(SHOP, say("same")) == Received(21, True)
    assert len(await log.read(SHOP)) == 21


async def _while_its_answer_is_lost(
    log: Any,
    call: Callable[[], Awaitable[Any]],
    meanwhile: Callable[[], Awaitable[Any]],
    after: int = 0,
) -> Any:
    """Give what a call gives whose answer is lost only when something else has happened.

    It is its first answer, or that after some.
    """
    answers = []

    async def work() -> None:
        answers.append(await call())

    with anyio.fail_after(10):
        log.proxy.fail("hold", after)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await log.proxy.held()
            await meanwhile()
            log.proxy.drop()
    return answers[0]


async def test_a_message_without_an_id_is_found_behind_others(
    log: Any, direct: RedisLog, say: Say
) -> None:
    async def meanwhile() -> None:
        for _ in range(30):
            await direct.receive(SHOP, say("same"))

    await log.receive(SHOP, say("same"))
    call = partial(log.receive, SHOP, say("same"))
    assert await _while_its_answer_is_lost(log, call, meanwhile) == Received(2, True)
    assert len(await log.read(SHOP)) == 32


async def test_an_append_is_not_called_fenced_because_somebody_claimed_after_it(
    log: Any, direct: RedisLog, say: Say
) -> None:
    async def meanwhile() -> None:
        await direct.append(await direct.claim(SHOP), 1, [ReplySent(text="theirs")])

    await log.receive(SHOP, say("text"))
    call = partial(log.append, await log.claim(SHOP), 1, [ReplySent(text="mine")])
    assert await _while_its_answer_is_lost(log, call, meanwhile) == Claim(SHOP, 1, 2)
    assert await texts(log) == ["text", "mine", "theirs"]


async def test_a_conversation_begun_after_the_erasure_is_not_erased_too(
    log: Any, direct: RedisLog, say: Say
) -> None:
    async def meanwhile() -> None:
        for _ in range(2):
            await direct.receive(SHOP, say("new"))
        await direct.claim(SHOP)

    await log.receive(SHOP, say("old"))
    claim = await log.claim(SHOP)
    call = partial(log.erase, claim)
    await _while_its_answer_is_lost(log, call, meanwhile, after=1)
    assert await texts(log) == ["new", "new"]


async def test_an_append_is_done_once_and_its_claim_goes_on(log: Any, say: Say, fault: Any) -> None:
    await log.receive(SHOP, say("text"))
    claim = await log.claim(SHOP)
    log.proxy.fail(fault)
    claim = await log.append(claim, 1, BODIES)
    assert claim == Claim(SHOP, 1, 3)
    assert [event.body for event in await log.read(SHOP, after=1)] == BODIES
    assert await log.open_turns() == []
    assert (await log.append(claim, 1, [ReplySent(text="x")])).head == 4


async def test_the_same_append_made_twice_by_its_caller_is_still_refused(
    log: Any, say: Say, fault: Any
) -> None:
    await log.receive(SHOP, say("text"))
    claim = await log.claim(SHOP)
    await log.append(claim, 1, BODIES)
    log.proxy.fail(fault)
    with pytest.raises(HeadMoved):
        await log.append(claim, 1, BODIES)
    assert len(await log.read(SHOP)) == 3


async def test_a_claim_is_valid_whatever_was_lost(log: Any, say: Say, fault: Any) -> None:
    await log.receive(SHOP, say("text"))
    log.proxy.fail(fault)
    claim = await log.claim(SHOP)
    assert (await log.append(claim, 1, [ReplySent(text="x")])).head == 2


async def test_a_release_is_done(valkey: Any, log: Any, say: Say, fault: Any) -> None:
    claim = await log.claim(SHOP)
    log.proxy.fail(fault)
    await log.release(claim)
    assert (await log.claim(SHOP)).epoch == 2


async def test_a_restored_history_is_there_once(log: Any, say: Say, fault: Any) -> None:
    history = [Event(1, 1, 5, say("one", message_id="m1")), Event(2, 2, 6, say("two"))]
    stored = Stored(SHOP, head=2, epoch=3, born_ms=4)
    log.proxy.fail(fault)
    await log.restore(stored, history)
    assert list(await log.read(SHOP)) == history
    assert list(await log.conversations()) == [stored]
    assert await log.open_turns() == [OpenTurn(SHOP, 1), OpenTurn(SHOP, 2)]


async def test_an_erased_conversation_is_not_called_fenced(log: Any, say: Say, fault: Any) -> None:
    await log.receive(SHOP, say("text", message_id="m1"))
    claim = await log.claim(SHOP)
    log.proxy.fail(fault, after=1)  # what it reads first comes through
    await log.erase(claim)
    assert not await log.read(SHOP)
    assert (await log.receive(SHOP, say("text", message_id="m1"))) == Received(1, True)


async def test_a_call_that_was_sent_is_waited_for_when_it_is_cancelled(log: Any, say: Say) -> None:
    await log.receive(SHOP, say("before"))
    log.proxy.fail("hold")
    ended = anyio.Event()

    async def deliver() -> None:
        try:
            await log.receive(SHOP, say("text"))
        finally:
            ended.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            await log.proxy.held()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                assert not ended.is_set()
                log.proxy.let_go()
                await ended.wait()
    assert await texts(log) == ["before", "text"]


async def test_a_server_that_hangs_is_given_up_in_time(
    valkey: Any, proxy: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server_module, "_ANSWER_S", 0.1)
    monkeypatch.setattr(redis_server_module, "PATIENCE_S", 0.1)
    async with proxy(valkey.port) as between, RedisLog(between.url, business="hangs") as log:
        await log.receive(SHOP, say("before"))
        between.fail("hold")
        with pytest.raises(StoreBusy), anyio.fail_after(5):
            await log.receive(SHOP, say("text", message_id="m1"))
        between.let_go()
        # It was sent, so it may have been done; delivering it again tells.
        assert await log.receive(SHOP, say("text", message_id="m1")) == Received(2, False)
    valkey.ask("FLUSHDB")


async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    valkey: Any, log: Any, say: Say
) -> None:
    valkey.ask("SCRIPT", "FLUSH")
    await log.receive(SHOP, say("before"))
    valkey.ask("SCRIPT", "FLUSH")
    assert await log.receive(SHOP, say("text")) == Received(2, True)
