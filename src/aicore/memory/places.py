"""Where memories are: a store and, beside it, vectors. What is deleted is deleted in both."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import anyio

from aicore.errors import AicoreError
from aicore.memory.port import Embedder, Entry, MemoryStore, Namespace, VectorIndex
from aicore.memory.recall import Recall

__all__ = ["Places"]

_log = logging.getLogger(__name__)

_PAGE = 500


class Lacks:
    """Whether something has to be made up for, and a way to wait for it."""

    def __init__(self) -> None:
        self._noted = anyio.Event()

    def note(self) -> None:
        """Say that there is something."""
        self._noted.set()

    async def wait(self) -> None:
        """Wait until there is something, and begin anew."""
        await self._noted.wait()
        self._noted = anyio.Event()


@dataclass(frozen=True, slots=True)
class Places:
    """A store, what finds things in it, and the vectors and embedder that help, if any.

    `lacks` is set while entries may be without vectors, as at the start.
    """

    store: MemoryStore
    recall: Recall
    vectors: VectorIndex | None = None
    embedder: Embedder | None = None
    lacks: Lacks = field(default_factory=Lacks)

    async def embed(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Make vectors of entries. One that has none now is found by its words."""
        if self.vectors is None or self.embedder is None or not entries:
            return
        try:
            await self.recall.embed_missing(namespace, entries)
        except AicoreError as error:
            _log.warning("not_embedded error=<%s> | found by words until later", error.code)
            self.lacks.note()

    async def embed_rest(self, business: str) -> None:
        """Make the vectors that entries of anybody lack.

        Raises: StoreBusy, StoreError, ProviderUnavailable, CredentialError, ConfigError.
        """
        subject: str | None = None
        while subjects := await self.store.subjects(business, subject, _PAGE):
            for subject in subjects:
                namespace, last = Namespace(business, subject), None
                while entries := await self.store.list(namespace, after=last, limit=_PAGE):
                    await self.recall.embed_missing(namespace, entries)
                    last = entries[-1].id

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        """Delete entries for good. Returns how many there were."""
        if self.vectors is not None:
            await self.vectors.remove(namespace, ids)
        count = await self.store.forget(namespace, ids)
        if self.vectors is not None:
            # Somebody may have made some while the entries were there yet.
            await self.vectors.remove(namespace, ids)
        return count

    async def erase(self, namespace: Namespace) -> int:
        """Delete a namespace for good. Returns how many entries there were."""
        if self.vectors is not None:
            await self.vectors.erase(namespace)
        count = await self.store.erase(namespace)
        if self.vectors is not None:
            await self.vectors.erase(namespace)
        return count
