"""What stands for all forms of a word, in whatever language it is.

A text of a small business is in one of several languages, and a question often in another one
than the answer, so nothing here asks which. An ending that English, German, French or Spanish
words commonly have is cut, and of what is left the first six letters count. On LoCoMo this finds
a little more than Porter's English stemmer, see docs/memory-recall.md.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["MONTHS", "stem"]

_LETTERS = 6
_SHORTEST = 4
# "dogs", "fees" and "días", but neither "Haus", "Glas" nor "loss". What the rule takes wrongly,
# such as "Kurs", it takes in all its forms.
_SHORT_PLURAL = re.compile("..[^aius]s|.[aeiou]as")
_SHORT_PLURAL_IN_ES = re.compile("..xes|buses|gases")  # "cases" and "sizes" have an e of their own
# fmt: off
_ENDINGS = (  # the longest first
    "ings", "ing", "ies", "ied", "ers", "ern", "ed", "es", "en", "er", "em", "ly", "as", "os",
    "s", "e", "n", "y", "a", "o",
)
# fmt: on

# The same token for a month or a day of the week in four languages: dates are what is asked for
# most, and what says the same in each.
_MONTHS = """
    january januar janner janvier enero jan
    february februar fevrier febrero feb
    march marz mars marzo
    april avril abril apr
    may mai mayo
    june juni juin junio jun
    july juli juillet julio jul
    august aout agosto aug
    september septembre septiembre sept sep
    october oktober octobre octubre oct okt
    november novembre noviembre nov
    december dezember decembre diciembre dec dez
"""
_DAYS = """
    monday montag lundi lunes
    tuesday dienstag mardi martes
    wednesday mittwoch mercredi miercoles
    thursday donnerstag jeudi jueves
    friday freitag vendredi viernes
    saturday samstag sonnabend samedi sabado
    sunday sonntag dimanche domingo
"""
_CALENDAR = {
    name: f"{token}{number}"
    for token, table in (("month", _MONTHS), ("day", _DAYS))
    for number, line in enumerate(table.strip().splitlines(), 1)
    for name in line.split()
}
MONTHS = tuple(f"month{number}" for number in range(1, 13))
"""What stands for the months, from January on."""


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Give what stands for all forms of a word, which is in lower case and without accents.

    Words with digits in them, such as numbers and codes, stand for themselves.
    """
    if not word.isalpha():
        return word
    known = _CALENDAR.get(word) or _CALENDAR.get(word.removesuffix("s"))
    if known is not None:
        return known
    if _SHORT_PLURAL_IN_ES.fullmatch(word):
        return word[:-2]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            word = word[: -len(ending)]
            break
    return word[:-1] if _SHORT_PLURAL.fullmatch(word) else word[:_LETTERS]
