"""Pinecone itself. Only with `-m live` and an index kept for tests in the environment.

AICORE_LIVE_PINECONE_API_KEY and AICORE_LIVE_PINECONE_HOST: an index of dense vectors with the
metric cosine, of any dimension. What is put there is erased in the end, but for one mark in the
namespace `aicore`.
"""

import os
import secrets

import pytest

from aicore.memory.pinecone import PineconeVectors
from aicore.memory.port import Namespace

pytestmark = pytest.mark.live


async def test_what_is_put_is_found_and_what_is_erased_is_not() -> None:
    key = os.environ.get("AICORE_LIVE_PINECONE_API_KEY", "")
    host = os.environ.get("AICORE_LIVE_PINECONE_HOST", "")
    if not (key and host):
        pytest.skip("AICORE_LIVE_PINECONE_* is not set")
    ann, bob = (Namespace("live", f"customer:{secrets.token_hex(8)}") for _ in range(2))
    async with PineconeVectors(host=host, api_key=key, model="live") as index:
        length = index._dimensions

        def axis(number: int) -> list[float]:
            return [1.0 if place == number else 0.0 for place in range(length)]

        try:
            await index.put(ann, {"a": axis(0), "b": axis(1)})
            await index.put(bob, {"c": axis(0)})
            assert [near.id for near in await index.nearest(ann, axis(0), 1)] == ["a"]
            await index.put(ann, {"a": axis(2)})
            (near,) = await index.nearest(ann, axis(2), 1)
            assert (near.id, near.similarity) == ("a", pytest.approx(1.0, abs=1e-3))
            assert await index.missing(ann, ["a", "b", "c"]) == {"c"}
            await index.remove(ann, ["a"])
            assert [near.id for near in await index.nearest(ann, axis(2), 9)] == ["b"]
        finally:
            await index.erase(ann)
            await index.erase(bob)
        assert list(await index.nearest(ann, axis(1), 9)) == []
        assert list(await index.nearest(bob, axis(0), 9)) == []
        await index.erase(ann)  # of what is empty already
