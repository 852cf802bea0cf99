"""Where people live: street and number, postcode and town, in the forms of four languages.

The words for kinds of streets are those of the postal services: for the United States USPS
Publication 28, appendix C1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicore.trust.marks import Marked
from aicore.trust.ordinary_words import is_ordinary

__all__ = ["find_places"]

_GERMAN = re.compile(
    r"(?:stra(?:ß|ss)e|str\.?|(?<=\w)weg|(?<=\w)platz|(?<=\w)allee|(?<=\w)gasse|(?<=\w)ring"
    r"|(?<=\w)damm|(?<=\w)ufer|chaussee|promenade|(?<=\w)steig|(?<=\w)stieg|(?<=\w)graben"
    r"|(?<=-)(?:weg|platz|allee|gasse|ring|damm|ufer)|allee)"
    r",?\s{0,2}\d{1,4}(?:\s?[a-z](?![\w-]))?(?:\s?[-/+]\s?\d{1,4}[a-z]?)?(?![\w.,]\d|\w)",
    re.IGNORECASE,
)
_GERMAN_HEAD = re.compile(r"[\w.'-]{0,60}\Z")
_ALONE = re.compile(r"(?:stra(?:ß|ss)e|str\.?|chaussee|promenade|allee)", re.IGNORECASE)
_WORD_BEFORE = re.compile(r"[^\W\d_][\w.-]{1,40}\s\Z")
_NO_STREET = re.compile(
    r"(?:park|stell|sitz|arbeits|schlaf|steh|spring|bring|strang|string|during)"
    r"(?:weg|platz|ring|ing)?$|unterweg$|kreuzweg$",
    re.IGNORECASE,
)
_AM = re.compile(
    r"(?<!\w)(?:Am|An der|An den|Auf dem|Auf der|Im|In der|In den|Zum|Zur|Unter den|Hinter der)"
    r"\s[A-ZÄÖÜ][\w-]{2,30}(?:\s[A-ZÄÖÜ][\w-]{2,30})?\s\d{1,3}"
    r"\s?[a-z]?(?![\w%]|[.,:-]\d|\s(?:Uhr|Personen|Euro|€))"
)
_FRENCH = re.compile(
    r"(?<!\w)(?:(?P<number>\d{1,4})(?:\s?(?:bis|ter|quater|[a-d]))?,?\s{1,2})?"
    r"(?P<type>rue|avenue|av\.|boulevard|bd|bld|chemin|place|impasse|all[ée]e|route|quai|cours"
    r"|square|passage|sentier|faubourg|r[ée]sidence|ruelle|villa)\s",
    re.IGNORECASE,
)
_WITHOUT_NUMBER = frozenset(("rue", "avenue", "boulevard", "impasse", "chemin"))
_FRENCH_LINKS = frozenset(["de", "du", "des", "la", "le", "les", "l", "d", "aux", "au", "et"])
_SPANISH = re.compile(
    r"(?<!\w)(?:(?:calle|avenida|plaza|paseo|camino|carretera|ronda|traves[íi]a|pasaje|pasadizo"
    r"|callej[óo]n|ca[ñn]ada|glorieta|v[íi]a|vial|cuesta|rambla|urbanizaci[óo]n|alameda|acceso"
    r"|bulevar|sendero)\s|(?:c|pl|av|avda|pza|p[ºo]|ctra)\.\s|c/\s?)"
    r"(?:[^\W\d_][\w.'ºª-]{0,30},?\s){1,6}(?P<said>n[ºo°]\.?\s?|n[úu]mero\s)?\d{1,4}"
    r"(?!\d|[.,:/-]\d|\s?(?:€|eur|%))"
    r"(?:,?\s?(?:puerta|piso|apt\.?|pta\.?|bajo|esc\.?|local|[ºª])(?:\s?\d{1,4})?(?:\s?[ºª])?(?:\s?[A-D]\b)?)?",
    re.IGNORECASE,
)
_NO_NUMBER_AFTER = frozenset(
    [
        "a",
        "al",
        "con",
        "de",
        "del",
        "desde",
        "el",
        "en",
        "hasta",
        "la",
        "las",
        "los",
        "o",
        "para",
        "por",
        "que",
        "y",
    ]
)
_ENGLISH_TYPES = """
alley annex arcade avenue ave bayou beach bend bluffs? bottom boulevard blvd branch bridge brooks?
burgs? bypass camp canyon cape causeway cent(?:er|re)s? circles? cliffs? close club common
corners? course courts? ct coves? creek crescent cres crest crossing crossroad curve dale dam
divide drives? dr estates? expressway extensions? falls ferry fields? flats? fords? forest forges?
forks? fort freeway gardens? gdns gateway glens? greens? groves? harbors? haven heights highway
hwy hills? hollow inlet islands? isle junctions? keys? knolls? lakes? land landing lanes? ln
lights? loaf locks? lodge loop mall manors? meadows? mews mills? mission motorway mount mountains?
neck orchard oval overpass parade parks? parkways? pass passage path pike pines? place pl plains?
plaza points? ports? prairie radial ramp ranch rapids? rest ridges? rise river roads? rd route row
run shoals? shores? skyway springs? spurs? squares? sq stations? stravenue stream streets? st
summit terrace throughway trace track trafficway trail tunnel turnpike underpass unions? valleys?
via viaduct views? villages? ville vista walks? wall ways? wells? rue
"""
_ENGLISH = re.compile(rf"(?<!\w)(?:{'|'.join(_ENGLISH_TYPES.split())})(?!\w)\.?", re.IGNORECASE)
_SURE_TYPES = frozenset(
    [
        "street",
        "st",
        "road",
        "rd",
        "avenue",
        "ave",
        "lane",
        "ln",
        "drive",
        "boulevard",
        "blvd",
        "crescent",
        "terrace",
        "highway",
    ]
)
_ENGLISH_HEAD = re.compile(
    r"(?:(?<!\w)(?:studio|flat|apartment|apt\.?|unit|suite)\s(?:\d{1,4}[a-z]?,?\s)?)?"
    r"(?<![\w.,:£$€/-])\d{1,5}[A-Za-z]?(?:-\d{1,5})?,?\s(?:[^\W\d_][\w'.-]{0,30}\s){1,3}\Z",
    re.IGNORECASE,
)
_UNIT = re.compile(r",?\s{1,2}(?:apt|apartment|suite|flat|unit|ste|#)\.?\s?\w{1,6}", re.IGNORECASE)
_FLAT = re.compile(r"(?:studio|flat|apartment|apt\.?|unit|suite)\s", re.IGNORECASE)
_TOWN_WORD = r"[A-ZÀ-ÖØ-Ý][\w'\u2019.-]{1,30}"
_TOWN = (
    rf"{_TOWN_WORD}(?:[ -](?:(?:am|an der|ob der|im|in|bei|de|del|la|le|les|los|las|sur|sous|en"
    rf"|upon) )?{_TOWN_WORD}){{0,3}}"
)
_POSTCODE_TOWN = re.compile(rf"(?<![\w.,:#/-])(?:D-|F-|E-)?(\d{{5}}),?\s{{1,2}}({_TOWN})")
_NOT_POSTCODE = re.compile(
    r"(?:nr|no|n°|nummer|number|numéro|número|auftrag|bestellung|order|commande|pedido|factura"
    r"|rechnung|facture|invoice|#)\W{0,3}\Z",
    re.IGNORECASE,
)
_NOT_TOWN = re.compile(
    r"(?:St(?:ü|ue)ck|Euro?s?|EUR|Personen|Leute|Artikel|Exemplare|Kilometer|Dollars?|Points?)\b"
)
_UK = re.compile(
    r"(?<![\w-])(?:[A-Z]{1,2}\d[A-Z\d]?\s?\d[ABD-HJLNP-UW-Z]{2})(?![\w-])", re.IGNORECASE
)
_US = re.compile(
    rf"(?<![\w.]){_TOWN_WORD}(?: {_TOWN_WORD}){{0,2}},? (?:[A-Z]{{2}} )\d{{5}}(?:-\d{{4}})?(?!\w)"
)
_TOWN_BEFORE = re.compile(rf"{_TOWN_WORD}(?: {_TOWN_WORD}){{0,2}},?\s\Z")
_AFTER_STREET = re.compile(
    r"(?:,?\s{1,2}|\s?,\s?|\s(?:in|[àa]|en|nach)\s)"
    r"(?:(?:(?:D-|F-|E-)?\d{5})\s(?:(?:bad|san|santa|saint|sainte|st\.?|la|le|les|los|las|el)[ -])?"
    r"[^\W\d_][\w'\u2019-]{1,40}(?:\s(?:am|an der|ob der|im|in der)\s[^\W\d_][\w'\u2019-]{1,30})?"
    r"|(?:[^\W\d_][\w'\u2019.-]{1,30},?\s){1,3}(?:\d{5}(?:-\d{4})?(?!\w)"
    r"|[a-z]{1,2}\d[a-z\d]?\s?\d[a-z]{2}(?!\w)))",
    re.IGNORECASE,
)
_SAID_TOWN = re.compile(
    r"(?<!\w)(?:in|nach|aus|[àa]|en|plz|postleitzahl|code postal|c[óo]digo postal|postcode|zip"
    r"(?:\scode)?)\s?:?\s((?:D-)?\d{5}(?:\s(?:(?:bad|san|santa|saint|la|le|los|las)\s)?"
    r"[^\W\d_][\w'\u2019-]{1,40}))",
    re.IGNORECASE,
)
_SEEN = 120


def find_places(text: str) -> Iterator[Marked]:
    """Find streets with their number, and towns with their postcode."""
    for start, end in (*_german(text), *_french(text), *_spanish(text), *_english(text)):
        yield Marked(start, end, "STREET")
        town = _AFTER_STREET.match(text, end)
        if town is not None:
            begins = end + len(town[0]) - len(town[0].lstrip(" ,\n"))
            yield Marked(begins, town.end(), "TOWN")
    yield from _towns(text)


def _german(text: str) -> Iterator[tuple[int, int]]:
    for found in _GERMAN.finditer(text):
        head = _GERMAN_HEAD.search(text, max(0, found.start() - 60), found.start())
        start = found.start() if head is None else head.start()
        kind = re.split(r"[\s\d,]", text[start : found.end()], maxsplit=1)[0]
        if _NO_STREET.search(kind) or len(kind) < 3:
            continue
        if _ALONE.fullmatch(kind):
            before = _WORD_BEFORE.search(text, max(0, start - 42), start)
            start = start if before is None else before.start()
        yield start, found.end()
    for found in _AM.finditer(text):
        yield found.start(), found.end()


def _french(text: str) -> Iterator[tuple[int, int]]:
    word = re.compile(r"(?:[dl]['\u2019])?([^\W\d_][\w.'\u2019-]{0,30})")
    for found in _FRENCH.finditer(text):
        if found["number"] is None and found["type"].lower() not in _WITHOUT_NUMBER:
            continue
        at = end = found.end()
        named = 0
        is_large = False
        while named < 4:
            next_ = word.match(text, at)
            if next_ is None:
                break
            is_link = next_[0].lower() in _FRENCH_LINKS
            if (
                named
                and not is_link
                and (is_large != next_[1][0].isupper() or named > 1 > is_large)
            ):
                break
            at = next_.end()
            if not is_link:
                named, end, is_large = named + 1, at, next_[1][0].isupper()
            if text[at : at + 1] != " ":
                break
            at += 1
        if named:
            yield found.start(), end


def _spanish(text: str) -> Iterator[tuple[int, int]]:
    for found in _SPANISH.finditer(text):
        before_number = re.split(r"\s\d", found[0], maxsplit=1)[0].split()[-1]
        if found["said"] or before_number.lower() not in _NO_NUMBER_AFTER:
            yield found.start(), found.end()


def _english(text: str) -> Iterator[tuple[int, int]]:
    for found in _ENGLISH.finditer(text):
        head = _ENGLISH_HEAD.search(text, max(0, found.start() - _SEEN), found.start())
        is_sure = found[0].lower().rstrip(".") in _SURE_TYPES
        if head is not None and (is_sure or _is_street(head[0], found[0])):
            unit = _UNIT.match(text, found.end())
            yield head.start(), found.end() if unit is None else unit.end()


def _is_street(head: str, kind: str) -> bool:
    """Whether words before a kind of street that is also an everyday word are a street's name."""
    words = [word for word in head.split() if not word[0].isdigit()]
    if len(words) > 1 and _FLAT.match(head):
        words = words[1:]
    if kind[0].isupper():
        return all(word[0].isupper() for word in words)
    return len(words) == 1 and not is_ordinary(words[0]) and kind[0].islower()


def _towns(text: str) -> Iterator[Marked]:
    for found in _POSTCODE_TOWN.finditer(text):
        if _NOT_TOWN.match(found[2]) or _NOT_POSTCODE.search(
            text, max(0, found.start() - 20), found.start()
        ):
            continue
        yield Marked(found.start(), found.end(), "TOWN")
    for found in _SAID_TOWN.finditer(text):
        yield Marked(found.start(1), found.end(1), "TOWN")
    for found in _UK.finditer(text):
        before = _TOWN_BEFORE.search(text, max(0, found.start() - 100), found.start())
        yield Marked(found.start() if before is None else before.start(), found.end(), "TOWN")
    for found in _US.finditer(text):
        yield Marked(found.start(), found.end(), "TOWN")
