"""Dates: those on which people were born are personal, those of appointments must not be hidden.

Of birth are dates behind words for it, and those too old for business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicore.trust.marks import Marked

__all__ = ["find_births", "is_when"]

_MONTHS = """
jan(?:uary|uar)? jänner feb(?:ruary|ruar)? mar(?:ch)? m[äa]e?rz apr(?:il)? ma[yi]
june? juni july? juli
aug(?:ust)? sep(?:t(?:ember)?)? o[ck]t(?:ober)? nov(?:ember)? de[cz](?:ember)?
janv(?:ier)? f[ée]v(?:rier)? mars avril juin juillet ao[ûu]t septembre octobre novembre
d[ée]c(?:embre)?
enero febrero marzo abril mayo junio julio agosto sep?tiembre octubre noviembre diciembre
"""
_MONTH = f"(?:{'|'.join(_MONTHS.split())})"
_DATE = re.compile(
    rf"""(?<![\w.])(?:
      \d{{1,2}}\s?[./-]\s?\d{{1,2}}\s?[./-]\s?(?P<y1>\d{{4}}|\d{{2}})
    | (?P<y2>\d{{4}})[./-]\d{{1,2}}[./-]\d{{1,2}}
    | \d{{1,2}}(?:st|nd|rd|th|er|º|\.)?\s(?:of\s|de\s)?{_MONTH}\.?,?\s(?:de\s|del\s)?
      (?P<y3>\d{{4}}|\d{{2}})
    | {_MONTH}\.?\s\d{{1,2}}(?:st|nd|rd|th)?,?\s(?P<y4>\d{{4}})
    )(?!\w|[./-]\d)""",
    re.IGNORECASE | re.VERBOSE,
)
_BORN_BEFORE = re.compile(
    r"(?:\b(?:dob|d\.o\.b\.?|born|birth\w*|bday|geb\.?|geboren\w*|geburts\w*|jahrgang"
    r"|n[ée]{1,2}e?|naissance|naci\w*|nac[íi]|nacimiento|cumplea[ñn]os|anniversaire)\b)"
    r"[^\d\n]{0,25}\Z",
    re.IGNORECASE,
)
_BORN_AFTER = re.compile(r"[^\d\n]{0,15}\b(?:born|geboren|geb\.)", re.IGNORECASE)
_DAY, _IN_YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:(?:19|20)\d\d|[23]\d)"
_HOUR = r"(?:[01]?\d|2[0-4])(?:[.h]?[0-5]\d)?"
_ONE_DAY = "|".join(
    (
        *(rf"{_DAY}{mark} ?{_IN_YEAR}{mark} ?{_YEAR}" for mark in (r"\.", "/", "-")),
        *(rf"20\d\d{mark}{_IN_YEAR}{mark}{_DAY}" for mark in (r"\.", "/", "-")),
        rf"{_IN_YEAR}/{_DAY}/{_YEAR}",
        rf"{_DAY}\. ?{_IN_YEAR}\.?",
    )
)
# What follows a day may be cut off where digits end: "24.11.2026 14" of 14:30.
_WHEN = re.compile(rf"(?:{_ONE_DAY})(?:(?: ?[-/(] ?| )(?:{_ONE_DAY}|{_HOUR})){{0,3}}")
_OLDEST, _YOUNGEST = 1900, 2009


def is_when(text: str) -> bool:
    """Whether digits are a day and nothing more than times or other days: `24.11.2026 14.30`."""
    return _WHEN.fullmatch(text) is not None


def find_births(text: str) -> Iterator[Marked]:
    """Find days of birth. A date of 1900 to 2009 counts without any word for it."""
    for found in _DATE.finditer(text):
        year = next(filter(None, found.group("y1", "y2", "y3", "y4")))
        is_old = len(year) == 4 and _OLDEST <= int(year) <= _YOUNGEST
        if is_old or _is_said(text, found):
            yield Marked(found.start(), found.end(), "BIRTH")


def _is_said(text: str, found: re.Match[str]) -> bool:
    if _BORN_BEFORE.search(text, max(0, found.start() - 48), found.start()):
        return True
    return _BORN_AFTER.match(text, found.end()) is not None
