"""Conditions and templates: what they can say, and that they are no way to run code."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.flows.conditions import read_condition
from aicore.flows.showing import show
from aicore.flows.templates import Place, parse_template, pick, render, render_value
from aicore.flows.whens import Calendar
from aicore.flows.wording import Wording

VALUES: dict[str, Any] = {
    "price": 120,
    "service": "Cleaning",
    "free": [],
    "paid": True,
    "rows": [{"start": "2026-11-24T15:00:00+01:00", "mail": "a"}, {"mail": "b"}],
}
CALENDAR = Calendar(datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("Europe/Berlin")), "DMY")


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("price > 100", True),
        ("price > 100 and service == 'Cleaning'", True),
        ("not free", True),
        ("free or paid", True),
        ("100 <= price < 110", False),
        ("service in ['Cleaning', 'Check-up']", True),
        ("service not in ('Cleaning',)", False),
        ("missing > 1", False),
        ("missing != 1", False),
        ("missing == None", True),
        ("service > 3", False),
        ("missing in service", False),
        ("price == -1", False),
        ("true_is_no_name", False),
    ],
)
def test_a_condition_holds(source: str, holds: bool) -> None:
    assert read_condition(source).holds(VALUES.get) is holds


@pytest.mark.parametrize(
    "source",
    [
        "service.upper",
        "service.__class__",
        "open('x')",
        "price + 1",
        "-price",
        "rows[0]",
        "[x for x in rows]",
        "lambda: 1",
        "(y := 1)",
        "f'{price}'",
        "price if paid else 1",
        "{1: 2}",
        "[price]",
        "price is None",
        "b'x'",
        "...",
        "1j",
        "import os",
        "a = 1",
        "",
        "price >",
        "not " * 200 + "price",
        "(" * 150 + "price" + ")" * 150,
    ],
)
def test_a_condition_cannot_do_more(source: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_condition(source)


def lookup(place: Place) -> Any:
    return pick(VALUES, place.fields)


def text_of(value: Any, spec: str) -> str:
    return show(value, spec, Wording("en"), CALENDAR)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{service} for {price}", "Cleaning for 120"),
        ("{rows.0.start:%a %d %b %H:%M}", "Tue 24 Nov 15:00"),
        ("{rows[0][start]:full}", "Tuesday 24 November 2026 at 15:00"),
        ("{rows.0.start:day}, {rows.0.start:time}", "Tuesday 24 November, 15:00"),
        ("{rows.0.start:+90d}", "2027-02-22T15:00:00+01:00"),
        ("{rows.7.start:full}{rows.x}{service.y}", ""),
        ("{price:money EUR}", "1.20 EUR"),
        ("{paid}", "yes"),
        ("{{service}}", "{service}"),
        ("{service:full}", "Cleaning"),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert render(template, lookup, text_of) == text


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{}", "{0}", "{a b}", "{a.}", "{a[}", "{a.__class__}", "{a[__x__]}", "{a!r}",
     "{a:{b}}", "{a:>9999999999}", "{a:%}", "{a:%s}", "{__import__}", "{a()}"],
)  # fmt: skip
def test_a_template_cannot_do_more(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_template(template)


def test_a_bare_place_keeps_its_type_and_nothing_is_left_out() -> None:
    given_value = {"a": "{price}", "b": ["{missing}", "{service}!"], "c": "{missing}", "d": 3}

    filled = render_value(given_value, lookup, text_of)

    assert filled == {"a": 120, "b": ["Cleaning!"], "d": 3}


def test_a_star_gives_a_field_of_every_row() -> None:
    assert pick(VALUES, ["rows", "*", "mail"]) == ["a", "b"]


@given(st.text())
def test_any_template_is_read_or_refused(template: str) -> None:
    try:
        parse_template(template)
    except ValueError:
        return
    render(template, lookup, text_of)


@given(st.text(alphabet="ab ()[]<>=!.,'0not andi", max_size=60))
def test_any_condition_is_read_or_refused(source: str) -> None:
    try:
        condition = read_condition(source)
    except ValueError:
        return
    condition.holds(VALUES.get)
