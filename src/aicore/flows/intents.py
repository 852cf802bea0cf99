"""Which flow a text asks for, by its triggers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aicore.flows.schema import FlowModel
from aicore.flows.words import phrase_score, words

__all__ = ["Wanted", "clauses", "is_negated", "wanted_flows", "wishes"]

_NEGATED = re.compile(
    r"\b(?:(?:don'?t|do not|not going to|won'?t|no longer|not)\s+(?:really\s+)?"
    r"(?:want|need|wish|like|plan|book|have)\b|no longer\b|(?:will|möchte|"
    r"brauche)\s+(?:\w+\s+)?(?:nicht|kein\w*)\b|"
    r"nicht\s+(?:buchen|absagen|stornieren))"
)

_CLAUSE = re.compile(
    r"(?<=[?!.;])\s+|,?\s+(?:and|und|also|but|aber)\s+"
    r"(?=(?:can|could|may|do|is|are|how|what|when|where|i|i'd|i'm|kann|wie|was|wann|wo|ich)\b)"
    r"|,\s+(?=(?:can|could|do you|is there|are there|how|what|where|i|i'd|ich|gibt es|wie)\b)",
    re.IGNORECASE,
)
_HAS_ALREADY = re.compile(
    r"\b(?:i|we)(?:'ve| have| had| already)+ (?:got |booked |made |already )*"
    r"(?:an?|my|the|our|one)\b"
    r"|\b(?:i|we) (?:booked|made|got)\b|\b(?:ich habe?|wir haben)\b(?!.*\b(?:frage|gern)\b)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A flow that a text asks for; `score` is the number of words of its best trigger."""

    flow: str
    score: int
    at: int


def is_negated(text: str) -> bool:
    """Say whether somebody says that they do not want something."""
    return bool(_NEGATED.search(text.lower().replace("\u2019", "'")))


def clauses(text: str) -> list[str]:
    """Split a text where another sentence, question or wish begins."""
    return [part for part in _CLAUSE.split(text) if part.strip()]


def wishes(text: str, flows: Sequence[FlowModel]) -> list[str]:
    """Give the flows that the clauses of a text ask for, in the order in which they are said.

    What somebody has already ("I have an appointment on Monday") is no wish. After the first
    wish a single word is not enough.
    """
    found: list[str] = []
    for clause in clauses(text):
        low = clause.lower().replace("\u2019", "'")
        wanted = [] if is_negated(low) or _HAS_ALREADY.search(low) else wanted_flows(clause, flows)
        if wanted and wanted[0].flow not in found and (wanted[0].score > 1 or not found):
            found.append(wanted[0].flow)
    return found


def wanted_flows(text: str, flows: Sequence[FlowModel]) -> list[Wanted]:
    """Give the flows whose triggers were said, the most specific first.

    Of two with triggers equally long the one mentioned first comes first.
    """
    said = words(text)
    found = []
    for flow in flows:
        scored = [(phrase_score(trigger, said), trigger) for trigger in flow.triggers]
        score, trigger = max(scored, default=(0, ""), key=lambda pair: pair[0])
        if score:
            first = words(trigger)[0]
            at = next((n for n, word in enumerate(said) if word[:4] == first[:4]), len(said))
            found.append(Wanted(flow.flow, score, at))
    return sorted(found, key=lambda wanted: (-wanted.score, wanted.at))
