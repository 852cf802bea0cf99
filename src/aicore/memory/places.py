"""Where memories are: a store and, beside it, vectors. What is deleted is deleted in both."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import anyio

from aicore.errors import AicoreError
from aicore.memory.port import Embedder, Entry, MemoryStore, Namespace, VectorIndex
from aicore.memory.recall import Recall

__all__ = ["Places"]

_log = logging.getLogger(__name__)

_PAGE = 500
_OWED = 10_000


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


class Owed:
    """Entries that are to have vectors soon: made by a task of its own, which nobody waits for."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Namespace, Sequence[Entry]]] = deque()
        self._count = 0
        self._is_busy = False
        self._came = anyio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed or just being made."""
        return not self._entries and not self._is_busy

    def put(self, namespace: Namespace, entries: Sequence[Entry]) -> bool:
        """Note entries. False if there are too many."""
        if self._count + len(entries) > _OWED:
            return False
        self._entries.append((namespace, entries))
        self._count += len(entries)
        self._came.set()
        return True

    async def take(self) -> tuple[Namespace, Sequence[Entry]]:
        """Wait for entries, and take the first, until `give_back`."""
        while not self._entries:
            self._came = anyio.Event()
            await self._came.wait()
        namespace, entries = self._entries.popleft()
        self._count -= len(entries)
        self._is_busy = True
        return namespace, entries

    def give_back(self) -> None:
        """Be done with what was taken."""
        self._is_busy = False

    def drop(self) -> None:
        """Owe nothing any more."""
        self._entries.clear()
        self._count = 0


@dataclass(frozen=True, slots=True)
class Places:
    """A store, what finds things in it, and the vectors and embedder that help, if any.

    `lacks` is set while entries may be without vectors, as at the start. `owed` are those that get
    theirs next.
    """

    store: MemoryStore
    recall: Recall
    vectors: VectorIndex | None = None
    embedder: Embedder | None = None
    lacks: Lacks = field(default_factory=Lacks)
    owed: Owed = field(default_factory=Owed)

    def embed_later(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Have the vectors of entries made by `embed_owed`, which somebody has to run."""
        if self.vectors is not None and entries and not self.owed.put(namespace, entries):
            self.lacks.note()

    async def embed_owed(self, is_done: Callable[[], None]) -> NoReturn:
        """Make the vectors that are owed, for ever; calls `is_done` whenever none are.

        Where one cannot be made now the others are not tried either: they are lacking until later.
        """
        while True:
            namespace, entries = await self.owed.take()
            try:
                there = await self.store.get(namespace, [entry.id for entry in entries])
                await self.recall.embed_missing(namespace, list(there.values()))
            except AicoreError as error:
                self.owed.drop()
                self._not_embedded(error)
            self.owed.give_back()
            if self.owed.is_idle:
                is_done()

    async def embed(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Make vectors of entries. One that has none now is found by its words."""
        if self.vectors is None or self.embedder is None or not entries:
            return
        try:
            await self.recall.embed_missing(namespace, entries)
        except AicoreError as error:
            self._not_embedded(error)

    def _not_embedded(self, error: AicoreError) -> None:
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
