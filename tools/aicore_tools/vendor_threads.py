"""Vendors' blocking libraries, off the loop and bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

__all__ = ["VendorThreads"]

P = ParamSpec("P")
T = TypeVar("T")


class VendorThreads:
    """Runs blocking calls of one vendor's library in at most `limit` worker threads at a time."""

    def __init__(self, limit: int = 8) -> None:
        self._limiter = CapacityLimiter(limit)
        self._places = threading.BoundedSemaphore(limit)  # anyio's is free once a call is left

    async def run(
        self, deadline_s: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Give what `call(*args, **kwargs)` gives.

        The library's own timeout should be shorter than `deadline_s`: a thread that is left
        behind goes on, and keeps its place until it ends.

        Raises:
            TimeoutError: there was no answer within `deadline_s`; it may still do its work.
        """
        is_left = False

        def held() -> T:
            with self._places:
                if is_left:
                    raise RuntimeError("It was left before it began.")
                return call(*args, **kwargs)

        try:
            with anyio.fail_after(deadline_s):
                return await to_thread.run_sync(held, limiter=self._limiter, abandon_on_cancel=True)
        except BaseException:
            is_left = True
            raise
