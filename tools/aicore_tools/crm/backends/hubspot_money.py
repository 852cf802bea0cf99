"""Amounts in HubSpot: it keeps whole units of a currency, our `_minor` fields count the smallest.

A field is mapped with one number of decimals, by which it is written, searched and sorted. What
a record in another kind of currency holds is read by the decimals of that currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from aicore_tools.crm.backends.hubspot_shapes import Bound, Shape

__all__ = ["amounts", "decimals_of", "in_currency", "misfit"]

# ISO 4217, list one, read 2026-11; all others have two.
_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {code: decimals for decimals, named in _BY_DECIMALS.items() for code in named.split()}


def decimals_of(currency: str) -> int:
    """Say how many decimals a currency has."""
    return _DECIMALS.get(currency.upper(), 2)


def amounts(shape: Shape) -> Iterator[Bound]:
    """Give the fields of a shape that are amounts of money."""
    for name, bound in shape.fields.items():
        if bound.coding == "minor" and name.endswith("_minor"):
            yield bound


def in_currency(shape: Shape, currency: str | None) -> Shape:
    """Give the shape with its amounts in a currency; as mapped where none is known."""
    if not currency:
        return shape
    decimals = decimals_of(currency)
    others = {
        bound.name: replace(bound, decimals=decimals)
        for bound in amounts(shape)
        if bound.decimals != decimals
    }
    return replace(shape, fields={**shape.fields, **others}) if others else shape


def misfit(shape: Shape, fields: Mapping[str, Any]) -> str | None:
    """Say why a record with these fields cannot be written, or None: it can.

    One factor for a property: or else HubSpot's own sums and our searches would mix factors.
    """
    currency = fields.get("currency")
    if not currency:
        return None
    decimals = decimals_of(str(currency))
    for bound in amounts(shape):
        if fields.get(bound.name) is not None and bound.decimals != decimals:
            return (
                f"{bound.name}: {currency} has {decimals} decimals, this field is mapped with"
                f" {bound.decimals}. Set decimals = {decimals} for it in the mapping file."
            )
    return None
