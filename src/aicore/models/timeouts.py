"""How long a provider may take, step by step."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_TIMEOUTS", "Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one model request, in seconds.

    `first_token_s` runs from the request to the first event of a stream, connecting included.
    `idle_s` is the longest silence after that; any byte counts, keep-alive comments too.
    `total_s` bounds the whole: exactly for an answer in one piece; for a stream it is looked at
    whenever bytes arrive, so a silent one may overrun it by `idle_s`.
    """

    connect_s: float = 5.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 300.0


DEFAULT_TIMEOUTS = Timeouts()
