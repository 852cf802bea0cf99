"""Amounts: whole minor units of an ISO 4217 currency. There is no float anywhere."""

from __future__ import annotations

from aicore_tools.errors import InvalidInput

__all__ = ["amount_text", "currency_code", "currency_of"]

# ISO 4217, list one, without funds, metals and codes for testing; read 2026-11. A code that is
# missing here can be added; a wrong number of decimals would be wrong by a factor.
_TWO_DECIMALS = frozenset(
    (  # noqa: SIM905 - a table reads better as words
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD"
        " CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD"
        " GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL"
        " MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN"
        " PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP"
        " SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ).split()
)
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()  # noqa: SIM905 - as above
_THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_OTHER_DECIMALS = dict.fromkeys(_NO_DECIMALS, 0) | dict.fromkeys(_THREE_DECIMALS, 3)


def currency_code(text: str) -> str:
    """Give the currency's code in capitals.

    Raises:
        InvalidInput: it is no current ISO 4217 currency.
    """
    code = text.strip().upper()
    if code not in _TWO_DECIMALS and code not in _OTHER_DECIMALS:
        raise InvalidInput(
            f"There is no currency {text[:20]!r}.", hint="Give an ISO 4217 code such as EUR."
        )
    return code


def currency_of(text: str | None) -> str | None:
    """Give the currency's code in capitals, None where none is named.

    Raises:
        InvalidInput: it is no current ISO 4217 currency.
    """
    return currency_code(text) if text else None


def amount_text(amount_minor: int, currency: str) -> str:
    """Write an amount for people: `12.50 EUR`, `1250 JPY`."""
    decimals = _OTHER_DECIMALS.get(currency, 2)
    sign, digits = ("-" if amount_minor < 0 else ""), str(abs(amount_minor))
    if decimals == 0:
        return f"{sign}{digits} {currency}"
    digits = digits.zfill(decimals + 1)
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]} {currency}"
