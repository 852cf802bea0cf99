"""What every EventLog promises of whole conversations: listed, restored, erased."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from aicore.errors import Fenced, HeadMoved, StoreError
from aicore.log import Claim, Event, EventLog, MemoryLog, OpenTurn, Stored
from aicore.log.events import MessageReceived, ModelReplied, ReplySent, TurnFailed, TurnWaiting
from aicore.records import ApprovalId, ConversationId, Principal, ToolCall, Usage

SHOP = ConversationId("web:1")
OTHER = ConversationId("web:2")
ANN = Principal("customer", "ann")
YEAR_MS = 365 * 86_400_000

MakeLog = Callable[..., EventLog]


def said(text: str = "hello", message_id: str | None = None) -> MessageReceived:
    return MessageReceived(text=text, principal=ANN, channel="sms", message_id=message_id)


def replied(text: str = "hi") -> ModelReplied:
    call = ToolCall("c1", "crm_find", {"name": "Ann", "deep": [1, {"a": None}]})
    usage = Usage(input_tokens=7, output_tokens=2)
    return ModelReplied(
        text=text, calls=(call,), usage=usage, provider="p", model="m", finish="stop"
    )


HISTORY = (
    Event(1, 1, YEAR_MS, said("one", "m1")),
    Event(2, 1, YEAR_MS + 5, replied("lone \ud83d surrogate \0")),
    Event(3, 3, YEAR_MS + 6, said("two")),
    Event(4, 1, YEAR_MS + 7, TurnWaiting(approval_ids=(ApprovalId("a1"),), text="wait")),
    Event(5, 5, YEAR_MS + 8, said("three", "m3")),
    Event(6, 5, YEAR_MS + 9, ReplySent(text="done")),
)
"""Turn 1 waits for a person, 3 is open, 5 is done."""
STORED = Stored(SHOP, head=6, epoch=4, born_ms=YEAR_MS)


async def claimed(log: EventLog, conversation: ConversationId = SHOP, *texts: str) -> Claim:
    """The claim of a conversation with these messages."""
    for text in texts:
        await log.receive(conversation, said(text))
    return await log.claim(conversation)


async def test_a_conversation_is_born_with_its_first_message_or_claim_and_stays_so(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        claim = await claimed(log, SHOP, "one")
        assert claim.born_ms == (await log.read(SHOP))[0].at_ms
        appended = await log.append(claim, 1, [ReplySent(text="x")])
        again = await claimed(log, SHOP, "two")
        empty = await log.claim(OTHER)
        assert claim.born_ms == appended.born_ms == again.born_ms
        assert empty.born_ms > 0
        assert (await claimed(log, OTHER, "three")).born_ms == empty.born_ms


async def test_conversations_are_listed_page_by_page_in_the_order_of_their_ids(
    make_log: MakeLog,
) -> None:
    names = sorted(["a", "B", "é", "z", "😀", "\uffee", "web:1", "web:10", "web:2"])
    async with make_log() as log, make_log(business="garage") as garage:
        for name in reversed(names):
            await claimed(log, ConversationId(name), "x")
        await claimed(garage, ConversationId("c"), "x")
        listed: list[Stored] = []
        while page := await log.conversations(listed[-1].conversation if listed else None, 2):
            assert len(page) <= 2
            listed += page
        assert [one.conversation for one in listed] == names
        assert list(await log.conversations()) == listed
        assert not await log.conversations(ConversationId("\U0010ffff"))


async def test_what_is_listed_is_what_a_claim_sees(make_log: MakeLog) -> None:
    async with make_log() as log:
        await claimed(log, SHOP, "one", "two")
        claim = await log.claim(SHOP)
        empty = await log.claim(OTHER)
        assert list(await log.conversations()) == [
            Stored(SHOP, 2, 2, claim.born_ms),
            Stored(OTHER, 0, 1, empty.born_ms),
        ]


async def test_restored_events_are_exactly_as_they_were(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.restore(STORED, HISTORY)
        assert list(await log.read(SHOP)) == list(HISTORY)
        assert list(await log.conversations()) == [STORED]
        assert await log.open_turns() == [OpenTurn(SHOP, 3)]
        assert await log.receive(OTHER, said("again", "m3")) == await log.receive(
            SHOP, said("again", "m3")
        )
        assert (await log.receive(SHOP, said("again", "m1"))).seq == 1
        claim = await log.claim(SHOP)
        assert (claim.epoch, claim.head, claim.born_ms) == (5, 6, YEAR_MS)
        await log.append(claim, 3, [ReplySent(text="x")])
        assert not await log.open_turns()


async def test_restoring_again_and_further_adds_only_what_is_new(make_log: MakeLog) -> None:
    async with make_log() as log:
        for last in (0, 2, 2, 4, 6, 6):
            await log.restore(STORED, HISTORY[:last])
            assert list(await log.read(SHOP)) == list(HISTORY[:last])
        await log.restore(replace(STORED, epoch=2), HISTORY[3:])
        assert list(await log.conversations()) == [STORED]
        assert await log.open_turns() == [OpenTurn(SHOP, 3)]


async def test_a_conversation_without_events_is_restored_too(make_log: MakeLog) -> None:
    stored = Stored(SHOP, head=0, epoch=3, born_ms=YEAR_MS)
    async with make_log() as log:
        await log.restore(stored, ())
        assert list(await log.conversations()) == [stored]


async def test_one_that_was_claimed_only_becomes_the_restored_one(make_log: MakeLog) -> None:
    async with make_log() as log:
        before = await log.claim(SHOP)
        await log.restore(STORED, HISTORY)
        assert list(await log.conversations()) == [STORED]
        with pytest.raises(Fenced):
            await log.append(before, 1, [ReplySent(text="x")])


@pytest.mark.parametrize(
    "events",
    [
        HISTORY[1:],
        (HISTORY[0], HISTORY[2]),
        (HISTORY[1], HISTORY[0]),
        (HISTORY[0], HISTORY[0]),
        (replace(HISTORY[0], seq=0), *HISTORY),
    ],
    ids=["begins late", "gap", "order", "twice", "zero"],
)
async def test_a_gap_is_refused_and_nothing_written(
    make_log: MakeLog, events: Sequence[Event]
) -> None:
    async with make_log() as log:
        with pytest.raises(StoreError):
            await log.restore(STORED, events)
        assert not await log.conversations()
        assert not await log.read(SHOP)
        assert (await log.receive(SHOP, said("mine", "m1"))).is_new


@pytest.mark.parametrize(
    ("stored", "events"),
    [
        (STORED, (replace(HISTORY[0], at_ms=YEAR_MS + 1), *HISTORY[1:])),
        (STORED, (HISTORY[0], replace(HISTORY[1], turn=0), *HISTORY[2:])),
        (STORED, (HISTORY[0], replace(HISTORY[1], body=replied("else")), *HISTORY[2:])),
        (replace(STORED, born_ms=1), HISTORY),
        (STORED, (*HISTORY[:2], replace(HISTORY[2], body=said("else", "m9")))),
    ],
    ids=["time", "turn", "body", "birth", "delivered elsewhere"],
)
async def test_what_would_mix_two_histories_is_refused_and_changes_nothing(
    make_log: MakeLog, stored: Stored, events: Sequence[Event]
) -> None:
    async with make_log() as log:
        await log.receive(OTHER, said("elsewhere", "m9"))
        await log.restore(STORED, HISTORY[:2])
        before = list(await log.conversations())
        with pytest.raises(StoreError):
            await log.restore(stored, events)
        assert list(await log.read(SHOP)) == list(HISTORY[:2])
        assert list(await log.conversations()) == before
        assert (await log.receive(SHOP, said("new", "m3"))).is_new


async def test_a_history_moves_between_logs_without_loss(make_log: MakeLog) -> None:
    async with make_log() as log, MemoryLog() as other:
        claim = await claimed(log, SHOP, "one", "two")
        await log.append(claim, 1, [replied(), ReplySent(text="x")])
        [stored] = await log.conversations()
        await other.restore(stored, await log.read(SHOP))
        assert await other.read(SHOP) == list(await log.read(SHOP))
        assert await other.conversations() == [stored]
        assert await other.open_turns() == list(await log.open_turns())


async def test_an_erased_conversation_is_unknown_and_others_stay(make_log: MakeLog) -> None:
    async with make_log() as log, make_log(business="garage") as garage:
        for one, conversation in ((log, SHOP), (log, OTHER), (garage, SHOP)):
            await one.receive(conversation, said("text", f"m-{conversation}"))
        await log.erase(await log.claim(SHOP))
        assert not await log.read(SHOP)
        assert [one.conversation for one in await log.conversations()] == [OTHER]
        assert await log.open_turns() == [OpenTurn(OTHER, 1)]
        assert not (await log.receive(OTHER, said("text", f"m-{OTHER}"))).is_new
        assert len(await garage.read(SHOP)) == 1
        assert (await log.receive(SHOP, said("text", f"m-{SHOP}"))).seq == 1


async def test_a_new_conversation_under_an_erased_id_has_another_birth(make_log: MakeLog) -> None:
    births = set()
    async with make_log() as log:
        for _ in range(5):
            claim = await claimed(log, SHOP, "one")
            assert (claim.epoch, claim.head) == (1, 1)
            births.add(claim.born_ms)
            await log.erase(claim)
        for _ in range(5):
            claim = await log.claim(SHOP)
            births.add(claim.born_ms)
            await log.erase(claim)
    assert len(births) == 10


async def test_a_writer_of_an_erased_conversation_is_fenced_from_the_next_one(
    make_log: MakeLog,
) -> None:
    async with make_log() as log:
        old = await claimed(log, SHOP, "one")
        await log.erase(old)
        for call in (log.append(old, 1, [ReplySent(text="x")]), log.erase(old)):
            with pytest.raises(Fenced):
                await call
        new = await claimed(log, SHOP, "another")
        assert (new.epoch, new.head) == (old.epoch, old.head)
        await log.release(old)
        for call in (log.append(old, 1, [ReplySent(text="x")]), log.erase(old)):
            with pytest.raises(Fenced) as refused:
                await call
            assert not isinstance(refused.value, HeadMoved)
        await log.append(new, 1, [TurnFailed(code="x", message="y")])
        assert next(event.body for event in await log.read(SHOP)) == said("another")


async def test_only_the_last_claim_may_erase_and_newer_messages_go_too(make_log: MakeLog) -> None:
    async with make_log() as log:
        old = await claimed(log, SHOP, "one")
        new = await log.claim(SHOP)
        with pytest.raises(Fenced):
            await log.erase(old)
        assert len(await log.read(SHOP)) == 1
        await log.receive(SHOP, said("two", "m2"))
        await log.erase(new)
        assert not await log.read(SHOP)
        assert (await log.receive(OTHER, said("two", "m2"))).is_new
