"""Words for other people: what is said with them is not said of the writer."""

from __future__ import annotations

import re

__all__ = ["OTHERS", "is_of_others"]

OTHERS = re.compile(
    r"\b(?:sister|brother|mother|father|mum|mom|dad|friend|colleague|coworker|boss|neighbou?r|wife|"
    r"husband|partner|son|daughter|child|kid|aunt|uncle|cousin|secretary|assistant|"
    r"schwester|bruder|mutter|vater|mama|papa|freund|freundin|kollegin?|kollegen|chefin?|"
    r"nachbarin?|"
    r"ehefrau|ehemann|mann|frau|partnerin|sohn|tochter|kind|tante|onkel|"
    r"sœur|soeur|frère|mère|père|amie?|collègue|patronne?|voisine?|femme|mari|fils|fille|enfant|"
    r"hermana|hermano|madre|padre|amig[oa]|colega|jef[ea]|vecin[oa]|esposa|esposo|marido|mujer|"
    r"hij[oa]|his|her|their|seine|ihre|leur|su)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(r"(?<!eine )\bFrau (?=[A-ZÄÖÜ])")


def is_of_others(text: str) -> bool:
    """Whether a sentence names other people: "meine Frau" does, "Frau Kurz" may be staff."""
    return OTHERS.search(_TITLE.sub("", text)) is not None
