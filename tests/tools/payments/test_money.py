"""Amounts are whole minor units, shown with the decimals of their currency."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.errors import InvalidInput
from aicore_tools.payments import amount_text, currency_code


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (1250, "EUR", "12.50 EUR"),
        (5, "EUR", "0.05 EUR"),
        (0, "USD", "0.00 USD"),
        (1250, "JPY", "1250 JPY"),
        (0, "KRW", "0 KRW"),
        (1250, "KWD", "1.250 KWD"),
        (7, "BHD", "0.007 BHD"),
        (-1250, "EUR", "-12.50 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (10**17 + 1, "EUR", "1000000000000000.01 EUR"),
    ],
)
def test_an_amount_is_written_with_its_decimals(
    amount_minor: int, currency: str, text: str
) -> None:
    assert amount_text(amount_minor, currency) == text


@settings(deadline=None)
@given(st.integers(-(10**20), 10**20), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_no_digit_is_lost(amount_minor: int, currency: str) -> None:
    number = amount_text(amount_minor, currency).removesuffix(f" {currency}")
    assert int(number.replace(".", "")) == amount_minor


@pytest.mark.parametrize(("text", "code"), [("EUR", "EUR"), (" usd ", "USD"), ("jpy", "JPY")])
def test_a_currency_is_known_by_its_code(text: str, code: str) -> None:
    assert currency_code(text) == code


@pytest.mark.parametrize("text", ["", "EURO", "€", "XXX", "HRK", "EU", "E\u00dcR"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        currency_code(text)
