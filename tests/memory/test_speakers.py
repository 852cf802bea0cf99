"""With which customers a conversation is: whose memory its turns are told of, and who is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio

from aicore import Agent, Principal
from aicore.log import MemoryLog
from aicore.log.events import Event, MessageReceived
from aicore.log.port import Stored
from aicore.memory.backlog import Due
from aicore.memory.extraction import RuleExtraction
from aicore.memory.learner import Learner
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.places import Places
from aicore.memory.port import Namespace
from aicore.memory.recall import Recall
from aicore.memory.speakers import Speakers
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import ScriptedProvider
from aicore.records import ConversationId

GROUP = ConversationId("group")
ANN, EVE = Principal("customer", "ann"), Principal("customer", "eve")
BOB, STRANGER = Principal("staff", "bob"), Principal("customer", "")
TELLS = "Your appointment is on Tuesday at 9."


def said(*messages: tuple[Principal, str], born_ms: int = 1000) -> list[Event]:
    return [
        Event(seq, seq, born_ms + 10 * (seq - 1), MessageReceived(text=text, principal=who))
        for seq, (who, text) in enumerate(messages, 1)
    ]


async def put(log: MemoryLog, events: Sequence[Event]) -> None:
    await log.restore(Stored(GROUP, events[-1].seq, 1, events[0].at_ms), events)


async def facts(store: SQLiteMemory, who: Principal) -> list[str]:
    return [one.text for one in await store.list(Namespace("main", str(who)), kind="fact")]


async def test_who_else_spoke_long_before_is_known_when_staff_name_an_appointment(
    tmp_path: Path,
) -> None:
    """Or the appointment is noted for the one customer who happened to speak last."""
    chat = [(EVE, f"chat {number}") for number in range(60)]
    events = said((ANN, "I'd like to come."), *chat, *[(BOB, "Hello")] * 3, (BOB, TELLS))
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        learner = Learner(log, Places(store, Recall(store)), RuleExtraction(), quiet_s=0)
        for length in (len(events) - 1, len(events)):
            if length == len(events):
                await log.erase(await log.claim(GROUP))
            await put(log, events[:length])
            await learner.learn(Due(GROUP, 1000, 0.0))
        assert await facts(store, EVE) == []
        assert await facts(store, ANN) == []


async def test_a_stranger_beside_the_customer_leaves_it_open_who_is_meant(tmp_path: Path) -> None:
    for number, others in enumerate(([], [(STRANGER, "Me too.")])):
        async with MemoryLog() as log, SQLiteMemory(tmp_path / f"{number}.db") as store:
            learner = Learner(log, Places(store, Recall(store)), RuleExtraction(), quiet_s=0)
            await put(log, said((ANN, "I'd like to come."), *others, (BOB, TELLS)))
            await learner.learn(Due(GROUP, 1000, 0.0))
            assert len(await facts(store, ANN)) == (0 if others else 1)


async def test_what_staff_say_of_themselves_and_of_a_customer_are_two_facts(tmp_path: Path) -> None:
    text = f"{TELLS} My appointment is on Friday."
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        learner = Learner(log, Places(store, Recall(store)), RuleExtraction(), quiet_s=0)
        await put(log, said((ANN, "Hello"), (BOB, text)))
        await learner.learn(Due(GROUP, 1000, 0.0))
        ids = [
            one.id
            for who in (ANN, BOB)
            for one in await store.list(Namespace("main", str(who)), kind="fact")
        ]
    assert len(ids) == len(set(ids)) == 2


async def test_a_conversation_born_anew_has_new_customers() -> None:
    async with MemoryLog() as log:
        speakers = Speakers(log)
        assert not await speakers.customers(GROUP)
        await put(log, said((ANN, "Hello"), (BOB, "Hi")))
        assert (await speakers.customers(GROUP)).only == str(ANN)
        await log.receive(GROUP, MessageReceived(text="Hi", principal=EVE))
        assert (await speakers.customers(GROUP)).only is None
        await log.erase(await log.claim(GROUP))
        await put(log, said((EVE, "Hello"), born_ms=9000))
        assert (await speakers.customers(GROUP)).only == str(EVE)


async def test_what_staff_know_of_one_customer_is_not_told_in_the_conversation_of_another(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(["Ok."] * 20)
    memory = Memory(SQLiteMemory(tmp_path / "m.db"), limits=MemoryLimits(quiet_s=0))
    async with (
        MemoryLog() as log,
        Agent(provider=provider, log=log, memory=memory) as agent,
    ):

        async def send(text: str, conversation: str, who: Principal) -> str:
            await agent.send(text, conversation=conversation, principal=who)
            with anyio.fail_after(10):
                await memory.settled()
            return provider.requests[-1].volatile

        await send("Hello, my dog is called Rex.", "web:ann", ANN)
        await send("Ann owes us 4000 EUR for the dinner invoice.", "web:ann", BOB)
        await send("Hello. I like tulips.", "web:eve", EVE)
        of_eve = await send("What about the dinner invoice and the tulips?", "web:eve", BOB)
        of_ann = await send("What is the dog of the dinner invoice called?", "web:ann:2", ANN)
        of_ann += await send("What is the dog of the dinner invoice called?", "web:ann:2", BOB)
        alone = await send("Who owes us the dinner invoice?", "desk:bob", BOB)

    assert "4000" not in of_eve + of_ann
    assert "Rex" not in of_eve
    assert "Rex" in of_ann
    assert "4000" in alone
