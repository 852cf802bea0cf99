"""The order of data classes: they rise, and never fall."""

from __future__ import annotations

from typing import get_args

from aicore.records import DataClass

__all__ = ["DATA_CLASSES", "highest"]

DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)
"""From the least to the most careful."""

_PLACE = {one: place for place, one in enumerate(DATA_CLASSES)}


def highest(first: DataClass, *others: DataClass) -> DataClass:
    """The most careful of these."""
    return max(first, *others, key=_PLACE.__getitem__) if others else first
