"""What a message means where the conversation stands, and what is done about it.

Every understanding here ends in a command to the engine: start a flow, fill or change a slot,
go on, stop, answer, hand off. The engine alone moves in a flow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aicore.flows.changes import change_slots, found_in, slot_to_change
from aicore.flows.choices import Choices
from aicore.flows.courtesies import Courtesies
from aicore.flows.engine import Engine
from aicore.flows.facts import Found
from aicore.flows.intents import Wanted, is_negated, wanted_flows
from aicore.flows.replies import (
    chosen,
    courtesy,
    is_abort,
    is_help,
    is_more,
    is_none_of_these,
    is_question,
    is_skip,
    is_unsure,
    wants_person,
    yes_or_no,
)
from aicore.flows.schema import ConfirmStep
from aicore.flows.slot_values import Ask, Value, read_slot, settle_when
from aicore.flows.state import Frame
from aicore.flows.whens import When, understand_when
from aicore.flows.words import clean, words

__all__ = ["Dialogue"]

_SENTENCE = re.compile(r"(?<=[?!.;])\s+")
_INFO = re.compile(
    r"\b(?:how (?:much|long|many|far|often)|what|when|where|which|why|who|do you|does|is there|are there|"
    r"are you|is it|is the|are the|is parking|have you got|was kostet|wie viel|wie lange|wann|wo|was|"
    r"haben sie|gibt es|nehmen sie|kann ich (?:mit|bei))\b|\A(?:is|are)\b"
)
_MOST_PAUSED = 2


class Dialogue:
    """Hears one message and drives the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state
        self.courtesies = Courtesies(engine)

    def hear(self, raw: str) -> None:
        """Understand a message and do what it asks for."""
        state, text = self.state, clean(raw)
        state.said, state.calls = text[:500], 0
        menu, state.menu = state.menu, []
        if wants_person(text, self.engine.assistant.model.person.keywords):
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
        rest = self._answer_asides(text)
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
        fact = self._fact(text, wanted)
        if courtesy(text) or is_help(text) or not re.search(r"\w", text):
            self.courtesies.at_rest(text)
        elif fact is not None:
            self._tell(fact)
        elif wanted:
            self._begin(wanted, text)
        else:
            self.courtesies.at_rest(text)

    def _wanted(self, text: str) -> list[Wanted]:
        return wanted_flows(text, self.engine.assistant.model.flows)

    def _fact(self, text: str, wanted: list[Wanted]) -> Found | None:
        """The fact to answer with, unless the text rather asks for a flow."""
        found = self.engine.assistant.facts.search(text)
        if found is None:
            return None
        if not wanted:
            return found if found.by_name or is_question(text) or found.score >= 0.8 else None
        is_info = bool(_INFO.search(text.lower()))
        return found if found.by_name and is_info else None

    def _tell(self, fact: Found) -> None:
        source = self.engine.wording.say("from_source", source=fact.source)
        self.engine.said.append(f"{fact.text}\n{source}")
        self.state.misses = 0

    def _begin(self, wanted: list[Wanted], text: str) -> None:
        best = [one for one in wanted if one.score == wanted[0].score]
        if len(best) > 1 and best[0].at == best[1].at:
            self.courtesies.menu([one.flow for one in best], "which")
            return
        self._start(best[0].flow, text)

    def _start(self, flow: str, text: str) -> None:
        """Start a flow with what the text already says."""
        engine = self.engine
        found = found_in(engine, flow, text)
        engine.state.frame = Frame(flow=flow)
        for name, value in found.items():
            self._note(name, value)
        engine.state.misses = 0
        engine.go(0)

    def _note(self, name: str, value: Any) -> None:
        engine = self.engine
        answer = Value(value)
        if isinstance(value, When):
            settled = settle_when(engine.slot(name), value, engine.business)
            if isinstance(settled, Ask):
                engine.put_off(name, settled)
                return
            answer = settled
        engine.fill(name, answer.value)

    def _answer_asides(self, text: str) -> str | None:
        """Answer the questions among several sentences; give the rest, None for nothing left."""
        sentences = [part for part in _SENTENCE.split(text) if part.strip()]
        if len(sentences) < 2:
            return text
        rest = []
        for sentence in sentences:
            is_aside = is_question(sentence) and not self._wanted(sentence)
            fact = self._fact(sentence, []) if is_aside else None
            if fact is not None and fact.by_name:
                self._tell(fact)
            elif not (courtesy(sentence) and len(sentences) > 1):
                rest.append(sentence)
        if not rest:
            return None if self.engine.said else text
        return " ".join(rest)

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
        rest = self._answer_asides(text)
        if rest is None:
            self._again()
            return
        if slot.optional and is_skip(rest):
            self._filled(name, None)
        elif (
            not self._leaves(rest) and not self._fact_aside(rest) and not self._answers(name, rest)
        ):
            self._besides(name, rest)

    def _at_text(self, name: str, text: str) -> None:
        if self.engine.slot(name).optional and is_skip(text):
            self._filled(name, None)
        elif is_abort(text):
            self._stop()
        elif is_help(text) or not re.search(r"\w", text):
            self.courtesies.in_flow(text)
        else:
            self._filled(name, text)

    def _leaves(self, text: str) -> bool:
        """Stop, or do something else first."""
        wanted = [] if is_negated(text) else self._wanted(text)
        other = [one for one in wanted if one.flow != self.engine.frame.flow]
        if is_abort(text) and not (other and other[0].score > 1):
            self._stop()
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
        fact = self._fact(text, [wanted])
        return not isinstance(read, Value) and fact is None

    def _fact_aside(self, text: str) -> bool:
        """A question that is no answer: answer it, then put the open question again."""
        if not is_question(text):
            return False
        fact = self._fact(text, [])
        if fact is None or not fact.by_name:
            return False
        self._tell(fact)
        self._again()
        return True

    def _answers(self, name: str, text: str) -> bool:
        """Take the text as an answer to the open question."""
        engine, slot = self.engine, self.engine.slot(name)
        choices = engine.choices(name)
        if choices is not None:
            return self._picks(name, text, choices)
        answer = read_slot(slot, text, engine.business, engine.frame.partial.get(name))
        if answer is None:
            return False
        if isinstance(answer, Ask):
            if slot.type != "phone" or not found_in(engine, engine.frame.flow, text, skip=name):
                self._note_others(name, text)
                engine.ask(engine.put_off(name, answer))
                return True
            return False
        self._note_others(name, text)
        self._filled(name, answer.value)
        return True

    def _note_others(self, name: str, text: str) -> None:
        """Note what else was said, for slots that were not asked for yet."""
        frame = self.engine.frame
        for other, value in found_in(self.engine, frame.flow, text, skip=name).items():
            if other not in frame.slots and not isinstance(value, When):
                self.engine.fill(other, value)

    def _filled(self, name: str, value: Any) -> None:
        self.state.misses = 0
        self.engine.fill(name, value)
        self.engine.run_on()

    def _picks(self, name: str, text: str, choices: Choices) -> bool:
        """Choose among what was found."""
        engine, shown = self.engine, self.engine.frame.shown
        labels = [choices.label(choices.rows[at]) for at in shown]
        when = understand_when(text, engine.calendar) if choices.slot.refines else None
        found = [] if when else chosen(text, labels)
        if len(found) == 1:
            self._filled(name, choices.rows[shown[found[0]]])
        elif len(shown) == 1 and yes_or_no(text):
            self._filled(name, choices.rows[shown[0]])
        elif choices.slot.refines is None:
            return self._found_by_day(name, text, choices)
        elif (is_more(text) and when is None) or text.lower() in ("more", "mehr"):
            self._more(choices)
        elif when is None and (is_none_of_these(text) or yes_or_no(text) is False):
            self._none_suits(choices)
        else:
            return self._other_time(name, text, choices)
        return True

    def _found_by_day(self, name: str, text: str, choices: Choices) -> bool:
        when = understand_when(text, self.engine.calendar)
        fitting = choices.fitting(when) if when else []
        if len(fitting) == 1:
            self._filled(name, choices.rows[fitting[0]])
        return len(fitting) == 1

    def _more(self, choices: Choices) -> None:
        engine, unseen = self.engine, choices.unseen()
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
            self._filled(name, choices.rows[engine.frame.shown[0]])
        elif len(one) == 1:
            self._filled(name, choices.rows[one[0]])
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
            older = When(at=older.at) if when.days != older.days else older
        answer = settle_when(engine.slot(wish), when.over(older), engine.business)
        engine.reopen(wish)
        if isinstance(answer, Ask):
            engine.ask(engine.put_off(wish, answer))
            return
        self._filled(wish, answer.value)

    def _besides(self, name: str, text: str) -> None:
        """No answer: a second thought, a courtesy, a question, or nothing understood."""
        if change_slots(self.engine, text, name):
            return
        before = dict(self.engine.frame.slots)
        wrong = slot_to_change(self.engine, text)
        if wrong is not None:
            self._ask_anew(wrong)
        elif before != self.engine.frame.slots:
            self._again()
        elif not self.courtesies.in_flow(text):
            fact = self._fact(text, []) if is_question(text) else None
            if fact is not None:
                self._tell(fact)
                self._again()
            else:
                self.courtesies.missed(text)

    def _ask_anew(self, name: str) -> None:
        engine = self.engine
        refining = [
            other for other, slot in engine.program.flow.slots.items() if slot.refines == name
        ]
        engine.forget([name, *refining])
        if engine.slot(name).type in engine.state.known:
            engine.state.known.pop(engine.slot(name).type)
        engine.go(engine.program.labels[name])

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
        rest = self._answer_asides(text)
        if rest is None:
            self._again()
        elif yes_or_no(rest) is True and not self._changes(rest):
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
            self.state.misses = 0
            engine.go(engine.instruction.other)
        elif is_unsure(text):
            engine.said.append(
                f"{engine.wording.say('unsure')} {engine.wording.say('confirm_hint')}"
            )
        elif not self.courtesies.in_flow(text):
            self.courtesies.missed(text)

    # Leaving and coming back

    def _stop(self) -> None:
        engine, frame = self.engine, self.engine.frame
        own = engine.program.flow.stopped
        if frame.done:
            engine.say("stopped_after")
        elif own:
            engine.said.append(engine.text(own))
        else:
            engine.say("stopped" if not self.state.paused else "stopped_short")
        self.state.frame, self.state.wait, self.state.prompt, self.state.misses = None, "", "", 0
        if self.state.paused:
            engine.run()
        else:
            engine.say("more")

    def _switch(self, flow: str, text: str) -> None:
        state = self.state
        paused = [one for one in state.paused if one.flow != flow]
        if state.frame is not None and state.frame.slots and not state.frame.done:
            paused.append(state.frame)
            self.engine.say("switch")
        state.paused = paused[-_MOST_PAUSED:]
        self._start(flow, text)

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
        state.wait = self._wait_of(frame)
        self.hear(text)

    def _wait_of(self, frame: Frame) -> Any:
        step = self.engine.program.code[frame.step].step
        return "confirm" if isinstance(step, ConfirmStep) else "collect"

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
        state.summary = engine.summary()
        state.paused.clear()
        engine.start(flow)
