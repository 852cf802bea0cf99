"""What a customer says besides answering: values for other slots, and second thoughts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aicore.flows.engine import Engine
from aicore.flows.replies import is_change
from aicore.flows.slot_values import Ask, field_of, mentioned, settle_when
from aicore.flows.whens import When, understand_when
from aicore.flows.words import similar, words

__all__ = ["change_slots", "found_in", "slot_to_change"]

_TIMES = ("period", "datetime", "date")
_WORDS_FOR = {
    "name": ("name", "surname"),
    "email": ("mail", "email", "e-mail", "address"),
    "phone": ("phone", "telephone", "mobile", "number", "telefon", "telefonnummer", "handy"),
    "period": ("time", "day", "date", "when", "hour", "appointment", "zeit", "uhrzeit", "tag",
               "datum", "termin"),
    "datetime": ("time", "day", "date", "hour", "zeit", "uhrzeit", "tag", "datum", "termin"),
    "date": ("day", "date", "tag", "datum"),
}  # fmt: skip


def found_in(engine: Engine, flow: str, text: str, skip: str | None = None) -> dict[str, Any]:
    """Find values for a flow's slots in one text; `skip` is the slot that is read elsewhere.

    A stretch of time is returned as a When, under the first slot of time that is not a choice.
    """
    found: dict[str, Any] = {}
    slots = engine.assistant.programs[flow].flow.slots
    for name, slot in slots.items():
        if name == skip:
            continue
        value = mentioned(slot, text, engine.business)
        if value is not None:
            found[name] = value.value
    when_slot = next((name for name, slot in slots.items() if slot.type in _TIMES), None)
    if when_slot is not None and when_slot != skip:
        when = understand_when(text, engine.calendar)
        if when is not None and not when.is_any:
            found[when_slot] = when
    return found


def change_slots(engine: Engine, text: str, open_slot: str | None) -> bool:
    """Take in values for slots other than the open one; say whether there were any new ones.

    Slots that were not asked for yet are only noted. A slot that was answered before is changed,
    and the flow goes back to it, unless an effect has happened since: that is said.
    """
    frame = engine.frame
    found = found_in(engine, frame.flow, text, skip=open_slot)
    is_marked = open_slot is None or is_change(text)
    changed: list[str] = []
    for name, value in found.items():
        if name in frame.slots and isinstance(value, When) and not is_marked:
            continue
        if isinstance(value, When):
            if not _set_when(engine, name, value, changed):
                return True
        elif not _same(engine, name, value):
            if name in frame.slots:
                changed.append(name)
            engine.fill(name, value)
            if name not in changed and name not in (open_slot,):
                engine.state.misses = 0
    return _go_back(engine, changed)


def _same(engine: Engine, name: str, value: Any) -> bool:
    old = engine.frame.slots.get(name)
    if isinstance(old, dict) and isinstance(value, dict):
        key = field_of(engine.slot(name))
        return bool(old.get(key) == value.get(key))
    return bool(old == value)


def _set_when(engine: Engine, name: str, when: When, changed: list[str]) -> bool:
    """Set a time anew over the old one. False: a question is put instead."""
    frame, slot = engine.frame, engine.slot(name)
    older = _older(engine, name)
    if older is not None and _repeats(when, older):
        return True
    answer = settle_when(slot, when.over(older), engine.business)
    if isinstance(answer, Ask):
        if name not in engine.program.labels or _is_too_late(engine, [name]):
            return True
        engine.forget([name, *_refining(engine, name)])
        engine.frame.step = engine.program.labels[name]
        engine.state.wait = "collect"
        engine.ask(engine.put_off(name, answer))
        return False
    if name in frame.slots:
        changed.append(name)
    engine.fill(name, answer.value)
    return True


def _older(engine: Engine, name: str) -> When | None:
    """The time as it stands: the chosen one before the wished one."""
    for refining in _refining(engine, name):
        row = engine.frame.slots.get(refining)
        if isinstance(row, dict):
            return _when_of(engine, row.get(field_of(engine.slot(refining))))
    value = engine.frame.slots.get(name)
    if isinstance(value, dict) and "when" in value:
        return When.from_json(value["when"])
    return _when_of(engine, value)


def _when_of(engine: Engine, value: Any) -> When | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(engine.calendar.zone)
    day = moment.date()
    return When(days=(day, day), at=moment.time().replace(tzinfo=None))


def _repeats(when: When, older: When) -> bool:
    if when.has_time and (when.at is None or when.at != older.at):
        return False
    return when.days is None or when.days == older.days


def _refining(engine: Engine, name: str) -> list[str]:
    slots = engine.program.flow.slots
    return [other for other, slot in slots.items() if slot.refines == name]


def _is_too_late(engine: Engine, changed: list[str]) -> bool:
    labels = engine.program.labels
    first = min((labels[name] for name in changed if name in labels), default=engine.frame.step)
    return any(first < done for done in engine.frame.done)


def _go_back(engine: Engine, changed: list[str]) -> bool:
    if not changed:
        return False
    if _is_too_late(engine, changed):
        engine.say("too_late")
        engine.said.append(engine.state.prompt)
        return True
    labels = engine.program.labels
    for name in changed:
        engine.forget(_refining(engine, name))
        for refining in _refining(engine, name):
            engine.frame.gone.pop(refining, None)
    targets = [labels[name] for name in changed if name in labels]
    engine.state.misses = 0
    engine.say("changed")
    engine.go(min([*targets, engine.frame.step]))
    return True


def slot_to_change(engine: Engine, text: str) -> str | None:
    """Which answered slot somebody wants to change without saying to what."""
    said = words(text)
    if not is_change(text) and not any(word in ("change", "wrong", "other") for word in said):
        return None
    frame = engine.frame
    for name in frame.slots:
        slot = engine.slot(name)
        if slot.refines is not None or name not in engine.program.labels:
            continue
        names = (*name.split("_"), *_WORDS_FOR.get(slot.type, ()))
        if any(similar(word, other) for word in names for other in said):
            return None if _is_too_late(engine, [name]) else name
    return None
