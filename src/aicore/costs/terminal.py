"""A report as lines of plain text, with bars made of characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from aicore.costs.report import Report
from aicore.costs.wording import Section, money

__all__ = ["plain", "section_lines", "spend_lines"]

_MARKS = "█▓▒░#*+=-"
_DAYS = 31
_WIDTH = 50
_NARROWEST = 10
_BESIDE = 2 + 10 + 2 + 2 + 12
"""What a bar's line takes besides the bar: margins, a day and an amount."""


def section_lines(section: Section) -> Iterator[str]:
    """A section, its table in columns. Control characters in names are shown as question marks."""
    yield ""
    yield plain(section.title)
    rows = [[plain(cell) for cell in row] for row in section.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if number < section.text_columns else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(["", first, *rest]).rstrip()
    for note in section.notes:
        yield f"  {plain(note)}"


def spend_lines(report: Report, columns: int = _WIDTH + _BESIDE) -> Iterator[str]:
    """What each of the last days cost, a bar per day and a mark per provider.

    The lines fit `columns`, from 38 on.
    """
    width = max(columns - _BESIDE, _NARROWEST)
    totals = {day: sum(spent.values(), Decimal(0)) for day, spent in report.spent_on.items()}
    most = max(totals.values(), default=Decimal(0))
    if not most:
        return
    names = report.spending_providers
    marks = {name: _MARKS[min(number, len(_MARKS) - 1)] for number, name in enumerate(names)}
    yield ""
    yield "Known spending by day"
    days = report.days
    for day in days[-_DAYS:]:
        spent = report.spent_on.get(day, {})
        parts = [(marks[name], spent[name]) for name in names if name in spent]
        bar = _bar(parts, most, width)
        yield f"  {day}  {bar.ljust(width)}  {money(totals.get(day, Decimal(0)))}"
    if len(days) > _DAYS:
        yield f"  (the last {_DAYS} of {len(days)} days)"
    for name in names:
        yield f"  {marks[name]} {plain(name)}"


def _bar(parts: Sequence[tuple[str, Decimal]], most_usd: Decimal, width: int) -> str:
    """Marks up to where each part ends, so that rounding does not add up."""
    bar = ""
    until_usd = Decimal(0)
    for mark, amount_usd in parts:
        until_usd += amount_usd
        bar += mark * (round(until_usd / most_usd * width) - len(bar))
    return bar


def plain(text: str) -> str:
    """Text from a log must not steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
