"""What values look like: e-mail addresses, phone numbers, dates; parts of regular expressions."""

from __future__ import annotations

import re

__all__ = ["DATE", "EMAIL", "PHONE", "WEEKDAYS", "phone_of"]

EMAIL = (
    r"(?P<email>(?<![\w.+@-])[\w+'-]{1,64}(?:\.[\w+'-]{1,64}){0,5}@"
    r"(?:[^\W_](?:[\w-]{0,60}[^\W_])?\.){1,5}[^\W\d_]{2,18})(?![\w@])"
)
PHONE = r"(?P<phone>(?:\+|00|\(?0|\b[1-9])[\d\s()/.\u2011-]{5,22}\d)(?!\w)"
_MONTHS = (
    r"(?:jan\w*|feb\w*|mar[a-z]*|märz?|apr\w*|ma[iy]o?|jun\w*|jul\w*|aug\w*|sep\w*|oct\w*|okt\w*|"
    r"nov\w*|dec\w*|dez\w*|"
    r"janv\w*|févr\w*|mars|avr\w*|juin|juil\w*|août|déc\w*|ene\w*|abr\w*|ago\w*|dic\w*)"
)
DATE = (
    rf"(?P<date>(?:\d{{1,2}}(?:st|nd|rd|th|er|\.)?\s*(?:of |de )?{_MONTHS}\.?(?:,?\s*(?:de |"
    rf"del )?\d{{4}})?"
    rf"|{_MONTHS}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s*\d{{4}})?|"
    rf"\d{{1,2}}[./]\s?\d{{1,2}}(?:[./]\s?\d{{2,4}})?|\d{{4}}-\d\d-\d\d))"
)
WEEKDAYS = (
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|(?:montag|dienstag|mittwoch|donnerstag|"
    r"freitag"
    r"|samstag|sonnabend|sonntag)s?|(?:lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche)s?|lunes"
    r"|martes|mi[ée]rcoles|jueves|viernes|s[áa]bados?|domingos?)"
)
_DAY = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")


def phone_of(written: str) -> str | None:
    """A number in E.164 where it has its country, else as it was written."""
    import phonenumbers  # slow to load: only where somebody gives a number

    if _DAY.fullmatch(written.strip()):
        return None
    plain = re.sub(r"[^\d+]", "", re.sub(r"^00", "+", re.sub(r"\(0\)", "", written)))
    if not 6 <= len(plain.lstrip("+")) <= 15:
        return None
    if not plain.startswith("+"):
        return plain
    try:
        number = phonenumbers.parse(plain)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
