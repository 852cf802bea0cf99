"""Numbers that stand for a person or their money, told by their check digits.

Accounts: ISO 13616 (mod 97) and the lengths of the IBAN registry. Cards: ISO/IEC 7812-1 (Luhn) and
the digits issuers begin with. National numbers: the German Steuer-ID (ISO 7064 mod 11,10), the
French NIR (mod 97), the Spanish DNI and NIE (mod 23). The British NINO and the American SSN have no
check digit: they are told by their form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from aicore.trust.marks import Marked
from aicore.trust.patterns_dates import is_when

__all__ = ["find_accounts", "find_cards", "find_national"]

_IBAN_LENGTHS = {
    length: countries.split()
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV UA",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "FR GR IT MC SM MR",
        28: "AL AZ CY DO GT HU LB PL SV",
        29: "BR EG PS QA",
        30: "JO KW MU",
        31: "MT SC",
    }.items()
}
_LENGTHS = {country: length for length, all_ in _IBAN_LENGTHS.items() for country in all_}
_IBAN_BEGINS = re.compile(r"(?<![^\W_])([A-Za-z]{2})\d{2}(?=[ .-]?[A-Za-z0-9])")
_NEAR_IBAN = re.compile(r"iban\W{0,3}\w{0,8}\W{0,3}\Z", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d+])\d(?:[ .-]?\d){11,18}")
_ISSUERS = re.compile(r"4|5|6|3[04-9]|2[2-7]|1800|2131")
_STEUER_ID = re.compile(r"(?<![\d.,+-])[1-9]\d[ /]?\d{3}[ /]?\d{3}[ /]?\d{3}(?![\d-])")
_NIR = re.compile(
    r"(?<!\d)[1-478][ .]?\d{2}[ .]?\d{2}[ .]?(?:\d{2}|2[ABab])[ .]?\d{3}[ .]?\d{3}[ ./-]?\d{2}"
    r"(?!\d)"
)
_DNI = re.compile(r"(?<![\w-])(?:\d{1,2}\.?\d{3}\.?\d{3}|[XYZxyz][ -]?\d{7})[ -]?([A-Za-z])(?!\w)")
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_NINO = re.compile(
    r"(?<![^\W_])[A-CEGHJ-PR-TW-Z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-DFMPT](?!\w)",
    re.IGNORECASE,
)
_SSN = re.compile(r"(?<![\d-])(?!000|666)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])")
_SSN_BARE = re.compile(
    r"(?:ssn|social security|sozialvers\w*|tax(?:payer)? id|itin)\D{0,25}(\d{9})(?!\d)",
    re.IGNORECASE,
)


def find_accounts(text: str) -> Iterator[Marked]:
    """Find IBANs, in any grouping and case.

    One whose check fails counts only behind the word IBAN: it may be mistyped.
    """
    for begins in _IBAN_BEGINS.finditer(text):
        length = _LENGTHS.get(begins[1].upper())
        if length is None:
            continue
        found = _alphanumerics(length).match(text, begins.start())
        if found is None:
            continue
        number = re.sub(r"[^A-Za-z0-9]", "", found[0]).upper()
        if _mod_97(number) == 1 or _NEAR_IBAN.search(
            text, max(0, begins.start() - 20), begins.start()
        ):
            yield Marked(found.start(), found.end(), "IBAN")


@cache
def _alphanumerics(count: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z0-9](?:[ .-]?[A-Za-z0-9]){{{count - 1}}}(?![A-Za-z0-9])")


def _mod_97(number: str) -> int:
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97


def find_cards(text: str) -> Iterator[Marked]:
    """Find card numbers: the longest part that ends with a group and passes the check."""
    for found in _CARD.finditer(text):
        number = found[0]
        if is_when(number):
            continue
        for end in range(len(number), 11, -1):
            if text[found.start() + end : found.start() + end + 1].isdigit():
                continue
            digits = [int(char) for char in number[:end] if char.isdigit()]
            if len(digits) < 12:
                break
            if _is_card(digits):
                yield Marked(found.start(), found.start() + end, "CARD")
                break


def _is_card(digits: list[int]) -> bool:
    backwards = digits[::-1]
    doubled = (2 * digit - 9 * (digit > 4) for digit in backwards[1::2])
    if (sum(backwards[::2]) + sum(doubled)) % 10 or len(set(digits)) == 1:
        return False
    begins = "".join(map(str, digits[:4]))
    issuer = _ISSUERS.match(begins)
    return issuer is not None and (len(digits) > 13 or begins[0] in "456")


def find_national(text: str) -> Iterator[Marked]:
    """Find numbers that a state gave to a person."""
    for found in _STEUER_ID.finditer(text):
        if _is_steuer_id([int(char) for char in found[0] if char.isdigit()]):
            yield Marked(found.start(), found.end(), "ID")
    for found in _NIR.finditer(text):
        if _is_nir(re.sub(r"[^0-9AB]", "", found[0].upper())):
            yield Marked(found.start(), found.end(), "ID")
    for found in _DNI.finditer(text):
        if _is_dni(re.sub(r"[^0-9XYZ]", "", found[0][:-1].upper()), found[1].upper()):
            yield Marked(found.start(), found.end(), "ID")
    for pattern in (_NINO, _SSN):
        for found in pattern.finditer(text):
            yield Marked(found.start(), found.end(), "ID")
    for found in _SSN_BARE.finditer(text):
        yield Marked(found.start(1), found.end(1), "ID")


def _is_steuer_id(digits: list[int]) -> bool:
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if counts[-1] not in {2, 3} or counts[:-1] != [1] * (len(counts) - 1):
        return False
    rest = 10
    for digit in digits[:10]:
        rest = ((digit + rest) % 10 or 10) * 2 % 11
    return (11 - rest) % 10 == digits[10]


def _is_nir(number: str) -> bool:
    digits = number.replace("2A", "19", 1) if number[5:7] == "2A" else number
    digits = digits.replace("2B", "18", 1) if number[5:7] == "2B" else digits
    return digits.isdigit() and 97 - int(digits[:13]) % 97 == int(digits[13:])


def _is_dni(number: str, letter: str) -> bool:
    digits = number.replace("X", "0").replace("Y", "1").replace("Z", "2")
    return len(digits) == 8 and _DNI_LETTERS[int(digits) % 23] == letter
