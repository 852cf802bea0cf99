"""How patient a router is, and the clock it goes by."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import anyio

from aicore.errors import ConfigError

__all__ = ["Clock", "RouterLimits", "SystemClock"]

_AT_LEAST_ONE = frozenset({"rounds", "failures", "output_tokens"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLimits:
    """What a router allows itself; `_s` are seconds.

    A request asks one provider at most `rounds` times. Asking one again waits `backoff_s`,
    doubled each time and spread at random; of all requests at most the share `retry_share` may
    do so, after the first `retry_burst`. `failures` in a row make a provider rest for
    `cool_down_s`, doubled each time up to `longest_cool_down_s`, which also bounds what a server
    asks for by Retry-After. A request waits for a resting provider at most `wait_s` in all, and
    for a place on a busy machine at most `queue_s` while another provider could take it.
    `output_tokens` bounds an answer where a budget is set and the request has no bound.
    The share `hedge_share` of streams may ask a second provider when the first is slow to begin.

    Raises: ConfigError for a number that cannot be.
    """

    rounds: int = 3
    backoff_s: float = 0.5
    retry_share: float = 0.2
    retry_burst: int = 10
    failures: int = 3
    cool_down_s: float = 5.0
    longest_cool_down_s: float = 300.0
    wait_s: float = 30.0
    queue_s: float = 10.0
    output_tokens: int = 4096
    hedge_share: float = 0.05

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 1 if name in _AT_LEAST_ONE else 0
            if not value >= least:
                raise ConfigError(f"The router's {name} is {value}. Give at least {least}.")


class Clock(Protocol):
    """Time, and waiting for it; tests pass one of their own."""

    def monotonic(self) -> float:
        """Seconds since any moment."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC, for days and months."""

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        """Wait until the event or until the time has passed, whatever is first."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds since any moment."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        """Wait until the event or until the time has passed, whatever is first."""
        with anyio.move_on_after(seconds):
            await event.wait()
