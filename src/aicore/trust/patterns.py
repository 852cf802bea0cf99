"""Finds personal values in a text by their form: with check digits where there are any.

It reads a text once per kind, in time that grows with the length alone. It finds no name, street
or town that stands for itself, without a word before it: those are found by what is known already
(see `vault`), or by a recogniser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aicore.trust.as_read import AsRead
from aicore.trust.marks import Marked, apart
from aicore.trust.patterns_dates import find_births
from aicore.trust.patterns_numbers import find_accounts, find_cards, find_national
from aicore.trust.patterns_online import find_online
from aicore.trust.patterns_people import find_people
from aicore.trust.patterns_phone import find_phones
from aicore.trust.patterns_places import find_places

__all__ = ["REGIONS", "Marked", "find"]

REGIONS = ("DE", "FR", "ES", "GB", "US")
"""Where telephone numbers without a country code may be from, unless told otherwise."""

_PLATE_SAID = re.compile(
    r"(?:kennzeichen|nummernschild|plates?|registration|licen[cs]e|reg(?:\sno)?|plaques?"
    r"|immatricul\w*|matr[íi]culas?|van|truck|car|auto|wagen|transporter|pkw|lkw|camion|voiture"
    r"|furgoneta|coche|moto)\b[^\d\n]{0,25}?\s"
    r"((?=[\w -]{0,9}\d)[A-ZÄÖÜ\d]{1,4}(?:[ -][A-ZÄÖÜ\d]{1,5}){0,2})(?![\w-])",
    re.IGNORECASE,
)
_PLATE = re.compile(
    r"(?<![\w-])(?:[A-Z]{2}-\d{3}-[A-Z]{2}|[A-Z]{2}\d{2} ?[A-Z]{3}"
    r"|[A-ZÄÖÜ]{1,3}-[A-Z]{1,2}[ -]\d{1,4}[EH]?)"
    r"(?![\w-])"
)


def find(text: str, *, regions: Sequence[str] = REGIONS) -> Sequence[Marked]:
    """Find personal values, in order, without overlaps.

    `regions` (ISO 3166) are those whose telephone numbers are understood without a country code.
    """
    read = AsRead(text)
    return apart(
        text,
        (Marked(*read.place(one.start, one.end), one.kind) for one in _all(read.text, regions)),
    )


def _all(text: str, regions: Sequence[str]) -> Iterator[Marked]:
    if any(map(str.isdigit, text)):
        yield from find_accounts(text)
        yield from find_cards(text)
        yield from find_national(text)
        yield from find_phones(text, regions)
        yield from find_births(text)
        yield from find_places(text)
        yield from _plates(text)
    yield from find_online(text)
    yield from find_people(text)


def _plates(text: str) -> Iterator[Marked]:
    for found in _PLATE.finditer(text):
        yield Marked(found.start(), found.end(), "PLATE")
    for found in _PLATE_SAID.finditer(text):
        yield Marked(found.start(1), found.end(1), "PLATE")
