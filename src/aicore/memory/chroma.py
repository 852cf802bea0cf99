"""A VectorIndex in a folder of Chroma's, in process: https://docs.trychroma.com."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import anyio

from aicore.errors import NotOpenError, StoreBusy
from aicore.memory.chroma_folder import ChromaFolder
from aicore.memory.port import Namespace, Near

__all__ = ["ChromaVectors"]

P = ParamSpec("P")
T = TypeVar("T")

_CALL_S = 30.0
_REWRITE_S = 600.0


class ChromaVectors:
    """Vectors in one folder, which one process has open at a time.

    `model` names the embedder. Similar vectors are found by HNSW, so now and then one of the best
    is missed. `remove` writes the namespace anew and `erase` compacts the folder's database, as
    Chroma alone leaves what was deleted in its files; both take seconds with many vectors.
    Telemetry is off, nothing leaves the machine.
    """

    def __init__(self, folder: Path | str, *, model: str) -> None:
        self._path = Path(folder)
        self._folder = ChromaFolder(self._path, model)
        self._thread: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aicore-chroma")
        try:
            await self._run(_CALL_S, self._folder.open)
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
            await self._run(_REWRITE_S, self._folder.put, namespace, vectors)

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors, best first, at most `k`."""
        return await self._run(_CALL_S, self._folder.nearest, namespace, vector, k)

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""
        return await self._run(_CALL_S, self._folder.missing, namespace, ids)

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors for good: their bytes are in none of the folder's files afterwards."""
        if ids:
            await self._run(_REWRITE_S, self._folder.remove, namespace, ids)

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace for good, as `remove` does."""
        await self._run(_REWRITE_S, self._folder.erase, namespace)

    async def _close(self) -> None:
        if self._thread is None:
            return
        with anyio.CancelScope(shield=True), contextlib.suppress(StoreBusy):
            await self._run(_CALL_S, self._folder.close)
        self._thread.shutdown(wait=False)
        self._thread = None

    async def _run(
        self, deadline_s: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do a blocking call in the one thread, in order.

        When cancelled, it is either never done, or waited for: not done later.
        """
        if self._thread is None:
            raise NotOpenError(f"Chroma in {self._path} is not open. Use `async with`.")
        ended = anyio.Event()
        future = self._thread.submit(call, *args, **kwargs)
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


def _tell(ended: anyio.Event, loop: asyncio.AbstractEventLoop) -> Callable[[Future[T]], None]:
    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and who waited with it
            loop.call_soon_threadsafe(ended.set)

    return tell
