"""How well the memory answers the recall set: `python bench/recall_eval.py [--half tuning]`.

Everything runs through the pieces an agent uses: events become episodes, rules find facts, staff
forget, documents are ingested, Recall finds. No model; `--minilm FOLDER` adds vectors of
all-MiniLM-L6-v2 (its weights are not in the repository). Each customer is asked in a memory that
holds all of them, and the business's documents beside their own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: threads only cost time here

import anyio
from recall_set import FOLDER, HALVES, Asked, Customer, Question, customers, questions_on_documents

from aicore.log.events import Event, MessageReceived, ReplySent
from aicore.memory.episodes import Utterance, episodes_of, utterances
from aicore.memory.extraction import Heard, RuleExtraction
from aicore.memory.facts import facts_of, is_doubt, take_in
from aicore.memory.knowledge.knowledge import Knowledge
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Embedder, Entry, Found, Namespace
from aicore.memory.recall import Recall, show
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.telling import MAY_HAVE_CHANGED, worth_telling
from aicore.records import ConversationId, DataClass, Principal

DAY_MS = 86_400_000
BUSINESS = "shop"
DEPTHS = (1, 5, 10)
BUDGET_TOKENS = 600
_ALL: tuple[DataClass, ...] = ("public", "internal", "personal", "special")


@dataclass
class Tally:
    """What came of the questions of one kind; `missed` names them, for whoever tunes.

    `wrong` counts what was told and must not be: a forgotten message, or a fact that a later
    message changed. Of the changed ones `understood` are those whose later message became a fact,
    `stale` those of them where the older one was told all the same; `doubted` those where the older
    one was told as what may have changed.
    """

    asked: int = 0
    understood: int = 0
    stale: int = 0
    doubted: int = 0
    found: dict[int, int] = field(default_factory=lambda: dict.fromkeys(DEPTHS, 0))
    wrong: int = 0
    above: int = 0
    entries: int = 0
    tokens: int = 0
    missed: list[str] = field(default_factory=list)


class Shop:
    """A memory in a folder that has heard all customers of a half and read its documents."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._seqs: dict[tuple[str, str], int] = {}
        self._stated: set[tuple[str, int]] = set()

    async def hear(self, customer: Customer) -> None:
        """Learn a whole conversation, then forget what was asked to be forgotten."""
        principal = Principal("customer", customer.name)
        namespace = Namespace(BUSINESS, str(principal))
        conversation = ConversationId(f"web:{customer.name}")
        self._seqs |= {
            (customer.name, line.id): seq for seq, line in enumerate(customer.lines, 1) if line.id
        }
        now_ms = customer.lines[-1].at_ms + DAY_MS
        thread = list(utterances(events_of(customer, principal)))
        entries = [
            entry
            for place in range(len(thread))
            for entry in episodes_of(conversation, thread, place)
        ]
        await self._places.store.add(namespace, entries)
        heard = [
            Heard(said, _replies_before(thread, place))
            for place, said in enumerate(thread)
            if said.said_by == "customer"
        ]
        stated = await RuleExtraction().extract(heard, failures=0)
        for one, found in zip(heard, stated, strict=True):
            facts = facts_of(conversation, one.said, found.own, now_ms)
            entries += await take_in(self._places.store, namespace, facts)
            self._stated |= {
                (customer.name, fact.source.seq) for fact in facts if not is_doubt(fact)
            }
        gone = {self._seqs[customer.name, id] for id in customer.forgotten}
        await self._places.embed(namespace, entries)
        await self._places.forget(
            namespace, [entry.id for entry in entries if entry.source.seq in gone]
        )

    async def read(self, half: str) -> None:
        """Take in the documents of a half."""
        done = await Knowledge([FOLDER / f"{half}_knowledge"], self._places, BUSINESS).refresh()
        assert not done.problems, done.problems

    async def ask(self, customer: Customer, question: Question, tally: Tally) -> None:
        """Ask as the agent does when a message comes in, a day after the last."""
        now_ms = customer.lines[-1].at_ms + DAY_MS
        namespaces = [
            Namespace(BUSINESS, f"customer:{customer.name}"),
            Namespace(BUSINESS, KNOWLEDGE),
        ]
        found = await self._places.recall.find(namespaces, question.text, now_ms=now_ms, k=10)
        seqs = [one.entry.source.seq for one in found]
        wanted = self._seqs.get((customer.name, question.wanted), -1)
        older = self._seqs.get((customer.name, question.older), -1)
        place = seqs.index(wanted) + 1 if wanted in seqs else 0
        tally.asked += 1
        tally.entries += len(found)
        tally.tokens += len(show(found, now_ms=now_ms, budget_tokens=BUDGET_TOKENS)) // 4
        if question.kind == "deleted":
            tally.wrong += _is_told(customer.line(question.wanted).text, wanted, found)
        elif question.kind != "absent":
            _count(tally, place, f"{customer.name}: {question.text}")
        if question.kind == "changed":
            facts = await self._places.store.list(namespaces[0], kind="fact")
            told = worth_telling(
                found, facts, now_ms=now_ms, data_classes=_ALL, in_view=lambda _: False
            )
            of_old = [one.entry.text for one in told if _is_fact_of(older, one.entry)]
            is_old_told = any(not text.endswith(MAY_HAVE_CHANGED) for text in of_old)
            tally.doubted += bool(of_old) and not is_old_told
            tally.wrong += is_old_told
            if (customer.name, wanted) in self._stated:
                tally.understood += 1
                tally.stale += is_old_told
            tally.above += older in seqs and (not place or seqs.index(older) < place - 1)

    async def ask_documents(self, asked: Asked, tally: Tally) -> None:
        """Ask about the business; the passage must be found under its citation."""
        found = await self._places.recall.find(
            [Namespace(BUSINESS, KNOWLEDGE)], asked.text, now_ms=_far_ms(), k=10
        )
        places = [
            number
            for number, one in enumerate(found, 1)
            if (one.entry.source.document, one.entry.source.place) == (asked.document, asked.place)
            and asked.words in one.entry.text
        ]
        tally.asked += 1
        tally.entries += len(found)
        tally.tokens += len(show(found, now_ms=_far_ms(), budget_tokens=BUDGET_TOKENS)) // 4
        _count(tally, places[0] if places else 0, asked.text)


def events_of(customer: Customer, principal: Principal) -> list[Event]:
    """The conversation as the log has it: a message and the reply of its turn."""
    events = []
    turn = 0
    for seq, line in enumerate(customer.lines, start=1):
        if line.said_by == "customer":
            turn = seq
            body: MessageReceived | ReplySent = MessageReceived(text=line.text, principal=principal)
        else:
            body = ReplySent(text=line.text)
        events.append(Event(seq, turn, line.at_ms, body))
    return events


async def measure(
    folder: Path,
    half: str,
    *,
    embedder: Embedder | None = None,
    only: Sequence[str] = (),
) -> dict[str, Tally]:
    """Run one half in an empty folder. `only`: these kinds alone."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SQLiteMemory(folder / "memory.db"))
        vectors = None
        if embedder is not None:
            from aicore.memory.sqlite_vectors import SQLiteVectors

            index = SQLiteVectors(folder / "vectors.db", model=embedder.model)
            vectors = await stack.enter_async_context(index)
            await stack.enter_async_context(embedder)
        shop = Shop(Places(store, Recall(store, vectors, embedder), vectors, embedder))
        await shop.read(half)
        for customer in customers(half):
            await shop.hear(customer)
        for customer in customers(half):
            for question in customer.questions:
                if not only or question.kind in only:
                    await shop.ask(customer, question, tallies[question.kind])
        if not only or "knowledge" in only:
            for asked in questions_on_documents(half):
                await shop.ask_documents(asked, tallies["knowledge"])
    return dict(tallies)


def as_table(half: str, tallies: dict[str, Tally], *, shows_missed: bool = False) -> str:
    """The figures as text, in percent."""
    lines = [f"{half:16}    n    @1    @5   @10  told wrongly  older first  entries  tokens"]
    for kind in sorted(tallies):
        one = tallies[kind]
        shares = " ".join(f"{100 * one.found[depth] / one.asked:5.1f}" for depth in DEPTHS)
        if kind in ("absent", "deleted"):
            shares = "    -     -     -"
        wrong = str(one.wrong) if kind in ("changed", "deleted") else "-"
        above = str(one.above) if kind == "changed" else "-"
        lines.append(
            f"{kind:16} {one.asked:4} {shares}  {wrong:>12}  {above:>11}"
            f"  {one.entries / one.asked:7.1f}  {one.tokens / one.asked:6.0f}"
        )
        if kind == "changed":
            lines[-1] += (
                f"  (understood: {one.understood}, stale of them: {one.stale},"
                f" doubted: {one.doubted})"
            )
        if shows_missed:
            lines += [f"    {text}" for text in one.missed]
    return "\n".join(lines)


def _replies_before(thread: Sequence[Utterance], place: int) -> tuple[str, ...]:
    """What the shop said last before a message, as the learner gives it."""
    before = [one.text for one in thread[:place] if one.said_by == "assistant"]
    return tuple(before[-3:])


def _count(tally: Tally, place: int, question: str) -> None:
    for depth in DEPTHS:
        tally.found[depth] += 0 < place <= depth
    if not place:
        tally.missed.append(question)


def _is_fact_of(seq: int, entry: Entry) -> bool:
    return entry.kind == "fact" and entry.source.seq == seq


def _is_told(text: str, seq: int, found: Sequence[Found]) -> bool:
    return any(one.entry.source.seq == seq or text in one.entry.text for one in found)


def _far_ms() -> int:
    """Behind every time at which a document was written."""
    return 4_000_000_000_000


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=[*HALVES, "both"], default="both")
    parser.add_argument("--minilm", type=Path, help="the folder of the model's weights")
    parser.add_argument("--missed", action="store_true", help="name what was not found")
    options = parser.parse_args()
    for half in HALVES if options.half == "both" else [options.half]:
        embedder = None
        if options.minilm is not None:
            from minilm import MiniLM

            embedder = MiniLM(options.minilm)
        with tempfile.TemporaryDirectory() as folder:
            tallies = await measure(Path(folder), half, embedder=embedder)
        print(as_table(half, tallies, shows_missed=options.missed), end="\n\n")


if __name__ == "__main__":
    anyio.run(main)
