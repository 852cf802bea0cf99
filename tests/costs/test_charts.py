"""The charts: each bar as long as what it stands for, in its place, whatever the names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC
from decimal import Decimal

import pytest

from aicore.costs.demand import HOUR_MS, Demand, HourOfUse
from aicore.costs.drawing import cost_svg, spend_svg, totals_svg
from aicore.costs.economics import Box, Case, Costs, reckon
from aicore.costs.page import page
from aicore.costs.reading import UsageRow
from aicore.costs.report import Report, ReportMaker
from aicore.costs.terminal import section_lines, spend_lines
from aicore.costs.throughput import Throughput
from aicore.costs.wording import Section, money, share
from aicore.records import Usage

SVG = "{http://www.w3.org/2000/svg}"


def report_of(*spent: tuple[int, str, str | None]) -> Report:
    """Of (day since 1970, provider, dollars)."""
    maker = ReportMaker(zone=UTC)
    for day, provider, usd in spent:
        cost_usd = None if usd is None else Decimal(usd)
        maker.add(
            UsageRow(
                at_ms=day * 24 * HOUR_MS,
                business="b",
                conversation="c",
                provider=provider,
                model="m",
                task="reply",
                usage=Usage(input_tokens=10, cost_usd=cost_usd),
            )
        )
    return maker.report()


def bars(svg: str) -> list[tuple[str, float, float, float, float]]:
    """What each bar tells, its left and upper edge, its width and height."""
    found = []
    for rect in ET.fromstring(svg).iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            x, y, width, height = (
                float(rect.attrib[name]) for name in ("x", "y", "width", "height")
            )
            found.append((title.text or "", x, y, width, height))
    return found


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter(f"{SVG}text")]


def test_bars_are_stacked_and_as_high_as_the_amounts() -> None:
    report = report_of((0, "a", "3"), (0, "b", "1"), (2, "b", "1.5"))
    first, second, third = bars(spend_svg(report))
    assert [first[0], second[0], third[0]] == [
        "1970-01-01 a: $3.00",
        "1970-01-01 b: $1.00",
        "1970-01-03 b: $1.50",
    ]
    assert first[4] == pytest.approx(3 * second[4], abs=0.05)
    assert third[4] == pytest.approx(1.5 * second[4], abs=0.05)
    assert second[2] + second[4] == pytest.approx(first[2], abs=0.05)  # on top of it
    assert first[2] + first[4] == pytest.approx(third[2] + third[4], abs=0.05)  # one ground
    assert third[1] - first[1] == pytest.approx(2 * first[3] / 0.85, abs=0.05)  # a day between


def test_names_and_numbers_of_any_kind_make_a_sound_file() -> None:
    many = [(day, f'provider <{day}> & "more" \x07 {"x" * 80}', "0.000001") for day in range(400)]
    report = report_of(*many)
    chart = ET.fromstring(spend_svg(report))
    assert len(bars(spend_svg(report))) == 400
    assert "and 388 more" in texts(spend_svg(report))
    assert float(chart.attrib["width"]) == 760
    for _, x, y, width, height in bars(spend_svg(report)):
        assert 70 <= x <= x + width <= 561
        assert 0 <= y <= y + height <= 300


def test_without_known_spending_there_is_no_bar() -> None:
    for report in (report_of(), report_of((0, "a", None)), report_of((0, "a", "0"))):
        assert bars(cost_svg(report, None)) == []
        assert list(spend_lines(report)) == []


def test_totals_show_what_is_held_and_from_when_it_pays() -> None:
    hours = {
        number: HourOfUse(
            input_tokens=1_000_000 * times, output_tokens=100_000 * times, managed_usd=Decimal(usd)
        )
        for times, usd, numbers in ((1, "2", range(100)), (3, "6", range(100, 110)))
        for number in numbers
    }
    economics = reckon(
        Case(
            demand=Demand(window_hours=168, hours=hours),
            throughput=Throughput(
                provider="p", tokens_per_s_out=Decimal(100), tokens_per_s_in=Decimal(1000)
            ),
            costs=Costs(
                box=Box(usd_per_hour=Decimal(1)),
                ops_hours_per_month=Decimal(10),
                ops_usd_per_hour=Decimal(50),
            ),
        )
    )
    svg = totals_svg(economics)
    told = [bar[0] for bar in bars(svg)]
    assert told == [
        "all at a vendor: $1,129.76 a month",
        "1 box, hybrid: $1,381.21 a month",
        "2 boxes, hybrid: $2,001.71 a month",
        "3 boxes, self-hosted: $2,690.00 a month",
        "3 boxes, hybrid: $2,690.00 a month",
    ]
    assert "from 22,241,096/day" in texts(svg)
    line = [
        one for one in ET.fromstring(svg).iter(f"{SVG}line") if one.find(f"{SVG}title") is not None
    ]
    ground, most = 260.0, 226.0
    assert float(line[0].attrib["y1"]) == pytest.approx(ground - most * 1129.76 / 2690, abs=0.1)


def test_bars_of_characters_are_as_long_as_the_amounts() -> None:
    lines = list(spend_lines(report_of((0, "a", "3"), (0, "b", "1"), (2, "b", "1.5"))))
    assert lines[2:5] == [
        f"  1970-01-01  {'█' * 38}{'▓' * 12}  $4.00",
        f"  1970-01-02  {' ' * 50}  $0.00",
        f"  1970-01-03  {'▓' * 19}{' ' * 31}  $1.50",
    ]
    assert lines[5:] == ["  █ a", "  ▓ b"]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_bars_fit_the_terminal(columns: int) -> None:
    spent = report_of((0, "a", "123456.78"), (0, "b", "1"), (2, "b", "60000"))
    lines = list(spend_lines(spent, columns))
    assert max(map(len, lines)) in range(columns - 4, columns + 1)
    assert lines[2].count("█") == columns - 28  # the longest fills its place


def test_only_the_last_month_is_drawn_with_characters() -> None:
    lines = list(spend_lines(report_of((0, "a", "1"), (99, "a", "1"))))
    assert sum(line.startswith("  1970-") for line in lines) == 31
    assert "  (the last 31 of 100 days)" in lines


def test_a_table_is_lined_up_and_steers_nothing() -> None:
    section = Section("T\x1b[2J", [("name", "cost"), ("a\nb", "$1.00")], ["so\r"])
    assert list(section_lines(section)) == ["", "T?[2J", "  name   cost", "  a?b   $1.00", "  so?"]


def test_a_page_shows_text_as_text() -> None:
    text = page([Section("<b>", [("<i>", "&"), ("\x00", '"')], ["<script>"])], ["<svg/>"])
    assert "<b>" not in text
    assert "<script>" not in text
    assert '<th class="text">&lt;i&gt;</th><th>&amp;</th>' in text
    assert '<td class="text">?</td>' in text
    assert "<figure><svg/></figure>" in text


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "unknown"),
        ("0", "$0.00"),
        ("0.0000123", "$0.000012"),
        ("0.01", "$0.01"),
        ("1234567.891", "$1,234,567.89"),
        ("-0.5", "$-0.50"),
    ],
)
def test_amounts_are_said_so_that_they_show_something(amount: str | None, said: str) -> None:
    assert money(None if amount is None else Decimal(amount)) == said


def test_a_share_of_nothing_is_no_share() -> None:
    assert share(0, 0) == "-"
    assert share(1, 3) == "33.3%"
