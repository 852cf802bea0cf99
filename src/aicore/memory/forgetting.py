"""Forgets single entries, with what else would tell them again."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Sequence

from aicore.memory.candidates import simplified, value_of
from aicore.memory.episodes import episode_id
from aicore.memory.places import Places
from aicore.memory.port import Entry, EntryKind, MemoryStore, Namespace
from aicore.records import ConversationId

__all__ = ["forget_entries", "says_again"]

_PAGE = 1000
_VALUE_CHARS = 4
_DIGITS = 7
_NO_DIGIT = re.compile(r"\D+")
_TELLERS = frozenset({"staff", "owner"})

Message = tuple[ConversationId, int, int]


async def forget_entries(places: Places, namespace: Namespace, ids: Collection[str]) -> int:
    """Delete entries for good, with the messages they come from. Returns how many entries.

    With a fact goes its message, also one that is yet to be learned, and whatever else was said to
    or by its subject that has its value; with a message all of its pieces and the facts in it.
    What staff said of a customer goes from the memories of both;
    finding it there reads the facts of everybody.
    Raises: StoreBusy, StoreError; what was asked for is there yet, so do it again.
    """
    chosen = (await places.store.get(namespace, ids)).values()
    messages = {message for entry in chosen if (message := _message(entry)) is not None}
    whole = {_message(entry) for entry in chosen if entry.kind == "episode"}

    def goes(entry: Entry) -> bool:
        message = _message(entry)
        return message in (whole if entry.kind == "fact" else messages)

    count = 0
    told = [entry for entry in chosen if entry.source.said_by in _TELLERS and _message(entry)]
    if told:
        async for other in _others(places.store, namespace):
            kind: EntryKind = "fact" if other.subject.startswith("customer:") else "episode"
            going = {entry.id for entry in await _all(places.store, other, kind) if goes(entry)}
            if going:
                count += await places.forget(other, going)
    facts = [entry for entry in chosen if entry.kind == "fact"]
    mine = await _all(places.store, namespace) if messages or facts else ()
    messages |= {
        message
        for entry in mine
        if entry.kind == "episode" and says_again(entry, facts) and (message := _message(entry))
    }
    going = {*ids, *(episode_id(*message) for message in messages)}
    going |= {entry.id for entry in mine if goes(entry)}
    return count + await places.forget(namespace, going)


def says_again(entry: Entry, others: Sequence[Entry]) -> bool:
    """Whether an entry has the text of another one, or the value of a fact, among its words.

    A number is the same however it is grouped.
    """
    text = f" {simplified(entry.text)} "
    digits = _NO_DIGIT.sub("", text)
    for other in others:
        said = simplified(value_of(other.text) if other.kind == "fact" else other.text)
        number = _NO_DIGIT.sub("", said)
        is_number = len(number) >= _DIGITS and number == said.replace(" ", "")
        if number in digits if is_number else len(said) >= _VALUE_CHARS and f" {said} " in text:
            return True
    return False


def _message(entry: Entry) -> Message | None:
    conversation = entry.source.conversation
    return None if conversation is None else (conversation, entry.source.seq, entry.at_ms)


async def _others(store: MemoryStore, namespace: Namespace) -> AsyncGenerator[Namespace]:
    """Everybody else of whom something is remembered."""
    after: str | None = None
    while page := await store.subjects(namespace.business, after, _PAGE):
        for after in page:
            if after != namespace.subject:
                yield Namespace(namespace.business, after)


async def _all(
    store: MemoryStore, namespace: Namespace, kind: EntryKind | None = None
) -> Sequence[Entry]:
    found: list[Entry] = []
    while page := await store.list(
        namespace, kind=kind, after=found[-1].id if found else None, limit=_PAGE
    ):
        found += page
    return found
