"""What one turn may use."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from aicore.errors import (
    ConfigError,
    CostLimitReached,
    RoundLimitReached,
    TimeLimitReached,
    TokenLimitReached,
)
from aicore.records import Usage

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one turn may use; None means no limit of that kind.

    `rounds` counts model requests, `tokens` input and output together, `wall_s` seconds of
    work (a wait for a person does not count). Reaching one ends the turn with the typed error of
    that limit; what was done stays done and recorded, and the conversation goes on with the
    next message. A running effect is never cut: it has a deadline of its own.
    """

    rounds: int | None = 12
    tokens: int | None = None
    cost_usd: Decimal | None = None
    wall_s: float | None = 120.0
    output_tokens_per_request: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"Limits.{name} is {value}: give a number above 0, or None.")

    def check(self, *, rounds: int, usage: Usage) -> None:
        """Raise the LimitReached that forbids one more model request, if any does."""
        if self.rounds is not None and rounds >= self.rounds:
            raise RoundLimitReached(limit=self.rounds, used=rounds)
        used_tokens = usage.input_tokens + usage.output_tokens
        if self.tokens is not None and used_tokens >= self.tokens:
            raise TokenLimitReached(limit=self.tokens, used=used_tokens)
        cost = usage.cost_usd
        if self.cost_usd is not None and cost is not None and cost >= self.cost_usd:
            raise CostLimitReached(limit=self.cost_usd, used=cost)

    def time_error(self, used_s: float) -> TimeLimitReached:
        """The error of a turn that ran for `used_s` seconds."""
        return TimeLimitReached(limit=self.wall_s, used=round(used_s, 1))
