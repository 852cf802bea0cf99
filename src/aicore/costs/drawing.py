"""A report's charts as SVG: nothing from outside, every text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape

from aicore.costs.economics import Economics, Option
from aicore.costs.report import Report
from aicore.costs.wording import count, counted, money

__all__ = ["cost_svg", "spend_svg", "totals_svg"]

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 34, 40
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM

# Colours that people who see few of them tell apart: https://jfly.uni-koeln.de/color/
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_OTHERS = "#999999"
_MOST_NAMES = 12


def cost_svg(report: Report, economics: Economics | None) -> str:
    """Both charts, one below the other, as one file."""
    charts = [_spend(report)] if economics is None else [_spend(report), _totals(economics)]
    parts = [
        f'<g transform="translate(0 {number * _HEIGHT})">{chart}</g>'
        for number, chart in enumerate(charts)
    ]
    return _framed("".join(parts), len(charts) * _HEIGHT, "What models cost")


def spend_svg(report: Report) -> str:
    """What each day cost, stacked by provider."""
    return _framed(_spend(report), _HEIGHT, "Known spending by day")


def totals_svg(economics: Economics) -> str:
    """What a month costs with 0, 1, … boxes, and from how many tokens on they pay."""
    return _framed(_totals(economics), _HEIGHT, "A month by number of boxes")


def _framed(inner: str, height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(title)}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>{inner}</svg>'
    )


def _spend(report: Report) -> str:
    days, names = report.days, report.spending_providers
    if not days:
        return _text(_WIDTH // 2, _HEIGHT // 2, "No spending is known in this window.", "middle")
    most = max(sum(spent.values(), Decimal(0)) for spent in report.spent_on.values())
    colours = {name: _colour(number) for number, name in enumerate(names)}
    step = Decimal(_PLOT_WIDTH) / len(days)
    parts = [_heading("Known spending by day"), *_axis(most)]
    for number, day in enumerate(days):
        left, until = _LEFT + number * step, Decimal(0)
        for name in names:
            amount = report.spent_on.get(day, {}).get(name)
            if amount is None:
                continue
            until += amount
            told = f"{day} {name}: {money(amount)}"
            place = (left, until / most, step * Decimal("0.85"), amount / most)
            parts.append(_bar(place, colours[name], told))
    for day, anchor, x in ((days[0], "start", _LEFT), (days[-1], "end", _LEFT + _PLOT_WIDTH)):
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, day.isoformat(), anchor))
        if len(days) == 1:
            break
    parts += _legend([(colours[name], name) for name in names])
    return "".join(parts)


def _totals(economics: Economics) -> str:
    options = economics.options
    amounts = [one for option in options for one in (option.self_usd, option.hybrid_usd)]
    known = [one for one in [*amounts, economics.managed_usd] if one is not None]
    most = max(known, default=Decimal(0)) or Decimal(1)
    step = Decimal(_PLOT_WIDTH) / len(options)
    parts = [_heading("A month by number of boxes"), *_axis(most)]
    even = {one.boxes: one for one in economics.break_even if one.is_reachable}
    for number, option in enumerate(options):
        left = _LEFT + number * step
        parts += _pair(option, left, step, most)
        middle = left + step / 2
        parts.append(_text(middle, _HEIGHT - _BOTTOM + 16, counted(option.boxes, "box"), "middle"))
        found = even.get(option.boxes)
        if found is not None and found.tokens_per_day is not None:
            told = f"from {count(found.tokens_per_day)}/day"
            parts.append(_text(middle, _HEIGHT - _BOTTOM + 32, told, "middle", size=9))
    if economics.managed_usd is not None:
        parts.append(_managed_line(economics, economics.managed_usd, most))
    parts += _legend(
        [(_COLOURS[0], "self-hosted"), (_COLOURS[1], "hybrid"), (_COLOURS[5], _managed(economics))]
    )
    return "".join(parts)


def _managed(economics: Economics) -> str:
    return "all at a vendor" if economics.is_managed_allowed else "vendor, without special data"


def _pair(option: Option, left: Decimal, step: Decimal, most: Decimal) -> Iterator[str]:
    for number, (name, amount) in enumerate(
        (("self-hosted", option.self_usd), ("hybrid", option.hybrid_usd))
    ):
        if amount is not None:
            x = left + step * (Decimal("0.1") + Decimal("0.4") * number)
            way = f"{counted(option.boxes, 'box')}, {name}" if option.boxes else "all at a vendor"
            told = f"{way}: {money(amount)} a month"
            place = (x, amount / most, step * Decimal("0.38"), amount / most)
            yield _bar(place, _COLOURS[number], told)


def _managed_line(economics: Economics, managed_usd: Decimal, most: Decimal) -> str:
    y = _y(managed_usd / most)
    told = escape(f"{_managed(economics)}: {money(managed_usd)} a month")
    return (
        f'<line x1="{_LEFT}" x2="{_LEFT + _PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{_COLOURS[5]}" stroke-width="2" stroke-dasharray="6 4">'
        f"<title>{told}</title></line>"
    )


def _axis(most: Decimal) -> Iterator[str]:
    for part in (Decimal(0), Decimal("0.5"), Decimal(1)):
        y = _y(part)
        yield (
            f'<line x1="{_LEFT}" x2="{_LEFT + _PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="#dddddd"/>'
        )
        yield _text(_LEFT - 6, y + 4, money(most * part), "end")


def _bar(place: tuple[Decimal, Decimal, Decimal, Decimal], colour: str, told: str) -> str:
    """A bar; `place` is its left edge and width in pixels, its top and height in shares."""
    x, top, width, height = place
    return (
        f'<rect x="{x:.2f}" y="{_y(top):.2f}" width="{width:.2f}" '
        f'height="{height * _PLOT_HEIGHT:.2f}" fill="{colour}">'
        f"<title>{escape(_clean(told))}</title></rect>"
    )


def _y(part: Decimal) -> Decimal:
    return _TOP + (1 - part) * _PLOT_HEIGHT


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    x = _LEFT + _PLOT_WIDTH + 16
    for number, (colour, name) in enumerate(entries[:_MOST_NAMES]):
        y = _TOP + number * 18
        yield f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 16, y + 9, name if len(name) <= 26 else name[:25] + "…")
    if len(entries) > _MOST_NAMES:
        y = _TOP + _MOST_NAMES * 18
        yield _text(x, y + 9, f"and {len(entries) - _MOST_NAMES} more")


def _heading(text: str) -> str:
    return _text(_LEFT, 20, text, size=14)


def _text(
    x: Decimal | int, y: Decimal | int, text: str, anchor: str = "start", *, size: int = 12
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="#222222">{escape(_clean(text))}</text>'
    )


def _clean(text: str) -> str:
    """XML allows no control characters, not even escaped."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _colour(number: int) -> str:
    return _COLOURS[number] if number < len(_COLOURS) else _OTHERS
