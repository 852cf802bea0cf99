"""What was spent, on what, how much of it for nothing, and how far the figures can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Literal

from aicore.costs.demand import HOUR_MS, Demand, DemandCounter
from aicore.costs.reading import FailedTurn, UsageRow
from aicore.models.prices import cached_saving_usd
from aicore.records import DataClass

__all__ = [
    "DIMENSIONS",
    "CacheUse",
    "Coverage",
    "Dimension",
    "Group",
    "Kept",
    "PriceSeen",
    "Report",
    "ReportMaker",
    "Spent",
    "Waste",
    "WasteKind",
    "report_on",
]

Dimension = Literal["provider", "model", "tenant", "task", "day"]
DIMENSIONS: Sequence[Dimension] = ("provider", "model", "tenant", "task", "day")
"""What spending is sorted by. A tenant is a business, a model is named with its provider."""

WasteKind = Literal["retried", "hedge lost", "cut", "turn failed"]
"""`retried`: it failed and something else answered. `turn failed`: nothing did."""


@dataclass(slots=True)
class Spent:
    """A sum over requests.

    `known_usd` is what those with a known price cost; `unpriced_requests` and `unpriced_tokens`
    are the others. `input_tokens` includes the cached and the written ones.
    """

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    known_usd: Decimal = Decimal(0)
    unpriced_requests: int = 0
    unpriced_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> Decimal | None:
        """What is known of the cost; None where nothing is, which is not zero."""
        # A request that sent nothing costs nothing, and says nothing of what the others cost.
        return None if self.unpriced_requests and not self.known_usd else self.known_usd

    def add(self, row: UsageRow) -> None:
        """Count one request."""
        self.requests += 1
        usage = row.usage
        if usage is None:
            return
        self.input_tokens += usage.input_tokens
        self.cached_tokens += usage.cached_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.output_tokens += usage.output_tokens
        if usage.cost_usd is None:
            self.unpriced_requests += 1
            self.unpriced_tokens += usage.input_tokens + usage.output_tokens
        else:
            self.known_usd += usage.cost_usd


@dataclass(frozen=True, slots=True)
class Group:
    """What was spent under one name of a dimension."""

    name: str
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many requests and tokens have a known price, and how many the provider counted itself.

    The rest was counted by us, which is an estimate.
    """

    requests: int
    tokens: int
    priced_requests: int
    priced_tokens: int
    reported_requests: int
    reported_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Input read from caches, of all input; `saved_usd` is less what filling them cost.

    None: no answer that used a cache has a known price.
    """

    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    saved_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Waste:
    """Requests that did not become an answer. They are part of what was spent."""

    kind: WasteKind
    spent: Spent


@dataclass(frozen=True, slots=True)
class Kept:
    """What a rule on data kept from `barred`, and `provider` answered instead."""

    provider: str
    barred: tuple[str, ...]
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class PriceSeen:
    """A price that answers were charged at: who says so, and of which day."""

    provider: str
    model: str
    source: str
    as_of: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every figure of a window of the log; nothing in it is rounded.

    The window is that of the requests found: `first_ms` and `last_ms` are None without any.
    `total` is all that models were asked, waste included. `answers_without_model` cost nothing:
    flows, which stood in for models in `degraded` of them. `spent_on` is the known spending of
    each day by provider. `learnable_conversations` have an answer of a model and no request of
    class special: as many as could become examples. `tokens_of_class` are the tokens by the data
    class of their request, "" for one that nobody labelled.
    """

    first_ms: int | None
    last_ms: int | None
    conversations: int
    total: Spent
    coverage: Coverage
    by: Mapping[Dimension, Sequence[Group]]
    spent_on: Mapping[date, Mapping[str, Decimal]]
    cache: CacheUse
    waste: Sequence[Waste]
    kept: Sequence[Kept]
    prices: Sequence[PriceSeen]
    failed_turns: Mapping[str, int]
    bursts: int
    degraded: int
    answers_without_model: int
    learnable_conversations: int
    tokens_of_class: Mapping[DataClass | Literal[""], int]
    demand: Demand

    @property
    def window_hours(self) -> int:
        """Whole hours from the first request to the last."""
        return self.demand.window_hours

    @property
    def days(self) -> Sequence[date]:
        """The days from the first with known spending to the last, without a gap."""
        if not self.spent_on:
            return ()
        first, last = min(self.spent_on), max(self.spent_on)
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    @property
    def spending_providers(self) -> Sequence[str]:
        """The providers with known spending, the dearest first."""
        return [one.name for one in self.by["provider"] if one.spent.known_usd]


async def report_on(
    rows: AsyncIterable[UsageRow | FailedTurn],
    *,
    zone: tzinfo | None = None,
    counter: DemandCounter | None = None,
) -> Report:
    """Sum up rows as `read_usage` gives them, of one business after the other.

    Days are those of `zone` (None: the machine's).
    """
    maker = ReportMaker(zone=zone, counter=counter)
    async for row in rows:
        maker.add(row)
    return maker.report()


class ReportMaker:
    """Sums up rows as they come. What it keeps grows with names, days and hours, not with rows."""

    def __init__(self, *, zone: tzinfo | None = None, counter: DemandCounter | None = None) -> None:
        self._zone = zone
        self._demand = DemandCounter() if counter is None else counter
        self._total = Spent()
        self._reported = [0, 0]
        self._by: dict[Dimension, dict[str, Spent]] = {one: {} for one in DIMENSIONS}
        self._spent_on: dict[date, dict[str, Decimal]] = {}
        self._saved_usd: Decimal | None = None
        self._waste: dict[WasteKind, Spent] = {}
        self._kept: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._prices: Counter[tuple[str, str, str, str]] = Counter()
        self._failed: Counter[str] = Counter()
        self._bursts = 0
        self._degraded = 0
        self._without_model = 0
        self._of_class: dict[DataClass | Literal[""], int] = {}
        self._conversations = 0
        self._talking = ("", "")
        self._learnable = 0
        self._is_answered = self._is_special = False
        self._window: tuple[int, int] | None = None
        self._days: dict[int, date] = {}

    def add(self, row: UsageRow | FailedTurn) -> None:
        """Take in one row."""
        if isinstance(row, FailedTurn):
            self._failed[row.code] += 1
            return
        if _took_no_model(row):
            self._without_model += 1
            self._degraded += row.is_degraded
            return
        first_ms, last_ms = self._window or (row.at_ms, row.at_ms)
        self._window = (min(first_ms, row.at_ms), max(last_ms, row.at_ms))
        self._count(row)
        self._demand.add(row)
        if row.outcome == "answered":
            self._add_answer(row)
        else:
            self._waste.setdefault(_kind_of_waste(row), Spent()).add(row)

    def report(self) -> Report:
        """All figures so far."""
        first_ms, last_ms = self._window or (None, None)
        hours = range(0)
        if first_ms is not None and last_ms is not None:
            hours = range(first_ms // HOUR_MS, last_ms // HOUR_MS + 1)
        total = self._total
        return Report(
            first_ms=first_ms,
            last_ms=last_ms,
            conversations=self._conversations,
            total=total,
            coverage=self._coverage(),
            by={one: _groups(one, spent) for one, spent in self._by.items()},
            spent_on=dict(sorted(self._spent_on.items())),
            cache=CacheUse(
                input_tokens=total.input_tokens,
                cached_tokens=total.cached_tokens,
                cache_write_tokens=total.cache_write_tokens,
                saved_usd=self._saved_usd,
            ),
            waste=[Waste(kind, spent) for kind, spent in sorted(self._waste.items())],
            kept=[Kept(*names, *counts) for names, counts in sorted(self._kept.items())],
            prices=[PriceSeen(*names, count) for names, count in sorted(self._prices.items())],
            failed_turns=dict(sorted(self._failed.items())),
            bursts=self._bursts,
            degraded=self._degraded,
            answers_without_model=self._without_model,
            learnable_conversations=self._learnable + self._is_learnable,
            tokens_of_class=dict(sorted(self._of_class.items())),
            demand=self._demand.demand(hours),
        )

    def _count(self, row: UsageRow) -> None:
        day = self._day(row.at_ms)
        names: Mapping[Dimension, str] = {
            "provider": row.provider,
            "model": f"{row.provider} {row.model}".rstrip(),
            "tenant": row.business,
            "task": row.task,
            "day": day.isoformat(),
        }
        if (row.business, row.conversation) != self._talking:
            # Rows come by conversation.
            self._talking = (row.business, row.conversation)
            self._conversations += 1
            self._learnable += self._is_learnable
            self._is_answered = self._is_special = False
        self._is_answered |= row.outcome == "answered" and row.task == "reply"
        self._is_special |= row.data_class == "special"
        self._total.add(row)
        for dimension, name in names.items():
            self._by[dimension].setdefault(name, Spent()).add(row)
        usage = row.usage
        if usage is None:
            self._reported[0] += 1
            return
        tokens = usage.input_tokens + usage.output_tokens
        if usage.is_reported:
            self._reported[0] += 1
            self._reported[1] += tokens
        of_class = row.data_class or ""
        self._of_class[of_class] = self._of_class.get(of_class, 0) + tokens
        if usage.cost_usd:
            spent_on = self._spent_on.setdefault(day, {})
            spent_on[row.provider] = spent_on.get(row.provider, Decimal(0)) + usage.cost_usd

    def _add_answer(self, row: UsageRow) -> None:
        usage, price = row.usage, row.price
        self._bursts += row.is_burst
        if usage is None:
            return
        if row.barred:
            kept = self._kept.setdefault((row.provider, tuple(sorted(row.barred))), [0, 0])
            kept[0] += 1
            kept[1] += usage.input_tokens + usage.output_tokens
        if price is not None:
            self._prices[row.provider, row.model, price.source, price.as_of] += 1
            if usage.cached_tokens or usage.cache_write_tokens:
                saved_usd = cached_saving_usd(price, usage)
                self._saved_usd = (self._saved_usd or Decimal(0)) + saved_usd

    @property
    def _is_learnable(self) -> bool:
        """Of the conversation whose rows came last."""
        return self._is_answered and not self._is_special

    def _coverage(self) -> Coverage:
        total = self._total
        return Coverage(
            requests=total.requests,
            tokens=total.tokens,
            priced_requests=total.requests - total.unpriced_requests,
            priced_tokens=total.tokens - total.unpriced_tokens,
            reported_requests=self._reported[0],
            reported_tokens=self._reported[1],
        )

    def _day(self, at_ms: int) -> date:
        # A quarter of an hour: zones differ from UTC by whole ones.
        quarter = at_ms // 900_000
        day = self._days.get(quarter)
        if day is None:
            day = self._days[quarter] = datetime.fromtimestamp(quarter * 900, self._zone).date()
        return day


def _took_no_model(row: UsageRow) -> bool:
    usage = row.usage
    if row.outcome != "answered" or usage is None:
        return False
    return usage.cost_usd == 0 and not usage.input_tokens + usage.output_tokens


def _kind_of_waste(row: UsageRow) -> WasteKind:
    if row.outcome == "lost":
        return "hedge lost"
    if row.outcome == "cut":
        return "cut"
    return "turn failed" if row.is_in_vain else "retried"


def _groups(dimension: Dimension, spent: Mapping[str, Spent]) -> Sequence[Group]:
    """Days in their order, the others by what they cost."""
    groups = [Group(name, one) for name, one in sorted(spent.items())]
    if dimension == "day":
        return groups
    return sorted(groups, key=lambda one: (one.spent.known_usd, one.spent.tokens), reverse=True)
