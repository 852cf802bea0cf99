"""Telling whoever waits how far long work is, without knowing who that is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["heard_by", "progress"]

Listener = Callable[[int, int | None], Awaitable[None]]

_listener: ContextVar[Listener | None] = ContextVar("aicore_tools_progress", default=None)


async def progress(done: int, total: int | None = None) -> None:
    """Tell that `done` things of `total` are done; None: nobody knows yet how many there are."""
    listener = _listener.get()
    if listener is not None:
        await listener(done, total)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let `listener` hear of all progress inside; it raises nothing."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
