"""What every VectorIndex promises. A backend is a row in memory_rows.py."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore.errors import ConfigError, NotOpenError
from aicore.memory.port import Namespace, VectorIndex

ANN = Namespace("shop", "customer:ann")
BOB = Namespace("shop", "customer:bob")
OTHER = Namespace("other", "customer:ann")


async def near(index: VectorIndex, space: Namespace, *vector: float, k: int = 10) -> list[str]:
    return [found.id for found in await index.nearest(space, vector, k)]


async def test_the_most_similar_come_first(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"east": (2, 0, 0), "north": (0, 1, 0), "between": (1, 1, 0)})
        found = await index.nearest(ANN, (5, 1, 0), 2)
    assert [one.id for one in found] == ["east", "between"]
    assert found[0].similarity == pytest.approx(5 / math.sqrt(26), abs=1e-3)


async def test_similarity_is_the_cosine_from_minus_one_to_one(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"same": (3, 4, 0), "opposite": (-3, -4, 0)})
        found = {one.id: one.similarity for one in await index.nearest(ANN, (3, 4, 0), 10)}
    assert found == {"same": pytest.approx(1, abs=1e-3), "opposite": pytest.approx(-1, abs=1e-3)}


async def test_a_namespace_nobody_wrote_to_is_empty(indexes: Any) -> None:
    async with indexes.make() as index:
        assert await near(index, ANN, 1, 0, 0) == []
        assert set(await index.missing(ANN, ["a", "b"])) == {"a", "b"}
        await index.remove(ANN, ["a"])
        await index.erase(ANN)


async def test_what_is_put_again_takes_the_place_of_the_earlier(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"a": (1, 0, 0), "b": (0, 1, 0)})
        assert await near(index, ANN, 1, 0, 0, k=1) == ["a"]
        await index.put(ANN, {"a": (0, 0, 1)})
        assert await near(index, ANN, 0, 0, 1, k=1) == ["a"]
        assert sorted(await near(index, ANN, 1, 1, 1)) == ["a", "b"]


async def test_what_is_put_later_is_found_beside_the_earlier(indexes: Any) -> None:
    async with indexes.make() as index:
        for number in range(5):
            await index.put(ANN, {f"{number}": (1, number, 0)})
            found = await near(index, ANN, 1, number, 0)
            assert len(found) == number + 1
            assert found[0] == f"{number}"


async def test_missing_tells_which_have_no_vector(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"a": (1, 0, 0)})
        await index.put(BOB, {"b": (1, 0, 0)})
        assert set(await index.missing(ANN, ["a", "b", "c"])) == {"b", "c"}


async def test_what_is_removed_is_found_no_more_and_can_be_put_again(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"a": (1, 0, 0), "b": (0, 1, 0)})
        await index.remove(ANN, ["a", "never there"])
        assert await near(index, ANN, 1, 0, 0) == ["b"]
        assert set(await index.missing(ANN, ["a", "b"])) == {"a"}
        await index.put(ANN, {"a": (1, 0, 0)})
        assert await near(index, ANN, 1, 0, 0) == ["a", "b"]


async def test_a_removed_id_is_kept_nowhere(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {f"quokka-{n}": (1, n, 0) for n in range(50)})
        await index.put(BOB, {"wombat-7": (1, 0, 0)})
        await index.remove(ANN, ["quokka-7"])
        assert not indexes.holds("quokka-7")
        assert await near(index, ANN, 1, 0, 0, k=1) == ["quokka-0"]
        await index.erase(ANN)
        assert not indexes.holds("quokka-")
        assert indexes.holds("wombat-7")


async def test_erasing_one_namespace_leaves_the_others(indexes: Any) -> None:
    async with indexes.make() as index:
        for space in (ANN, BOB, OTHER):
            await index.put(space, {space.business + space.subject: (1, 0, 0)})
        await index.erase(ANN)
        assert await near(index, ANN, 1, 0, 0) == []
        assert await near(index, BOB, 1, 0, 0) == [BOB.business + BOB.subject]
        assert await near(index, OTHER, 1, 0, 0) == [OTHER.business + OTHER.subject]


async def test_vectors_are_there_when_opened_again(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"a": (1, 0, 0)})
    async with indexes.make() as index:
        assert await near(index, ANN, 1, 0, 0) == ["a"]


async def test_two_open_indexes_see_each_others_writes(indexes: Any) -> None:
    async with indexes.make() as here, indexes.make() as there:
        await here.put(ANN, {"a": (1, 0, 0), "b": (0, 1, 0)})
        assert await near(there, ANN, 1, 0, 0) == ["a", "b"]
        await here.put(ANN, {"c": (1, 0, 0)})
        assert sorted(await near(there, ANN, 1, 0, 0)) == ["a", "b", "c"]
        await here.remove(ANN, ["a"])
        assert await near(there, ANN, 1, 0, 0) == ["c", "b"]
        await here.erase(ANN)
        assert await near(there, ANN, 1, 0, 0) == []


async def test_another_model_is_refused(indexes: Any) -> None:
    async with indexes.make(model="tiny") as index:
        await index.put(ANN, {"a": (1, 0, 0)})
    with pytest.raises(ConfigError):
        async with indexes.make(model="huge"):
            pass


async def test_another_length_is_refused_and_changes_nothing(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {"a": (1, 0, 0)})
        with pytest.raises(ConfigError):
            await index.put(ANN, {"b": (1, 0)})
        with pytest.raises(ConfigError):
            await index.nearest(ANN, (1, 0), 3)
        assert await near(index, ANN, 1, 0, 0) == ["a"]


async def test_ids_may_hold_anything(indexes: Any) -> None:
    ids = ["'; --", '"', "a/b:c d", "日本", "🦘", "x" * 200]
    async with indexes.make() as index:
        await index.put(ANN, dict.fromkeys(ids, (1, 0, 0)))
        assert sorted(await near(index, ANN, 1, 0, 0)) == sorted(ids)
        await index.remove(ANN, ids)
        assert await near(index, ANN, 1, 0, 0) == []


async def test_no_more_than_asked_for(indexes: Any) -> None:
    async with indexes.make() as index:
        await index.put(ANN, {f"{n}": (1, n, 0) for n in range(30)})
        assert len(await near(index, ANN, 1, 0, 0, k=7)) == 7
        assert await near(index, ANN, 1, 0, 0, k=0) == []


async def test_used_outside_its_block_is_refused(indexes: Any) -> None:
    with pytest.raises(NotOpenError):
        await indexes.make().nearest(ANN, (1, 0, 0), 3)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_nothing_of_another_namespace_is_ever_found(
    indexes: Any, data: st.DataObject
) -> None:
    alike = (Namespace("shop", "customer:an"), Namespace("shopc", "ustomer:ann"))
    spaces = (ANN, BOB, OTHER, *alike)
    async with indexes.make() as index:
        for space in spaces:
            await index.erase(space)
        kept: dict[Namespace, set[str]] = {space: set() for space in spaces}
        for step in range(data.draw(st.integers(1, 6))):
            space = data.draw(st.sampled_from(spaces))
            ids = [f"{spaces.index(space)}-{step}-{n}" for n in range(3)]
            await index.put(space, {id_: (1, step, n) for n, id_ in enumerate(ids)})
            kept[space].update(ids)
        for space in spaces:
            assert set(await near(index, space, 1, 1, 1, k=100)) == kept[space]
            others = set().union(*kept.values()) - kept[space]
            assert set(await index.missing(space, others)) == others
