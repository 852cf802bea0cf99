"""Facts from messages by rules alone: no model, the same each time, in four languages.

English, German, French and Spanish. Precision before recall: only what somebody plainly states
of themselves, in the first person and in the present.
"""

from __future__ import annotations

from collections.abc import Sequence

from aicore.memory.candidates import Candidate
from aicore.memory.rules_answers import contacts_answered
from aicore.memory.rules_contact import contacts_stated
from aicore.memory.rules_habits import habits
from aicore.memory.rules_refusals import is_invented
from aicore.memory.rules_slots import shaped
from aicore.memory.rules_stated import appointment_told, stated
from aicore.memory.rules_wishes import wished
from aicore.memory.sentences import affirmed, statements

__all__ = ["facts_stated", "facts_told"]

_FACTS = 12


def facts_stated(text: str, said_before: Sequence[str] = ()) -> list[Candidate]:
    """What the writer of a message says of themselves.

    `said_before` is what the assistant said shortly before, the last one last: a message that
    repeats it says nothing, one that answers its question may be an e-mail address alone.
    """
    found = list(contacts_answered(text, said_before[-1])) if said_before else []
    for whole in statements(text, tuple(said_before)):
        if is_invented(whole.text, whole.words):
            continue
        found += shaped(whole)
        found += contacts_stated(whole)
        for sentence in affirmed(whole):
            found += wished(sentence)
            found += stated(sentence)
            found += habits(sentence)
    return _once(found)


def facts_told(text: str) -> list[Candidate]:
    """What a message of staff says of the customer it is for: appointments."""
    return _once([one for sentence in statements(text) for one in appointment_told(sentence)])


def _once(found: Sequence[Candidate]) -> list[Candidate]:
    """One candidate a topic, the last one said; few, whoever writes."""
    return list({one.topic: one for one in found}.values())[:_FACTS]
