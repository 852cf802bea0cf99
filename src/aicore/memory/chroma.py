"""A VectorIndex in a folder of Chroma's, in process: https://docs.trychroma.com."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, ParamSpec, Self, TypeVar

import anyio

from aicore.errors import NotOpenError, StoreBusy
from aicore.memory.chroma_folder import ChromaFolder
from aicore.memory.port import Namespace, Near

__all__ = ["ChromaVectors"]

P = ParamSpec("P")
T = TypeVar("T")

_CALL_S = 30.0
_REWRITE_S = 600.0


class _Place:
    """A folder that this process has open, its thread, and how many use it."""

    def __init__(self, path: Path) -> None:
        self.folder = ChromaFolder(path)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="aicore-chroma")
        self.users = 0


_places: dict[Path, _Place] = {}
_places_lock = threading.Lock()


class ChromaVectors:
    """Vectors in one folder, which one process at a time has open, as often as it likes.

    `model` names the embedder. Similar vectors are found by HNSW, so now and then one of the best
    is missed. `remove` writes the namespace anew and `erase` compacts the folder's database, as
    Chroma alone leaves what was deleted in its files; both take seconds with many vectors.
    Telemetry is off, nothing leaves the machine.
    """

    locality: Literal["in_process", "local", "managed"] = "in_process"

    def __init__(self, folder: Path | str, *, model: str) -> None:
        self._path = Path(folder).absolute()
        self._model = model
        self._place: _Place | None = None

    async def __aenter__(self) -> Self:
        if self._place is not None:
            raise NotOpenError(f"Chroma in {self._path} is open already. Make another object.")
        with _places_lock:
            self._place = _places.setdefault(self._path, _Place(self._path))
            self._place.users += 1
        try:
            await self._run(_CALL_S, self._place.folder.open, self._model)
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
        """Keep vectors under these ids, in place of earlier ones. Found from now on."""
        if vectors:
            await self._run(_REWRITE_S, self._opened().folder.put, namespace, vectors)

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors, best first, at most `k`."""
        return await self._run(_CALL_S, self._opened().folder.nearest, namespace, vector, k)

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""
        return await self._run(_CALL_S, self._opened().folder.missing, namespace, ids)

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors for good: their bytes are in none of the folder's files afterwards."""
        if ids:
            await self._run(_REWRITE_S, self._opened().folder.remove, namespace, ids)

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace for good, as `remove` does."""
        await self._run(_REWRITE_S, self._opened().folder.erase, namespace)

    async def _close(self) -> None:
        place, self._place = self._place, None
        if place is None:
            return
        with _places_lock:
            place.users -= 1
            is_last = place.users == 0
            if is_last:
                del _places[self._path]
        if is_last:
            with anyio.CancelScope(shield=True):
                try:
                    await self._run_in(place, _CALL_S, place.folder.close)
                finally:
                    place.thread.shutdown(wait=False)

    async def _run(
        self, deadline_s: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run_in(self._opened(), deadline_s, partial(call, *args, **kwargs))

    async def _run_in(self, place: _Place, deadline_s: float, call: Callable[[], T]) -> T:
        """Do a blocking call in the folder's thread, in order.

        When cancelled, it is either never done, or waited for: not done later.
        """
        ended = anyio.Event()
        future = place.thread.submit(call)
        future.add_done_callback(_tell(ended, asyncio.get_running_loop()))
        try:
            with anyio.fail_after(deadline_s):
                await ended.wait()
        except TimeoutError as exc:
            future.cancel()
            raise StoreBusy(
                f"Chroma in {self._path} did not answer within {deadline_s:.0f} s. Try again.",
                retry_after_s=1.0,
            ) from exc
        except anyio.get_cancelled_exc_class():
            if not future.cancel():
                with anyio.move_on_after(deadline_s, shield=True):
                    await ended.wait()
            raise
        return future.result()

    def _opened(self) -> _Place:
        if self._place is None:
            raise NotOpenError(f"Chroma in {self._path} is not open. Use `async with`.")
        return self._place


def _tell(ended: anyio.Event, loop: asyncio.AbstractEventLoop) -> Callable[[Future[T]], None]:
    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and who waited with it
            loop.call_soon_threadsafe(ended.set)

    return tell
