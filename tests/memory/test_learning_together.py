"""Learning in batches: soon, at once when asked, and as if it had never been broken off."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import anyio
import pytest

from aicore.errors import StoreBusy
from aicore.log import MemoryLog
from aicore.log.events import Event, MessageReceived, ReplySent
from aicore.log.port import Stored
from aicore.memory.backlog import Due
from aicore.memory.extraction import Heard, RuleExtraction, Stated
from aicore.memory.learner import Learner
from aicore.memory.places import Places
from aicore.memory.port import Entry, Learned, Namespace
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId, Principal

TALK = ConversationId("web:1")
ANN = Principal("customer", "ann")
SPACE = Namespace("main", str(ANN))
NOW_MS = 1_000_000_000
BORN_MS = 1000


class Noting(SQLiteMemory):
    """A store that counts its writes, tells of them, and may be busy at one and ever after."""

    def __init__(self, path: Path, busy_from: int = 0) -> None:
        super().__init__(path)
        self.writes = 0
        self.busy_from = busy_from
        self.written = anyio.Event()

    async def add(
        self,
        namespace: Namespace,
        entries: Sequence[Entry],
        learned: Learned | None = None,
        *,
        made_of: Collection[str] = (),
    ) -> int:
        self.step()
        added = await super().add(namespace, entries, learned, made_of=made_of)
        self.written.set()
        return added

    async def supersede(
        self, namespace: Namespace, earlier_id: str, at_ms: int, later: Entry | None
    ) -> bool:
        self.step()
        return await super().supersede(namespace, earlier_id, at_ms, later)

    def step(self) -> None:
        self.writes += 1
        if self.busy_from and self.writes >= self.busy_from:
            raise StoreBusy("busy")


class Counting(MemoryLog):
    reads = 0

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        self.reads += 1
        return await super().read(conversation, after)


async def say(log: MemoryLog, *texts: str, at_ms: int = BORN_MS) -> None:
    """Put a conversation of these messages, each with a reply."""
    events = []
    for number, text in enumerate(texts):
        turn = 2 * number + 1
        message = MessageReceived(text=text, principal=ANN)
        events.append(Event(turn, turn, at_ms + turn, message))
        events.append(Event(turn + 1, turn, at_ms + turn + 1, ReplySent(text=f"Reply {number}.")))
    await log.restore(Stored(TALK, len(events), 1, BORN_MS), events)


def learner(
    log: MemoryLog, store: SQLiteMemory, extraction: RuleExtraction | None = None, **more: int
) -> Learner:
    now_ms = more.get("now_ms", NOW_MS)
    places, extraction = Places(store, Recall(store)), extraction or RuleExtraction()
    return Learner(log, places, extraction, now_ms=lambda: now_ms)


async def remembered(store: SQLiteMemory) -> set[tuple[str, str, str, bool]]:
    found: list[Entry] = []
    while page := await store.list(SPACE, after=found[-1].id if found else None):
        found += page
    return {(one.id, one.text, one.context, one.valid_to_ms is None) for one in found}


async def test_a_fact_is_there_soon_though_nobody_waits_and_turns_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._PAUSE_S", 0.05)
    async with Counting() as log, Noting(tmp_path / "m.db") as store:
        one = learner(log, store, now_ms=BORN_MS + 10)
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            with anyio.fail_after(5):
                await one.settled()
            await say(log, "I prefer mornings.", "Hello", "Bye")
            for _ in range(3):
                one.learn_later(TALK, BORN_MS)
            with anyio.fail_after(5):
                await store.written.wait()
                await one.settled()
            group.cancel_scope.cancel()
        texts = {text for _, text, _, _ in await remembered(store)}

    assert "Preference (time of day): mornings" in texts
    assert log.reads == 2  # what was said, and whether it is still there


async def test_who_asks_does_not_wait_for_more_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._PAUSE_S", 3600.0)
    async with MemoryLog() as log, Noting(tmp_path / "m.db") as store:
        one = learner(log, store)
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            with anyio.fail_after(5):
                await one.settled()
                await say(log, "Hello")
                one.learn_later(TALK, BORN_MS)
                await anyio.lowlevel.checkpoint()
                assert store.writes == 0
                await one.settled()
            group.cancel_scope.cancel()

        assert {text for _, text, _, _ in await remembered(store)} == {"Hello", "Reply 0."}


async def test_what_waited_when_it_ended_is_learned_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicore.memory.learner._PAUSE_S", 3600.0)
    async with MemoryLog() as log, Noting(tmp_path / "m.db") as store:
        for is_first in (True, False):
            one = learner(log, store)
            async with anyio.create_task_group() as group:
                group.start_soon(one.run)
                with anyio.fail_after(5):
                    await one.settled()
                if is_first:
                    await say(log, "I prefer mornings.")
                    one.learn_later(TALK, BORN_MS)
                    await anyio.lowlevel.checkpoint()
                    assert await remembered(store) == set()
                group.cancel_scope.cancel()

        assert len(await remembered(store)) == 3


async def test_broken_off_at_any_write_it_comes_out_as_if_it_had_not_been(tmp_path: Path) -> None:
    texts = [
        f"My number is 0151 000{n:04}." if n % 100 == 7 else f"Message {n}" for n in range(400)
    ]
    async with MemoryLog() as log:
        await say(log, *texts)
        async with Noting(tmp_path / "whole.db") as store:
            await learner(log, store).learn(Due(TALK, BORN_MS, 0.0))
            whole, writes = await remembered(store), store.writes
        assert len(whole) == 804
        assert 7 <= writes < 20
        for busy_from in range(1, writes + 1):
            async with Noting(tmp_path / f"{busy_from}.db", busy_from) as store:
                with pytest.raises(StoreBusy):
                    await learner(log, store).learn(Due(TALK, BORN_MS, 0.0))
                store.busy_from = 0
                await learner(log, store).learn(Due(TALK, BORN_MS, 0.0))
                assert await remembered(store) == whole, busy_from


async def test_of_a_long_conversation_that_is_erased_meanwhile_all_is_taken_back(
    tmp_path: Path,
) -> None:
    class Erases(RuleExtraction):
        asked = 0

        async def extract(self, heard: Sequence[Heard], *, failures: int) -> Sequence[Stated]:
            self.asked += 1
            if self.asked == 3:
                await log.erase(await log.claim(TALK))
            return await super().extract(heard, failures=failures)

    async with MemoryLog() as log, Noting(tmp_path / "m.db") as store:
        await say(log, "I'm vegan.", *["Quetzalcoatl."] * 200)
        await learner(log, store, Erases()).learn(Due(TALK, BORN_MS, 0.0))

        assert store.writes > 0
        assert await remembered(store) == set()
