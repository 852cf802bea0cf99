"""Where memories are: a store and, beside it, vectors. What is deleted is deleted in both."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aicore.errors import AicoreError
from aicore.memory.port import Embedder, Entry, MemoryStore, Namespace, VectorIndex
from aicore.memory.recall import Recall

__all__ = ["Places"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """A store, what finds things in it, and the vectors and embedder that help, if any."""

    store: MemoryStore
    recall: Recall
    vectors: VectorIndex | None = None
    embedder: Embedder | None = None

    async def embed(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Make vectors of entries. One that has none now is found by its words."""
        if self.vectors is None or self.embedder is None or not entries:
            return
        try:
            await self.recall.embed_missing(namespace, entries)
        except AicoreError as error:
            _log.warning("not_embedded error=<%s> | found by words only", error.code)

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        """Delete entries for good. Returns how many there were."""
        if self.vectors is not None:
            await self.vectors.remove(namespace, ids)
        return await self.store.forget(namespace, ids)

    async def erase(self, namespace: Namespace) -> int:
        """Delete a namespace for good. Returns how many entries there were."""
        if self.vectors is not None:
            await self.vectors.erase(namespace)
        return await self.store.erase(namespace)
