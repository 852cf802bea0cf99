"""What a message says that may become a fact, however it was found."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from aicore.records import DataClass

__all__ = ["DOUBT", "END", "Candidate", "fact_text", "is_same_value", "simplified", "value_of"]

END = "No longer: "
"""How the text of a fact begins that says what no longer holds."""

DOUBT = "May have changed: "
"""How the text of a fact begins that makes earlier ones doubtful."""

_NAMED = ("preference", "email", "size")
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing that somebody says of themselves.

    `topic` is what it is about (see Entry), `value` what is said of it, in a few words.
    `is_end`: it says that this no longer holds, whatever the value or, where there is one, if
    the value is this one. `is_doubt`: what holds of the topic may have changed; the value is what
    was said, and a topic such as "appointment" stands for all that begin so.
    """

    topic: str
    value: str
    data_class: DataClass = "personal"
    is_end: bool = False
    is_doubt: bool = False


def simplified(text: str) -> str:
    """Letters and digits alone, without case and accents: what two texts are compared by."""
    folded = text.casefold()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFKD", folded)
        folded = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _NO_WORD.sub(" ", folded).strip()


def fact_text(candidate: Candidate) -> str:
    """How a fact reads: its topic, without what only tells several of a kind apart, and value."""
    kind, _, which = candidate.topic.partition(": ")
    label = f"{kind} ({which})" if kind in _NAMED and which else kind
    text = f"{label[:1].upper()}{label[1:]}: {candidate.value}"
    if candidate.is_doubt:
        return f"{DOUBT}{text}"
    return f"{END}{text}" if candidate.is_end else text


def value_of(text: str) -> str:
    """The value in the text of a fact."""
    return text.rpartition(": ")[2]


def is_same_value(topic: str, held: str, said: str) -> bool:
    """Whether somebody says again what is held. A town is the same as an address in it."""
    one, other = simplified(held), simplified(said)
    if topic == "phone":
        return one.replace(" ", "") == other.replace(" ", "")
    if topic == "address":
        return f" {other} " in f" {one} "
    return one == other
