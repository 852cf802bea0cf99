"""What tokens cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aicore.models.port import Price
from aicore.records import Usage

__all__ = ["cached_saving_usd", "priced"]

_PER = Decimal(1_000_000)


def priced(price: Price | None, usage: Usage) -> Usage:
    """Give the usage of one request with its cost; unchanged where no price is known.

    Of one request: where a price depends on the length of the input, a sum of several is wrong.
    """
    if price is None:
        return usage
    rates = price.rates(usage.input_tokens)
    # A server may report more cached tokens than input: that must not make a bill smaller.
    plain_tokens = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    cost = (
        plain_tokens * rates.input_usd
        + usage.cached_tokens * _or(rates.cached_usd, rates.input_usd)
        + usage.cache_write_tokens * _or(rates.cache_write_usd, rates.input_usd)
        + usage.output_tokens * rates.output_usd
    )
    return replace(usage, cost_usd=cost / _PER)


def cached_saving_usd(price: Price, usage: Usage) -> Decimal:
    """What the cache saved on one request; less than nothing where writing to it cost more."""
    rates = price.rates(usage.input_tokens)
    read = rates.input_usd - _or(rates.cached_usd, rates.input_usd)
    written = rates.input_usd - _or(rates.cache_write_usd, rates.input_usd)
    return (usage.cached_tokens * read + usage.cache_write_tokens * written) / _PER


def _or(price_usd: Decimal | None, otherwise_usd: Decimal) -> Decimal:
    return otherwise_usd if price_usd is None else price_usd
