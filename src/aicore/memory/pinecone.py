"""A VectorIndex at Pinecone: https://docs.pinecone.io. Only ids and vectors are sent there."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeVar
from urllib.parse import quote, unquote, urlsplit

import anyio

from aicore.errors import ConfigError, CredentialError, NotOpenError, StoreBusy, StoreError
from aicore.memory.port import Namespace, Near

if TYPE_CHECKING:
    from pinecone import AsyncIndex

__all__ = ["PineconeVectors"]

T = TypeVar("T")

_ATTEMPT_S = 10.0
_CALL_S = 30.0
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 2.0

# https://docs.pinecone.io/reference/api/database-limits: 1000 vectors and 2 MB a request, here
# with room for the digits of a number in JSON; ids to fetch stand in the url.
_MOST_VECTORS = 1000
_MOST_BYTES = 1_500_000
_BYTES_A_NUMBER = 24
_BYTES_AN_ID = 600
_MOST_DELETED = 1000
_MOST_FETCHED = 50
_MOST_FOUND = 10_000

_MARK_NAMESPACE = "aicore"
_MARK_ID = "embedder"
_SAME = 0.999


class PineconeVectors:
    """Vectors in one Pinecone index, dense and with the metric cosine, made beforehand.

    `host` is the index's own, as Pinecone's console shows it; `model` names the embedder. Pinecone
    shows a write some time after it took it: `put`, `remove` and `erase` wait up to `settle_s`
    for that. A namespace is called by a plain SHA-256 of business and subject: no phone number
    is sent, but who has the hash and knows the business can try numbers. Vectors tell something
    of the texts they stand for, so what is special is not embedded at all.
    """

    locality: Literal["in_process", "local", "managed"] = "managed"

    def __init__(self, *, host: str, api_key: str, model: str, settle_s: float = 60.0) -> None:
        _check_place(host, api_key)
        self._host = host
        self._api_key = api_key
        self._model = model
        self._settle_s = settle_s
        self._index: AsyncIndex | None = None
        self._dimensions = 0
        self._is_marked = False

    async def __aenter__(self) -> Self:
        if self._index is not None:
            raise NotOpenError(f"The Pinecone index {self._host} is open: make another object.")
        try:
            from pinecone import AsyncIndex
        except ImportError as exc:
            raise ConfigError(
                "Vectors at Pinecone need `pip install aicore-mcp[pinecone]`."
            ) from exc
        with self._translated():
            self._index = AsyncIndex(host=self._host, api_key=self._api_key, timeout=_ATTEMPT_S)
        try:
            await self._look_at_index()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def put(self, namespace: Namespace, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors under these ids, in place of earlier ones. Found from now on.

        Raises: StoreBusy also when they were sent but cannot be found yet.
        """
        for vector in vectors.values():
            self._check_length(vector)
        if vectors:
            await self._mark()
        name, index = _name(namespace), self._opened()
        batch_size = max(1, _MOST_BYTES // (self._dimensions * _BYTES_A_NUMBER + _BYTES_AN_ID))
        last: list[str] = []
        for batch in _batches(vectors, min(batch_size, _MOST_VECTORS)):
            rows = [(_to_pinecone(id_), list(vectors[id_])) for id_ in batch]
            await self._call(partial(index.upsert, vectors=rows, namespace=name))
            last.append(batch[-1])
        for id_ in last:
            await self._settle(partial(self._shows, name, id_, vectors[id_]))

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors, best first, at most `k`."""
        self._check_length(vector)
        name, index = _name(namespace), self._opened()
        if k < 1:
            return ()
        answer = await self._call(
            lambda: index.query(top_k=min(k, _MOST_FOUND), vector=list(vector), namespace=name)
        )
        return [Near(unquote(match.id), match.score) for match in answer.matches]

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""
        name, index = _name(namespace), self._opened()
        wanted = set(ids)
        for batch in _batches(sorted(wanted), _MOST_FETCHED):
            asked = [_to_pinecone(id_) for id_ in batch]
            answer = await self._call(partial(index.fetch, ids=asked, namespace=name))
            wanted.difference_update(map(unquote, answer.vectors))
        return wanted

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors. Returns when they can no longer be found.

        Raises: StoreBusy also when they were deleted but are still found.
        """
        name, index = _name(namespace), self._opened()
        last: list[str] = []
        for batch in _batches(sorted(set(ids)), _MOST_DELETED):
            asked = [_to_pinecone(id_) for id_ in batch]
            await self._delete(partial(index.delete, ids=asked, namespace=name))
            last += (batch[0], batch[-1])
        for id_ in last:
            await self._settle(partial(self._is_gone, name, id_))

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace. Returns when none can be found; raises as `remove`."""
        name, index = _name(namespace), self._opened()
        await self._delete(lambda: index.delete(delete_all=True, namespace=name))
        await self._settle(lambda: self._is_empty(name))

    async def _look_at_index(self) -> None:
        index = self._opened()
        stats = await self._call(index.describe_index_stats)
        if not stats.dimension or (stats.metric or "cosine") != "cosine":
            raise ConfigError(
                f"The Pinecone index {self._host} is not of dense vectors with the metric cosine. "
                f"{_how_anew()}"
            )
        self._dimensions = stats.dimension
        mark = await self._call(lambda: index.fetch(ids=[_MARK_ID], namespace=_MARK_NAMESPACE))
        if _MARK_ID not in mark.vectors:
            return
        model = (mark.vectors[_MARK_ID].metadata or {}).get("model")
        if model != self._model:
            raise ConfigError(
                f"The Pinecone index {self._host} holds vectors of the embedder {model!r}, not of "
                f"{self._model!r}. {_how_anew()}"
            )
        self._is_marked = True

    async def _mark(self) -> None:
        """Note in the index itself, once, which embedder its vectors are of."""
        if self._is_marked:
            return
        index, first = self._opened(), [1.0] + [0.0] * (self._dimensions - 1)
        mark = [(_MARK_ID, first, {"model": self._model})]
        await self._call(lambda: index.upsert(vectors=mark, namespace=_MARK_NAMESPACE))
        await self._settle(lambda: self._shows(_MARK_NAMESPACE, _MARK_ID, first))
        self._is_marked = True

    def _check_length(self, vector: Sequence[float]) -> None:
        self._opened()
        if len(vector) != self._dimensions:
            raise ConfigError(
                f"The Pinecone index {self._host} holds vectors of {self._dimensions} numbers, "
                f"and {self._model!r} gave {len(vector)}. {_how_anew()}"
            )

    async def _shows(self, name: str, id_: str, vector: Sequence[float]) -> bool:
        """Whether searches see this vector under this id, and not an earlier one."""
        index, asked = self._opened(), _to_pinecone(id_)
        answer = await self._call(
            lambda: index.query(top_k=1, id=asked, namespace=name, include_values=True)
        )
        # Another id comes first only when its vector is the same one.
        return bool(answer.matches) and _cosine(answer.matches[0].values, vector) > _SAME

    async def _is_gone(self, name: str, id_: str) -> bool:
        index, asked = self._opened(), _to_pinecone(id_)
        answer = await self._call(lambda: index.query(top_k=1, id=asked, namespace=name))
        return not answer.matches

    async def _is_empty(self, name: str) -> bool:
        index, first = self._opened(), [1.0] + [0.0] * (self._dimensions - 1)
        answer = await self._call(lambda: index.query(top_k=1, vector=first, namespace=name))
        return not answer.matches

    async def _settle(self, is_shown: Callable[[], Awaitable[bool]]) -> None:
        """Wait until searches see what was written: fetching by id sees it at another time."""
        give_up_s, pause_s = time.monotonic() + self._settle_s, _FIRST_PAUSE_S
        while not await is_shown():
            if time.monotonic() > give_up_s:
                raise StoreBusy(
                    f"Pinecone took the write, and does not show it after {self._settle_s:.0f} s. "
                    "Do it again to be certain.",
                    retry_after_s=self._settle_s,
                )
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _delete(self, call: Callable[[], Awaitable[None]]) -> None:
        from pinecone.errors import NotFoundError

        try:
            await self._call(call)
        except ConfigError as exc:
            if not isinstance(exc.__cause__, NotFoundError):
                raise
            # Said of a namespace that nothing was ever put into, as of an index that is gone.
            await self._call(self._opened().describe_index_stats)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask Pinecone; its SDK tries again by itself after 429, 5xx and broken connections."""
        with self._translated(), anyio.fail_after(_CALL_S):
            return await call()
        raise AssertionError  # the deadline raises

    async def _close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            with anyio.move_on_after(_ATTEMPT_S, shield=True):
                await index.close()

    def _opened(self) -> AsyncIndex:
        if self._index is None:
            raise NotOpenError(f"The Pinecone index {self._host} is not open. Use `async with`.")
        return self._index

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        from pinecone import errors

        where = f"The Pinecone index {self._host}"
        try:
            yield
        except (errors.UnauthorizedError, errors.ForbiddenError) as exc:
            raise CredentialError(
                f"{where} refuses the API key (HTTP {exc.status_code}). Check it and its roles."
            ) from exc
        except errors.NotFoundError as exc:
            raise ConfigError(f"{where} is not there. Check its host, or make the index.") from exc
        except errors.RateLimitError as exc:
            raise StoreBusy(
                f"{where} is asked too often.", retry_after_s=exc.retry_after or 1.0
            ) from exc
        except (errors.ServiceError, errors.PineconeConnectionError, TimeoutError) as exc:
            raise StoreBusy(
                f"{where} does not answer. Check its host and the network; try again.",
                retry_after_s=1.0,
            ) from exc
        except errors.ApiError as exc:
            raise StoreError(f"{where} refuses a request: HTTP {exc.status_code}.") from exc
        except errors.PineconeError as exc:
            raise StoreError(f"{where} cannot be used: {type(exc).__name__}.") from exc


def _check_place(host: str, api_key: str) -> None:
    if not api_key:
        raise ConfigError("Pinecone needs an API key. Set PINECONE_API_KEY.")
    url = urlsplit(host if "://" in host else f"https://{host}")
    if not url.hostname or ("." not in url.hostname and url.hostname != "localhost"):
        raise ConfigError(
            f"{host!r} is no host of a Pinecone index. Copy it from Pinecone's console: it looks "
            "like name-abc123.svc.region.pinecone.io."
        )
    if url.scheme != "https" and not _is_loopback(url.hostname):
        raise ConfigError(f"{host!r} would send the API key unencrypted. Write https://.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _how_anew() -> str:
    return (
        "Make another index there, of the embedder's dimension and the metric cosine, and name "
        "its host: vectors are made anew from the memory. Then delete this one."
    )


def _name(namespace: Namespace) -> str:
    return sha256("\x00".join(namespace).encode("utf-8", "surrogatepass")).hexdigest()


def _to_pinecone(id_: str) -> str:
    """An id as Pinecone takes it, of ASCII alone; `unquote` gives it back."""
    return quote(id_, safe=":/ ", errors="surrogatepass")


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 1.0


def _batches(ids: Collection[str], size: int) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, size)):
        yield batch
