"""Repeating a call to another system, with patience that ends."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from aicore_tools.errors import BackendUnavailable, OutcomeUnknown, ToolsError

__all__ = ["Patience", "patiently"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long a call is repeated: whatever ends first.

    The pause doubles from `first_pause_s`, with up to half of it added at random, and is never
    shorter than the other system asked for.
    """

    attempts: int = 4
    deadline_s: float = 30.0
    first_pause_s: float = 0.5


async def patiently(
    call: Callable[[], Awaitable[T]],
    *,
    patience: Patience = Patience(),
    repeat_unknown: bool = False,
) -> T:
    """Call until it answers; for reads, and for effects that the other system dedupes.

    Repeats after BackendUnavailable, and with `repeat_unknown` after OutcomeUnknown too: only
    for a call that carries a key by which its system does it once.

    Raises:
        BackendUnavailable: it was still so when patience ended.
        OutcomeUnknown: likewise, or another error came after a request that may have been done.
    """
    deadline = anyio.current_time() + patience.deadline_s
    repeated: tuple[type[BackendUnavailable | OutcomeUnknown], ...] = (BackendUnavailable,)
    if repeat_unknown:
        repeated = (BackendUnavailable, OutcomeUnknown)
    may_have_happened: OutcomeUnknown | None = None
    attempt = 0
    while True:
        try:
            return await call()
        except repeated as error:
            if isinstance(error, OutcomeUnknown):
                may_have_happened = error
            pause_s = _pause_s(error, patience.first_pause_s * 2**attempt)
            attempt += 1
            if attempt >= patience.attempts or anyio.current_time() + pause_s > deadline:
                if may_have_happened is not None and error is not may_have_happened:
                    raise may_have_happened from error
                raise
        except ToolsError as error:
            # Perhaps said before the key was looked at, as a refused credential is, or because
            # the first request was done: it does not tell what became of that one.
            if may_have_happened is not None:
                raise may_have_happened from error
            raise
        await anyio.sleep(pause_s)


def _pause_s(error: BackendUnavailable | OutcomeUnknown, least_s: float) -> float:
    jittered_s = least_s * (1 + random.random() / 2)  # noqa: S311 - spreads load, hides nothing
    return max(jittered_s, error.retry_after_s or 0.0)
