"""Which texts are special: health, money, faith, secrets and their like, by words and numbers.

It errs on the careful side: a text that is called special without need is only kept from
managed providers. It knows words of English, German, French and Spanish, no meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain

from aicore.records import DataClass
from aicore.trust.as_read import AsRead
from aicore.trust.patterns_numbers import find_accounts, find_national
from aicore.trust.patterns_online import find_online
from aicore.trust.special_words import BEGINNINGS

__all__ = ["data_class_of"]

_HEALTH = """
allerg alérg medic[ai] medikament médicament diabet zuckerkrank pregnan schwanger enceinte embaraz
asthma asthme asma epilep épilep cancer krebs cáncer tumou?r depress dépress depres anxiety angstst
ansiedad hiv aids hepatit surger operier chirurg cirug cirujan diagnos prescri prescript rezeptpfl
ordonnance receta illness disease krank malad[ei] enferm disab behinder handicap discapac
blood\\s?pressure blutdruck bluthochdruck therap psych addict[ie] süchtig abhängig toxico
dialy pacemaker
herzschrittmacher marcapasos infarct infarkt infarto stroke schlaganfall intoleran unverträglich
intolér coeliac celiac zöliak cœliaq celíac insulin antibiot penicil miscarr fehlgeb symptom
chemotherap chimioth quimiot vaccin geimpft impfung vacuna rollstuhl wheelchair wehtut migr[aäá]n
migraine
"""
_MONEY = """
iban kontonummer bank\\s?account bankverbindung compte\\s+bancaire cuenta\\s+bancaria sort\\s?code
credit\\s?card kreditkart carte\\s+(?:de\\s+crédit|bancaire) tarjeta\\s+de\\s+crédito cvv cvc
salary gehalt salaire salario insolven bankrupt schulden schuldner endett debt überschuldet
"""
_FAITH = """
muslim christian\\b christlich jewish jüdisch juif judío hindu buddhis bouddhis atheis church\\b
kirche mosque moschee synagog halal kosher koscher casher religio gewerkschaft trade\\s?union
syndicat sindicato sexual gay\\b lesbi transgender trans-?sex homosex
"""


def _by_first_letter(beginnings: list[str]) -> str:
    """A pattern for any of these, which looks at a place of a text once for all of a letter."""
    rests: dict[str, list[str]] = {}
    for one in beginnings:
        rests.setdefault(one[0], []).append(one[1:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in rests.items())


_ALL = f"{_HEALTH} {_MONEY} {_FAITH} {BEGINNINGS}"
_WORDS = re.compile(
    # German joins words: "Nussallergie".
    rf"allerg|(?<![^\W\d_])(?:{_by_first_letter(_ALL.split())})",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d+])\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_LOOKED_AT_CHARS = 200_000
_KEPT_CHARS = 1_000


def data_class_of(text: str) -> DataClass:
    """How careful to be with what a person said: "special", else "personal".

    A text too long to be looked at is special. The classes of the last short ones are kept: what
    was said is asked for again as what was said around others.
    """
    return _class_of(text) if len(text) > _KEPT_CHARS else _kept_class_of(text)


@lru_cache(maxsize=256)
def _kept_class_of(text: str) -> DataClass:
    return _class_of(text)


def _class_of(text: str) -> DataClass:
    if len(text) > _LOOKED_AT_CHARS:
        return "special"
    text = AsRead(text).text
    if _WORDS.search(text) or _IBAN.search(text):
        return "special"
    if any(_is_card(one[0]) for one in _CARD.finditer(text)):
        return "special"
    marks = chain(find_accounts(text), find_national(text), find_online(text))
    return "special" if any(mark.data_class == "special" for mark in marks) else "personal"


def _is_card(number: str) -> bool:
    """Whether digits pass the check that card numbers pass (ISO/IEC 7812-1, Luhn)."""
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
