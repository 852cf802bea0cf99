"""What every MemoryStore promises of what was said beside something that is forgotten."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from aicore.errors import StoreBusy
from aicore.memory.episodes import Utterance, episodes_of
from aicore.memory.port import Entry, Learned, MemoryStore, Namespace, Query
from aicore.records import ConversationId

ANN = Namespace("shop", "customer:ann")
WEB = ConversationId("web:1")


def thread(texts: Sequence[tuple[int, str]], conversation: ConversationId = WEB) -> list[Entry]:
    """The episodes of a conversation, from sequence numbers and texts, as they are learned."""
    said = [
        Utterance(seq=seq, at_ms=1000 * seq, subject=ANN.subject, said_by="customer", text=text)
        for seq, text in texts
    ]
    return [entry for place in range(len(said)) for entry in episodes_of(conversation, said, place)]


def words(count: int) -> list[tuple[int, str]]:
    return [(seq, f"zq{seq:x}word common{seq % 3}") for seq in range(1, count + 1)]


async def found(store: MemoryStore, text: str) -> list[tuple[str, float]]:
    answer = await store.search(ANN, Query(text=text, k=1000))
    return [(one.entry.id, one.score) for one in answer]


async def test_no_word_of_it_is_left_in_any_byte_and_its_neighbours_are_found_by_the_rest(
    memories: Any,
) -> None:
    async with memories.make() as store:
        entries = thread(words(11))
        await store.add(ANN, entries)
        elsewhere = thread([(5, "wombat elsewhere")], ConversationId("web:2"))
        await store.add(ANN, elsewhere)
        assert memories.holds("zq6word")

        assert await store.forget(ANN, [entries[5].id]) == 1

        assert not memories.holds("zq6word")
        assert await found(store, "zq6word") == []
        near = [id_ for id_, _ in await found(store, "zq5word")]
        assert set(near) == {entries[place].id for place in (2, 3, 4, 6, 7)}
        assert near[0] == entries[4].id
        left = {one.id: one for one in await store.list(ANN)}
        untouched = [entries[place] for place in (0, 1, 2, 8, 9, 10)] + elsewhere
        assert [left[one.id] for one in untouched] == untouched
    assert not memories.holds("zq6word")


async def test_it_is_as_if_it_had_never_been_said(memories: Any) -> None:
    chance = random.Random(7)
    said = [(seq, f"{text} {chance.choice('abcdefgh') * 5}") for seq, text in words(30)]
    said[4] = (5, "long " + "and longer " * 900)  # several entries
    gone = {5, 6, 7, 14, 30}
    async with memories.make() as store:
        entries = thread(said)
        await store.add(ANN, entries)
        ids = [one.id for one in entries if one.source.seq in gone]
        await store.forget(ANN, ids[:3])
        await store.forget(ANN, ids[3:])

        expected = thread([one for one in said if one[0] not in gone])
        assert await store.list(ANN) == expected
        other = Namespace("shop", "customer:bob")
        await store.add(other, expected)
        for word in ("common1", "ccccc", "zq8word", "zqdword", "longer", "zqeword"):
            there = await store.search(other, Query(text=word, k=1000))
            assert await found(store, word) == [(one.entry.id, one.score) for one in there]


async def test_what_is_not_beside_it_any_more_is_as_special_as_it_was(memories: Any) -> None:
    said = [(1, "I am here"), (2, "A quokka"), (3, "I have diabetes"), (4, "Bye")]
    async with memories.make() as store:
        entries = thread(said)
        await store.add(ANN, entries)
        await store.forget(ANN, [entries[1].id])
        # What follows it is special as well, and may have it in its context.
        there = [id_ for id_, _ in await found(store, "diabetes")]
        assert there == [entries[2].id, entries[3].id]


async def test_which_were_forgotten_can_be_asked(memories: Any) -> None:
    async with memories.make() as store:
        assert set(await store.forgotten(ANN, ["e1"])) == set()
        await store.add(ANN, thread(words(3)))
        await store.forget(ANN, [thread(words(3))[0].id, "never there"])
        ids = [*(one.id for one in thread(words(3))), "never there", "nor this"]
        assert set(await store.forgotten(ANN, ids)) == {ids[0], "never there"}
        assert set(await store.forgotten(Namespace("shop", "customer:bob"), ids)) == set()
        assert set(await store.forgotten(ANN, [])) == set()


async def test_what_was_made_of_something_forgotten_is_not_added(memories: Any) -> None:
    first, second, third = thread(words(3))
    async with memories.make() as store:
        await store.add(ANN, [first])
        await store.forget(ANN, [first.id])
        with pytest.raises(StoreBusy):
            await store.add(ANN, [second], Learned(WEB, 2), made_of=[third.id, first.id])
        assert await store.list(ANN) == []
        assert await store.learned("shop", WEB) is None
        assert await store.add(ANN, [third], Learned(WEB, 3), made_of=[second.id]) == 1
