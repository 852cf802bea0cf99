"""Facts into the memory: a newer one takes an older one's place, nothing is overwritten.

What is learned late, twice or out of order comes out the same: when something was said decides,
not when it was learned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from aicore.memory.candidates import DOUBT, END, Candidate, fact_text, is_same_value, value_of
from aicore.memory.episodes import Utterance, entry_id
from aicore.memory.port import Entry, MemoryStore, Namespace
from aicore.memory.rules_words import context_of
from aicore.records import ConversationId, DataClass
from aicore.trust.special import data_class_of

__all__ = ["correct", "facts_of", "is_doubt", "makes_doubtful", "take_in"]

_TRIES = 5


def facts_of(
    conversation: ConversationId,
    said: Utterance,
    candidates: Sequence[Candidate],
    now_ms: int,
    *,
    is_told: bool = False,
) -> list[Entry]:
    """What was said, as entries that hold from then on; an end and a doubt hold for no time.

    A time that is still to come, by a clock that was wrong, counts as now. `is_told`: they are of
    somebody else than the one who said them, who may have said such things of themselves as well.
    """
    facts = []
    counted: dict[str, int] = {}
    for candidate in candidates:
        kind = candidate.topic.partition(": ")[0]
        if candidate.is_doubt:
            kind = f"doubt {kind}"
        if is_told:
            kind = f"told {kind}"
        number = counted[kind] = counted.get(kind, 0) + 1
        from_ms = min(said.at_ms, now_ms)
        facts.append(
            Entry(
                # The value is no part of it: an id outlives what was forgotten.
                id=entry_id("f", conversation, said, f"{kind} {number}"),
                context=context_of(candidate.topic),
                kind="fact",
                text=fact_text(candidate),
                source=said.source(conversation),
                at_ms=said.at_ms,
                data_class=_class_of(candidate),
                topic=candidate.topic,
                valid_from_ms=from_ms,
                valid_to_ms=from_ms if candidate.is_end or candidate.is_doubt else None,
            )
        )
    return facts


def _class_of(candidate: Candidate) -> DataClass:
    """The class of all that a fact says, such as the reason of an appointment."""
    said = data_class_of(f"{candidate.topic} {candidate.value}")
    return _stricter(candidate.data_class, said)


def _stricter(one: DataClass, other: DataClass) -> DataClass:
    """The class that is kept more carefully, of "personal" and "special"."""
    return "special" if "special" in (one, other) else one


async def take_in(store: MemoryStore, namespace: Namespace, facts: Sequence[Entry]) -> list[Entry]:
    """Add facts, each in its place among those of its topic. Returns those that were new.

    Raises: StoreBusy, StoreError.
    """
    known = await store.get(namespace, [fact.id for fact in facts]) if facts else {}
    added = []
    for fact in facts:
        if fact.id not in known and await _place(store, namespace, fact):
            added.append(fact)
        await _settle(store, namespace, fact.topic)
    return added


async def correct(
    store: MemoryStore, namespace: Namespace, earlier: Entry, text: str, *, by: str, now_ms: int
) -> Entry | None:
    """Put what staff say in the place of an entry; None if it has ended already.

    What is learned again of the conversation is older than the correction, and stays so.
    """
    at_ms = max(now_ms, earlier.valid_from_ms)
    digest = hashlib.sha256(f"{earlier.id} {at_ms} {by}".encode()).hexdigest()[:12]
    later = Entry(
        id=f"f{at_ms:011x}-{digest}",
        kind="fact",
        text=text,
        source=replace(earlier.source, said_by=by, conversation=None, seq=0),
        at_ms=now_ms,
        data_class=_stricter(earlier.data_class, data_class_of(text)),
        topic=earlier.topic,
        valid_from_ms=at_ms,
    )
    return later if await store.supersede(namespace, earlier.id, at_ms, later) else None


async def _place(store: MemoryStore, namespace: Namespace, fact: Entry) -> bool:
    """Add one fact between what was said of its topic before and after it."""
    if is_doubt(fact):
        return bool(await store.add(namespace, [fact]))
    for _ in range(_TRIES):
        held = [
            entry
            for entry in await store.list(namespace, kind="fact", topic=fact.topic)
            if not is_doubt(entry)
            and (not _is_end(entry) or _is_end(fact) or _is_alike(entry, fact))
        ]
        held.sort(key=_when)
        later = [entry for entry in held if _is_later(entry, fact)]
        earlier = [entry for entry in held if not _is_later(entry, fact)]
        if later and (_is_end(fact) or _is_alike(later[0], fact)):
            return False
        placed = fact
        if later:
            placed = replace(
                fact,
                valid_to_ms=max(later[0].valid_from_ms, fact.valid_from_ms),
                superseded_by=later[0].id,
            )
        last = earlier[-1] if earlier else None
        if last is None or not _holds_at(last, fact.valid_from_ms):
            if _is_end(fact) and last is not None:
                return False
            return bool(await store.add(namespace, [placed]))
        if _is_alike(last, fact) != _is_end(fact):
            return False
        from_ms = max(fact.valid_from_ms, last.valid_from_ms)
        placed = replace(placed, valid_from_ms=from_ms)
        if _is_end(fact):
            placed = replace(placed, valid_to_ms=from_ms)
        if await store.supersede(namespace, last.id, from_ms, placed):
            return True
        # Somebody else ended it meanwhile: look again.
    return False


async def _settle(store: MemoryStore, namespace: Namespace, topic: str) -> None:
    """End what holds beside something later: two who learn at once do not see each other."""
    held = await store.list(namespace, kind="fact", topic=topic)
    for fact in held:
        if fact.valid_to_ms is not None:
            continue
        later = [
            entry
            for entry in held
            if not is_doubt(entry)
            and _is_later(entry, fact)
            and (not _is_end(entry) or _is_alike(fact, entry))
        ]
        if later:
            first = min(later, key=_when)
            await store.supersede(namespace, fact.id, first.valid_from_ms, first)


def is_doubt(fact: Entry) -> bool:
    """Whether a fact says only that earlier ones of its topic may have changed."""
    return fact.valid_to_ms == fact.valid_from_ms and fact.text.startswith(DOUBT)


def makes_doubtful(doubt: Entry, fact: Entry) -> bool:
    """Whether a doubt is about a fact, and was said after it."""
    is_about = fact.topic == doubt.topic or fact.topic.startswith(f"{doubt.topic}: ")
    is_about = is_about or fact.topic == f"{doubt.topic} wanted"
    is_same_event = (doubt.source.conversation, doubt.source.seq) == (
        fact.source.conversation,
        fact.source.seq,
    )
    return is_about and not is_same_event and _is_later(doubt, fact)


def _is_end(fact: Entry) -> bool:
    return fact.valid_to_ms == fact.valid_from_ms and fact.text.startswith(END)


def _is_alike(held: Entry, said: Entry) -> bool:
    return is_same_value(said.topic, value_of(held.text), value_of(said.text))


def _holds_at(entry: Entry, at_ms: int) -> bool:
    return entry.valid_to_ms is None or entry.valid_to_ms > max(at_ms, entry.valid_from_ms)


def _is_later(entry: Entry, fact: Entry) -> bool:
    """Whether an entry was said after a fact: in one conversation by number, else by the clock."""
    one, other = entry.source, fact.source
    is_one_conversation = one.conversation is not None and one.conversation == other.conversation
    if is_one_conversation and one.seq < other.seq:
        return False
    return _when(entry) > _when(fact)


def _when(fact: Entry) -> tuple[int, int, str]:
    return fact.valid_from_ms, fact.source.seq, fact.id
