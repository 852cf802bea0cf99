"""What every MemoryStore promises of forgetting, learning, namespaces and cancelling."""

import random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore.memory.port import Entry, EntryKind, Learned, MemoryStore, Namespace, Query, Source
from aicore.records import ConversationId

ANN = Namespace("shop", "customer:ann")
BOB = Namespace("shop", "customer:bob")
OTHER = Namespace("other", "customer:ann")
WEB = ConversationId("web:1")
KINDS: tuple[EntryKind, ...] = ("episode", "fact", "passage")


def entry(id_: str, text: str, *, kind: EntryKind = "fact", context: str = "") -> Entry:
    return Entry(
        id=id_,
        kind=kind,
        text=text,
        context=context,
        topic=f"topic of {text[:20]}",
        source=Source(said_by="customer", conversation=WEB, seq=1),
        at_ms=0,
        data_class="personal",
        valid_from_ms=0,
    )


async def found(store: MemoryStore, text: str, space: Namespace = ANN) -> list[str]:
    return [one.entry.id for one in await store.search(space, Query(text=text, k=1000))]


async def ids(store: MemoryStore, space: Namespace = ANN) -> list[str]:
    return [one.id for one in await store.list(space)]


async def test_what_is_forgotten_is_not_added_again(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "quokka"), entry("f2", "wombat")])
        assert await store.forget(ANN, ["f1", "f1", "never there"]) == 1
        assert await store.add(ANN, [entry("f1", "quokka"), entry("never there", "x")]) == 0
        assert await ids(store) == ["f2"]
        assert await found(store, "quokka") == []
        assert await found(store, "wombat") == ["f2"]
        assert await store.add(BOB, [entry("f1", "quokka")]) == 1
        assert await store.forget(ANN, []) == 0


async def test_forgetting_the_last_of_a_chain_leaves_the_earlier_ended(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "quokka")])
        await store.supersede(ANN, "f1", 50, entry("f2", "wombat"))
        await store.forget(ANN, ["f2"])
        assert (await store.get(ANN, ["f1"]))["f1"].valid_to_ms == 50


async def test_what_takes_a_forgotten_ones_room_is_found_by_its_own_words(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "quokka common"), entry("f2", "wombat common")])
        await store.forget(ANN, ["f2"])
        await store.add(ANN, [entry("f3", "numbat common")])
        assert await found(store, "wombat") == []
        assert await found(store, "numbat") == ["f3"]
        assert sorted(await found(store, "common")) == ["f1", "f3"]


async def test_erasing_takes_all_of_one_namespace_and_nothing_else(memories: Any) -> None:
    async with memories.make() as store:
        for space in (ANN, BOB, OTHER):
            await store.add(space, [entry("f1", "quokka"), entry("f2", "wombat", kind="episode")])
        await store.forget(ANN, ["f1"])
        assert await store.erase(ANN) == 1
        assert await ids(store) == []
        assert await found(store, "wombat") == []
        assert await store.subjects("shop") == ["customer:bob"]
        for space in (BOB, OTHER):
            assert await found(store, "quokka", space) == ["f1"]
            assert await ids(store, space) == ["f1", "f2"]
        assert await store.add(ANN, [entry("f1", "quokka")]) == 1
        assert await found(store, "quokka") == ["f1"]


async def _many(store: MemoryStore, chance: random.Random) -> dict[Namespace, list[str]]:
    """Fill a store so that pages are split often; gives words that are in no other namespace."""
    words: dict[Namespace, list[str]] = {ANN: [], BOB: [], OTHER: []}
    for step in range(120):
        space = chance.choice(list(words))
        entries = []
        for number in range(10):
            word = f"uq{words_index(space)}x{chance.getrandbits(60):x}"
            words[space].append(word)
            text = f"{word} common{chance.randrange(20)} " * chance.randrange(1, 30)
            kind = chance.choice(KINDS)
            entries.append(entry(f"{step}-{number}", text, kind=kind, context=f"near {word}"))
        await store.add(space, entries)
    return words


def words_index(space: Namespace) -> int:
    return (ANN, BOB, OTHER).index(space)


async def test_no_word_of_what_is_erased_is_left_in_any_byte(memories: Any) -> None:
    async with memories.make() as store, memories.make() as reader:
        words = await _many(store, random.Random(4))
        await found(reader, words[ANN][0])
        assert memories.holds(words[ANN][0])
        assert await store.erase(ANN) == len(words[ANN])
        await found(reader, words[BOB][0], BOB)
        assert [word for word in words[ANN] if memories.holds(word)] == []
        assert memories.holds(words[BOB][0])
        assert await found(store, words[OTHER][-1], OTHER) != []
    assert [word for word in words[ANN] if memories.holds(word)] == []


async def test_no_word_of_what_is_forgotten_is_left_in_any_byte(memories: Any) -> None:
    async with memories.make() as store, memories.make() as reader:
        await _many(store, random.Random(5))
        secret = entry("secret", "My PIN is quokka", context="wombat said before\fnumbat")
        await store.add(ANN, [secret])
        await store.supersede(ANN, "secret", 9, entry("later", "My PIN is bandicoot"))
        await found(reader, "quokka")
        assert memories.holds("quokka")
        assert await store.forget(ANN, ["secret", "later"]) == 2
        await found(reader, "quokka")
        for word in ("quokka", "wombat", "numbat", "bandic"):
            assert not memories.holds(word)
    assert not memories.holds("quokka")


async def test_how_far_was_learned_is_kept_with_what_was_learned(memories: Any) -> None:
    async with memories.make() as store:
        assert await store.add(ANN, [entry("f1", "x")], Learned(WEB, 7, 100)) == 1
        assert await store.learned("shop", WEB) == Learned(WEB, 7, 100)
        assert await store.learned("other", WEB) is None
        await store.add(ANN, [], Learned(WEB, 5, 100))
        assert await store.learned("shop", WEB) == Learned(WEB, 7, 100)
        await store.add(BOB, [], Learned(WEB, 9, 100))
        assert await store.learned("shop", WEB) == Learned(WEB, 9, 100)
        await store.add(ANN, [], Learned(WEB, 2, 200))
        assert await store.learned("shop", WEB) == Learned(WEB, 2, 200)
    async with memories.make() as store:
        assert await store.learned("shop", WEB) == Learned(WEB, 2, 200)


async def test_erasing_forgets_how_far_was_learned(memories: Any) -> None:
    sms = ConversationId("sms:1")
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "x")], Learned(WEB, 7))
        await store.add(BOB, [entry("f1", "x")], Learned(sms, 3))
        await store.erase(ANN)
        assert await store.learned("shop", WEB) is None
        assert await store.learned("shop", sms) == Learned(sms, 3)


async def test_what_was_added_is_there_when_opened_again(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "quokka"), entry("f2", "wombat")])
        await store.forget(ANN, ["f2"])
    async with memories.make() as store:
        assert await found(store, "quokka") == ["f1"]
        assert await store.add(ANN, [entry("f2", "wombat")]) == 0


async def test_two_open_stores_see_each_others_writes(memories: Any) -> None:
    async with memories.make() as here, memories.make() as there:

        async def write(store: MemoryStore, name: str) -> None:
            for number in range(10):
                await store.add(ANN, [entry(f"{name}{number}", f"quokka {name}{number}")])

        async with anyio.create_task_group() as group:
            group.start_soon(write, here, "a")
            group.start_soon(write, there, "b")
        assert len(await found(here, "quokka")) == 20
        assert await ids(here) == await ids(there)


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_call_is_done_or_not_done(memories: Any, turns: int) -> None:
    async with memories.make() as store:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel() -> None:
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                group.start_soon(cancel)
                entries = [entry(f"f{number}", f"quokka {number}") for number in range(50)]
                await store.add(ANN, entries, Learned(WEB, 50))
        there = await ids(store)
        is_learned = await store.learned("shop", WEB) is not None
        assert len(there) == (50 if is_learned else 0)
        assert sorted(await found(store, "quokka")) == there
        assert await store.add(ANN, entries) == 50 - len(there)


SPACES = (
    ANN,
    BOB,
    OTHER,
    Namespace("shop", "customer:an"),
    Namespace("shopc", "ustomer:ann"),
    Namespace("shop", "Customer:Ann"),
)
_steps = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "add", "supersede", "forget", "erase")),
        st.integers(0, len(SPACES) - 1),
        st.integers(0, 5),
        st.sampled_from(("tea", "ale", "gin")),
        st.sampled_from(KINDS),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_steps)
async def test_nothing_of_another_namespace_is_ever_returned(memories: Any, steps: Any) -> None:
    async with memories.make() as store:
        for space in SPACES:
            await store.erase(space)
        kept: dict[Namespace, dict[str, str]] = {space: {} for space in SPACES}
        gone: dict[Namespace, set[str]] = {space: set() for space in SPACES}
        for what, index, number, word, kind in steps:
            space, id_ = SPACES[index], f"f{number}"
            made = entry(id_, f"{word} of {index}", kind=kind)
            if what == "add":
                await store.add(space, [made], Learned(ConversationId(f"{index}"), number + 1))
                if id_ not in gone[space]:
                    kept[space].setdefault(id_, made.text)
            elif what == "supersede":
                await store.supersede(space, id_, 5, None)
            elif what == "forget":
                assert await store.forget(space, [id_]) == (id_ in kept[space])
                gone[space].add(id_)
                kept[space].pop(id_, None)
            else:
                assert await store.erase(space) == len(kept[space])
                kept[space], gone[space] = {}, set()
        for space in SPACES:
            await _check(store, space, kept[space])
        for business in ("shop", "other", "shopc"):
            subjects = sorted(s.subject for s in SPACES if kept[s] and s.business == business)
            assert await store.subjects(business) == subjects


async def _check(store: MemoryStore, space: Namespace, kept: dict[str, str]) -> None:
    assert {one.id: one.text for one in await store.list(space)} == kept
    read = await store.get(space, [f"f{number}" for number in range(6)])
    assert {id_: one.text for id_, one in read.items()} == kept
    for word in ("tea", "ale", "gin"):
        wanted = {id_ for id_, text in kept.items() if word in text}
        assert set(await found(store, word, space)) == wanted
