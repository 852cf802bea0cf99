"""Vectors at Pinecone: the real SDK against a stand-in on loopback, which is not the vendor."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from aicore.errors import ConfigError, CredentialError, NotOpenError, StoreBusy, StoreError
from aicore.memory.pinecone import PineconeVectors
from aicore.memory.port import Entry, Namespace, Source
from aicore.memory.recall import Recall
from aicore.memory.sqlite import SQLiteMemory

ANN, BOB = Namespace("main", "customer:+4915112345678"), Namespace("main", "customer:bob")
KEY = "pc-test-key"


def axis(number: int, length: int = 8) -> list[float]:
    return [1.0 if place == number else 0.0 for place in range(length)]


def opened(stub: Any, model: str = "m", **settings: Any) -> PineconeVectors:
    return PineconeVectors(host=stub.url, api_key=stub.api_key, model=model, **settings)


async def test_what_was_put_is_found_and_what_was_removed_is_not_however_late_it_shows(
    pinecone_stub: Any,
) -> None:
    pinecone_stub.lag = 5
    async with opened(pinecone_stub) as index:
        await index.put(ANN, {"a": axis(0), "b": axis(1)})
        assert [near.id for near in await index.nearest(ANN, axis(1), 1)] == ["b"]

        await index.put(ANN, {"a": axis(2)})
        (near,) = await index.nearest(ANN, axis(2), 1)
        assert (near.id, near.similarity) == ("a", pytest.approx(1.0))

        await index.remove(ANN, ["a"])
        assert [near.id for near in await index.nearest(ANN, axis(2), 9)] == ["b"]

        await index.erase(ANN)
        assert list(await index.nearest(ANN, axis(1), 9)) == []
    assert list(pinecone_stub.ids()) == ["aicore"]


async def test_a_write_that_does_not_show_is_told(pinecone_stub: Any) -> None:
    async with opened(pinecone_stub, settle_s=0.2) as index:
        await index.put(BOB, {"x": axis(1)})
        pinecone_stub.lag = 10_000
        with pytest.raises(StoreBusy):
            await index.put(ANN, {"a": axis(0)})
        with pytest.raises(StoreBusy):
            await index.erase(BOB)


async def test_nothing_but_ids_and_vectors_is_sent(pinecone_stub: Any) -> None:
    async with opened(pinecone_stub, model="embedder-1") as index:
        await index.put(ANN, {"a": axis(0)})
        await index.nearest(ANN, axis(0), 3)
        await index.missing(ANN, ["a"])
        await index.erase(ANN)

    sent = " ".join(pinecone_stub.seen)
    assert "15112345678" not in sent
    assert "customer" not in sent
    assert sent.count("metadata") == 1, "only the mark has any"
    assert "embedder-1" in sent


class Axes:
    """An embedder on this machine."""

    name, model = "axes", "m"
    locality: Literal["in_process", "local", "managed"] = "in_process"

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [axis(len(text) % 8) for text in texts]

    async def __aenter__(self) -> "Axes":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


async def test_no_vector_of_what_is_special_is_sent_though_it_was_made_here(
    pinecone_stub: Any, tmp_path: Path
) -> None:
    entries = [
        Entry(
            id=data_class,
            kind="fact",
            text="something told",
            source=Source(said_by="customer"),
            at_ms=0,
            data_class=data_class,
            valid_from_ms=0,
        )
        for data_class in ("personal", "special")
    ]
    async with SQLiteMemory(tmp_path / "m.db") as store, opened(pinecone_stub) as index:
        await store.add(ANN, entries)
        await Recall(store, index, Axes()).embed_missing(ANN, entries)
    assert [ids for name, ids in pinecone_stub.ids().items() if name != "aicore"] == [["personal"]]


async def test_more_than_a_request_takes_is_sent_in_parts(pinecone_stub: Any) -> None:
    vectors = {f"entry:{number}": axis(number % 8) for number in range(2300)}
    async with opened(pinecone_stub) as index:
        await index.put(ANN, vectors)
        assert await index.missing(ANN, [*vectors, "other"]) == {"other"}
        await index.remove(ANN, [*vectors][:2200])
        assert len(await index.missing(ANN, vectors)) == 2200
        assert len(await index.nearest(ANN, axis(0), 20_000)) == 100


async def test_ids_of_any_letters_come_back_as_they_were(pinecone_stub: Any) -> None:
    ids = ["weiß/ü:1", "a b%20c", "\u4f60\u597d", "e?x=1&y#z"]
    async with opened(pinecone_stub) as index:
        await index.put(ANN, {id_: axis(place) for place, id_ in enumerate(ids)})
        assert {near.id for near in await index.nearest(ANN, axis(0), 9)} == set(ids)
        assert await index.missing(ANN, ids) == set()
        await index.remove(ANN, ids[:1])
        assert await index.missing(ANN, ids) == set(ids[:1])


@pytest.mark.parametrize("status", [429, 503])
async def test_what_passes_is_tried_again_and_what_stays_is_told(
    pinecone_stub: Any, status: int
) -> None:
    async with opened(pinecone_stub) as index:
        pinecone_stub.fail(status, times=2, retry_after="0")
        await index.put(ANN, {"a": axis(0)})
        assert ["a"] in pinecone_stub.ids().values()

        pinecone_stub.fail(status, times=4, retry_after="0")
        with pytest.raises(StoreBusy):
            await index.nearest(ANN, axis(0), 1)
        assert len(await index.nearest(ANN, axis(0), 1)) == 1


async def test_a_wrong_key_is_a_matter_of_credentials(pinecone_stub: Any) -> None:
    index = PineconeVectors(host=pinecone_stub.url, api_key="pc-wrong-secret", model="m")
    with pytest.raises(CredentialError) as caught:
        async with index:
            pass
    assert "pc-wrong-secret" not in str(caught.value)


async def test_an_index_that_is_gone_is_told_at_the_start_and_later(pinecone_stub: Any) -> None:
    async with opened(pinecone_stub) as index:
        await index.put(ANN, {"a": axis(0)})
        pinecone_stub.is_deleted = True
        with pytest.raises(ConfigError):
            await index.nearest(ANN, axis(0), 1)
        with pytest.raises(ConfigError):
            await index.erase(ANN)
    with pytest.raises(ConfigError):
        async with opened(pinecone_stub):
            pass


async def test_another_embedder_or_length_or_metric_is_refused(pinecone_stub: Any) -> None:
    async with opened(pinecone_stub, model="first") as index:
        with pytest.raises(ConfigError):
            await index.put(ANN, {"a": axis(0, length=4)})
        assert pinecone_stub.ids() == {}
        await index.put(ANN, {"a": axis(0)})
        with pytest.raises(ConfigError):
            await index.nearest(ANN, axis(0, length=4), 1)
    with pytest.raises(ConfigError):
        async with opened(pinecone_stub, model="second"):
            pass
    pinecone_stub.metric = "euclidean"
    with pytest.raises(ConfigError):
        async with opened(pinecone_stub, model="first"):
            pass


async def test_nobody_at_the_host_is_an_outage(pinecone_stub: Any) -> None:
    index = PineconeVectors(host="http://127.0.0.1:9", api_key=KEY, model="m")
    with pytest.raises(StoreBusy):
        async with index:
            pass


async def test_a_request_that_is_refused_is_told_without_its_content(pinecone_stub: Any) -> None:
    async with opened(pinecone_stub) as index:
        with pytest.raises(StoreError) as caught:
            await index.put(ANN, {"x" * 600: axis(0)})
    assert "xxx" not in str(caught.value)


async def test_the_stand_in_refuses_what_is_documented_to_be_refused(pinecone_stub: Any) -> None:
    """And filters: none of it is needed here, so that a change that needs it is tested."""
    from pinecone import AsyncIndex
    from pinecone.errors import ApiError

    pinecone_stub.lag = 0
    many = [(f"{number}", axis(0)) for number in range(1001)]
    async with AsyncIndex(host=pinecone_stub.url, api_key=pinecone_stub.api_key) as index:
        for vectors in (many, [("a", axis(0), {"text": "x" * 41_000})], [("a", axis(0, 4))]):
            with pytest.raises(ApiError) as caught:
                await index.upsert(vectors=vectors, namespace="n")
            assert caught.value.status_code == 400
        with pytest.raises(ApiError):
            await index.delete(delete_all=True, namespace="never there")
        rows = [("a", axis(0), {"kind": "fact"}), ("b", axis(1), {"kind": "episode"})]
        await index.upsert(vectors=rows, namespace="n")
        wanted = {"kind": {"$in": ["episode", "passage"]}}
        found = await index.query(top_k=9, vector=axis(0), namespace="n", filter=wanted)
        assert [match.id for match in found.matches] == ["b"]


@pytest.mark.parametrize(
    ("host", "key"),
    [("shop", KEY), ("", KEY), ("http://shop.svc.pinecone.io", KEY), ("https://a.b", "")],
)
def test_settings_that_cannot_be_are_refused_at_once(host: str, key: str) -> None:
    with pytest.raises(ConfigError):
        PineconeVectors(host=host, api_key=key, model="m")


async def test_without_the_extra_it_says_what_to_install(
    pinecone_stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pinecone", None)
    with pytest.raises(ConfigError):
        async with opened(pinecone_stub):
            pass


async def test_nothing_works_outside_async_with(pinecone_stub: Any) -> None:
    index = opened(pinecone_stub)
    with pytest.raises(NotOpenError):
        await index.nearest(ANN, axis(0), 1)
    async with index:
        with pytest.raises(NotOpenError):
            await index.__aenter__()
    with pytest.raises(NotOpenError):
        await index.put(ANN, {"a": axis(0)})
