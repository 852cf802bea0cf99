"""A report in words and tables, the same for a terminal and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from aicore.costs.economics import Best, Economics, Refusal, Utilisation
from aicore.costs.report import DIMENSIONS, Dimension, Group, Report, Spent

__all__ = ["Section", "count", "counted", "economics_sections", "money", "report_sections", "share"]

_NO_PRICE = "unknown"


@dataclass(frozen=True, slots=True)
class Section:
    """A title, a table and sentences below it.

    The first row is the table's head, where `has_head`. The first `text_columns` are text, the
    others figures.
    """

    title: str
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    has_head: bool = True
    text_columns: int = 1


def money(amount_usd: Decimal | None) -> str:
    """An amount in US dollars; small ones with as many digits as show something."""
    if amount_usd is None:
        return _NO_PRICE
    if amount_usd and abs(amount_usd) < Decimal("0.01"):
        return f"${amount_usd:.6f}"
    return f"${amount_usd:,.2f}"


def count(number: int | Decimal) -> str:
    """A number of tokens or requests, in whole ones."""
    return f"{round(number):,}"


def counted(number: int, what: str) -> str:
    """A number with the word for it, such as 1 box and 2 boxes."""
    ending = "es" if what.endswith("x") else "s"
    return f"{count(number)} {what}{ending if number != 1 else ''}"


def share(part: int | Decimal, whole: int | Decimal) -> str:
    """A part in percent; a dash of nothing."""
    return f"{Decimal(part) / Decimal(whole):.1%}" if whole else "-"


def report_sections(report: Report, dimensions: Sequence[Dimension] = DIMENSIONS) -> list[Section]:
    """What a report says, in the order of reading."""
    if not report.total.requests:
        return [_nothing(report)]
    sections = [_window(report)]
    sections += [_groups(one, report.by[one], report.total) for one in dimensions]
    sections += [_caches(report), _waste(report), _kept(report), _prices(report)]
    return [one for one in sections if one.rows or one.notes]


def economics_sections(
    economics: Economics | None, used: Utilisation | None, refusals: Sequence[Refusal]
) -> list[Section]:
    """What owning would cost; without economics only why that cannot be said."""
    sections = [] if used is None else [_used(used)]
    title = "Renting, owning or both"
    if economics is None:
        return [*sections, Section(title, notes=list(_refused(refusals)))]
    sections.append(_totals(title, economics))
    if economics.variations:
        sections.append(_variations(economics))
    sections.append(Section("Verdict", notes=list(_verdict(economics))))
    return sections


def _nothing(report: Report) -> Section:
    notes = ["No model was asked in this window."]
    notes += _without_model(report) + _failures(report)
    return Section("What models cost", notes=notes)


def _window(report: Report) -> Section:
    coverage, total = report.coverage, report.total
    known = f"{share(coverage.priced_requests, coverage.requests)} of requests, "
    known += f"{share(coverage.priced_tokens, coverage.tokens)} of tokens"
    told = f"{share(coverage.reported_requests, coverage.requests)} of requests, "
    told += f"{share(coverage.reported_tokens, coverage.tokens)} of tokens"
    talks = counted(report.conversations, "conversation")
    rows = [
        ("First request", _moment(report.first_ms)),
        ("Last request", _moment(report.last_ms)),
        ("Requests", f"{count(total.requests)} in {talks}"),
        ("Tokens", f"{count(total.input_tokens)} in, {count(total.output_tokens)} out"),
        ("Spent", _cost(total)),
        ("Price known", known),
        ("Counted by provider", told),
        ("Data class", _classes(report)),
    ]
    notes = []
    if coverage.reported_tokens < coverage.tokens:
        notes.append("What a provider does not count is estimated from the length of the texts.")
    notes += _without_model(report)
    if report.bursts:
        bursts = counted(report.bursts, "answer")
        notes.append(f"{bursts} came from a vendor because a queue was too long.")
    notes += _failures(report)
    return Section("What models cost", rows, notes, has_head=False, text_columns=2)


def _classes(report: Report) -> str:
    tokens = report.tokens_of_class
    return ", ".join(
        f"{name or 'not labelled'} {share(part, report.total.tokens)}"
        for name, part in tokens.items()
    )


def _without_model(report: Report) -> list[str]:
    if not report.answers_without_model:
        return []
    notes = [f"{counted(report.answers_without_model, 'answer')} took no model."]
    if report.degraded:
        notes.append(f"{count(report.degraded)} of them because no model could be asked.")
    return notes


def _failures(report: Report) -> list[str]:
    failed = report.failed_turns.items()
    return [f"{counted(number, 'turn')} failed: {code}." for code, number in failed]


def _groups(dimension: Dimension, groups: Sequence[Group], total: Spent) -> Section:
    head = (dimension, "requests", "tokens in", "cached", "tokens out", "cost", "of all")
    rows = [
        (
            one.name,
            count(one.spent.requests),
            count(one.spent.input_tokens),
            share(one.spent.cached_tokens, one.spent.input_tokens),
            count(one.spent.output_tokens),
            _cost(one.spent),
            _of_all(one.spent, total),
        )
        for one in groups
    ]
    return Section(f"By {dimension}", [head, *rows])


def _caches(report: Report) -> Section:
    cache = report.cache
    if not cache.cached_tokens and not cache.cache_write_tokens:
        return Section("Caches", notes=["No input was read from a cache."])
    rows = [
        ("Read from a cache", share(cache.cached_tokens, cache.input_tokens) + " of input"),
        ("Written to one", share(cache.cache_write_tokens, cache.input_tokens) + " of input"),
        ("Saved", money(cache.saved_usd)),
    ]
    return Section("Caches", rows, has_head=False, text_columns=2)


def _waste(report: Report) -> Section:
    if not report.waste:
        return Section("Waste", notes=["No request was made in vain, as far as the log tells."])
    head = ("why", "requests", "tokens", "cost", "of all")
    rows = [
        (
            one.kind,
            count(one.spent.requests),
            count(one.spent.tokens),
            _cost(one.spent),
            _of_all(one.spent, report.total),
        )
        for one in report.waste
    ]
    return Section("Waste, part of the above", [head, *rows])


def _kept(report: Report) -> Section:
    head = ("answered by", "kept from", "requests", "tokens")
    rows = [
        (one.provider, ", ".join(one.barred), count(one.requests), count(one.tokens))
        for one in report.kept
    ]
    return Section("Kept by a rule on data", [head, *rows] if rows else (), text_columns=2)


def _prices(report: Report) -> Section:
    head = ("provider", "model", "price from", "as of", "answers")
    rows = [
        (one.provider, one.model, one.source or "own", one.as_of or "-", count(one.requests))
        for one in report.prices
    ]
    return Section("Prices", [head, *rows] if rows else (), text_columns=4)


def _used(used: Utilisation) -> Section:
    if not used.tokens:
        note = f"{used.provider}, which was measured, answered nothing in this window."
        idle = f"If it was paid for all the same, that cost {money(used.idle_usd)}."
        return Section("The own machine", notes=[note, idle])
    peak = "-" if used.peak_to_mean is None else f"{used.peak_to_mean:.1f} times the mean hour"
    rows = [
        ("Provider", used.provider),
        ("Tokens", count(used.tokens)),
        ("Busy", f"{used.busy:.1%} of the time"),
        ("Idle time cost", money(used.idle_usd)),
        ("Busiest hour", peak),
        ("Hours over capacity", count(used.hours_over)),
        ("A million tokens", money(used.effective_usd_per_million)),
        ("The same, never idle", money(used.full_usd_per_million)),
    ]
    return Section("The own machine", rows, has_head=False, text_columns=2)


def _totals(title: str, economics: Economics) -> Section:
    managed = money(economics.managed_usd)
    head = ("boxes", "self-hosted", "hybrid", "to a vendor", "break-even tokens/day", "boxes full")
    even = {one.boxes: one for one in economics.break_even}
    rows = []
    for one in economics.options:
        tokens = filled = "-"
        found = even.get(one.boxes)
        if found is not None and found.tokens_per_day is not None and found.utilisation is not None:
            tokens = count(found.tokens_per_day) if found.is_reachable else "never"
            filled = f"{found.utilisation:.0%}"
        rows.append(
            (
                str(one.boxes),
                "-" if one.self_usd is None else money(one.self_usd),
                "-" if one.hybrid_usd is None else money(one.hybrid_usd),
                f"{one.overflow_share:.1%}",
                tokens,
                filled,
            )
        )
    notes = [
        f"US dollars a month, at {count(economics.tokens_per_day)} tokens a day. "
        f"Enough for 99 of 100 hours: {counted(economics.static_boxes, 'box')}.",
        f"All at a vendor: {managed}."
        if economics.is_managed_allowed
        else "All at a vendor is not allowed: a rule on data keeps some here, which takes "
        f"{counted(economics.floor_boxes, 'box')}. The rest alone, at a vendor: {managed}.",
    ]
    return Section(title, [head, *rows], notes)


def _variations(economics: Economics) -> Section:
    head = ("if", "were", "cheapest", "a month")
    rows = [
        (one.what, f"{one.factor - 1:+.0%}", _way(one.best), money(one.best.month_usd))
        for one in economics.variations
    ]
    return Section("If a figure is off by a fifth", [head, *rows], text_columns=3)


def _verdict(economics: Economics) -> Iterator[str]:
    best = economics.best
    if best is None:
        yield from _refused(economics.refusals)
        return
    yield f"Cheapest: {_way(best)}, {money(best.month_usd)} a month."
    others = sorted({one.what for one in economics.variations if one.best.choice != best.choice})
    yield "This counts your own model's answer as good as the vendor's, in as many tokens."
    yield from economics.caveats
    if others:
        yield f"It is close: a fifth more or less of {', '.join(others)} changes that."
    else:
        yield "It stays so with every figure a fifth higher or lower."


def _refused(refusals: Sequence[Refusal]) -> Iterator[str]:
    for one in refusals:
        yield f"No verdict: {one.reason}. {one.remedy}"


def _way(best: Best) -> str:
    is_managed = best.choice == "managed"
    return best.choice if is_managed else f"{best.choice} with {counted(best.boxes, 'box')}"


def _cost(spent: Spent) -> str:
    if spent.cost_usd is None or not spent.unpriced_requests:
        return money(spent.cost_usd)
    return f"{money(spent.known_usd)} + {count(spent.unpriced_requests)} unpriced"


def _of_all(spent: Spent, total: Spent) -> str:
    return "-" if spent.cost_usd is None else share(spent.known_usd, total.known_usd)


def _moment(at_ms: int | None) -> str:
    if at_ms is None:
        return "-"
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M} UTC"
