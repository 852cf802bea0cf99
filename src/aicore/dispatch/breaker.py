"""Stops asking a server that keeps failing, and tries again after a pause."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Counts failures in a row; open from `failures` on, with one trial every `open_s`."""

    def __init__(
        self, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._open_s = open_s
        self._clock = clock
        self._count = 0
        self._trial_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are held back at present, but for the trials."""
        return self._count >= self._failures

    def allow(self) -> bool:
        """Tell whether a call may go now. While open, a yes is the period's one trial."""
        if self._count < self._failures:
            return True
        now = self._clock()
        if now < self._trial_at:
            return False
        self._trial_at = now + self._open_s
        return True

    def succeeded(self) -> None:
        """The server answered: forget what was."""
        self._count = 0

    def failed(self) -> None:
        """The server did not answer, or its connection broke."""
        self._count += 1
        self._trial_at = self._clock() + self._open_s

    def reconnected(self) -> None:
        """The server shows a sign of life: let calls through, but one more failure opens again."""
        self._count = min(self._count, self._failures - 1)
