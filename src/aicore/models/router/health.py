"""What a router knows of each provider: whether it is up, and how fast it answers."""

from __future__ import annotations

from dataclasses import dataclass

from aicore.errors import AicoreError, OperatorError, ProviderUnavailable, TemporaryError
from aicore.models.router.limits import Clock, RouterLimits

__all__ = ["Health", "Stopwatch"]

_WEIGHT = 0.2
"""Of the newest time in a running mean: the last ten or so count."""


class Stopwatch:
    """A clock's time, which here never goes back: after a jump it goes on from where it was."""

    __slots__ = ("_ahead_s", "_clock", "_last_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = 0.0
        self._last_s = clock.monotonic()

    def now_s(self) -> float:
        """Seconds since any moment."""
        told_s = self._clock.monotonic()
        if told_s < self._last_s:
            self._ahead_s += self._last_s - told_s
        self._last_s = told_s
        return told_s + self._ahead_s


@dataclass(slots=True)
class _Mean:
    """A running mean; 0 before the first time."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        weight = _WEIGHT if self.count else 1.0
        self.count += 1
        self.seconds += (seconds - self.seconds) * weight


class Health:
    """A circuit breaker and the running times of one provider.

    Closed: it is asked. After `failures` in a row, or when a server names a time, it rests. When
    that is over one request at a time may probe it: an answer closes the circuit, a failure
    makes the next rest twice as long. Disabled: its key, model or address is wrong, which rarely
    passes by itself: it rests for the longest time, and nobody waits for it. Moments are a
    Stopwatch's.
    """

    def __init__(self, limits: RouterLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._rests = 0
        self._rests_until_s: float | None = None
        self.is_probed = False
        self.disabled: OperatorError | None = None
        self.last_said = ""
        self.last_status: int | None = None
        self.first_s = _Mean()
        self.whole_s = _Mean()

    def rest_s(self, now_s: float) -> float:
        """How long it still rests; 0 when it may be asked."""
        until_s = self._rests_until_s
        return 0.0 if until_s is None else max(until_s - now_s, 0.0)

    def rule(self, now_s: float) -> str:
        """Why it is not asked now; "" when it may be."""
        if self._rests_until_s is None:
            return ""
        if rest_s := self.rest_s(now_s):
            if self.disabled is not None:
                return f"disabled after {self.disabled.code}, for {rest_s:.1f} s more"
            return f"rests for {rest_s:.1f} s more after {self._failures} failures"
        return "another request is just trying it" if self.is_probed else ""

    def is_disabled(self, now_s: float) -> bool:
        """Whether its configuration seems wrong, so that waiting for it is of no use."""
        return self.disabled is not None and self.rest_s(now_s) > 0

    def begin(self) -> bool:
        """Note that it is asked; tells whether this is a probe, to be ended by `end_probe`."""
        if self._rests_until_s is None:
            return False
        self.is_probed = True
        return True

    def end_probe(self) -> None:
        """Let the next one probe."""
        self.is_probed = False

    def note_answer(self, elapsed_s: float | None = None) -> None:
        """Close the circuit: it answered, were it to refuse the request."""
        self._failures = self._rests = 0
        self._rests_until_s = None
        self.disabled = None
        if elapsed_s is not None:
            self.whole_s.add(elapsed_s)

    def note_failure(self, error: AicoreError, now_s: float, *, is_probe: bool) -> None:
        """Count a failure, and rest when there were enough."""
        # Words only: an error holds on to the frames of its request, and the texts in them.
        self.last_said = str(error)
        self.last_status = error.status if isinstance(error, ProviderUnavailable) else None
        self._failures += 1
        longest_s = self._limits.longest_cool_down_s
        if isinstance(error, OperatorError):
            # No credit left: nothing that goes by itself, but paying needs no restart.
            self._rest(longest_s, now_s)
        elif isinstance(error, TemporaryError) and error.retry_after_s:
            self._rest(min(error.retry_after_s, longest_s), now_s)
        elif is_probe or (self._failures >= self._limits.failures and not self.rest_s(now_s)):
            # Those that were under way when it began to rest say nothing new.
            self._rest(min(self._limits.cool_down_s * 2**self._rests, longest_s), now_s)
            self._rests = min(self._rests + 1, 30)

    def disable(self, error: OperatorError, now_s: float) -> bool:
        """Let it rest long, and not be waited for; tells whether that is new."""
        is_new = self.disabled is None
        self.disabled = type(error)(str(error))
        self._rest(self._limits.longest_cool_down_s, now_s)
        return is_new

    def _rest(self, seconds: float, now_s: float) -> None:
        self._rests_until_s = max(self._rests_until_s or 0.0, now_s + seconds)
