"""What tokens cost."""

from __future__ import annotations

from decimal import Decimal

from aicore.models.port import Price
from aicore.records import Usage

__all__ = ["priced"]

_PER = Decimal(1_000_000)


def priced(price: Price | None, usage: Usage) -> Usage:
    """Give the usage with its cost; unchanged where no price is known."""
    if price is None:
        return usage
    cached_usd = price.input_usd if price.cached_usd is None else price.cached_usd
    cost = (
        (usage.input_tokens - usage.cached_tokens) * price.input_usd
        + usage.cached_tokens * cached_usd
        + usage.output_tokens * price.output_usd
    ) / _PER
    return Usage(
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost,
        is_reported=usage.is_reported,
    )
