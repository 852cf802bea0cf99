"""Which of what was found, and of what is known anyway, is told to a model: each thing once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from aicore.memory.candidates import simplified, value_of
from aicore.memory.port import Entry, Found, Source
from aicore.records import DataClass

__all__ = ["worth_telling"]

_SHORT_CHARS = 400
_VALUE_CHARS = 4
_DIGITS = 7
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
    message says its facts itself.
    """
    past = [fact for fact in facts if not _holds(fact, now_ms)]
    current = [fact for fact in facts if _holds(fact, now_ms)]
    has = {one.entry.id for one in found}
    others = sorted(current, key=lambda fact: fact.valid_from_ms, reverse=True)
    candidates = [*found, *(Found(fact, 0.0) for fact in others if fact.id not in has)]
    is_stale = _stale(past, current)
    told = [
        one
        for one in candidates
        if one.entry.data_class in data_classes
        and not in_view(one.entry.source)
        and not (one.entry.kind == "episode" and is_stale(one.entry))
    ]
    return _once(told)


def _stale(past: Sequence[Entry], current: Sequence[Entry]) -> Callable[[Entry], bool]:
    """What tells whether an episode is about facts that no longer hold."""
    sources = {_event(fact) for fact in past if fact.source.conversation is not None}
    held = {simplified(value_of(fact.text)) for fact in current}
    values = {simplified(value_of(fact.text)) for fact in past} - held
    values = {value for value in values if len(value) >= _VALUE_CHARS}
    numbers = {_NO_DIGIT.sub("", value)[-_DIGITS:] for value in values}
    numbers = {number for number in numbers if len(number) == _DIGITS}

    def is_stale(entry: Entry) -> bool:
        if _event(entry) in sources:
            return True
        if not values:
            return False
        text = f" {simplified(entry.text)} "
        digits = _NO_DIGIT.sub("", entry.text)
        return any(f" {value} " in text for value in values) or any(
            number in digits for number in numbers
        )

    return is_stale


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
