"""Words as people type them: cleaned, split, reduced to stems, compared with typing errors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import DamerauLevenshtein

__all__ = ["clean", "content_words", "nearest", "phrase_score", "similar", "stem", "words"]

_LONGEST = 1000
_GAP = 2
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
_SUFFIX = re.compile(r"(?:'s|\u2019s|ings?|ies|es|s|ed|en|er|e)\Z")

_STOP_WORDS = """
a about also am an and any are as at be been but by can could did do does don't for from get
give got had has have he hello hey hi how i i'd i'll i'm i've if in into is it it's its just
know let like may me might more much must my need of off on or our please she should so some
tell than thank thanks that that's the their them then there these they this those to too up us
want was we well were what what's when where which who why will with would you your aber als
auch auf aus bei bin bitte brauche das dass dem den der des die dir doch du ein eine einem einen
einer es für gibt gern gerne haben hallo hat ich ihr ihre ihren im ist ja kann können man mein
meine meinen mich mir mit möchte nach noch nur oder sein sich sie sind um und uns unser vom von
war wann warum welche wer werden wie wir wird wo wo's zu zum zur über
"""
_STOP = frozenset(_STOP_WORDS.split())


def clean(text: str) -> str:
    """Bring a customer's text into one shape: composed, visible, single spaces, bounded."""
    text = unicodedata.normalize("NFKC", text[: _LONGEST * 4])
    text = _INVISIBLE.sub("", text)
    text = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join(text.split())[:_LONGEST].rstrip()


def words(text: str) -> list[str]:
    """Give the words in lower case."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Cut a common English or German ending off: opened, opens, opening are one."""
    shorter = _SUFFIX.sub("", word)
    return shorter if len(shorter) >= 3 else word


def content_words(text: str) -> list[str]:
    """Give the words that carry meaning."""
    return [word for word in words(text) if word not in _STOP]


@lru_cache(maxsize=16384)
def similar(left: str, right: str) -> bool:
    """Say whether two words are the same but for an ending or a typing error."""
    if left == right or (stem(left) == stem(right) and min(len(left), len(right)) > 2):
        return True
    shorter = min(len(left), len(right))
    if shorter < 5 or left[0] != right[0]:
        return False
    allowed = 1 if shorter < 8 else 2
    return DamerauLevenshtein.distance(left, right, score_cutoff=allowed) <= allowed


def phrase_score(phrase: str, said: Sequence[str]) -> int:
    """Say how many words of `phrase` were said; 0 unless all were, in order, close together."""
    wanted = words(phrase)
    starts = (at for at, word in enumerate(said) if wanted and similar(wanted[0], word))
    return len(wanted) if any(_goes_on(wanted[1:], said[at + 1 :]) for at in starts) else 0


def _goes_on(wanted: Sequence[str], said: Sequence[str]) -> bool:
    """The rest of a phrase follows, with at most `_GAP` other words before each of its words."""
    if not wanted:
        return True
    near = said[: _GAP + 1]
    return any(
        similar(wanted[0], word) and _goes_on(wanted[1:], said[at + 1 :])
        for at, word in enumerate(near)
    )


def nearest(said: str, names: Iterable[str], *, least: float) -> list[int]:
    """Give the positions of the names most like `said`, best first, at least `least` of 100."""
    said = " ".join(words(said))
    scored = [
        (max(fuzz.ratio(said, flat), fuzz.token_sort_ratio(said, flat)), -at)
        for at, flat in enumerate(" ".join(words(name)) for name in names)
    ]
    return [-at for score, at in sorted(scored, reverse=True) if score >= least]
