"""What an embedder and a vector index add to words: never waited for long, and gone without."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import anyio

from aicore.errors import AicoreError, ModelError, ProviderUnavailable
from aicore.memory.port import Embedder, Entry, MemoryStore, Namespace, VectorIndex
from aicore.trust.special import data_class_of

__all__ = ["Meaning"]

_log = logging.getLogger(__name__)

_AT_ONCE = 32
_BATCH_S = 20.0
_REFUSED = 10_000

Similarities = Mapping[str, float]


class Meaning:
    """Finds entries by the vector of a question, and makes the vectors of entries.

    Nothing of special texts is ever sent to a managed embedder or index.
    """

    def __init__(
        self, store: MemoryStore, vectors: VectorIndex, embedder: Embedder, *, rest_s: float
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._embedder = embedder
        self._rest_s = rest_s
        self._rests_until_s = 0.0
        self._is_down = False
        self._refused: dict[tuple[Namespace, str], None] = {}

    def may_ask(self, text: str) -> bool:
        """Whether there is a vector to be had for a question now."""
        if not text.strip() or anyio.current_time() < self._rests_until_s:
            return False
        return not self._leaves() or data_class_of(text) != "special"

    async def near(
        self, namespaces: Sequence[Namespace], text: str, k: int, *, within_s: float
    ) -> Mapping[Namespace, Similarities]:
        """The similarities of the `k` nearest entries of each namespace, by id.

        None of those that cannot be had in `within_s` seconds. After a failure of the embedder
        or the index neither is asked for a while; it is logged once.
        """
        found: dict[Namespace, Similarities] = {}
        try:
            with anyio.fail_after(within_s):
                [vector] = await self._embedder.embed([text])
                for namespace in namespaces:
                    near = await self._vectors.nearest(namespace, vector, k)
                    found[namespace] = {one.id: one.similarity for one in near}
        except ModelError:
            pass  # This text was refused, too long perhaps; others are not.
        except (AicoreError, TimeoutError) as error:
            self._went_down(error)
        else:
            self._is_down = False
        return found

    def _went_down(self, error: Exception) -> None:
        self._rests_until_s = anyio.current_time() + self._rest_s
        if not self._is_down:
            code = error.code if isinstance(error, AicoreError) else "timeout"
            _log.warning("recall_by_words_only error=<%s> | the embedder or index is down", code)
        self._is_down = True

    async def embed_missing(self, namespace: Namespace, entries: Sequence[Entry]) -> None:
        """Make vectors of those entries that have none. Sensitive ones stay out of managed hands.

        A text that the embedder refuses is passed over, and found by its words.
        Raises: StoreBusy, StoreError; ProviderUnavailable, also for an embedder that hangs;
        CredentialError, ConfigError.
        """
        wanted = {
            entry.id: entry.text
            for entry in entries
            if (not self._leaves() or entry.data_class != "special")
            and (namespace, entry.id) not in self._refused
        }
        missing = sorted(await self._vectors.missing(namespace, wanted)) if wanted else []
        for start in range(0, len(missing), _AT_ONCE):
            batch = missing[start : start + _AT_ONCE]
            await self._embed(namespace, {id_: wanted[id_] for id_ in batch})

    async def _embed(self, namespace: Namespace, texts: Mapping[str, str]) -> None:
        """Make vectors of a batch; of one that is refused, of its halves."""
        ids = list(texts)
        try:
            with anyio.fail_after(_BATCH_S):
                made = await self._embedder.embed([texts[id_] for id_ in ids])
        except TimeoutError as error:
            raise ProviderUnavailable(
                f"{self._embedder.name} gave no vectors in {_BATCH_S:.0f} s; asked again later."
            ) from error
        except ModelError as error:
            if len(ids) == 1:
                self._refuse(namespace, ids[0], error)
                return
            middle = len(ids) // 2
            for half in (ids[:middle], ids[middle:]):
                await self._embed(namespace, {id_: texts[id_] for id_ in half})
            return
        await self._vectors.put(namespace, dict(zip(ids, made, strict=True)))
        self._rests_until_s = 0.0  # Both are there again.
        # Somebody may have had them forgotten meanwhile.
        gone = set(ids) - set(await self._store.get(namespace, ids))
        if gone:
            await self._vectors.remove(namespace, gone)

    def _refuse(self, namespace: Namespace, id_: str, error: ModelError) -> None:
        _log.warning("text_not_embedded entry=<%s> error=<%s> | found by words", id_, error.code)
        self._refused[namespace, id_] = None
        if len(self._refused) > _REFUSED:
            del self._refused[next(iter(self._refused))]

    def _leaves(self) -> bool:
        """Whether texts or their vectors come into managed hands."""
        return "managed" in (self._embedder.locality, self._vectors.locality)
