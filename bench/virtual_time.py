"""An event loop whose time stands still while anything runs, and jumps when everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

__all__ = ["StandStill", "run_in_virtual_time"]

T = TypeVar("T")


class StandStill(Exception):
    """Everybody waits, and for nothing that time would bring."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type] # the platform's
    """Waits for nothing: it moves the time of its loop on instead."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandStill("every task waits for another")
            self.jumped_s += max(timeout, 0.0)
        return list(ready)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _Selector()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.jumped_s


def run_in_virtual_time(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function to its end; an hour's wait in it takes no time.

    Only for work without threads and sockets: nothing outside is waited for.
    Raises: StandStill instead of hanging.
    """
    return anyio.run(function, *args, backend_options={"loop_factory": _Loop})
