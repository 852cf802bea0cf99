"""What tokens cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aicore.models.port import Price
from aicore.records import Usage

__all__ = ["priced"]

_PER = Decimal(1_000_000)


def priced(price: Price | None, usage: Usage) -> Usage:
    """Give the usage with its cost; unchanged where no price is known."""
    if price is None:
        return usage
    plain_tokens = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    cost = (
        plain_tokens * price.input_usd
        + usage.cached_tokens * _or(price.cached_usd, price.input_usd)
        + usage.cache_write_tokens * _or(price.cache_write_usd, price.input_usd)
        + usage.output_tokens * price.output_usd
    )
    return replace(usage, cost_usd=cost / _PER)


def _or(price_usd: Decimal | None, otherwise_usd: Decimal) -> Decimal:
    return otherwise_usd if price_usd is None else price_usd
