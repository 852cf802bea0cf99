"""Questions that customers ask beside their errand, and the facts that answer them."""

from __future__ import annotations

import re

from aicore.flows.engine import Engine
from aicore.flows.facts import Found
from aicore.flows.intents import Wanted, clauses, wanted_flows
from aicore.flows.replies import courtesy, is_question

__all__ = ["Asides"]

_INFO = re.compile(
    r"\b(?:how (?:much|long|many|far|often)|what|when|where|which|why|who|do you|does|is there|"
    r"are there|"
    r"are you|is it|is the|are the|is parking|have you got|was kostet|wie viel|wie lange|wann|"
    r"wo|was|"
    r"haben sie|gibt es|nehmen sie|kann ich (?:mit|bei))\b|\A(?:is|are)\b|\bcan i\b.*\blater\b"
)


class Asides:
    """Answers from the facts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state

    def fact(self, text: str, wanted: list[Wanted]) -> Found | None:
        """The fact to answer with, unless the text rather asks for a flow."""
        found = self.engine.assistant.facts.search(text)
        if found is None:
            return None
        if not wanted:
            return found if found.by_name or is_question(text) else None
        is_info = bool(_INFO.search(text.lower()))
        return found if found.by_name and is_info else None

    def tell(self, fact: Found) -> None:
        """Say a fact and where it is from, once in a reply."""
        told = f"{fact.text}\n{self.engine.wording.say('from_source', source=fact.source)}"
        if told not in self.engine.said:
            self.engine.said.append(told)
        self.state.misses = 0

    def warn(self, text: str) -> None:
        """Say what is urgent before anything else, whatever is going on."""
        for sentence in clauses(text):
            found = self.engine.assistant.facts.search(sentence)
            if found is not None and found.is_urgent and found.by_name:
                self.tell(found)

    def answer(self, text: str) -> str | None:
        """Answer the questions among several sentences; give the rest, None for nothing left."""
        sentences = clauses(text)
        if len(sentences) < 2:
            return text
        rest = []
        for sentence in sentences:
            wanted = wanted_flows(sentence, self.engine.assistant.model.flows)
            fact = self.fact(sentence, wanted) if is_question(sentence) else None
            if fact is not None and fact.by_name:
                self.tell(fact)
            elif not (courtesy(sentence) and len(sentences) > 1):
                rest.append(sentence)
        if not rest:
            return None if self.engine.said else text
        return " ".join(rest)
