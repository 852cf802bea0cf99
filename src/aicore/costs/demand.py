"""The work of models hour by hour: what owning them is reckoned from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from aicore.costs.reading import UsageRow
from aicore.models.port import Price
from aicore.models.prices import priced
from aicore.records import DataClass, Usage

__all__ = ["HOUR_MS", "Demand", "DemandCounter", "HourOfUse"]

HOUR_MS = 3_600_000

_SENSITIVE: frozenset[DataClass] = frozenset({"special"})


@dataclass(slots=True)
class HourOfUse:
    """Tokens of one hour, and what a vendor asks for those that may be sent to one.

    The `sensitive` ones never leave the own machines, so they have no price here. `unpriced` are
    other tokens of which nobody knows what a vendor would ask.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    sensitive_input_tokens: int = 0
    sensitive_output_tokens: int = 0
    unpriced_tokens: int = 0
    managed_usd: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        """Input and output, of anything."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.sensitive_input_tokens
            + self.sensitive_output_tokens
        )

    @property
    def ordinary_tokens(self) -> int:
        """Input and output of what may be sent to a vendor."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Use per hour since 1970 (UTC) in a window of `window_hours`; an hour without use is left out.

    `of_provider` are all tokens, input and output, by provider and hour. `unlabelled_tokens` are
    those of requests whose data class nobody knows, counted as what may be sent to a vendor.
    `assumed_tokens` have no price in the log and are not of the machine that was measured: what a
    vendor asks for them is the price that was given for the own machines' work.
    """

    window_hours: int
    hours: Mapping[int, HourOfUse]
    of_provider: Mapping[str, Mapping[int, tuple[int, int]]] = field(default_factory=dict)
    unlabelled_tokens: int = 0
    assumed_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Input and output in the whole window."""
        return sum(hour.tokens for hour in self.hours.values())

    @property
    def ordinary_tokens(self) -> int:
        """Those that may be sent to a vendor."""
        return sum(hour.ordinary_tokens for hour in self.hours.values())

    @property
    def unpriced_tokens(self) -> int:
        """Those that may be sent to a vendor, at a price that is not known."""
        return sum(hour.unpriced_tokens for hour in self.hours.values())

    @property
    def managed_usd(self) -> Decimal:
        """What vendors would have asked in the window for what may be sent to them."""
        return sum((hour.managed_usd for hour in self.hours.values()), Decimal(0))


class DemandCounter:
    """Counts rows into hours.

    `managed` is what a vendor would ask for the own machines' work: for all that provider `own`
    did, whatever that cost, and for what cost nothing or nobody knows what. `sensitive` are the
    classes of data that never leave the own machines, with None those of requests without one.
    """

    def __init__(
        self,
        managed: Price | None = None,
        sensitive: Collection[DataClass | None] = _SENSITIVE,
        *,
        own: str | None = None,
    ) -> None:
        self._managed = managed
        self._sensitive = sensitive
        self._own = own
        self._unlabelled = 0
        self._assumed = 0
        self._hours: dict[int, HourOfUse] = {}
        self._of_provider: dict[str, dict[int, tuple[int, int]]] = {}

    def add(self, row: UsageRow) -> None:
        """Count one request, answered or not: what was wasted was work, too."""
        usage = row.usage
        if usage is None or not usage.input_tokens + usage.output_tokens:
            return
        number = row.at_ms // HOUR_MS
        hour = self._hours.setdefault(number, HourOfUse())
        if row.data_class in self._sensitive:
            hour.sensitive_input_tokens += usage.input_tokens
            hour.sensitive_output_tokens += usage.output_tokens
        else:
            hour.input_tokens += usage.input_tokens
            hour.output_tokens += usage.output_tokens
            self._add_ordinary(hour, row, usage)
        mine = self._of_provider.setdefault(row.provider, {})
        before = mine.get(number, (0, 0))
        mine[number] = (before[0] + usage.input_tokens, before[1] + usage.output_tokens)

    def _add_ordinary(self, hour: HourOfUse, row: UsageRow, usage: Usage) -> None:
        """Count what may be sent to a vendor, and what one asks for it."""
        tokens = usage.input_tokens + usage.output_tokens
        if row.data_class is None and self._sensitive:
            self._unlabelled += tokens
        is_own = row.provider == self._own
        # What an own machine's tokens cost is not what a vendor asks for them.
        cost_usd = None if is_own else usage.cost_usd
        if not cost_usd:
            cost_usd = priced(self._managed, replace(usage, cost_usd=None)).cost_usd
            self._assumed += 0 if is_own or not cost_usd else tokens
        if cost_usd:
            hour.managed_usd += cost_usd
        else:
            hour.unpriced_tokens += tokens

    def demand(self, hours: range) -> Demand:
        """What was counted, in a window of these hours."""
        return Demand(
            window_hours=len(hours),
            hours=self._hours,
            of_provider=self._of_provider,
            unlabelled_tokens=self._unlabelled,
            assumed_tokens=self._assumed,
        )
