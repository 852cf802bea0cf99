"""What requests would have cost at published prices, with and without a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from long_talk import Asked

__all__ = ["PRICES", "PRICES_FROM", "Bill", "Price", "bills"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `write_usd` is what input costs that enters the cache."""

    input_usd: float
    cached_usd: float
    write_usd: float
    output_usd: float


PRICES_FROM = "genai-prices 0.2.3, the data in its package, looked up on 21 November 2026"
PRICES = {
    "gpt-5": Price(input_usd=1.25, cached_usd=0.125, write_usd=1.25, output_usd=10.0),
    "claude-haiku-4-5": Price(input_usd=1.0, cached_usd=0.1, write_usd=1.25, output_usd=5.0),
}
LEAST_CACHED = 1024
"""Shorter beginnings are not cached, by the documentation of both vendors."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars for all requests: as they came, and if every turn came when the cache was gone."""

    name: str
    usd: float
    cold_usd: float


def bills(asked: Sequence[Asked], whole: Sequence[int], price: Price) -> list[Bill]:
    """Bills of the compacted conversation, and of sending the whole: `whole` has its tokens.

    A perfect cache has all of the request before, at once and for ever; what is new is written
    into it. Vendors' caches are no better than that, and are the same for both ways.
    """
    repeats = [int(one.tokens * one.common_bytes / one.size) if one.size else 0 for one in asked]
    before = [0, *whole[:-1]]
    return [
        Bill(
            "aicore",
            _sum(asked, [one.tokens for one in asked], repeats, price),
            _sum(asked, [one.tokens for one in asked], _within_turns(asked, repeats), price),
        ),
        Bill(
            "whole history, perfect cache",
            _sum(asked, whole, before, price),
            _sum(asked, whole, _within_turns(asked, before), price),
        ),
        Bill("whole history, no cache discipline", *[_sum(asked, whole, None, price)] * 2),
    ]


def _within_turns(asked: Sequence[Asked], repeats: Sequence[int]) -> list[int]:
    """The cache lives as long as a turn: its first request finds nothing."""
    return [
        repeated if number and asked[number - 1].turn == one.turn else 0
        for number, (one, repeated) in enumerate(zip(asked, repeats, strict=True))
    ]


def _sum(
    asked: Sequence[Asked], tokens: Sequence[int], cached: Sequence[int] | None, price: Price
) -> float:
    total = sum(one.output_tokens for one in asked) * price.output_usd
    if cached is None:
        total += sum(tokens) * price.input_usd
    else:
        for sent, repeated in zip(tokens, cached, strict=True):
            hit = repeated if repeated >= LEAST_CACHED else 0
            total += hit * price.cached_usd + (sent - hit) * price.write_usd
    return total / 1_000_000
