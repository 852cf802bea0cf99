"""Recall on LoCoMo: how many of the turns that answer a question are among the first k found.

The data is not ours to pass on (CC BY-NC 4.0): https://github.com/snap-research/locomo,
data/locomo10.json, is read from a path. Its first five conversations are for tuning, the other
five are reported. Questions without a turn as evidence are left out: 4 of 1986.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aicore.memory.neighbours import join_context
from aicore.memory.port import Embedder, Entry, Namespace, Source
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors
from aicore.records import ConversationId

PLACES = (5, 10, 20)
HALVES = {"tuning": range(5), "reporting": range(5, 10)}
KINDS = {1: "multi-hop", 2: "temporal", 3: "open", 4: "single", 5: "adversarial"}
_EVIDENCE = re.compile(r"D:?(\d+):0*(\d+)")
_COMMON = """
    a an the is are was were be been do does did have has had of to in on at for with and or what
    when where who which how why that this it its his her their they he she i you we my your as by
    from about
"""
_ENGLISH = frozenset(_COMMON.split())


@dataclass(frozen=True)
class Turn:
    """One utterance of a conversation; `session` counts from 1."""

    id: str
    session: int
    at: datetime
    text: str


@dataclass(frozen=True)
class Question:
    text: str
    evidence: frozenset[str]
    kind: str


@dataclass(frozen=True)
class Dialogue:
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]

    def beside(self, at: int, *steps: int) -> list[str]:
        """Texts so many turns away, in the same session."""
        places = (at + step for step in steps)
        turns = self.turns
        return [
            turns[place].text
            for place in places
            if 0 <= place < len(turns) and turns[place].session == turns[at].session
        ]


Find = Callable[[str], Awaitable[Sequence[str]]]


@dataclass
class Score:
    """Sums of recall by k; of how many questions."""

    sums: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    count: int = 0

    def add(self, found: Sequence[str], evidence: frozenset[str]) -> None:
        self.count += 1
        for k in PLACES:
            self.sums[k] += len(evidence.intersection(found[:k])) / len(evidence)

    def percent(self, k: int) -> float:
        return 100 * self.sums[k] / max(self.count, 1)


def read(path: Path) -> list[Dialogue]:
    """Read LoCoMo's file."""
    return [_dialogue(one) for one in json.loads(path.read_text(encoding="utf-8"))]


async def measure(
    dialogues: Sequence[Dialogue], folder: Path, embedder: Embedder | None
) -> dict[str, dict[str, Score]]:
    """Ask every question of these dialogues by each method; scores by method and kind."""
    scores: dict[str, dict[str, Score]] = defaultdict(lambda: defaultdict(Score))
    for number, dialogue in enumerate(dialogues):
        async with AsyncExitStack() as stack:
            methods: dict[str, Find] = {"FTS5, porter, one neighbour": _baseline(dialogue)}
            store = await stack.enter_async_context(SQLiteMemory(folder / f"{number}.db"))
            methods["words"] = await _remember(dialogue, Recall(store), store)
            if embedder is not None:
                path = folder / f"{number}-vectors.db"
                vectors = await stack.enter_async_context(SQLiteVectors(path, model=embedder.model))
                both = Recall(store, vectors, embedder)
                methods["words and meaning"] = await _remember(dialogue, both, store)
            for question in dialogue.questions:
                for name, find in methods.items():
                    found = await find(question.text)
                    for kind in _groups(question.kind):
                        scores[name][kind].add(found, question.evidence)
    return scores


def _groups(kind: str) -> Iterator[str]:
    yield from ("all", kind)
    if kind != "adversarial":
        yield "without adversarial"


async def _remember(dialogue: Dialogue, recall: Recall, store: SQLiteMemory) -> Find:
    space = Namespace("bench", "customer:locomo")
    entries = list(_entries(dialogue))
    await store.add(space, entries)
    await recall.embed_missing(space, entries)
    now_ms = entries[-1].at_ms + 86_400_000

    async def find(text: str) -> Sequence[str]:
        found = await recall.find([space], text, now_ms=now_ms, k=max(PLACES))
        return [one.entry.id for one in found]

    return find


def _entries(dialogue: Dialogue) -> Iterator[Entry]:
    for at, turn in enumerate(dialogue.turns):
        at_ms = int(turn.at.timestamp() * 1000)
        yield Entry(
            id=turn.id,
            kind="episode",
            text=turn.text,
            context=join_context(dialogue.beside(at, -1, 1), dialogue.beside(at, -2, 2)),
            source=Source(said_by="customer", conversation=ConversationId("c"), seq=at + 1),
            at_ms=at_ms,
            data_class="personal",
            valid_from_ms=at_ms,
        )


def _baseline(dialogue: Dialogue) -> Find:
    """What is to be beaten: SQLite's FTS5, the turn twice and its two neighbours."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE turn USING fts5(body, tokenize='porter unicode61')")
    for at, turn in enumerate(dialogue.turns):
        body = "\n".join((turn.text, turn.text, *dialogue.beside(at, -1, 1)))
        connection.execute("INSERT INTO turn (rowid, body) VALUES (?, ?)", (at, body))

    async def find(text: str) -> Sequence[str]:
        words = [word for word in re.findall(r"\w+", text.lower()) if word not in _ENGLISH]
        match = " OR ".join(f'"{word}"' for word in words)
        query = "SELECT rowid FROM turn WHERE turn MATCH ? ORDER BY bm25(turn) LIMIT ?"
        rows = connection.execute(query, (match or '""', max(PLACES)))
        return [dialogue.turns[row[0]].id for row in rows]

    return find


def _dialogue(one: dict[str, Any]) -> Dialogue:
    told = one["conversation"]
    turns = []
    session = 1
    while f"session_{session}" in told:
        written = f"{told[f'session_{session}_date_time']} +0000"
        at = datetime.strptime(written, "%I:%M %p on %d %B, %Y %z")
        turns += [
            Turn(
                said["dia_id"],
                session,
                at,
                f"{said['speaker']}: {said['text']}",
            )
            for said in told[f"session_{session}"]
        ]
        session += 1
    ids = {turn.id for turn in turns}
    questions = []
    for asked in one["qa"]:
        named = (f"D{a}:{b}" for a, b in _EVIDENCE.findall(" ".join(asked["evidence"])))
        evidence = ids.intersection(named)
        if evidence:
            kind = KINDS[asked["category"]]
            questions.append(Question(asked["question"], frozenset(evidence), kind))
    return Dialogue(tuple(turns), tuple(questions))
