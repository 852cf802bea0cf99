"""Words for other people: what is said with them is not said of the writer."""

from __future__ import annotations

import re
from collections.abc import Set

from aicore.memory.rules_words import words_in

__all__ = ["OTHERS", "is_of_others"]

_OTHERS = words_in(
    """
    sister brother mother father mum mom dad friend colleague coworker boss neighbour neighbor wife
    husband partner son daughter child kid aunt uncle cousin secretary assistant his her their
    schwester bruder mutter vater mama papa freund freundin kollege kollegi kollegin kollegen chef
    chefi chefin nachbar nachbari nachbarin ehefrau ehemann mann frau partnerin sohn tochter kind
    tante onkel seine ihre
    sœur soeur frère mère père ami amie collègue patron patronn patronne voisin voisine femme mari
    fils fille enfant leur
    hermana hermano madre padre amigo amiga colega jefe jefa vecino vecina esposa esposo marido
    mujer hijo hija su
    """
)
OTHERS = re.compile(rf"\b(?:{'|'.join(sorted(_OTHERS))})\b", re.IGNORECASE)
_TITLE = re.compile(r"(?<!eine )\bFrau (?=[A-ZÄÖÜ])")


def is_of_others(text: str, words: Set[str], *, has_titles: bool = False) -> bool:
    """Whether a sentence of these words names other people.

    `has_titles`: "Frau Kurz" is staff's name, where "meine Frau" is somebody's wife.
    """
    if words.isdisjoint(_OTHERS):
        return False
    return OTHERS.search(_TITLE.sub("", text) if has_titles else text) is not None
