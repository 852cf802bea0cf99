"""Choosing among times and rows that a tool found: by number, by name, by day and hour."""

from __future__ import annotations

from typing import Any

from aicore.flows.changes import moment_of, same_week
from aicore.flows.choices import Choices
from aicore.flows.engine import Engine
from aicore.flows.replies import chosen, is_more, is_none_of_these, yes_or_no
from aicore.flows.slot_values import Ask, Value, field_of, settle_when
from aicore.flows.whens import When, understand_when

__all__ = ["Picker", "fill_and_go"]


def fill_and_go(engine: Engine, name: str, value: Any) -> None:
    """Set the open slot and go on; a chosen time is the customer's wish from then on."""
    slot = engine.slot(name)
    engine.state.misses = 0
    engine.fill(name, value)
    moment = moment_of(value.get(field_of(slot)), engine.calendar) if slot.refines else None
    if slot.refines and moment is not None:  # from now on this is the wish
        settled = settle_when(engine.slot(slot.refines), moment, engine.business)
        if isinstance(settled, Value):
            engine.fill(slot.refines, settled.value)
    engine.run_on()


class Picker:
    """Reads answers to a question with found choices."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state

    def picks(self, name: str, text: str, choices: Choices) -> bool:
        """Choose among what was found."""
        engine, shown = self.engine, self.engine.frame.shown
        labels = [choices.label(choices.rows[at]) for at in shown]
        when = understand_when(text, engine.calendar) if choices.slot.refines else None
        found = [] if when else chosen(text, labels)
        if len(found) == 1:
            fill_and_go(self.engine, name, choices.rows[shown[found[0]]])
        elif len(shown) == 1 and yes_or_no(text):
            fill_and_go(self.engine, name, choices.rows[shown[0]])
        elif choices.slot.refines is None:
            return self._found_by_day(name, text, choices)
        elif (is_more(text) and when is None) or text.lower() in ("more", "mehr"):
            self._more(choices, text)
        elif when is None and (is_none_of_these(text) or yes_or_no(text) is False):
            self._none_suits(choices)
        else:
            return self._other_time(name, text, choices)
        return True

    def _found_by_day(self, name: str, text: str, choices: Choices) -> bool:
        when = understand_when(text, self.engine.calendar)
        fitting = choices.fitting(when) if when else []
        if when is not None and when.is_weekday and when.day is not None and not fitting:
            fitting = choices.on_weekday(when.day.weekday())
        if len(fitting) == 1:
            fill_and_go(self.engine, name, choices.rows[fitting[0]])
        return len(fitting) == 1

    def _more(self, choices: Choices, text: str) -> None:
        engine, unseen = self.engine, choices.unseen(text)
        if not unseen:
            engine.reopen(choices.slot.refines or "")
            engine.ask(engine.wording.say("no_more_times"))
            return
        choices.put(unseen)
        engine.ask("\n".join([engine.wording.say("more_times"), *choices.numbered()]))

    def _none_suits(self, choices: Choices) -> None:
        self.engine.reopen(choices.slot.refines or "")
        self.engine.ask(self.engine.wording.say("none_suits"))

    def _other_time(self, name: str, text: str, choices: Choices) -> bool:
        """A time by its day or hour: one that was found, or a new wish."""
        engine = self.engine
        when = understand_when(text, engine.calendar, expected=True)
        if when is None:
            return False
        shown = {choices.moment(choices.rows[at]) for at in engine.frame.shown}
        fitting = choices.fitting(when)
        on_screen = [at for at in fitting if choices.moment(choices.rows[at]) in shown]
        one = on_screen if len(on_screen) == 1 and when.at else fitting
        if when.is_any:
            fill_and_go(self.engine, name, choices.rows[engine.frame.shown[0]])
        elif len(one) == 1:
            fill_and_go(self.engine, name, choices.rows[one[0]])
        elif fitting and when.has_time:
            choices.put(fitting[:5])
            engine.ask(engine.question(name))
        else:
            self._new_wish(choices, when)
        return True

    def _new_wish(self, choices: Choices, when: When) -> None:
        engine = self.engine
        wish = choices.slot.refines or ""
        old = engine.frame.slots.get(wish)
        older = When.from_json(old["when"]) if isinstance(old, dict) else None
        if older is not None and when.days is not None:
            when = same_week(when, older, engine.calendar.today)
            older = When(at=older.at) if when.days != older.days else older
        answer = settle_when(engine.slot(wish), when.over(older), engine.business)
        engine.reopen(wish)
        if isinstance(answer, Ask):
            self.state.prompt = engine.text(engine.slot(wish).ask)
            engine.said.append(engine.put_off(wish, answer))
            return
        fill_and_go(self.engine, wish, answer.value)

    def other_times(self, text: str) -> bool:
        """A chosen time is put back: something later, another one."""
        engine, slots = self.engine, self.engine.program.flow.slots
        for name in engine.frame.slots if is_more(text) else ():
            if slots[name].refines and not any(
                done > engine.program.labels.get(name, 0) for done in engine.frame.done
            ):
                del engine.frame.slots[name]
                engine.frame.step = engine.program.labels[name]
                self.state.wait = "collect"
                choices = engine.choices(name)
                if choices is not None:
                    self._more(choices, text)
                return True
        return False
