"""What the figures of owning leave out although it is likely to be there."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from aicore.costs.demand import Demand

if TYPE_CHECKING:
    from aicore.costs.economics import Costs

__all__ = ["caveats"]


def caveats(demand: Demand, costs: Costs) -> Iterator[str]:
    """A sentence for each."""
    if not costs.ops_hours_per_month * costs.ops_usd_per_hour:
        yield (
            "Nobody's work on the boxes is counted: give --ops-hours-per-month and "
            "--ops-usd-per-hour."
        )
    if costs.box.hardware_usd_per_month and not costs.box.power_usd_per_month:
        yield "No power is counted: give --power-usd-per-month."
    if demand.assumed_tokens:
        part = Decimal(demand.assumed_tokens) / demand.tokens
        yield (
            f"{part:.1%} of the tokens have no price in the log and are not of the box that was "
            "measured: they count at --managed-price."
        )
    if demand.unlabelled_tokens:
        part = Decimal(demand.unlabelled_tokens) / demand.tokens
        yield (
            f"{part:.1%} of the tokens have no data class, and count as what may go to a vendor. "
            "A router labels them."
        )
