"""Renting, owning or both: arithmetic only, from demand per hour and a measured throughput.

A box is what was measured: one server, with what it runs on. Boxes are whole and are paid for
idle hours too. How much of a box an hour of demand takes is counted in seconds of its time: all
input by the measured tokens per second in, all output by those out. Cached input counts whole:
a vendor asks less for it, which is in its bill, and a box is not promised to do less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Literal

from aicore.costs.caveats import caveats
from aicore.costs.demand import Demand
from aicore.costs.throughput import Throughput

__all__ = [
    "HOURS_PER_MONTH",
    "LEAST_HOURS",
    "LEAST_PRICED",
    "Best",
    "Box",
    "BreakEven",
    "Case",
    "Choice",
    "Costs",
    "Economics",
    "Option",
    "Overflow",
    "Refusal",
    "Utilisation",
    "Variation",
    "reckon",
    "refusals",
    "utilisation",
]

HOURS_PER_MONTH = Decimal(730)
LEAST_HOURS = 168
"""A week: with less, nobody knows how weekends and nights are."""
LEAST_PRICED = Decimal("0.95")
"""The share of tokens whose price at a vendor must be known for a verdict."""

_HOUR_S = Decimal(3600)
_DAY_S = 24 * _HOUR_S
_DAYS_PER_MONTH = HOURS_PER_MONTH / 24
_BUSY_SHARE = Decimal("0.99")
_VARIED = (Decimal("0.8"), Decimal("1.2"))

Choice = Literal["managed", "self-hosted", "hybrid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What one box costs: by the hour if it is rented, a month of its power and price if owned."""

    usd_per_hour: Decimal = Decimal(0)
    power_usd_per_month: Decimal = Decimal(0)
    hardware_usd_per_month: Decimal = Decimal(0)

    @property
    def month_usd(self) -> Decimal:
        """A month, whether it works or not."""
        rented_usd = self.usd_per_hour * HOURS_PER_MONTH
        return rented_usd + self.power_usd_per_month + self.hardware_usd_per_month


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What owning costs: each box, and the people who run them, however many there are."""

    box: Box
    ops_hours_per_month: Decimal = Decimal(0)
    ops_usd_per_hour: Decimal = Decimal(0)

    def month_usd(self, boxes: int) -> Decimal:
        """A month of so many boxes; without any, nobody runs them."""
        if not boxes:
            return Decimal(0)
        return boxes * self.box.month_usd + self.ops_hours_per_month * self.ops_usd_per_hour


@dataclass(frozen=True, slots=True)
class _Work:
    """What an hour takes of one box's time, in seconds, and what a vendor asks for the ordinary."""

    ordinary_s: Decimal
    sensitive_s: Decimal
    managed_usd: Decimal

    @property
    def all_s(self) -> Decimal:
        return self.ordinary_s + self.sensitive_s


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is to be decided. `target_utilisation` is how full a box may be planned, 0 to 1.

    An hour's mean hides its busiest minutes: a box planned to be full has queues.
    """

    demand: Demand
    throughput: Throughput
    costs: Costs
    target_utilisation: Decimal = Decimal("0.7")

    @property
    def box_seconds(self) -> Decimal:
        """What one box can be planned to do in an hour, in seconds of its time."""
        return _HOUR_S * self.target_utilisation

    @property
    def months(self) -> Decimal:
        """The window, in months."""
        return self.demand.window_hours / HOURS_PER_MONTH

    @property
    def is_priced(self) -> bool:
        """Whether enough is known of what a vendor asks."""
        return known_share(self.demand) >= LEAST_PRICED

    @property
    def managed_usd(self) -> Decimal:
        """What vendors ask in the window; tokens without a price cost what the others do."""
        known = known_share(self.demand)
        return self.demand.managed_usd / known if known else Decimal(0)

    @property
    def floor_boxes(self) -> int:
        """The boxes that sensitive use alone needs in its busiest hour."""
        return self._boxes_for(max((one.sensitive_s for one in self._work), default=Decimal(0)))

    @property
    def static_boxes(self) -> int:
        """The boxes that hold 99 of 100 hours, and all that is sensitive."""
        hours = sorted((one.all_s for one in self._work), reverse=True)
        # Hours without any use are part of the window, and stand behind these.
        skipped = self.demand.window_hours - math.ceil(self.demand.window_hours * _BUSY_SHARE)
        busy_s = hours[skipped] if skipped < len(hours) else Decimal(0)
        return max(self._boxes_for(busy_s), self.floor_boxes, 1)

    @property
    def peak_boxes(self) -> int:
        """The boxes that hold every hour."""
        return max(self._boxes_for(max((one.all_s for one in self._work), default=Decimal(0))), 1)

    @property
    def work_seconds(self) -> Decimal:
        """What the whole window takes of one box's time."""
        return sum((one.all_s for one in self._work), Decimal(0))

    def overflow(self, boxes: int) -> Overflow:
        """What does not fit so many boxes."""
        room_s = boxes * self.box_seconds
        over_s = over_usd = Decimal(0)
        hours = 0
        for one in self._work:
            too_much_s = one.all_s - room_s
            if too_much_s > 0:
                hours += 1
                over_s += too_much_s
                if one.ordinary_s:
                    # No more than all that is ordinary: too few boxes for the rest hold nothing.
                    share = min(too_much_s / one.ordinary_s, Decimal(1))
                    over_usd += one.managed_usd * share
        return Overflow(over_s, over_usd / (known_share(self.demand) or 1), hours)

    @cached_property
    def _work(self) -> Sequence[_Work]:
        return [
            _Work(
                self.throughput.seconds(hour.input_tokens, hour.output_tokens),
                self.throughput.seconds(hour.sensitive_input_tokens, hour.sensitive_output_tokens),
                hour.managed_usd,
            )
            for hour in self.demand.hours.values()
        ]

    def _boxes_for(self, seconds: Decimal) -> int:
        return math.ceil(seconds / self.box_seconds)


@dataclass(frozen=True, slots=True)
class Overflow:
    """What does not fit: seconds of a box's time, what a vendor asks for it, in how many hours."""

    seconds: Decimal
    usd: Decimal
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A month with so many boxes, in US dollars.

    `self_usd` has no vendor, `hybrid_usd` sends what does not fit to one; None: these boxes do
    not hold it, or too little is known of what a vendor asks. `overflow_share` of the tokens'
    work goes to the vendor, in `hours_over` of the window's hours.
    """

    boxes: int
    self_usd: Decimal | None
    hybrid_usd: Decimal | None
    overflow_share: Decimal
    hours_over: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """From how many tokens a day on so many boxes cost less than a vendor, at this mix.

    All tokens are meant; where some must not go to a vendor, it asks for the others only.

    None: the vendor asks nothing for it, or no price is known. `utilisation` is how full the
    boxes then are; above the target they cannot hold it, and `is_reachable` is False.
    """

    boxes: int
    tokens_per_day: Decimal | None
    utilisation: Decimal | None
    is_reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The cheapest way that is allowed, with its boxes and its month."""

    choice: Choice
    boxes: int
    month_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The cheapest way if `what` were `factor` times what it is."""

    what: Literal["vendor's price", "throughput", "ops hours"]
    factor: Decimal
    best: Best


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """How the one box that was measured was used in the window.

    `busy` is the share of its time; `idle_usd` what the rest of it cost. `peak_to_mean` compares
    its busiest hour; in `hours_over` there was more to do than it was measured to do.
    `full_usd_per_million` tokens is what they cost on a box that never idles, at this mix, and
    `effective_usd_per_million` what they did cost; None without any.
    """

    provider: str
    tokens: int
    busy: Decimal
    idle_usd: Decimal
    peak_to_mean: Decimal | None
    hours_over: int
    full_usd_per_million: Decimal | None
    effective_usd_per_million: Decimal | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no verdict, and what to do about it."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Everything reckoned from a case; amounts are US dollars a month.

    `managed_usd` is all at a vendor, None where too little is known of what one asks;
    `is_managed_allowed` is False where some of the use must not go to one, and is not in it.
    `options` are 0, 1, … boxes. Without a `best` the `refusals` say why; `caveats` say what is
    not in the figures although it is likely to be there.
    """

    managed_usd: Decimal | None
    is_managed_allowed: bool
    floor_boxes: int
    static_boxes: int
    tokens_per_day: Decimal
    options: Sequence[Option]
    break_even: Sequence[BreakEven]
    best: Best | None
    variations: Sequence[Variation]
    refusals: Sequence[Refusal]
    caveats: Sequence[str] = ()


def reckon(case: Case, *, up_to_boxes: int = 3) -> Economics:
    """Reckon everything, for 0 to `up_to_boxes` boxes and those that matter beyond.

    Give a case with some demand.
    """
    demand = case.demand
    reasons = refusals(demand, case.throughput, case.costs)
    found = None if reasons else best(case)
    counts = {*range(up_to_boxes + 1), case.floor_boxes, case.static_boxes}
    counts |= set() if found is None else {found.boxes}
    return Economics(
        managed_usd=managed_usd(case) if case.is_priced else None,
        is_managed_allowed=case.floor_boxes == 0,
        floor_boxes=case.floor_boxes,
        static_boxes=case.static_boxes,
        tokens_per_day=Decimal(demand.tokens) * 24 / demand.window_hours,
        options=[option(case, boxes) for boxes in sorted(counts)],
        break_even=[break_even(case, boxes) for boxes in sorted(counts) if boxes],
        best=found,
        variations=[] if reasons else variations(case),
        refusals=reasons,
        caveats=list(caveats(demand, case.costs)),
    )


def known_share(demand: Demand) -> Decimal:
    """Of the tokens that may go to a vendor, the share whose price there is known."""
    ordinary = demand.ordinary_tokens
    return Decimal(ordinary - demand.unpriced_tokens) / ordinary if ordinary else Decimal(1)


def managed_usd(case: Case) -> Decimal:
    """A month of all that may go to a vendor, there."""
    return case.managed_usd / case.months


def option(case: Case, boxes: int) -> Option:
    """A month with so many boxes."""
    over = case.overflow(boxes)
    owned_usd = case.costs.month_usd(boxes)
    is_known = case.is_priced or not over.hours
    is_held = boxes >= case.floor_boxes and is_known
    return Option(
        boxes=boxes,
        self_usd=owned_usd if boxes >= case.static_boxes else None,
        hybrid_usd=_hybrid_usd(case, boxes) if is_held else None,
        overflow_share=over.seconds / case.work_seconds if case.work_seconds else Decimal(0),
        hours_over=over.hours,
    )


def break_even(case: Case, boxes: int) -> BreakEven:
    """Where so many boxes cost what a vendor asks."""
    demand = case.demand
    if not case.is_priced or not demand.managed_usd:
        return BreakEven(boxes=boxes, tokens_per_day=None, utilisation=None, is_reachable=False)
    # Of all tokens: what must stay grows with the rest, and fills the boxes, too.
    usd_per_token = case.managed_usd / demand.tokens
    tokens_per_day = case.costs.month_usd(boxes) / usd_per_token / _DAYS_PER_MONTH
    share = tokens_per_day * case.work_seconds / demand.tokens / (boxes * _DAY_S)
    return BreakEven(
        boxes=boxes,
        tokens_per_day=tokens_per_day,
        utilisation=share,
        is_reachable=share <= case.target_utilisation,
    )


def best(case: Case) -> Best:
    """The cheapest way that is allowed; of two that cost the same the simpler one."""
    found: list[Best] = []
    if not case.floor_boxes:
        found.append(Best(choice="managed", boxes=0, month_usd=managed_usd(case)))
    own = case.static_boxes
    found.append(Best(choice="self-hosted", boxes=own, month_usd=case.costs.month_usd(own)))
    found.append(_best_hybrid(case))
    return min(found, key=lambda one: one.month_usd)


def _best_hybrid(case: Case) -> Best:
    """The number of boxes at which both together cost least.

    From the floor on, one box more saves less than the one before it did, so that the least is
    found by halving, however many boxes there are.
    """
    low, high = max(case.floor_boxes, 1), case.peak_boxes
    while low < high:
        middle = (low + high) // 2
        if _hybrid_usd(case, middle) <= _hybrid_usd(case, middle + 1):
            high = middle
        else:
            low = middle + 1
    return Best(choice="hybrid", boxes=low, month_usd=_hybrid_usd(case, low))


def _hybrid_usd(case: Case, boxes: int) -> Decimal:
    return case.costs.month_usd(boxes) + case.overflow(boxes).usd / case.months


def variations(case: Case) -> Sequence[Variation]:
    """What would be cheapest if a figure were a fifth lower or higher."""
    changed: list[Variation] = []
    for factor in _VARIED:
        changed += [
            Variation(what="vendor's price", factor=factor, best=best(_at_price(case, factor))),
            Variation(what="throughput", factor=factor, best=best(_at_speed(case, factor))),
            Variation(what="ops hours", factor=factor, best=best(_at_ops(case, factor))),
        ]
    return sorted(changed, key=lambda one: one.what)


def _at_price(case: Case, factor: Decimal) -> Case:
    hours = {
        number: replace(hour, managed_usd=hour.managed_usd * factor)
        for number, hour in case.demand.hours.items()
    }
    return replace(case, demand=replace(case.demand, hours=hours))


def _at_speed(case: Case, factor: Decimal) -> Case:
    speed = case.throughput
    reading = speed.tokens_per_s_in
    faster = replace(
        speed,
        tokens_per_s_out=speed.tokens_per_s_out * factor,
        tokens_per_s_in=None if reading is None else reading * factor,
    )
    return replace(case, throughput=faster)


def _at_ops(case: Case, factor: Decimal) -> Case:
    costs = case.costs
    hours = costs.ops_hours_per_month * factor
    return replace(case, costs=replace(costs, ops_hours_per_month=hours))


def utilisation(case: Case) -> Utilisation:
    """How the box that was measured was used, as far as the log tells of its provider."""
    speed = case.throughput
    hours = case.demand.of_provider.get(speed.provider, {})
    seconds = [speed.seconds(*tokens) for tokens in hours.values()]
    work = sum(seconds, Decimal(0))
    tokens = sum(sum(one) for one in hours.values())
    open_s = case.demand.window_hours * _HOUR_S
    paid_usd = case.costs.box.month_usd * case.months
    busy = work / open_s if open_s else Decimal(0)
    mean = work / case.demand.window_hours if work else Decimal(0)
    per_million = Decimal(1_000_000) / tokens if tokens else None
    return Utilisation(
        provider=speed.provider,
        tokens=tokens,
        busy=busy,
        idle_usd=paid_usd * max(1 - busy, Decimal(0)),
        peak_to_mean=max(seconds) / mean if mean else None,
        hours_over=sum(one > _HOUR_S for one in seconds),
        full_usd_per_million=None if per_million is None else paid_usd * busy * per_million,
        effective_usd_per_million=None if per_million is None else paid_usd * per_million,
    )


def refusals(
    demand: Demand, throughput: Throughput | None, costs: Costs | None
) -> Sequence[Refusal]:
    """Everything that stands in the way of a verdict; empty when nothing does."""
    found: list[Refusal] = []
    if throughput is None:
        found.append(
            Refusal(
                "no throughput was measured",
                "Run `aicore measure` on the box, and give its file with --measured.",
            )
        )
    if costs is None or not costs.box.month_usd:
        found.append(
            Refusal(
                "what a box costs is not known",
                "Give --box-usd-per-hour, or --hardware-usd-per-month and --power-usd-per-month.",
            )
        )
    if demand.window_hours < LEAST_HOURS:
        found.append(
            Refusal(
                f"the log covers {demand.window_hours} of the {LEAST_HOURS} hours it needs",
                "Wait until it covers a week, or begin earlier with --since.",
            )
        )
    known = known_share(demand)
    if known < LEAST_PRICED:
        found.append(
            Refusal(
                f"of {known:.1%} of the tokens it is known what a vendor asks, "
                f"and a verdict needs {LEAST_PRICED:.0%}",
                "Say with --managed-price vendor:model what would answer instead of the own "
                "machines, or give the vendor's prices under [prices] in the configuration.",
            )
        )
    return found
