"""Which flow a text asks for, by its triggers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aicore.flows.schema import FlowModel
from aicore.flows.words import phrase_score, words

__all__ = ["Wanted", "is_negated", "wanted_flows"]

_NEGATED = re.compile(
    r"\b(?:(?:don'?t|do not|not going to|won'?t|no longer|not)\s+(?:really\s+)?"
    r"(?:want|need|wish|like|plan|book|have)\b|no longer\b|(?:will|möchte|"
    r"brauche)\s+(?:\w+\s+)?(?:nicht|kein\w*)\b|"
    r"nicht\s+(?:buchen|absagen|stornieren))"
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
