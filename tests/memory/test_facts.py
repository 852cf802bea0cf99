"""Facts in their order: the newer holds; what is late, doubled or reversed changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore.memory.candidates import Candidate
from aicore.memory.episodes import Utterance
from aicore.memory.facts import correct, facts_of, take_in
from aicore.memory.port import Entry, Namespace
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId

ANN = Namespace("main", "customer:ann")
TALK = ConversationId("web:1")
NOW_MS = 10_000_000


def said(seq: int, at_ms: int) -> Utterance:
    return Utterance(seq=seq, at_ms=at_ms, subject=ANN.subject, said_by="customer", text="...")


async def learn(
    store: SQLiteMemory,
    seq: int,
    value: str,
    *,
    at_ms: int | None = None,
    topic: str = "phone",
    is_end: bool = False,
    talk: ConversationId = TALK,
) -> list[Entry]:
    at_ms = seq * 1000 if at_ms is None else at_ms
    candidate = Candidate(topic=topic, value=value, is_end=is_end)
    return await take_in(store, ANN, facts_of(talk, said(seq, at_ms), [candidate], NOW_MS))


async def holding(store: SQLiteMemory, at_ms: int = NOW_MS) -> list[str]:
    return [entry.text for entry in await store.list(ANN, kind="fact", at_ms=at_ms)]


async def test_a_newer_value_supersedes_and_the_older_stays_readable(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        (old,) = await learn(store, 1, "111")
        (new,) = await learn(store, 5, "222")
        kept = await store.get(ANN, [old.id, new.id])

        assert await holding(store) == ["Phone: 222"]
        assert await holding(store, at_ms=2000) == ["Phone: 111"]
        assert (kept[old.id].valid_to_ms, kept[old.id].superseded_by) == (5000, new.id)


async def test_the_same_value_again_adds_nothing(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        await learn(store, 1, "+49 1512")

        assert await learn(store, 5, "+491512") == []
        assert len(await store.list(ANN)) == 1


async def test_an_event_learned_late_does_not_overturn_a_newer_one(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        (new,) = await learn(store, 1, "new", at_ms=9000, talk=ConversationId("web:new"))
        await learn(store, 1, "old", at_ms=3000, talk=ConversationId("web:old"))

        assert await holding(store) == ["Phone: new"]
        assert await holding(store, at_ms=4000) == ["Phone: old"]
        (old,) = [one for one in await store.list(ANN) if one.id != new.id]
        assert old.superseded_by == new.id


async def test_in_one_conversation_the_number_decides_when_the_clock_jumps_back(
    tmp_path: Path,
) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        await learn(store, 3, "first", at_ms=9000)
        await learn(store, 7, "second", at_ms=2000)

        assert await holding(store) == ["Phone: second"]


async def test_a_time_to_come_counts_as_now(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        (fact,) = await learn(store, 1, "111", at_ms=NOW_MS * 100)

        assert fact.valid_from_ms == NOW_MS
        assert await holding(store) == ["Phone: 111"]


async def test_an_end_ends_what_has_its_value_and_what_is_learned_late(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        await learn(store, 1, "12 High Street, Leeds", topic="address")
        assert await learn(store, 3, "Berlin", topic="address", is_end=True) == []
        assert await holding(store) == ["Address: 12 High Street, Leeds"]
        await learn(store, 5, "Leeds", topic="address", is_end=True)
        assert await holding(store) == []
        late = ConversationId("web:late")
        await learn(store, 1, "Leeds", at_ms=4000, topic="address", talk=late)
        assert await holding(store) == []
        await learn(store, 9, "Leeds", topic="address")
        assert await holding(store) == ["Address: Leeds"]


async def test_several_of_a_kind_hold_together(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        for seq, what in enumerate(("nuts", "latex"), 1):
            await learn(store, seq, what, topic=f"allergy: {what}")
        await learn(store, 5, "nuts", topic="allergy: nuts", is_end=True)

        assert await holding(store) == ["Allergy: latex"]


async def test_a_correction_by_staff_survives_learning_again(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        (wrong,) = await learn(store, 1, "wrong")
        right = await correct(store, ANN, wrong, "Phone: right", by="staff", now_ms=8000)
        assert right is not None
        await learn(store, 1, "wrong")
        await learn(store, 1, "older", at_ms=500, talk=ConversationId("web:2"))

        assert await holding(store) == ["Phone: right"]
        assert right.source.said_by == "staff"
        assert await correct(store, ANN, wrong, "x", by="staff", now_ms=9000) is None
        await learn(store, 9, "newer", at_ms=9500)
        assert await holding(store) == ["Phone: newer"]


async def test_a_forgotten_fact_is_not_learned_again(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        (fact,) = await learn(store, 1, "111")
        await store.forget(ANN, [fact.id])
        await learn(store, 1, "111")

        assert await store.list(ANN) == []


async def test_ids_hold_nothing_of_what_was_said(tmp_path: Path) -> None:
    one, other = (
        facts_of(TALK, said(1, 5), [Candidate(topic="phone", value=value)], NOW_MS)[0]
        for value in ("111", "222")
    )

    assert one.id == other.id


EVENTS = [("web:a", 1, 1000, "one"), ("web:b", 1, 2000, "two"), ("web:a", 4, 3000, "three")]
EVENTS += [("web:c", 2, 4000, "five"), ("web:b", 6, 5000, "four")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_any_order_of_learning_ends_alike(tmp_path: Path, order: tuple[int, ...]) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        for place in (*order, *order):
            talk, seq, at_ms, value = EVENTS[place]
            await learn(store, seq, value, at_ms=at_ms, talk=ConversationId(talk))

        assert await holding(store) == ["Phone: three"]
        assert await holding(store, at_ms=2500) == ["Phone: two"]
        assert await holding(store, at_ms=1500) == ["Phone: one"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, len(EVENTS) - 1), min_size=5, max_size=15))
async def test_whatever_is_learned_in_whatever_order_one_fact_holds_and_it_is_the_newest(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    async with SQLiteMemory(folder / "m.db") as store:
        for place in order:
            talk, seq, at_ms, value = EVENTS[place]
            await learn(store, seq, value, at_ms=at_ms, talk=ConversationId(talk))
        newest = EVENTS[max(order)]

        assert await holding(store) == [f"Phone: {newest[3]}"]


async def test_two_who_learn_at_once_leave_one_that_holds(tmp_path: Path) -> None:
    """Each has looked before the other has written."""

    class Together(SQLiteMemory):
        waiting = 0
        all_looked = anyio.Event()

        async def list(self, namespace: Namespace, **asked: Any) -> Sequence[Entry]:  # type: ignore[override]
            found = await super().list(namespace, **asked)
            self.waiting += 1
            if self.waiting == 3:
                self.all_looked.set()
            await self.all_looked.wait()
            return found

    async with Together(tmp_path / "m.db") as store, anyio.create_task_group() as group:
        for talk, at_ms, is_end in (("a", 3000, False), ("b", 1000, False), ("c", 4000, True)):
            value = "old" if at_ms == 1000 else "new"
            group.start_soon(
                partial(
                    learn,
                    store,
                    1,
                    value,
                    at_ms=at_ms,
                    is_end=is_end,
                    talk=ConversationId(f"web:{talk}"),
                )
            )
    async with SQLiteMemory(tmp_path / "m.db") as store:
        assert await holding(store) == []
        assert await holding(store, at_ms=2000) == ["Phone: old"]
        assert await holding(store, at_ms=3500) == ["Phone: new"]
