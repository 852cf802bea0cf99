"""Names, e-mail addresses, phone numbers and plain numbers in what people type."""

from __future__ import annotations

import re
import unicodedata

from aicore.flows.clock import NUMBER, number_of
from aicore.flows.words import words

__all__ = [
    "email_in",
    "is_contact_only",
    "looks_like_email",
    "name_in",
    "name_only",
    "number_in",
    "phone_in",
]

_EMAIL = re.compile(
    r"(?<![\w.+@-])[\w+'-]{1,40}(?:\.[\w+'-]{1,40}){0,5}@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?\.){1,5}[a-z]{2,18}(?![\w@])",
    re.IGNORECASE | re.ASCII,
)
_SPELT_AT = re.compile(r"(?<=\w)\s*(?:\(at\)|\[at\]|\s+at\s+|\s*@\s*)\s*(?=\w)", re.IGNORECASE)
_SPELT_DOT = re.compile(
    r"(?<=\w)\s*(?:\(dot\)|\[dot\]|\s+(?:dot|punkt)\s+)\s*(?=\w)", re.IGNORECASE
)
_DIGITS = re.compile(r"\d")
_WHOLE_NUMBER = re.compile(rf"(?<![\w.,@])(?:{NUMBER}|\d{{1,9}})(?![\w@]|[.,]\d)")

_LETTER = r"[^\W\d_]"
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u0670\u0900-\u0dff\u0e30-\u0e4e"  # on letters
_NAME_WORD = rf"(?:{_LETTER}(?:{_LETTER}|[{_MARKS}'\u2019.-])*)"
_INTRODUCED = re.compile(
    rf"\b(?P<lead>(?:my|the)\s+(?:full\s+)?name\s+is|(?:my\s+)?name['\u2019]?s|name\s*(?:is|:|should\s+be|must\s+be)|i\s+am\s+called|"
    rf"call\s+me|it['\u2019]?s\s+me,?|i['\u2019]?m|i\s+am|this\s+is|it'?s|mein\s+name\s+ist|ich\s+hei(?:ß|ss)e|ich\s+bin|"
    rf"hier\s+ist|(?:under|for|auf)\s+(?:the\s+|den\s+)?name[n]?)\s+"
    rf"(?P<name>{_NAME_WORD}(?:\s+{_NAME_WORD}){{0,4}})",
    re.IGNORECASE,
)
_RELATIVE = re.compile(
    r"\b(?:for|für)\s+(?:my|our|meinen?|meine[rn]?|unsere?n?)\s+(?:\w+\s+)?"
    r"(?:son|daughter|husband|wife|partner|mother|father|mum|mom|dad|brother|sister|friend|child|"
    r"kid|girl|boy|boyfriend|girlfriend|sohn|tochter|mann|frau|mutter|vater|kind)\s*,?\s+"
    rf"(?:called\s+|named\s+)?(?P<name>{_NAME_WORD}(?:\s+{_NAME_WORD}){{0,3}})",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(rf'"?(?P<name>{_NAME_WORD}(?:\s+{_NAME_WORD}){{0,3}})"?\s*<[^<>\s]+@')
_TITLE = re.compile(r"\A(?:mr|mrs|ms|miss|herr|frau)\b\.?\s+", re.IGNORECASE)
_OPENING = re.compile(
    r"\A(?:(?:ok(?:ay)?|yes|yeah|sure|well|sorry|of course|ja|klar|me)(?:\s*[,.:!]\s*|"
    r"\s+(?=(?-i:[^\W\d_a-zäöüß]))))+",
    re.IGNORECASE,
)
_NUMBER_OF_PHONE = re.compile(r"\+?\d[\d\s()/.-]{4,}")
_CONTRACTION = re.compile(
    r"(?:i|it|that|this|you|we|he|she|what|who|there)['\u2019]\w+\b", re.IGNORECASE
)
_SURE_LEADS = ("name", "call", "heiße", "heisse")
_TAIL = re.compile(
    r"\s*(?:,|;|(?<!\b\w)(?<!\bdr)(?<!\bprof)\.(?=\s|\Z)|!|\s(?:and|und|but|aber|please|bitte|here|hier|my|meine|thanks|danke|"
    r"mail|e-?mail|phone|tel|speaking|from|by the way)\b).*\Z",
    re.IGNORECASE,
)
_NO_NAME_WORDS = """
yes no yeah yep nope ok okay sure maybe please thanks thank hello hi hey help stop cancel not
sorry looking here busy free available in at a an the just going trying interested new afraid
happy fine good great late early sick ill unsure able unable having getting calling writing
asking wondering thinking planning still also really so very too on off done ready back out from
with without about after before only what when where who why how which is are was were do does
did can could would want need have has book booking appointment price cost open closed
human person agent skip none nothing nobody anonymous it this that my your you me i we they he
she them us and or but if of to for by as urgent allergic pregnant pain toothache currently
driving working coming mine name wrong correct right never mind forget change same again
tomorrow today morning evening afternoon monday tuesday wednesday thursday friday saturday
sunday ja nein nö danke hallo bitte hilfe nicht krank neu hier am ein eine die das ich sie
wir möchte brauche termin auf im zu und oder aber kein keine schon noch wann wo wie wer warum
montag dienstag mittwoch donnerstag freitag samstag sonntag heute morgen mensch first second
third last next one two three four five six later whatever actually make instead rather let oops
hang hold wait moment ich'm privat egal weiß idk dunno lol haha hmm asdf test blah nonsense
bye goodbye ciao tschüss tschau cheers cool perfect nice super prima awesome lovely exactly
absolutely its email mail e-mail phone mobile contact reach ring ignore
"""
_NO_NAMES = frozenset(_NO_NAME_WORDS.split())


def email_in(text: str) -> str | None:
    """Find an e-mail address, also one written with (at), or with spaces around the sign."""
    match = _EMAIL.search(text)
    if match is None:
        match = _EMAIL.search(_SPELT_DOT.sub(".", _SPELT_AT.sub("@", text)))
    return match[0].strip("'").lower() if match else None


def is_contact_only(text: str) -> bool:
    """Say whether a text is an e-mail address or a phone number and nothing else."""
    return bool(_EMAIL.fullmatch(text.strip(" .,<>")) or _NUMBER_OF_PHONE.fullmatch(text.strip()))


def looks_like_email(text: str) -> bool:
    """Say whether somebody tried to write an address."""
    return "@" in text or bool(re.search(r"\w+\.(?:com|de|net|org|co\.uk|eu)\b", text.lower()))


def phone_in(text: str, region: str, *, expected: bool = False) -> str | None:
    """Find a phone number and give it in E.164.

    Unless `expected`, only numbers that really exist in some numbering plan count.
    """
    if len(_DIGITS.findall(text)) < (5 if expected else 6):
        return None
    if not expected and _EMAIL.search(text) and "+" not in text:
        return None
    import phonenumbers

    for match in phonenumbers.PhoneNumberMatcher(text[:300], region):
        return str(phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164))
    if not expected:
        return None
    digits = re.search(r"\+?[\d\s()/.-]{5,30}", text)
    try:
        number = phonenumbers.parse(digits[0] if digits else "", region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def number_in(text: str) -> int | None:
    """Find a whole number, in digits or spelt up to twelve."""
    match = _WHOLE_NUMBER.search(text.lower())
    return number_of(match[0]) if match else None


def name_in(text: str) -> str | None:
    """Find a name that is introduced: my name is Ann Lee, I'm Ann."""
    before_address = _ADDRESSED.search(text)
    if before_address:
        return _kept(before_address["name"], strict=False)
    text = re.sub(r"\S*@\S*", ",", text)
    for match in _INTRODUCED.finditer(text):
        is_sure = any(word in match["lead"].lower() for word in _SURE_LEADS)
        name = _kept(_TAIL.sub("", match["name"]), strict=not is_sure)
        if name:
            return name
    for match in _RELATIVE.finditer(text):  # small letters: more likely no name but a day, a wish
        name = _kept(_TAIL.sub("", match["name"]), strict=True)
        if name and match["name"][0].isupper():
            return name
    return None


def name_only(text: str) -> str | None:
    """Read a bare answer to "what is your name?"."""
    introduced = name_in(text)
    if introduced:
        return introduced
    if re.search(r"\bname is\b", text.lower()):  # and what follows is none
        return None
    bare = _NUMBER_OF_PHONE.sub(",", re.sub(r"\S*@\S*", ",", text))
    bare = "".join(" " if unicodedata.category(sign)[0] == "S" else sign for sign in bare)
    bare = _TITLE.sub("", _OPENING.sub("", bare.strip(" ,\ufe0f")))
    bare = _TAIL.sub("", bare).strip(" .!,;:\"'()-")
    if _CONTRACTION.match(bare):
        return None
    if not re.fullmatch(rf"{_NAME_WORD}(?:\s+{_NAME_WORD}){{0,4}}", bare):
        return None
    parts = bare.split()
    known = [part.lower() in _NO_NAMES for part in parts]
    if any(known) and (
        all(known) or len(parts) < 2 or not all(part[0].isupper() for part in parts)
    ):
        return None
    return _written(bare) if any(known) else _kept(bare, strict=False)


def _kept(name: str, *, strict: bool) -> str | None:
    """Cut at the first word that is no name; `strict` wants capitals, or one or two words."""
    kept: list[str] = []
    for word in name.split():
        if word.lower().rstrip(".") in _NO_NAMES:
            break
        kept.append(word)
    if not kept or len(" ".join(kept)) < 2 or len(" ".join(kept)) > 80:
        return None
    if strict and not kept[0][0].isupper() and (len(kept) > 2 or len(kept) < len(name.split())):
        return None
    if strict and not kept[0][0].isupper() and words(name)[0].endswith("ing"):
        return None
    return _written(" ".join(kept))


def _written(name: str) -> str:
    """Small or capital letters alone are made a name's."""
    is_shouted = name.isupper() and len(name) > 3
    return name.title() if name.islower() or is_shouted else name
