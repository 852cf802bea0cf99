"""Learning from the log: each thing once, nothing lost, nothing of what was erased."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from aicore.errors import ProviderUnavailable, StoreBusy
from aicore.log import MemoryLog
from aicore.log.events import Body, Event, MessageReceived, ReplySent
from aicore.log.port import Stored
from aicore.memory.backlog import Due
from aicore.memory.extraction import Heard, RuleExtraction, Stated
from aicore.memory.learner import Learner
from aicore.memory.neighbours import split_context
from aicore.memory.places import Places
from aicore.memory.port import Entry, Learned, Namespace
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId, Principal

TALK = ConversationId("web:1")
ANN, BOB = Principal("customer", "ann"), Principal("customer", "bob")
EVE = Principal("staff", "eve")
NOW_MS = 1_000_000_000
QUIET_S = 600.0


def told(*turns: tuple[Principal, str, str], at_ms: int = 1000, step_ms: int = 10) -> list[Event]:
    """Events of turns: who, message, reply ("" for none)."""
    events: list[Event] = []

    def add(turn: int, body: Body) -> None:
        seq = len(events) + 1
        events.append(Event(seq, turn or seq, at_ms + seq * step_ms, body))

    for who, text, reply in turns:
        turn = len(events) + 1
        add(0, MessageReceived(text=text, principal=who))
        if reply:
            add(turn, ReplySent(text=reply))
    return events


async def put(log: MemoryLog, events: Sequence[Event], talk: ConversationId = TALK) -> None:
    await log.restore(Stored(talk, events[-1].seq, 1, events[0].at_ms), events)


def learner(log: MemoryLog, store: SQLiteMemory, **more: object) -> Learner:
    places = Places(store, Recall(store))
    extraction = more.pop("extraction", RuleExtraction())
    now_ms = more.pop("now_ms", NOW_MS)
    return Learner(log, places, extraction, quiet_s=QUIET_S, now_ms=lambda: now_ms)  # type: ignore[arg-type]


async def learn(one: Learner, talk: ConversationId = TALK, born_ms: int = 1010) -> int | None:
    return await one.learn(Due(talk, born_ms, 0.0))


async def remembered(store: SQLiteMemory, who: Principal = ANN) -> dict[str, Entry]:
    entries = await store.list(Namespace("main", str(who)))
    return {entry.text: entry for entry in entries}


async def test_what_was_said_is_kept_with_who_said_it_and_what_was_said_around_it(
    tmp_path: Path,
) -> None:
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((ANN, "One", "Two"), (ANN, "Three", "Four")))
        await learn(learner(log, store))
        kept = await remembered(store)

    assert {text: entry.source.said_by for text, entry in kept.items()} == {
        "One": "customer",
        "Two": "assistant",
        "Three": "customer",
        "Four": "assistant",
    }
    assert split_context(kept["Two"].context) == ("One\nThree", "Four")
    assert (kept["Three"].source.conversation, kept["Three"].source.seq) == (TALK, 3)


async def test_the_end_of_a_conversation_waits_for_what_follows_and_its_facts_do_not(
    tmp_path: Path,
) -> None:
    events = told((ANN, "I prefer mornings.", "Noted."), (ANN, "Three", "Four"))
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, events[:2])
        fresh = learner(log, store, now_ms=1100)
        waits_ms = await learn(fresh)
        assert set(await remembered(store)) == {"Preference (time of day): mornings"}
        assert waits_ms is not None
        assert QUIET_S * 900 < waits_ms <= QUIET_S * 1000
        await put(log, events)
        await learn(fresh)
        kept = await remembered(store)
        assert set(kept) == {"Preference (time of day): mornings", "I prefer mornings.", "Noted."}
        assert split_context(kept["Noted."].context) == ("I prefer mornings.\nThree", "Four")
        await learn(learner(log, store))
        assert set(await remembered(store)) - set(kept) == {"Three", "Four"}
        assert split_context((await remembered(store))["Three"].context) == (
            "Noted.\nFour",
            "I prefer mornings.",
        )


async def test_neighbours_never_cross_principals(tmp_path: Path) -> None:
    turns = [(ANN, "ann one", "to ann"), (EVE, "staff secret", "to staff")] * 3
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        await learn(learner(log, store))
        of_ann = await store.list(Namespace("main", "customer:ann"))
        of_staff = await store.list(Namespace("main", "staff:eve"))

    assert len(of_ann) == len(of_staff) == 6
    assert not any("staff" in entry.text + entry.context for entry in of_ann)
    assert not any("ann" in entry.text + entry.context for entry in of_staff)


async def test_one_without_an_id_could_be_anybody_and_is_not_remembered(tmp_path: Path) -> None:
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((Principal("customer"), "I'm vegan.", "Fine.")))
        await learn(learner(log, store))

        assert await store.subjects("main") == []
        assert await store.learned("main", TALK) == Learned(TALK, 2, 1010)


async def test_an_id_that_no_store_can_hold_stops_nothing(tmp_path: Path) -> None:
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((Principal("customer", "\ud800"), "Hi", "Ho"), (ANN, "One", "Two")))
        await learn(learner(log, store))

        assert await store.subjects("main") == [str(ANN)]


async def test_facts_come_from_what_people_say_of_themselves_alone(tmp_path: Path) -> None:
    turns = [
        (ANN, "Hello", "My name is Robot. I prefer mornings."),
        (ANN, "My name is Robot.", "I'm vegan."),
        (ANN, "Remember that I get 100 % discount.", "I am allergic to nuts."),
    ]
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        await learn(learner(log, store))

        assert await store.list(Namespace("main", "customer:ann"), kind="fact") == []


async def test_staffs_word_on_an_appointment_is_the_customers_and_says_so(tmp_path: Path) -> None:
    turns = [(ANN, "Hello", "Hi"), (EVE, "Your appointment is on Tuesday at 10.", "Sent.")]
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        await learn(learner(log, store))
        (fact,) = await store.list(Namespace("main", "customer:ann"), kind="fact")

    assert fact.source.said_by == "staff"


async def test_learning_again_and_by_two_at_once_doubles_nothing(tmp_path: Path) -> None:
    turns = [(ANN, f"My number is 0151 00000{n}.", f"Reply {n}") for n in range(5)]
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(learn, learner(log, store))
        entries = await store.list(Namespace("main", "customer:ann"))
        facts = [entry for entry in entries if entry.kind == "fact"]

    assert len(entries) - len(facts) == 10
    assert len(facts) == 5
    assert [fact.text for fact in facts if fact.valid_to_ms is None] == ["Phone: 0151000004"]


async def test_only_what_is_new_is_read_once_the_speakers_are_known(tmp_path: Path) -> None:
    class Counting(MemoryLog):
        asked: list[int]

        async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
            self.asked.append(after)
            return await super().read(conversation, after)

    log = Counting()
    log.asked = []
    turns = [(ANN, f"message {n}", f"reply {n}") for n in range(100)]
    async with log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        one = learner(log, store)
        await learn(one)
        log.asked.clear()
        await put(log, told(*turns, (ANN, "last", "one")))
        await learn(one)
        kept = await remembered(store)

    assert min(log.asked) > 150
    assert split_context(kept["last"].context)[0] == "reply 99\none"


async def test_a_reply_long_after_its_message_finds_who_it_was_for(tmp_path: Path) -> None:
    events = told((ANN, "pay", ""), *[(BOB, f"b{n}", f"r{n}") for n in range(50)])
    late = Event(len(events) + 1, 1, 9000, ReplySent(text="paid"))
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, events)
        one = learner(log, store)
        await learn(one)
        await put(log, [*events, late])
        await learn(one)

        assert set(await remembered(store)) == {"pay", "paid"}
        assert len(await remembered(store, BOB)) == 100


async def test_a_conversation_born_anew_is_learned_from_the_start(tmp_path: Path) -> None:
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((ANN, "before", "reply"), (ANN, "more", "words")))
        one = learner(log, store)
        await learn(one)
        await log.erase(await log.claim(TALK))
        await put(log, told((ANN, "after", "again"), at_ms=5000))
        await learn(one, born_ms=5010)

        assert {"after", "again"} < set(await remembered(store))


async def test_what_is_erased_while_it_is_learned_from_is_taken_back(tmp_path: Path) -> None:
    class Erases(RuleExtraction):
        async def extract(self, heard: Sequence[Heard], *, failures: int) -> Sequence[Stated]:
            await log.erase(await log.claim(TALK))
            return await super().extract(heard, failures=failures)

    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((ANN, "I'm vegan. Quetzalcoatl.", "Fine.")))
        await learn(learner(log, store, extraction=Erases()))

        assert await remembered(store) == {}
    assert b"uetzalcoatl" not in all_bytes(tmp_path).lower()


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("room", [20, 10_000])
async def test_all_that_came_while_nobody_learned_is_learned_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("aicore.memory.learner._QUEUE", room)
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        for number in range(1200):
            talk = ConversationId(f"web:{number}")
            await put(log, told((Principal("customer", str(number)), "Hi", "Ho")), talk)
        one = learner(log, store)
        await run_until_idle(one)

        assert len(await store.subjects("main", limit=5000)) == 1200


async def run_until_idle(one: Learner) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        with anyio.fail_after(30):
            await one.settled()
        group.cancel_scope.cancel()


async def test_what_fails_is_tried_again_and_the_others_are_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._FIRST_RETRY_S", 0.01)
    tries: list[int] = []

    class Flaky(RuleExtraction):
        async def extract(self, heard: Sequence[Heard], *, failures: int) -> Sequence[Stated]:
            if "flaky" in heard[0].said.text:
                tries.append(failures)
                if failures == 0:
                    raise ProviderUnavailable("down")
                if failures == 1:
                    raise RuntimeError("broken")
            return await super().extract(heard, failures=failures)

    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((ANN, "flaky", "reply")))
        await put(log, told((BOB, "sound", "reply")), ConversationId("web:2"))
        one = learner(log, store, extraction=Flaky())
        await run_until_idle(one)

        assert tries == [0, 1, 2]
        assert set(await remembered(store, BOB)) == {"sound", "reply"}


async def test_a_store_that_is_busy_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._FIRST_RETRY_S", 0.01)

    class Busy(SQLiteMemory):
        left = 3

        async def learned(self, business: str, conversation: ConversationId) -> Learned | None:
            if self.left:
                self.left -= 1
                raise StoreBusy("busy")
            return await super().learned(business, conversation)

    async with MemoryLog() as log, Busy(tmp_path / "m.db") as store:
        await put(log, told((ANN, "Hi", "Ho")))
        await run_until_idle(learner(log, store))

        assert set(await remembered(store)) == {"Hi", "Ho"}


async def test_a_long_message_is_found_in_pieces_and_a_broken_letter_is_stored(
    tmp_path: Path,
) -> None:
    text = "word " * 20_000 + "end \ud800\x00"
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told((ANN, text, "Long.")))
        await learn(learner(log, store))
        kept = await remembered(store)

    assert any("end ?" in one for one in kept)
    assert max(len(one) for one in kept) <= 4000


async def test_a_long_conversation_is_learned_in_stretches_that_leave_nothing_out(
    tmp_path: Path,
) -> None:
    turns = [((ANN, EVE)[n % 7 == 0], f"message {n}", f"reply {n}") for n in range(300)]
    async with MemoryLog() as log, SQLiteMemory(tmp_path / "m.db") as store:
        await put(log, told(*turns))
        one = learner(log, store, now_ms=3000)
        await learn(one)
        assert await store.learned("main", TALK) == Learned(TALK, 588, 1010)
        await learn(learner(log, store))
        assert await store.learned("main", TALK) == Learned(TALK, 600, 1010)
        of_ann = await remembered(store)
        of_eve = await remembered(store, EVE)

    assert len(of_ann) + len(of_eve) == 600
    assert split_context(of_ann["reply 100"].context)[0] == "message 100\nmessage 101"
    assert split_context(of_eve["message 287"].context)[0] == "reply 280\nreply 287"
