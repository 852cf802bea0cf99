"""What a model costs: as the user says, else as genai-prices does, else unknown.

Only the data that comes with genai-prices is used; nothing is ever asked of the network. What it
knows, and how far it is to be believed: https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from aicore.models.port import Price, PriceTier

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["PriceBook"]

_UNITS = {
    "input_usd": "input_mtok",
    "output_usd": "output_mtok",
    "cached_usd": "cache_read_mtok",
    "cache_write_usd": "cache_write_mtok",
}
"""Our rates by the names they have there."""

_NOT_COUNTED = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")
"""What our usage does not tell apart: a model charged by these has no price here."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model of the data. `source` says of a model that is only alike which one it is."""

    model: ModelInfo
    source: str


class PriceBook:
    """Prices by vendor and model. `own` comes first, by `vendor:model` or by the model alone.

    The first price that is not the user's own takes 0.2 s, to load the data: look it up before
    the event loop runs, or in a thread.
    """

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = dict(own or {})
        self._found: dict[tuple[str, str], _Entry | None] = {}

    def price(self, vendor: str | None, model: str, *, at_ms: int | None = None) -> Price | None:
        """What a model costs at a time (None: now); None: unknown, which is never zero.

        `vendor` is as in Capabilities; without one only the user's own prices are known.
        `source` of what is found says `taken as` where the name is not in the data and was
        matched by likeness; `as_of` is the newest change of any price that the data knows of and
        that had come by then.
        """
        own = self._own.get(f"{vendor}:{model}") or self._own.get(model)
        if own is not None:
            return own if own.source else replace(own, source="own")
        if not vendor:
            return None
        key = (vendor, model)
        if key not in self._found:
            self._found[key] = _find(vendor, model)
        entry = self._found[key]
        if entry is None:
            return None
        seconds = time.time() if at_ms is None else at_ms / 1000
        return _price_at(entry, datetime.fromtimestamp(seconds, UTC))


@cache
def _data() -> DataSnapshot:
    """The data of the package, even where the program has told it to fetch newer."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


@cache
def _changes() -> Sequence[date]:
    """The days on which any price changes, as far as the data tells."""
    from genai_prices.types import StartDateConstraint

    days = {
        conditional.constraint.start_date
        for provider in _data().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for conditional in model.prices
        if isinstance(conditional.constraint, StartDateConstraint)
    }
    return sorted(days)


def _find(vendor: str, model: str) -> _Entry | None:
    data = _data()
    # Google and others name a model by its path as well, as in models/gemini-2.5-pro.
    for reference in (model, model.rpartition("models/")[2]):
        try:
            provider, found = data.find_provider_model(reference, None, vendor, None)
        except LookupError:
            continue
        return _Entry(found, _source(vendor, reference, provider, found))
    return None


def _source(vendor: str, reference: str, provider: Provider, found: ModelInfo) -> str:
    package = f"genai-prices {importlib.metadata.version('genai-prices')}"
    is_listed = any(one is found for one in provider.models)
    name = reference.lower()
    is_named = found.id.lower() == name or _is_named(found.match, name)
    if is_listed and is_named and vendor == provider.id:
        return package
    lender = provider
    if not is_listed:
        lender = next(one for one in _data().providers if any(each is found for each in one.models))
    return f"{package}, taken as {lender.id}:{found.id}"


def _is_named(clause: Any, name: str) -> bool:
    """Whether a rule of the data has exactly this name, not only one like it."""
    if hasattr(clause, "equals"):
        return bool(clause.equals.lower() == name)
    return any(_is_named(one, name) for one in getattr(clause, "or_", ()))


def _price_at(entry: _Entry, at: datetime) -> Price | None:
    prices = entry.model.get_prices(at)
    if prices.input_mtok is None or prices.output_mtok is None:
        return None
    if any(getattr(prices, unit) is not None for unit in _NOT_COUNTED):
        return None
    passed = [day for day in _changes() if day <= at.date()]
    return Price(
        **_rates(prices, 0),
        source=entry.source,
        as_of=passed[-1].isoformat() if passed else "",
        tiers=tuple(
            PriceTier(above_tokens=start, **_rates(prices, start + 1)) for start in _starts(prices)
        ),
    )


def _starts(prices: ModelPrice) -> Sequence[int]:
    found = [getattr(prices, unit) for unit in _UNITS.values()]
    return sorted({tier.start for value in found for tier in getattr(value, "tiers", ())})


def _rates(prices: ModelPrice, input_tokens: int) -> dict[str, Any]:
    return {ours: _rate(getattr(prices, unit), input_tokens) for ours, unit in _UNITS.items()}


def _rate(value: Any, input_tokens: int) -> Decimal | None:
    """One unit's price for a request with that much input."""
    if value is None or isinstance(value, Decimal):
        return value
    rate: Decimal = value.base
    for tier in value.tiers:
        if input_tokens > tier.start:
            rate = tier.price
    return rate
