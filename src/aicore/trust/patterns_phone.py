"""Telephone numbers, by the numbering plans of the phonenumbers library.

Numbers that nobody was given yet, and those of films, are no valid ones: what begins like a number
that is dialled, or stands behind a word for it, needs to be a possible one only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from aicore.trust.marks import Marked
from aicore.trust.patterns_dates import is_when

__all__ = ["find_phones"]

_NUMBER = re.compile(
    r"(?<![\w@=])(?<!\d[.,:/-])(?<![#€$£])"
    r"(?:\+|\(\+?(?=[^()\n]{1,6}\)))?"
    r"\d(?:[ \u00a0()./-]{0,3}\d){5,18}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w@])",
    re.IGNORECASE,
)
_ONE_MARK = re.compile(r"[ ./-]")
_SAID = re.compile(
    r"(?:\b(?:tel|t[eé]l|fon|phone|mobile?|cell|call|ring|reach|text|sms|whatsapp|fax|number is"
    r"|telefon|handy|handynummer|rufnummer|durchwahl|erreichbar|anrufen|r[üu]ckruf|melden|ruf\w*"
    r"|t[ée]l[ée]phone|portable|appel\w*|rappel\w*|joindre|joignable|num[ée]ro"
    r"|tel[ée]fono|m[óo]vil|llam\w+|fijo|contacto|whats)\b)[^\d\n]{0,25}\Z",
    re.IGNORECASE,
)
_NOT_PHONE = re.compile(
    r"(?:\b(?:order|invoice|booking|tracking|ref\w*|iban|card|serial|bestell\w*|auftrag|rechnung"
    r"|sendungs\w*|karten\w*|serien\w*|commande|facture|suivi|carte|s[ée]rie|pedido|factura"
    r"|seguimiento|tarjeta|serie|version|room|zimmer|chambre|habitaci[óo]n)\b)"
    r"[^\d\n]{0,20}\Z",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}"
    r"|\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{2})?"
)
_FEWEST, _MOST = 7, 15
_SEEN_BEFORE = 40
_ASKED_AT_MOST = 300


def find_phones(text: str, regions: Sequence[str]) -> Iterator[Marked]:
    """Find numbers of these regions (ISO 3166 codes), and of any with a country code.

    In a text of more than 300 candidates the later ones are not looked up: all are taken.
    """
    for count, found in enumerate(_NUMBER.finditer(text)):
        number = found[0]
        digits = sum(char.isdigit() for char in number)
        if digits < _FEWEST or _DATE.fullmatch(number) or is_when(number):
            continue
        start = found.start()
        before = text[max(0, start - _SEEN_BEFORE) : start]
        if count > _ASKED_AT_MOST or _is_phone(number, before, regions):
            yield Marked(start, found.end(), "PHONE")


def _is_phone(number: str, before: str, regions: Sequence[str]) -> bool:
    is_dialled = number[0] in "+(" or number.startswith("0")
    if number[0] != "+" and _NOT_PHONE.search(before):
        return False
    is_said = _SAID.search(before) is not None
    level = _level(number, tuple(regions))
    if level == "valid":
        return is_dialled or is_said or _ONE_MARK.search(number) is not None
    return level == "possible" and (is_dialled or is_said)


@lru_cache(maxsize=4_096)
def _level(number: str, regions: tuple[str, ...]) -> str:
    """Whether any region has such a number: "valid", "possible" or ""."""
    import phonenumbers

    plain = number.replace("(0)", "")  # of +44 (0)20
    # Outside of North America an international call begins with 00.
    plain = "+" + plain[2:] if plain.startswith("00") else plain
    best = ""
    for region in regions:
        try:
            parsed = phonenumbers.parse(plain, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return "valid"
        if phonenumbers.is_possible_number(parsed):
            best = "possible"
        if plain.startswith("+"):
            break
    digits = sum(char.isdigit() for char in plain)
    return best or ("possible" if plain[0] == "+" and _FEWEST <= digits <= _MOST else "")
