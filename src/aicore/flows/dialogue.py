"""What a message means where the conversation stands, and what is done about it.

Every understanding here ends in a command to the engine: start a flow, fill or change a slot,
go on, stop, answer, hand off. The engine alone moves in a flow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aicore.flows.asides import Asides
from aicore.flows.changes import change_slots, found_in, moment_of, slot_to_change
from aicore.flows.contacts import is_contact_only
from aicore.flows.courtesies import Courtesies
from aicore.flows.engine import Engine
from aicore.flows.intents import Wanted, is_negated, wanted_flows, wishes
from aicore.flows.picking import Picker, fill_and_go
from aicore.flows.replies import (
    chosen,
    courtesy,
    is_abort,
    is_change,
    is_goodbye,
    is_help,
    is_more,
    is_other_time,
    is_question,
    is_skip,
    is_unsure,
    wants_call,
    wants_person,
    yes_or_no,
)
from aicore.flows.schema import ConfirmStep
from aicore.flows.slot_values import (
    Ask,
    Value,
    option_rows,
    read_slot,
    settle_when,
)
from aicore.flows.state import Frame
from aicore.flows.whens import When, understand_when
from aicore.flows.words import clean, words

__all__ = ["Dialogue"]

_MOST_PAUSED = 2


class Dialogue:
    """Hears one message and drives the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state
        self.asides = Asides(engine)
        self.courtesies = Courtesies(engine)
        self.picker = Picker(engine)

    def hear(self, raw: str) -> None:
        """Understand a message and do what it asks for."""
        state, text = self.state, clean(raw)
        state.said, state.calls = text[:500], 0
        menu, state.menu = state.menu, []
        self.asides.warn(text)
        asks_for_person = wants_person(text, self.engine.assistant.model.person.keywords)
        if asks_for_person or (wants_call(text) and not self._wanted(text)):
            self._to_person()
            return
        at: dict[str, Callable[[str], None]] = {
            "collect": self._at_collect,
            "confirm": self._at_confirm,
            "resume": self._at_resume,
            "agent": self._at_agent,
        }
        if state.frame is None and state.wait not in ("resume",):
            self._at_rest(text, menu)
        else:
            at.get(state.wait, self._at_collect)(text)

    # Nothing is going on

    def _at_rest(self, text: str, menu: list[str]) -> None:
        number = chosen(text, menu) if menu and len(words(text)) < 4 else []
        if len(number) == 1 and re.search(
            r"\d|\b(?:one|two|three|four|five|last|first|second|third)\b", text.lower()
        ):
            self._open_menu(menu[number[0]])
            return
        rest = self.asides.answer(text)
        if rest is None:
            self.courtesies.anything_else()
            return
        self._understand(rest)

    def _open_menu(self, choice: str) -> None:
        if choice == "person":
            self._to_person()
        else:
            self.engine.start(choice)

    def _understand(self, text: str) -> None:
        wanted = [] if is_negated(text) else self._wanted(text)
        fact = self.asides.fact(text, wanted)
        if fact is not None and fact.is_urgent:
            fact = None  # it has been told, and beside it there may be an errand
        kind = courtesy(text)
        is_rude = kind == "anger" and not (wanted or is_question(text))
        is_small = (
            is_help(text) or kind not in (None, "anger") or (is_rude and not self._when(text))
        )
        if is_small or (is_abort(text) and not wanted) or not re.search(r"\w", text):
            self.courtesies.at_rest(text)
        elif not wanted and self._regrets(text):
            pass
        elif fact is not None:
            self.asides.tell(fact)
        elif wanted:
            self._begin(wanted, text)
        elif not self._is_about_time(text) and not self.engine.said:
            self.courtesies.at_rest(text)

    def _regrets(self, text: str) -> bool:
        """A second thought about what was done just now: another time, or a wrong detail."""
        ended = self.state.ended
        if not ended or (is_question(text) and not is_other_time(text)):
            return False
        found = found_in(self.engine, ended["flow"], text) if is_change(text) else {}
        is_time = any(isinstance(value, When) for value in found.values())
        mover = self.engine.assistant.programs[ended["flow"]].flow.moved_by
        if mover is not None and (is_time or is_other_time(text)):
            self._start(mover, text, moment_of(ended["when"], self.engine.calendar))
            return True
        if found or re.search(r"\b(?:wrong|falsch|correct)", text.lower()):
            self.engine.say("too_late")
            return True
        return False

    def _is_about_time(self, text: str) -> bool:
        """A day or an hour, and nothing else: the first flow that needs one is meant."""
        if not self._when(text) or is_abort(text):
            return False
        for flow in self.engine.assistant.model.flows:
            if any(slot.type in ("period", "datetime") for slot in flow.slots.values()):
                self._start(flow.flow, text)
                return True
        return False

    def _when(self, text: str) -> bool:
        """Whether days are spoken of, and not to say that they do not suit."""
        when = understand_when(text, self.engine.calendar)
        return when is not None and bool(when.days) and not is_negated(text)

    def _wanted(self, text: str) -> list[Wanted]:
        return wanted_flows(text, self.engine.assistant.model.flows)

    def _begin(self, wanted: list[Wanted], text: str) -> None:
        wished = wishes(self.state.said, self.engine.assistant.model.flows)
        if len(wished) > 1:
            self._start(wished[0], text)
            self.state.paused += [Frame(flow=flow) for flow in wished[1 : _MOST_PAUSED + 1]]
            titles = ", ".join(self.engine.title(flow) for flow in wished[1 : _MOST_PAUSED + 1])
            self.engine.said.insert(0, self.engine.wording.say("later", titles=titles))
            return
        wanted = [one for one in wanted if one.flow in wished] or wanted
        best = [one for one in wanted if one.score == wanted[0].score]
        if len(best) > 1 and best[0].at == best[1].at:
            self.courtesies.menu([one.flow for one in best], "which")
            return
        self._start(best[0].flow, text)

    def _start(self, flow: str, text: str, older: When | None = None) -> None:
        """Start a flow with what the text already says; `older`: a time that it speaks of."""
        engine = self.engine
        found = found_in(engine, flow, self.state.said or text, is_start=True)
        engine.begin(flow)
        for name, value in found.items():
            self._note(name, value.over(older) if isinstance(value, When) else value)
        engine.state.misses = 0
        engine.go(0)

    def _note(self, name: str, value: Any) -> None:
        engine = self.engine
        answer = Value(value)
        if isinstance(value, When):
            settled = settle_when(engine.slot(name), value, engine.business)
            if isinstance(settled, Ask):
                engine.put_off(name, settled, is_noted=True)
                return
            answer = settled
        engine.fill(name, answer.value)

    # A slot is being asked for

    def _at_collect(self, text: str) -> None:
        name = self.engine.open_slot
        if name is None:
            self.engine.run()
            return
        slot = self.engine.slot(name)
        if slot.type == "text":
            self._at_text(name, text)
            return
        rest = self.asides.answer(text)
        if rest is None:
            self._again()
            return
        if slot.optional and is_skip(rest):
            fill_and_go(self.engine, name, None)
        elif not (
            self._leaves(rest)
            or self._comes_first(name, rest)
            or self._fact_aside(rest)
            or self._answers(name, rest)
        ):
            self._besides(name, rest)

    def _comes_first(self, name: str, text: str) -> bool:
        """What would be mistaken for an answer or a question: more times, second thoughts."""
        slot = self.engine.slot(name)
        if slot.refines is not None:
            return is_more(text) and self._answers(name, text)
        is_time = slot.type in ("period", "datetime", "date")
        return not is_time and is_change(text) and self._second_thought(name, text)

    def _at_text(self, name: str, text: str) -> None:
        if self.engine.slot(name).optional and is_skip(text):
            fill_and_go(self.engine, name, None)
        elif is_abort(text) or is_goodbye(text):
            self._stop(is_leaving=is_goodbye(text))
        elif is_contact_only(text) and found_in(self.engine, self.engine.frame.flow, text):
            if not change_slots(self.engine, text, name):
                self._again()
        elif is_help(text) or not re.search(r"\w", text):
            self.courtesies.in_flow(text)
        else:
            fill_and_go(self.engine, name, text)

    def _leaves(self, text: str) -> bool:
        """Stop, or do something else first."""
        wanted = [] if is_negated(text) else self._wanted(text)
        other = [one for one in wanted if one.flow != self.engine.frame.flow]
        if is_goodbye(text) or (is_abort(text) and not (other and other[0].score > 1)):
            self._stop(is_leaving=is_goodbye(text))
            return True
        if other and other[0] is wanted[0] and self._is_switch(text, other[0]):
            self._switch(other[0].flow, text)
            return True
        return False

    def _is_switch(self, text: str, wanted: Wanted) -> bool:
        """A different errand, and not an answer that happens to hold a trigger."""
        if wanted.score > 1:
            return True
        name = self.engine.open_slot
        read = None
        if name is not None:
            slot = self.engine.slot(name)
            read = read_slot(slot, text, self.engine.business, self.engine.frame.partial.get(name))
        fact = self.asides.fact(text, [wanted])
        return not isinstance(read, Value) and fact is None

    def _fact_aside(self, text: str) -> bool:
        """A question that is no answer: answer it, then put the open question again."""
        if not is_question(text):
            return False
        fact = self.asides.fact(text, [])
        if fact is None or not fact.by_name:
            return False
        self.asides.tell(fact)
        self._again()
        return True

    def _answers(self, name: str, text: str) -> bool:
        """Take the text as an answer to the open question."""
        engine, slot = self.engine, self.engine.slot(name)
        choices = engine.choices(name)
        if choices is not None:
            return self.picker.picks(name, text, choices)
        answer = read_slot(slot, text, engine.business, engine.frame.partial.get(name))
        if answer is None or (slot.type == "name" and self._is_no_name(text)):
            return False
        if isinstance(answer, Ask):
            if slot.type != "phone" or not found_in(engine, engine.frame.flow, text, skip=name):
                self._note_others(name, text)
                engine.said.append(engine.put_off(name, answer))
                return True
            return False
        self._note_others(name, text)
        fill_and_go(self.engine, name, answer.value)
        return True

    def _is_no_name(self, text: str) -> bool:
        """A trigger, an option or a keyword is no name, nor is a time in small letters."""
        said = words(text)
        when = understand_when(text, self.engine.calendar) if text.islower() else None
        if (when is not None and when.has_time) or self.engine.assistant.facts.is_keyword(said):
            return True
        flows = self.engine.assistant.model.flows
        ours = [trigger for flow in flows for trigger in flow.triggers]
        slots = [slot for flow in flows for slot in flow.slots.values()]
        ours += [name for slot in slots for row in option_rows(slot) for name in _names(row)]
        return any(words(one) == said for one in ours)

    def _note_others(self, name: str, text: str) -> None:
        """Note what else was said, for slots that were not asked for yet."""
        frame = self.engine.frame
        for other, value in found_in(self.engine, frame.flow, text, skip=name).items():
            if other not in frame.slots:
                self._note(other, value)

    def _second_thought(self, name: str, text: str) -> bool:
        """Something that was answered before is to be different."""
        if change_slots(self.engine, text, name):
            return True
        wrong = slot_to_change(self.engine, text)
        if wrong is not None:
            self._ask_anew(wrong)
        return wrong is not None or self.picker.other_times(text)

    def _besides(self, name: str, text: str) -> None:
        """No answer: a second thought, a courtesy, a question, or nothing understood."""
        frame = self.engine.frame
        before = {**frame.slots}, {**frame.partial}
        if self._second_thought(name, text):
            return
        fact = self.asides.fact(text, [])
        if before != (frame.slots, frame.partial):
            if fact is not None and fact.by_name:
                self.asides.tell(fact)
            else:
                self.engine.say("noted")
            self._again()
        elif self._wanted(text) and not is_question(text) and len(words(text)) < 4:
            self._again()
        elif not self.courtesies.in_flow(text):
            self._told_or_missed(text)

    def _told_or_missed(self, text: str) -> None:
        """No answer at all: a fact that is spoken of, or nothing understood."""
        fact = self.asides.fact(text, [])
        if fact is not None:
            self.asides.tell(fact)
            self._again()
        else:
            self.courtesies.missed(text)

    def _ask_anew(self, name: str) -> None:
        engine = self.engine
        refining = [
            other for other, slot in engine.program.flow.slots.items() if slot.refines == name
        ]
        engine.forget([name, *refining])
        engine.frame.gone.clear()
        if engine.slot(name).type in engine.state.known:
            engine.state.known.pop(engine.slot(name).type)
        engine.go(min(engine.program.labels[name], engine.frame.step))

    def _again(self) -> None:
        """Put the open question again."""
        if self.state.prompt:
            self.engine.said.append(self.state.prompt)

    # A yes or no is open

    def _at_confirm(self, text: str) -> None:
        step = self.engine.instruction.step
        if not isinstance(step, ConfirmStep):
            self.engine.run()
            return
        rest = self.asides.answer(text)
        if rest is None:
            self._again()
        elif yes_or_no(rest) is True:
            if not self._changes(rest):
                self.state.misses = 0
                self.engine.go(self.engine.instruction.next)
        elif not self._leaves(rest) and not self._fact_aside(rest):
            self._not_yes(rest)

    def _changes(self, text: str) -> bool:
        """Yes, but: something in it is different."""
        return bool(
            re.search(r"\b(?:but|only|except|aber|nur|make|instead|lieber|at|um)\b", text.lower())
        ) and (change_slots(self.engine, text, None))

    def _not_yes(self, text: str) -> None:
        engine = self.engine
        if self.state.wait != "confirm" or change_slots(engine, text, None):
            return
        wrong = slot_to_change(engine, text)
        if wrong is not None:
            self._ask_anew(wrong)
        elif yes_or_no(text) is False:
            self._declined()
        elif is_unsure(text):
            engine.said.append(
                f"{engine.wording.say('unsure')} {engine.wording.say('confirm_hint')}"
            )
        elif not self.courtesies.in_flow(text):
            self._told_or_missed(text)

    def _declined(self) -> None:
        engine, frame = self.engine, self.engine.frame
        step = engine.instruction.step
        self.state.misses = 0
        if not isinstance(step, ConfirmStep) or step.declined != "change":
            engine.go(engine.instruction.other)
        elif frame.declined == frame.step:
            self._stop()
        else:
            frame.declined = frame.step
            engine.say("unclear_change")

    # Leaving and coming back

    def _stop(self, *, is_leaving: bool = False) -> None:
        engine, frame = self.engine, self.engine.frame
        own = engine.program.flow.stopped
        if frame.done:
            engine.say("stopped_after")
        elif own:
            engine.said.append(engine.text(own))
        else:
            engine.say("stopped" if not self.state.paused else "stopped_short")
        self.state.frame, self.state.wait, self.state.prompt, self.state.misses = None, "", "", 0
        if is_leaving:
            self.state.paused.clear()
            self.courtesies.goodbye()
        elif self.state.paused:
            engine.run()
        else:
            engine.say("more")

    def _switch(self, flow: str, text: str) -> None:
        state = self.state
        paused = [one for one in state.paused if one.flow != flow]
        if state.frame is not None and state.frame.slots and not state.frame.done:
            paused += [state.frame] if self.engine.program.flow.resumes else []
            self.engine.say("switch")
        again = next((one for one in state.paused if one.flow == flow), None)
        state.paused = paused[-_MOST_PAUSED:]
        if again is None:
            self._start(flow, text)
            return
        state.frame, state.misses = again, 0
        self.engine.go(again.step)

    def _at_resume(self, text: str) -> None:
        state, answer = self.state, yes_or_no(text)
        frame = state.paused.pop() if state.paused else None
        state.wait, state.prompt = "", ""
        if frame is None or answer is False or is_abort(text):
            state.paused.clear()
            self.engine.say("resume_no")
            return
        state.frame = frame
        if answer:
            self.engine.run()
            return
        step = self.engine.instruction.step
        if isinstance(step, ConfirmStep):
            state.wait, state.prompt = "confirm", self.engine.text(step.confirm)
        else:
            state.wait = "collect"
            name = self.engine.open_slot
            state.prompt = self.engine.question(name) if name else ""
        self.hear(text)

    def _at_agent(self, text: str) -> None:
        if not self._leaves(text):
            self.engine.wants_model = True

    def _to_person(self) -> None:
        """A person is asked for: leave what is going on, with what is known."""
        engine, state = self.engine, self.state
        flow = engine.assistant.model.person.flow
        inside = state.frame.flow if state.frame else None
        if flow is None or inside == flow:
            engine.hand_off("")
            return
        state.summary = engine.summary(with_last=len(words(state.said)) > 5)
        state.paused.clear()
        engine.start(flow)


def _names(row: dict[str, Any]) -> list[str]:
    return [row["name"], *row.get("also", ())]
