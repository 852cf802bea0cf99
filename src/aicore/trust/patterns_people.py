"""Names of people, by the words that stand before them: nothing here knows a name.

What is found is what people say of themselves and others in a message ("my name is", "Herr",
"mon mari", "un saludo"); a name without such a word is found by the dictionary of known values or
by a recogniser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aicore.trust.marks import Marked
from aicore.trust.ordinary_words import is_ordinary

__all__ = ["find_people"]

_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019.-](?=[^\W\d_])){0,40}")
_GAP = re.compile(r"[ \u00a0]{1,2}|\. ")
_FIRST_GAP = re.compile(r"[ \u00a0\n,:]{1,3}")
_LINK = frozenset(
    [
        "von",
        "van",
        "der",
        "den",
        "de",
        "del",
        "la",
        "las",
        "los",
        "le",
        "di",
        "da",
        "dos",
        "du",
        "und",
        "y",
        "e",
        "zu",
        "bin",
        "ben",
        "st",
    ]
)
_BREAKS = re.compile(r"\s*(?:[,.;:!?)/\n]|$)")

# What is certainly followed by a name, so that it may be in lower case.
_SURE = r"""
my\ name(?:\ is|['\u2019]s) | name\ is | i\ am\ called | mein\ name\ (?:ist|lautet)
| ich\ hei(?:ß|ss)e
| mich\ nennt\ man | je\ m['\u2019]?\s?appelle? | mon\ nom\ (?:est|c['\u2019]est) | me\ llamo
| mi\ nombre\ es
| (?:full\ |last\ |sur|first\ |nach|vor)?name\s?: | (?:pr[ée])?nom\s?: | nombre\s?:
| apellidos?\s?:
| (?:account\ )?holder(?:\ is|:) | kontoinhaber(?:in)?(?:\ ist|:)? | titulaire(?:\ est|\s?:)?
| titular(?:\ es|:)? | inhaber(?:in)?(?:\ ist|:)?
| signed(?:\ by)?\s?[,:]? | gez(?:eichnet)?\.?:? | sign[ée]e?\s?[,:]?(?!\ (?:le|la|un)\b)
| firmad[oa]\s?:?
| (?:kind\ |best\ |warm\ )?regards\s?,? | cheers\s?, | sincerely\s?, | yours\s?,
| (?:mit\ |viele\ |liebe\ |beste\ |sch(?:ö|oe)ne\ |freundlichen?\ )*(?:gr(?:ü|u|ue)(?:ß
|ss)(?:en?)?|mfg|lg|vg)\s?,?
| (?:bien\ )?cordialement\s?,? | salutations\s?,? | (?:un\ |mis?\ )?(?:cordial\ )?saludos?\s?,?
| atentamente\s?,? | au\ nom\ de | a\ nombre\ de | under\ the\ name(?:\ of)? | auf\ den\ namen
| (?:invoice|bill|ship|made\ out)\ to\s?: | rechnung\ an\s?: | facture\ [àa]\s?: | factura\ a\s?:
"""
_TITLES = r"""
mrs?\.? | ms\.? | miss | mx\.? | sir | madam | herrn? | frau | hr\.(?=\s) | fr\.(?=\s)
| m\.(?=\s) | mme\.? | mlle\.? | monsieur | madame | mademoiselle | sr\.? | sra\.? | srta\.?
| se[ñn]or(?:a|ita)? | don(?=\ [A-ZÁÉÍÓÚ]) | do[ñn]a | dr\.? | dra\.? | prof\.?
"""
_RELATIVES = r"""
(?:my|our)\ (?:husband|wife|partner|daughter|son|mother|father|mum|mom|dad|brother|sister|boss
|colleague|friend|neighbour|neighbor|assistant|client|patient)s?
| (?:mein|unser)(?:e[nrms]?)?\ (?:mann|frau|partner(?:in)?|tochter|sohn|mutter|vater|bruder
|schwester
|chef(?:in)?|kolleg(?:e|en|in)|freund(?:in)?|nachbar(?:in|n)?|assistent(?:in)?|kind)
| (?:mon|ma|notre)\ (?:mari|femme|[ée]poux|[ée]pouse|compagn(?:on|e)|fille|fils|m[èe]re|p[èe]re
|fr[èe]re|s(?:œ|oe)ur|chef|coll[èe]gue|amie?|voisine?|assistante?)
| (?:mi|nuestr[oa])\ (?:marido|mujer|espos[oa]|pareja|hij[oa]|madre|padre|herman[oa]|jef[ea]
|compa[ñn]er[oa]|amig[oa]|vecin[oa]|asistente)
"""
_WEAK = r"""
i\ am | i['\u2019]?m | this\ is | it['\u2019]?s | here\ is | speaking\ with | spoke\ (?:to|with)
| ich\ bin | hier\ (?:ist|spricht|schreibt) | es\ spricht | hier
| je\ suis | c['\u2019]\s?est(?:\ encore)? | ici | soy | aqu[íi]\ (?:est[áa]|es|escribe)? | habla
| (?:dear|hi|hello|hey|hallo|liebe[rs]? | cher | ch[èe]re | bonjour | hola | estimad[oa]
| querid[oa])
| did | has | hat | est-ce\ que | ha\ pagado(?:\ ya)? | ask\ for
| llame\ a | preguntad?\ por | fragen\ sie\ nach | under | auf
"""
_DOORS = r"""
(?:book(?:ed|ing)?|reserv\w+|table)\ (?:it\ |is\ )?under | ring\ (?:at|for) | sonnez\ chez | chez
| llamad?\ a | bei
"""


def _cue(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{words})", re.IGNORECASE | re.VERBOSE)


_SURE_CUE, _TITLE, _RELATIVE, _WEAK_CUE, _DOOR = map(
    _cue, (_SURE, _TITLES, _RELATIVES, _WEAK, _DOORS)
)
_AGAIN = re.compile(
    r"(?:(?<!\w)(?:hey|hi|hello|hallo|nochmal|nochmals|encore|otra\svez|hola),?\s)"
    r"([^\W\d_][\w'\u2019-]{1,30})(?=\s(?:again|here|hier|nochmal|encore|otra\svez|aqu[íi])\b|[.!]\s)",
    re.IGNORECASE,
)
_BORN = re.compile(r",?\s(?:born|geb\.|geboren|n[ée]{1,2}e? le|nacid[oa])\b", re.IGNORECASE)
_BEFORE = re.compile(r"(?:[^\W\d_][\w'\u2019-]{1,30} ){1,2}[^\W\d_][\w'\u2019-]{1,30}\Z")


def find_people(text: str) -> Iterator[Marked]:
    """Find names behind the words for them."""
    for cue in _TITLE.finditer(text):
        if not text[cue.end() - 1 : cue.end() + 1].isalpha() or cue.end() == len(text):
            manner = _TITLED_SMALL if text[cue.start()].islower() else _TITLED
            yield from _name(text, cue.end(), manner)
    for pattern, manner in _CUES:
        for cue in pattern.finditer(text):
            yield from _name(text, cue.end(), manner)
    for again in _AGAIN.finditer(text):
        if not is_ordinary(again[1]):
            yield Marked(again.start(1), again.end(1), "NAME")
    for born in _BORN.finditer(text):
        before = _BEFORE.search(text, max(0, born.start() - 96), born.start())
        if before is not None and not any(map(is_ordinary, before[0].split())):
            yield Marked(before.start(), before.end(), "NAME")


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a name follows a cue.

    In capitals up to three words. In lower case `small` to `most_small` words or none, 0: never;
    `must_end`: only where the sentence ends behind it or goes on with an everyday word.
    `is_titled`: the first word may be an everyday one in capitals ("Herr Sommer").
    """

    small: int = 1
    most_small: int = 2
    must_end: bool = False
    is_titled: bool = False


_TITLED = _Manner(small=0, is_titled=True)
_TITLED_SMALL = _Manner(is_titled=True)
_CUES = (
    (_SURE_CUE, _Manner()),
    (_RELATIVE, _Manner(small=2)),
    (_WEAK_CUE, _Manner(small=2, most_small=3, must_end=True)),
    (_DOOR, _Manner(most_small=2, must_end=True)),
)


def _name(text: str, at: int, manner: _Manner) -> Iterator[Marked]:
    """The name that begins behind a cue, if one does."""
    words = _words(text, at)
    large = _leading(words, is_large=True, is_titled=manner.is_titled)
    if large:
        yield Marked(large[0].start(), large[-1].end(), "NAME")
    elif manner.small and not any(word[0][0].isupper() for word in words):
        small = _leading(words, is_large=False)[: manner.most_small]
        if len(small) < manner.small:
            return
        if not manner.must_end or _ends_there(text, small[-1].end()):
            yield Marked(small[0].start(), small[-1].end(), "NAME")


def _words(text: str, at: int) -> list[re.Match[str]]:
    """Up to three words that follow each other, links such as "von" not counted."""
    words: list[re.Match[str]] = []
    count = 0
    while count < 3:
        gap = (_GAP if words else _FIRST_GAP).match(text, at)
        word = _WORD.match(text, gap.end()) if gap else None
        if gap is None or word is None or (words and gap[0] == ". " and len(words[-1][0]) > 2):
            break
        words.append(word)
        count += word[0] not in _LINK
        at = word.end()
    return words


def _leading(
    words: list[re.Match[str]], *, is_large: bool, is_titled: bool = False
) -> list[re.Match[str]]:
    """The words from the first on that may be of a name, without links at the end.

    Of capitals, an everyday word may be a surname ("Long"), but a first one only behind a title.
    """
    taken: list[re.Match[str]] = []
    for word in words:
        is_link = word[0] in _LINK and bool(taken)
        may_be_ordinary = is_large and (is_titled or bool(taken))
        is_small = is_large and not word[0][0].isupper()
        if not is_link and (is_small or (is_ordinary(word[0]) and not may_be_ordinary)):
            break
        taken.append(word)
    while taken and taken[-1][0] in _LINK:
        taken.pop()
    return taken


def _ends_there(text: str, at: int) -> bool:
    """Whether a sentence or part of one ends there, or goes on with an everyday word."""
    if _BREAKS.match(text, at):
        return True
    gap = _GAP.match(text, at)
    word = _WORD.match(text, gap.end()) if gap else None
    return word is not None and is_ordinary(word[0])
