"""What a customer says besides answering: values for other slots, and second thoughts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from aicore.flows.contacts import email_in, name_only
from aicore.flows.engine import Engine
from aicore.flows.replies import is_change
from aicore.flows.slot_values import Ask, Value, field_of, mentioned, settle_when
from aicore.flows.whens import Calendar, When, understand_when
from aicore.flows.words import similar, words

__all__ = ["change_slots", "found_in", "moment_of", "same_week", "slot_to_change"]

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


def found_in(
    engine: Engine, flow: str, text: str, *, skip: str | None = None, is_start: bool = False
) -> dict[str, Any]:
    """Find values for a flow's slots in one text; `skip` is the slot that is read elsewhere.

    `is_start`: the text asks for the flow, so "as soon as possible" belongs to it. A time is given
    as a When, under the first slot of time that is not a choice.
    """
    found: dict[str, Any] = {}
    slots = engine.assistant.programs[flow].flow.slots
    for name, slot in slots.items():
        if name == skip:
            continue
        value = mentioned(slot, text, engine.business)
        if value is None and slot.type == "name" and is_start:
            value = _signed(text)
        if value is not None:
            found[name] = value.value
    when_slot = next((name for name, slot in slots.items() if slot.type in _TIMES), None)
    if when_slot is not None and when_slot != skip:
        when = understand_when(text, engine.calendar, is_hour=is_change(text))
        if when is not None and (is_start or not when.is_any):
            found[when_slot] = when
    return found


def _signed(text: str) -> Value | None:
    """A name between commas, beside an address: book a cleaning, Ann Lee, ann@example.com."""
    parts = [part.strip() for part in re.split(r"[,;\n]", re.sub(r"\S*@\S*", ",", text))]
    if not email_in(text) and not re.search(r"\d{6}", text):
        return None
    for part in parts[1:]:
        if re.fullmatch(r"(?:[^\W\d_][\w'\u2019.-]*\s?){1,3}", part) and part[0].isupper():
            name = name_only(part)
            if name is not None:
                return Value(name)
    return None


def change_slots(engine: Engine, text: str, open_slot: str | None) -> bool:
    """Take in values for slots other than the open one; say whether there were any new ones.

    Slots that were not asked for yet are only noted. A slot that was answered before is changed,
    and the flow goes back to it, unless an effect has happened since: that is said.
    """
    frame = engine.frame
    found = found_in(engine, frame.flow, text, skip=open_slot)
    changed: list[str] = []
    for name, value in found.items():
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
    if older is not None:
        when = same_week(when, older, engine.calendar.today)
    if older is not None and _repeats(when, older):
        return True
    answer = settle_when(slot, when.over(older), engine.business)
    is_ahead = engine.program.labels.get(name, frame.step) > frame.step
    if isinstance(answer, Ask) and (name not in frame.slots or is_ahead):
        engine.forget([name])
        engine.put_off(name, answer, is_noted=True)
        return True
    if isinstance(answer, Ask):
        if name not in engine.program.labels or _is_too_late(engine, [name]):
            return True
        engine.forget([name, *_refining(engine, name)])
        engine.frame.step = engine.program.labels[name]
        engine.state.wait = "collect"
        engine.state.prompt = engine.text(slot.ask)
        engine.said.append(engine.put_off(name, answer))
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
            return moment_of(row.get(field_of(engine.slot(refining))), engine.calendar)
    value = engine.frame.slots.get(name)
    if isinstance(value, dict) and "when" in value:
        return When.from_json(value["when"])
    return moment_of(value, engine.calendar)


def moment_of(value: Any, calendar: Calendar) -> When | None:
    """An exact time as a When; None for anything else."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(calendar.zone)
    day = moment.date()
    return When(days=(day, day), at=moment.time().replace(tzinfo=None))


def same_week(when: When, older: When, today: date) -> When:
    """A bare weekday, after another day was talked about, is the one of that week."""
    if not when.is_weekday or when.day is None or older.days is None or when.is_past:
        return when
    first = older.days[0]
    day = first + timedelta(days=when.day.weekday() - first.weekday())
    return replace(when, days=(day, day)) if day >= today else when


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
    at = len(engine.said)
    engine.go(min([*targets, engine.frame.step]))
    engine.unsay_found()
    engine.said.insert(at, _changed_to(engine, changed))
    return True


def _changed_to(engine: Engine, changed: list[str]) -> str:
    """Say what it is now, unless the question that follows says so."""
    if engine.state.frame is None or engine.state.wait != "collect":
        return engine.wording.say("changed")
    shown = []
    for name in changed:
        when = next((other for other in _refining(engine, name)), name)
        value, is_time = engine.value_of(when), engine.slot(when).refines is not None
        shown.append(engine.show(value, "full" if is_time else ""))
    said = ", ".join(text for text in shown if text)
    return engine.wording.say("changed_to", value=said) if said else engine.wording.say("changed")


def slot_to_change(engine: Engine, text: str) -> str | None:
    """Which answered slot somebody wants to change without saying to what."""
    said = words(text)
    is_short = len(said) < 4 and engine.state.wait == "confirm"
    if not is_change(text) and not is_short:
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
