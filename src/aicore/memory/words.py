"""The words of a text, as both stores index and look for them, so that they find the same."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from string import ascii_lowercase

from aicore.memory.stems import MONTHS, stem

__all__ = ["MOST_CHARACTERS", "storable", "words_of", "words_of_date"]

MOST_CHARACTERS = 200_000
"""How much of a text is looked at for words; what is behind is kept, but not found."""

_LONGEST_WORD = 40
_LETTERS = re.compile(r"[^\W_]+")
# Scripts that put no space between words: ideographs, kana, hangul, Thai to Khmer.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_DAY = re.compile("(0?[1-9]|[12][0-9]|3[01])(st|nd|rd|th|er|e)?$")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]"
)

_ENGLISH = """
    about after all also am an and any are as at be because been before being both but by can
    could did do does doing don down during each few for from further had has have having he her
    here hers him his how if in into is isn it its just ll me might more most must my no nor not
    now of off on once only or other our out over own please re same shall she should so some
    such than that the their them then there these they this those through to too under until up
    us ve very was we were what when where which while who whom whose why will with would yes you
    your yours
"""
_GERMAN = """
    aber als am an auch auf aus bei beim bin bis bist bitte da dann das dass dein deine dem den
    denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine
    einem einen einer eines er es etwas euch euer fur gegen gibt hab habe haben hat hatte hatten
    ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes
    kann kannst kein keine keinen konnen konnte man mein meine meinem meinen meiner mich mir mit
    mochte muss mussen nach nein nicht noch nun nur ob oder ohne schon sehr sein seine seinen
    seiner seit sich sie sind so soll sollte uber um und uns unser unsere unter vom von vor wann
    war waren warum was weil welche welchem welchen welcher welches wenn wer werde werden wie
    wieder will wir wird wirst wo wollen wurde wurden zu zum zur zwischen
"""
_FRENCH = """
    ai as au aussi aux avec avez avoir avons ce ceci cela ces cet cette ceux chez comme comment
    dans de depuis des donc dont du elle elles en encore entre es est et etait ete etes etre eu
    fait faut il ils je jusqu la le les leur leurs lui ma mais me meme mes moi mon ne ni nos notre
    nous on ont ou par pas peut peux plus pour pourquoi pouvez qu quand que quel quelle quelles
    quels qui quoi sa sans se ser ses si sommes son sont sous suis sur ta te tes toi ton tous tout
    toute toutes tres tu un une vos votre vous
"""
_SPANISH = """
    al algo ante antes como con contra cual cuales cuando de del desde donde dos el ella ellas
    ellos en entre era eran eres es esa esas ese eso esos esta estaba estan estas este esto estos
    estoy fue fueron gracias ha habia han hasta hay he la las le les lo los mas me mi mis mucho
    muy nada ni no nos nosotros nuestra nuestro o os otra otro para pero por porque pues que
    quien se sea ser si sin sobre somos son soy su sus tambien tan te tengo tiene todo todos tu
    tus un una unas uno unos usted ustedes y ya yo
"""
_LEFT_OUT = frozenset(" ".join((_ENGLISH, _GERMAN, _FRENCH, _SPANISH)).split()) | frozenset(
    ascii_lowercase
)
_MONTHS = frozenset(MONTHS)


def words_of(text: str) -> list[str]:
    """Give the words of a text in order, as they are compared: case, accents and endings gone.

    Words without meaning of their own (English, German, French, Spanish) and single Latin letters
    are left out. Writing without spaces gives pairs of neighbouring characters. Every word is of
    letters and digits alone, whatever the text holds. A day of a month is a word besides.
    """
    found: list[str] = []
    for run in _LETTERS.findall(_plain(text[:MOST_CHARACTERS])):
        if run.isascii():
            if run not in _LEFT_OUT:
                found.append(stem(run[:_LONGEST_WORD]))
            continue
        for part in _UNSPACED.split(run):
            if _UNSPACED.match(part):
                found += _pairs(part)
            elif part and part not in _LEFT_OUT:
                found.append(stem(part[:_LONGEST_WORD]))
    return found + _days(found)


def words_of_date(at_ms: int) -> list[str]:
    """Give the words of a time in milliseconds since 1970: its year, month and day, in UTC.

    The number of the day alone is none of them: it would be found for every count and price.
    """
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OSError, OverflowError, ValueError):
        return []
    month = MONTHS[at.month - 1]
    return [str(at.year), month, f"{month}d{at.day}"]


def storable(text: str) -> str:
    """Put U+FFFD for what not every database can hold: NUL and halves of surrogate pairs."""
    return _NOT_STORABLE.sub("\ufffd", text)


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Case last: what only looks like a letter becomes one, maybe a capital.
    apart = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", apart))


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [run[at : at + 2] for at in range(len(run) - 1)]


def _days(words: list[str]) -> list[str]:
    """Give a word for each day of a month: "7 May" and "May 7th" are the same."""
    days: list[str] = []
    if _MONTHS.isdisjoint(words):
        return days
    for at, word in enumerate(words):
        if word in _MONTHS:
            beside = (*words[max(at - 1, 0) : at], *words[at + 1 : at + 2])
            days += [f"{word}d{int(match[1])}" for match in map(_DAY.match, beside) if match]
    return days
