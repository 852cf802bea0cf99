"""Which of what was found, and of what is known anyway, is told to a model: each thing once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from aicore.memory.candidates import simplified, value_of
from aicore.memory.facts import is_doubt, makes_doubtful
from aicore.memory.port import Entry, Found, Source
from aicore.memory.rules_words import context_of
from aicore.memory.words import words_of
from aicore.records import DataClass

__all__ = ["MAY_HAVE_CHANGED", "worth_telling"]

MAY_HAVE_CHANGED = " (may have changed since)"
"""What stands behind what was said before somebody spoke of a change."""

_SHORT_CHARS = 400
_VALUE_CHARS = 4
_DIGITS = 7
_FEW_WORDS = 3
_NO_DIGIT = re.compile(r"\D+")


def worth_telling(
    found: Sequence[Found],
    facts: Sequence[Entry],
    *,
    now_ms: int,
    data_classes: Collection[DataClass],
    in_view: Callable[[Source], bool],
) -> list[Found]:
    """What was found, then the other facts that hold, newest first.

    `facts` are those of who speaks, past ones too. What was said of a fact that has ended is left
    out, and so is what repeats it: the old number must not stand beside the new one. A short
    message says its facts itself. What may have changed says so, and what was said of the change
    is told with it.
    """
    past = [fact for fact in facts if not _holds(fact, now_ms) and not is_doubt(fact)]
    current = [fact for fact in facts if _holds(fact, now_ms)]
    doubts = [fact for fact in facts if is_doubt(fact)]
    has = {one.entry.id for one in found}
    others = sorted(current, key=lambda fact: fact.valid_from_ms, reverse=True)
    candidates = [*found, *(Found(fact, 0.0) for fact in others if fact.id not in has)]
    if doubts:
        candidates = _with_doubts(candidates, current, doubts)
    is_stale = _stale(past, current)
    told = [
        one
        for one in candidates
        if one.entry.data_class in data_classes
        and not in_view(one.entry.source)
        and not (one.entry.kind == "episode" and is_stale(one.entry))
    ]
    return _once(told)


def _with_doubts(
    told: Sequence[Found], current: Sequence[Entry], doubts: Sequence[Entry]
) -> list[Found]:
    """Mark what may have changed, and put what was said of it right before."""
    latest: dict[str, Entry] = {}
    for fact in current:
        about = [doubt for doubt in doubts if makes_doubtful(doubt, fact)]
        if about:
            latest[fact.id] = max(about, key=lambda doubt: (doubt.valid_from_ms, doubt.source.seq))
    is_older = _stale([fact for fact in current if fact.id in latest], [])
    events = {_event(doubt) for doubt in latest.values()}
    since_ms = max((doubt.valid_from_ms for doubt in latest.values()), default=0)
    marked: list[Found] = []
    for one in told:
        entry = one.entry
        if entry.id in latest:
            marked.append(Found(latest[entry.id], one.score))
        is_said_again = entry.kind == "episode" and entry.at_ms <= since_ms and is_older(entry)
        if entry.id in latest or (is_said_again and _event(entry) not in events):
            one = Found(replace(entry, text=f"{entry.text}{MAY_HAVE_CHANGED}"), one.score)
        marked.append(one)
    return marked


def _stale(past: Sequence[Entry], current: Sequence[Entry]) -> Callable[[Entry], bool]:
    """What tells whether an episode is about facts that no longer hold."""
    sources = {_event(fact) for fact in past if fact.source.conversation is not None}
    held = {simplified(value_of(fact.text)) for fact in current}
    topics: dict[str, set[str]] = {}
    for fact in past:
        value = simplified(value_of(fact.text))
        if value not in held and len(value) >= _VALUE_CHARS:
            topics.setdefault(value, set()).add(fact.topic)
    values = set(topics)
    numbers = {_NO_DIGIT.sub("", value)[-_DIGITS:] for value in values}
    numbers = {number for number in numbers if len(number) == _DIGITS}

    def is_stale(entry: Entry) -> bool:
        if _event(entry) in sources:
            return True
        if not values:
            return False
        text = f" {simplified(entry.text)} "
        digits = _NO_DIGIT.sub("", entry.text)
        return any(number in digits for number in numbers) or any(
            f" {value} " in text and _is_of(topics[value], value, entry.text) for value in values
        )

    return is_stale


def _is_of(topics: Collection[str], value: str, text: str) -> bool:
    """Whether a value stands in a text as what a fact of these topics says.

    One word alone, such as a town, may stand there for something else, unless the text says what
    it is about or little besides.
    """
    if " " in value or not value.isalpha():
        return True
    said = set(words_of(text))
    about = {word for topic in topics for word in words_of(context_of(topic))}
    return len(said) <= _FEW_WORDS or bool(said & about)


def _once(told: Sequence[Found]) -> list[Found]:
    """Without facts that a short message beside them says; it takes the first one's place."""
    messages = {
        _event(one.entry): one
        for one in told
        if one.entry.kind == "episode" and len(one.entry.text) <= _SHORT_CHARS
    }
    once: dict[str, Found] = {}
    for one in told:
        is_fact = one.entry.kind == "fact" and one.entry.source.conversation is not None
        instead = messages.get(_event(one.entry)) if is_fact else None
        chosen = one if instead is None else instead
        once.setdefault(chosen.entry.id, chosen)
    return list(once.values())


def _event(entry: Entry) -> tuple[object, int]:
    return entry.source.conversation, entry.source.seq


def _holds(entry: Entry, at_ms: int) -> bool:
    is_over = entry.valid_to_ms is not None and entry.valid_to_ms <= at_ms
    return entry.valid_from_ms <= at_ms and not is_over
