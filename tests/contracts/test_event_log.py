"""What every EventLog promises. A new implementation adds its row to LOGS."""

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import anyio
import pytest

from aicore.errors import Fenced, HeadMoved, NotOpenError
from aicore.log import Claim, EventLog, OpenTurn, Stored
from aicore.log.events import (
    ApprovalDecided,
    ApprovalRequested,
    Body,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnRetried,
    TurnWaiting,
)
from aicore.records import (
    ApprovalId,
    ConversationId,
    OperationKey,
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


EVERY_BODY: Sequence[Body] = (
    replied(),
    ApprovalRequested(
        approval_id=ApprovalId("a1"), call=ToolCall("c1", "pay", {"amount_minor": 5}), reason="sum"
    ),
    ApprovalDecided(approval_id=ApprovalId("a1"), is_approved=True, by="staff:ann", reason="ok"),
    ToolStarted(call_id="c1", tool="pay", operation_key=OperationKey("k")),
    ToolFinished(
        call_id="c1",
        tool="pay",
        text="paid",
        is_error=True,
        structured={"rows": [1, 2.5, "x", None]},
        outcome="unknown",
        full_text="paid, all of it",
        elapsed_ms=12,
    ),
    TurnWaiting(approval_ids=(ApprovalId("a1"), ApprovalId("a2")), text="Please wait."),
    TurnFailed(code="limit_rounds", message="too long"),
    TurnRetried(),
    Summarized(text="so far", covers_seq=3),
    ReplySent(text="done"),
)


async def bodies_of(log: EventLog, conversation: ConversationId = SHOP) -> list[Body]:
    return [event.body for event in await log.read(conversation)]


async def assert_whole(log: EventLog, conversation: ConversationId = SHOP) -> None:
    """Numbers without gaps, and head agrees with them."""
    numbers = [event.seq for event in await log.read(conversation)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (await log.claim(conversation)).head == len(numbers)


async def test_events_are_numbered_from_one_across_messages_and_turns(make_log: MakeLog) -> None:
    async with make_log() as log:
        first = await log.receive(SHOP, said("one"))
        claim = await log.append(await log.claim(SHOP), 1, [replied(), ReplySent(text="a")])
        second = await log.receive(SHOP, said("two"))
        events = await log.read(SHOP)
    assert (first.seq, first.is_new, second.seq, claim.head) == (1, True, 4, 3)
    assert [(event.seq, event.turn) for event in events] == [(1, 1), (2, 1), (3, 1), (4, 4)]
    assert events[0].at_ms > 1_700_000_000_000


async def test_every_kind_of_event_is_read_as_it_was_written(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said("x", message_id="m1", channel="sms"))
        await log.append(await log.claim(SHOP), 1, EVERY_BODY)
        assert await bodies_of(log) == [said("x", message_id="m1", channel="sms"), *EVERY_BODY]


async def test_reading_after_a_number_gives_only_later_events(make_log: MakeLog) -> None:
    async with make_log() as log:
        for text in "abc":
            await log.receive(SHOP, said(text))
        assert [event.seq for event in await log.read(SHOP, after=1)] == [2, 3]
        assert not await log.read(SHOP, after=3)
        assert not await log.read(SHOP, after=99)


async def test_an_unknown_conversation_is_empty_and_its_first_claim_is_epoch_one(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        assert not await log.read(SHOP)
        assert await log.claim(SHOP) == Claim(SHOP, 1, 0)
        assert not await log.read(SHOP)


async def test_a_message_before_the_first_claim_moves_head_and_not_epoch(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said())
        assert await log.claim(SHOP) == Claim(SHOP, 1, 1)
        await log.receive(SHOP, said())
        assert await log.claim(SHOP) == Claim(SHOP, 2, 2)


async def test_a_message_delivered_again_appends_nothing_wherever_it_says_it_belongs(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said("other"))
        first = await log.receive(SHOP, said("text", message_id="m1"))
        again = await log.receive(SHOP, said("text", message_id="m1"))
        elsewhere = await log.receive(OTHER, said("text", message_id="m1"))
        assert (first.seq, first.is_new) == (2, True)
        assert (again.seq, again.is_new) == (elsewhere.seq, elsewhere.is_new) == (2, False)
        assert len(await log.read(SHOP)) == 2
        assert not await log.read(OTHER)


async def test_the_same_message_id_on_another_channel_is_another_message(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said(message_id="m1", channel="sms"))
        assert (await log.receive(SHOP, said(message_id="m1", channel="mail"))).is_new


async def test_messages_without_an_id_are_all_new(make_log: MakeLog) -> None:
    async with make_log() as log:
        assert [(await log.receive(SHOP, said())).is_new for _ in range(3)] == [True] * 3


async def test_sixteen_deliveries_at_once_make_one_event(make_log: MakeLog) -> None:
    seen = []

    async with make_log() as log:

        async def deliver() -> None:
            seen.append(await log.receive(SHOP, said(message_id="m1")))

        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(deliver)
        assert len(await log.read(SHOP)) == 1
    assert [received.seq for received in seen] == [1] * 16
    assert sum(received.is_new for received in seen) == 1


async def test_an_older_claim_is_fenced_and_writes_nothing(make_log: MakeLog) -> None:
    async with make_log() as log:
        zombie = await log.claim(SHOP)
        owner = await log.claim(SHOP)
        with pytest.raises(Fenced) as refused:
            await log.append(zombie, 1, [ReplySent(text="too late")])
        assert not isinstance(refused.value, HeadMoved)
        await log.append(owner, 1, [ReplySent(text="mine")])
        assert await bodies_of(log) == [ReplySent(text="mine")]


async def test_a_claim_nobody_gave_is_fenced(make_log: MakeLog) -> None:
    async with make_log() as log:
        with pytest.raises(Fenced):
            await log.append(Claim(SHOP, 1, 0), 1, [ReplySent(text="x")])
        assert not await log.read(SHOP)


async def test_a_message_during_the_turn_moves_head_and_the_claim_still_holds(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        claim = await log.claim(SHOP)
        await log.receive(SHOP, said())
        with pytest.raises(HeadMoved):
            await log.append(claim, 1, [replied(), ReplySent(text="x")])
        assert len(await log.read(SHOP)) == 1
        claim = await log.append(replace(claim, head=1), 1, [ReplySent(text="x")])
        assert claim == Claim(SHOP, 1, 2)


async def test_a_fenced_claim_is_told_so_even_when_head_moved_too(make_log: MakeLog) -> None:
    async with make_log() as log:
        zombie = await log.claim(SHOP)
        await log.claim(SHOP)
        await log.receive(SHOP, said())
        with pytest.raises(Fenced) as refused:
            await log.append(zombie, 1, [ReplySent(text="x")])
        assert not isinstance(refused.value, HeadMoved)


async def test_appending_nothing_still_asks_the_fence(make_log: MakeLog) -> None:
    async with make_log() as log:
        claim = await log.claim(SHOP)
        assert await log.append(claim, 1, []) == claim
        await log.claim(SHOP)
        with pytest.raises(Fenced):
            await log.append(claim, 1, [])


async def test_a_released_conversation_can_be_claimed_and_fences_the_old_claim(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        old = await log.claim(SHOP)
        await log.release(old)
        new = await log.claim(SHOP)
        assert new.epoch == old.epoch + 1
        with pytest.raises(Fenced):
            await log.append(old, 1, [ReplySent(text="x")])


async def test_releasing_an_old_claim_leaves_the_new_one_alone(make_log: MakeLog) -> None:
    async with make_log() as log:
        old = await log.claim(SHOP)
        new = await log.claim(SHOP)
        await log.release(old)
        await log.append(new, 1, [ReplySent(text="x")])
        await log.release(Claim(OTHER, 9, 9))
        assert not await log.read(OTHER)


async def test_turns_are_open_until_they_close_and_again_when_they_go_on(make_log: MakeLog) -> None:
    async with make_log() as log:

        async def after(turn: int, *bodies: Body) -> list[int]:
            await log.append(await log.claim(SHOP), turn, bodies)
            return [open_turn.turn for open_turn in await log.open_turns()]

        await log.receive(SHOP, said())
        await log.receive(SHOP, said())
        decided = ApprovalDecided(approval_id=ApprovalId("a"), is_approved=False, by="staff:ann")
        assert await log.open_turns() == [OpenTurn(SHOP, 1), OpenTurn(SHOP, 2)]
        assert await after(1, replied()) == [1, 2]
        assert await after(1, TurnWaiting(approval_ids=(), text="wait")) == [2]
        assert await after(1, decided) == [1, 2]
        assert await after(2, replied(), ReplySent(text="x")) == [1]
        assert await after(0, Summarized(text="x", covers_seq=2)) == [1]
        assert await after(1, TurnFailed(code="x", message="y")) == []
        assert await after(1, TurnRetried()) == [1]
        assert await after(1, TurnFailed(code="x", message="y"), TurnRetried()) == [1]
        assert await after(1, TurnRetried(), ReplySent(text="x")) == []


async def test_open_turns_of_all_conversations_are_told(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.receive(OTHER, said())
        await log.receive(SHOP, said())
        await log.receive(OTHER, said())
        turns = await log.open_turns()
        assert set(turns) == {OpenTurn(SHOP, 1), OpenTurn(OTHER, 1), OpenTurn(OTHER, 2)}
        assert [turn.turn for turn in turns if turn.conversation == OTHER] == [1, 2]


@pytest.mark.parametrize(
    "text",
    ["", "nul \0 inside", "lone \ud83d surrogate", "\udc00", "emoji 😀 עברית", "\u2028\x1b\r\n"],
    ids=["empty", "nul", "high", "low", "plain", "odd"],
)
async def test_any_text_is_kept_as_it_is(make_log: MakeLog, text: str) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said(text, message_id="m\0"))
        claim = await log.append(await log.claim(SHOP), 1, [replied(text), ReplySent(text=text)])
        await log.receive(SHOP, said("next"))
        assert (await bodies_of(log))[:3] == [
            said(text, message_id="m\0"),
            replied(text),
            ReplySent(text=text),
        ]
        assert not (await log.receive(SHOP, said(text, message_id="m\0"))).is_new
        assert claim.head == 3


async def test_ten_megabytes_of_text_are_kept(make_log: MakeLog) -> None:
    text = "x😀" * 2_500_000
    async with make_log() as log:
        await log.receive(SHOP, said(text))
        assert await bodies_of(log) == [said(text)]


async def test_writers_that_race_lose_nothing_and_double_nothing(make_log: MakeLog) -> None:
    written: list[str] = []
    chance = random.Random(7)

    async with make_log() as log:

        async def write(name: str) -> None:
            for number in range(20):
                text = f"{name}{number}"
                while True:
                    claim = await log.claim(SHOP)
                    for _ in range(chance.randrange(3)):
                        await anyio.lowlevel.checkpoint()
                    with contextlib.suppress(Fenced):
                        await log.append(claim, 1, [ReplySent(text=text)])
                        written.append(text)
                        break

        async def interrupt() -> None:
            for _ in range(20):
                await log.receive(SHOP, said("!"))
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, "a")
                tasks.start_soon(write, "b")
                tasks.start_soon(interrupt)
        await assert_whole(log)
        replies = [body.text for body in await bodies_of(log) if isinstance(body, ReplySent)]
    assert len(written) == 40
    assert sorted(replies) == sorted(written)


async def _cancel_after(steps: int, work: Callable[[], Any]) -> None:
    """Run `work`, cancelled after so many turns of the event loop."""
    async with anyio.create_task_group() as tasks:

        async def working() -> None:
            await work()

        tasks.start_soon(working)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


async def test_a_cancelled_receive_can_be_made_again(make_log: MakeLog) -> None:
    async with make_log() as log:
        for steps in range(40):
            message = said("text", message_id=f"m{steps}")
            await _cancel_after(steps // 2, partial(log.receive, SHOP, message))
            before = len(await log.read(SHOP))
            received = await log.receive(SHOP, message)
            assert received.is_new == (len(await log.read(SHOP)) == before + 1)
        assert len(await log.read(SHOP)) == 40
        await assert_whole(log)


async def test_a_cancelled_append_is_whole_or_absent(make_log: MakeLog) -> None:
    bodies: list[Body] = [replied(), ReplySent(text="x")]
    outcomes = set()
    async with make_log() as log:
        for steps in range(40):
            claim = await log.claim(SHOP)
            await _cancel_after(steps // 2, partial(log.append, claim, 1, bodies))
            added = len(await log.read(SHOP)) - claim.head
            outcomes.add(added)
            if added:
                with pytest.raises(HeadMoved):
                    await log.append(claim, 1, bodies)
            else:
                await log.append(claim, 1, bodies)
        await assert_whole(log)
    assert outcomes <= {0, 2}


async def test_a_cancelled_claim_or_release_leaves_a_conversation_that_can_be_claimed(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        for steps in range(20):
            await _cancel_after(steps // 2, lambda: log.claim(SHOP))
            claim = await log.claim(SHOP)
            await _cancel_after(steps // 2, partial(log.release, claim))
            claim = await log.claim(SHOP)
            await log.append(claim, 1, [ReplySent(text="x")])
        await assert_whole(log)


async def test_businesses_do_not_see_each_other(make_log: MakeLog) -> None:
    async with make_log(business="bakery") as bakery, make_log(business="garage") as garage:
        await bakery.receive(SHOP, said("bread", message_id="m1"))
        received = await garage.receive(SHOP, said("tyres", message_id="m1"))
        claim = await bakery.claim(SHOP)
        other = await garage.claim(SHOP)
        await garage.append(other, 1, [ReplySent(text="tyres are ready")])
        await bakery.append(claim, 1, [replied()])
        assert received.is_new
        assert (claim.epoch, other.epoch) == (1, 1)
        assert await bodies_of(bakery) == [said("bread", message_id="m1"), replied()]
        assert await bakery.open_turns() == [OpenTurn(SHOP, 1)]
        assert await garage.open_turns() == []


async def test_events_are_still_there_when_the_log_is_opened_again(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.receive(SHOP, said(message_id="m1"))
        claim = await log.claim(SHOP)
    for _ in range(2):
        async with log:
            assert len(await log.read(SHOP)) == 1
    async with make_log() as log:
        assert await log.open_turns() == [OpenTurn(SHOP, 1)]
        assert not (await log.receive(SHOP, said(message_id="m1"))).is_new
        assert (await log.claim(SHOP)).epoch == claim.epoch + 1


async def test_a_log_entered_twice_is_open_until_it_is_left_twice(make_log: MakeLog) -> None:
    log = make_log()
    async with log:
        async with log:
            await log.receive(SHOP, said())
        assert len(await log.read(SHOP)) == 1
    with pytest.raises(NotOpenError):
        await log.read(SHOP)


async def _calls(log: EventLog) -> list[Callable[[], Any]]:
    claim = Claim(SHOP, 1, 0)

    async def subscribe() -> None:
        log.subscribe()

    return [
        lambda: log.receive(SHOP, said()),
        lambda: log.claim(SHOP),
        lambda: log.append(claim, 1, [ReplySent(text="x")]),
        lambda: log.release(claim),
        lambda: log.read(SHOP),
        log.open_turns,
        subscribe,
        log.conversations,
        lambda: log.restore(Stored(SHOP, 0, 1, 1), ()),
        lambda: log.erase(claim),
    ]


async def test_a_log_that_is_not_open_says_so(make_log: MakeLog) -> None:
    log = make_log()
    for call in await _calls(log):
        with pytest.raises(NotOpenError):
            await call()
    async with log:
        pass
    for call in await _calls(log):
        with pytest.raises(NotOpenError):
            await call()


async def test_leaving_a_log_again_does_nothing(make_log: MakeLog) -> None:
    log = make_log()
    await log.__aexit__(None, None, None)
    async with log:
        await log.receive(SHOP, said())
    await log.__aexit__(None, None, None)
    async with log:
        assert len(await log.read(SHOP)) == 1


async def test_leaving_waits_for_what_was_asked_before(make_log: MakeLog) -> None:
    log = make_log()
    received = []

    async def deliver(number: int) -> None:
        received.append(await log.receive(SHOP, said(message_id=f"m{number}")))

    async with anyio.create_task_group() as tasks, log:
        for number in range(50):
            tasks.start_soon(deliver, number)
        await anyio.lowlevel.checkpoint()
    assert sorted(one.seq for one in received) == list(range(1, 51))
    async with log:
        await assert_whole(log)
