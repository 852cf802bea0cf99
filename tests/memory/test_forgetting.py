"""Forgetting while it is being learned, and what a person is told of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from aicore.errors import StoreBusy
from aicore.log import MemoryLog
from aicore.log.events import Event, MessageReceived
from aicore.log.port import Stored
from aicore.memory.backlog import Due
from aicore.memory.episodes import episode_id
from aicore.memory.extraction import RuleExtraction
from aicore.memory.learner import Learner
from aicore.memory.places import Places
from aicore.memory.port import Entry, Learned, Namespace
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId, Principal

TALK = ConversationId("web:1")
ANN = Principal("customer", "ann")
SPACE = Namespace("main", str(ANN))
TEXTS = ("Hello there", "My dog is called Zorbulak.", "What do you offer?", "Bye now")


def holds(folder: Path, word: bytes) -> bool:
    return any(word in path.read_bytes() for path in folder.rglob("*") if path.is_file())


class Forgetting(SQLiteMemory):
    """A store of which somebody has a message forgotten just before it is first added to."""

    is_first = True

    async def add(
        self,
        namespace: Namespace,
        entries: Sequence[Entry],
        learned: Learned | None = None,
        *,
        made_of: Collection[str] = (),
    ) -> int:
        if entries and entries[0].kind == "episode" and self.is_first:
            self.is_first = False
            facts = [fact.id for fact in await self.list(SPACE, kind="fact")]
            await self.forget(namespace, [*facts, episode_id(TALK, 2, 1020)])
        return await super().add(namespace, entries, learned, made_of=made_of)


async def test_what_is_forgotten_while_it_is_learned_gets_into_no_context(tmp_path: Path) -> None:
    events = [
        Event(seq, seq, 1000 + 10 * seq, MessageReceived(text=text, principal=ANN))
        for seq, text in enumerate(TEXTS, 1)
    ]
    async with MemoryLog() as log, Forgetting(tmp_path / "m.db") as store:
        await log.restore(Stored(TALK, len(events), 1, 1010), events)
        one = Learner(log, Places(store, Recall(store)), RuleExtraction(), quiet_s=0)
        due = Due(TALK, 1010, 0.0)
        with pytest.raises(StoreBusy):
            await one.learn(due)
        assert await store.list(SPACE) == []
        await one.learn(due)
        kept = await store.list(SPACE)
        assert [entry.text for entry in kept] == [TEXTS[0], *TEXTS[2:]]
        assert not any("Zorbulak" in entry.context for entry in kept)
    assert not holds(tmp_path, b"orbula")
