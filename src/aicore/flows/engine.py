"""Runs the steps of a flow until it must wait for the customer or for a tool."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from aicore.flows.assistant import Assistant
from aicore.flows.choices import Choices
from aicore.flows.program import END, Instruction, Program
from aicore.flows.schema import (
    AgentStep,
    CallStep,
    CollectStep,
    ConfirmStep,
    GotoStep,
    HandoffStep,
    SayStep,
    SlotModel,
)
from aicore.flows.showing import show
from aicore.flows.slot_values import Ask, Business, field_of
from aicore.flows.state import Frame, State
from aicore.flows.templates import Place, pick, render, render_value
from aicore.flows.whens import Calendar
from aicore.flows.wording import full_day
from aicore.records import Message, Tool

__all__ = ["Engine"]

_MOST_STEPS = 200
_MOST_CALLS = 10
_MOST_ROWS = 60
_LONGEST_TEXT = 4000
_KNOWN_TYPES = ("name", "email", "phone")


class Engine:
    """One answer in the making: `said` to the customer, and at most one `call`."""

    def __init__(
        self, assistant: Assistant, state: State, tools: Sequence[Tool], now: datetime
    ) -> None:
        model = assistant.model
        self.assistant = assistant
        self.state = state
        self.wording = assistant.wording
        self.calendar = Calendar(now, model.date_order, model.language)
        hours = {str(day): hours for day, hours in model.open.items()}
        self.business = Business(self.calendar, model.region, hours, frozenset(model.closed))
        self.said: list[str] = []
        self._found = ""
        self.call: tuple[Tool, dict[str, Any]] | None = None
        self.wants_model = False
        self.has_model = False
        self.tools = tools
        self._tools = {tool.remote_name: tool for tool in tools}
        self._tools.update({tool.name: tool for tool in tools})

    # Where we are

    @property
    def frame(self) -> Frame:
        """The flow under way."""
        assert self.state.frame is not None  # noqa: S101  - only asked inside a flow
        return self.state.frame

    @property
    def program(self) -> Program:
        """Its program."""
        return self.assistant.programs[self.frame.flow]

    @property
    def instruction(self) -> Instruction:
        """Its current step."""
        return self.program.code[self.frame.step]

    @property
    def open_slot(self) -> str | None:
        """The name of the slot that is being asked for."""
        if self.state.wait == "collect" and isinstance(self.instruction.step, CollectStep):
            return self.instruction.step.collect
        return None

    def slot(self, name: str) -> SlotModel:
        """A slot's declaration in the current flow."""
        return self.program.flow.slots[name]

    def say(self, key: str, **values: object) -> None:
        """Say a sentence of the engine's own."""
        self.said.append(self.wording.say(key, **values))

    def title(self, flow: str) -> str:
        """How a flow is called in front of the customer."""
        model = self.assistant.programs[flow].flow
        return model.title or flow.replace("_", " ").capitalize()

    # Going on

    def start(self, flow: str, slots: Mapping[str, Any] | None = None) -> None:
        """Begin a flow."""
        self.begin(flow)
        self.frame.slots.update(slots or {})
        self.state.wait = ""
        self.state.misses = 0
        self.run()

    def begin(self, flow: str) -> None:
        """Enter a flow without running it; a number or a single word is no wish to remember."""
        began = self.state.said if len(self.state.said.split()) > 2 else ""
        self.state.frame = Frame(flow=flow, began=began)

    def go(self, target: int) -> None:
        """Go on at a step (or the end) of the current flow."""
        self.state.wait = ""
        self.frame.declined = None
        self.frame.step = target
        self.run()

    def run_on(self) -> None:
        """Go on after the open slot was filled."""
        self.state.wait = ""
        self.run()

    def run(self) -> None:
        """Run steps until something has to be waited for."""
        for _ in range(_MOST_STEPS):
            if self.state.frame is None or self.frame.step == END:
                self._finish()
                return
            self._step(self.instruction)
            if self.state.wait or self.state.frame is None:
                return
        self.hand_off(self.wording.say("trouble"))

    def _step(self, instruction: Instruction) -> None:
        step, frame = instruction.step, self.frame
        if isinstance(step, CollectStep):
            self._collect(step.collect, instruction)
        elif isinstance(step, CallStep):
            self._call(step, instruction)
        elif isinstance(step, ConfirmStep):
            self.state.wait = "confirm"
            self.unsay_found()
            self.ask(self.text(step.confirm))
        elif isinstance(step, HandoffStep):
            self.hand_off(self.text(step.handoff))
        elif isinstance(step, AgentStep):
            self._agent(instruction)
        else:
            frame.step = self._passed(instruction)

    def _passed(self, instruction: Instruction) -> int:
        """Do a step that waits for nothing; give where it goes on."""
        step, condition = instruction.step, instruction.condition
        if isinstance(step, SayStep):
            self.said.append(self.text(step.say))
        elif isinstance(step, GotoStep):
            for name in step.clear:
                self._turned_down(name)
            self.forget(step.clear)
        elif condition is not None and not condition.holds(self.value_of):
            return instruction.other
        return instruction.next

    def ask(self, prompt: str) -> None:
        """Put a question that the next message answers."""
        self.state.prompt = prompt
        self.said.append(prompt)

    def _finish(self) -> None:
        if self.state.frame is not None and self.frame.done:
            times = [name for name, slot in self.program.flow.slots.items() if slot.refines]
            chosen = [self.value_of(name) for name in times]
            self.state.ended = {"flow": self.frame.flow, "when": str(next(iter(chosen), ""))}
        self.state.frame = None
        self.state.wait, self.state.prompt = "", ""
        if self.state.paused:
            more = self.wording.say("more")
            self.said[-1:] = [one.removesuffix(more).rstrip() for one in self.said[-1:]]
            self.state.wait = "resume"
            self.ask(self.wording.say("resume", title=self.title(self.state.paused[-1].flow)))

    def _turned_down(self, name: str) -> None:
        """A choice that a flow clears is not offered again: it turned out to be taken."""
        slot, row = self.program.flow.slots.get(name), self.frame.slots.get(name)
        if slot is not None and slot.refines and isinstance(row, dict):
            self.frame.gone.setdefault(name, []).append(row.get(field_of(slot)))

    def forget(self, slots: Sequence[str]) -> None:
        """Clear slots and saved results."""
        for name in slots:
            row = self.frame.slots.pop(name, None)
            self.frame.partial.pop(name, None)
            slot = self.program.flow.slots.get(name)
            self.frame.saved.pop(name, None)
            if slot is not None and self.state.known.get(slot.type) == row:
                self.state.known.pop(slot.type, None)

    # Collecting

    def _collect(self, name: str, instruction: Instruction) -> None:
        slot, frame = self.slot(name), self.frame
        known = self._known(slot)
        if name not in frame.slots and known is not None:
            frame.slots[name] = known
        choices = self.choices(name)
        if choices is not None:
            old = frame.slots.pop(name, None)
            found = choices.settled(old)
            if found is not None:
                frame.slots[name] = found
                self._tell_found(slot, is_new=old is None)
        if name in frame.slots:
            frame.step = instruction.next
            return
        self.state.wait = "collect"
        if choices is not None and not choices.rows:
            self._nothing_to_offer(slot)
        else:
            self.ask(self.question(name))
            if choices is None and name in frame.partial:
                self.state.prompt = frame.partial[name]["again"]

    def _tell_found(self, slot: SlotModel, *, is_new: bool) -> None:
        """Say that the wished time is free, unless the next question says so anyway."""
        if is_new and slot.found:
            self._found = self.text(slot.found)
            self.said.append(self._found)

    def unsay_found(self) -> None:
        """Take that back: something else says it."""
        if self._found in self.said:
            self.said.remove(self._found)

    def _known(self, slot: SlotModel) -> Any:
        known = self.state.known
        if slot.type == "contact":
            return known.get("email") or known.get("phone")
        return known.get(slot.type)

    def _nothing_to_offer(self, slot: SlotModel) -> None:
        if slot.refines is None or slot.refines not in self.program.labels:
            self.hand_off(self.wording.say("trouble"))
            return
        self.reopen(slot.refines)
        self.ask(self.wording.say("none_suits"))

    def reopen(self, name: str) -> None:
        """Ask for a slot again: go back to its step, and wait there without asking."""
        self.forget([name])
        self.frame.gone.clear()
        self.frame.step = self.program.labels[name]
        self.state.wait = "collect"

    def fill(self, name: str, value: Any) -> None:
        """Set a slot; what is known of the customer is kept for other flows."""
        slot = self.slot(name)
        self.frame.slots[name] = value
        self.frame.partial.pop(name, None)
        if slot.type in _KNOWN_TYPES and value is not None:
            self.state.known[slot.type] = value

    def put_off(self, name: str, ask: Ask, *, is_noted: bool = False) -> str:
        """Keep a half-read answer; give the question for the rest.

        `is_noted`: it was said in passing; the question comes when it is the slot's turn.
        """
        said = self.wording.say(ask.key, **ask.values)
        lines = [self.wording.say(ask.then) if ask.then else said]
        partial = dict(ask.partial or {})
        for number, day in enumerate(partial.get("readings", ()), 1):
            when = date.fromisoformat(day)
            lines.append(f"{number}. {full_day(when, self.wording.language, year=True)}")
        question = "\n".join(lines)
        full = f"{said} {question}" if ask.then else question
        if partial or is_noted:
            self.frame.partial[name] = {**partial, "ask": full, "again": question}
        if (partial or ask.then) and not is_noted:
            self.state.prompt = question
        return full

    def choices(self, name: str) -> Choices | None:
        """The rows found for a choice out of a saved result; None for other slots."""
        slot = self.slot(name)
        return Choices.of(self, name, slot)

    def question(self, name: str) -> str:
        """A slot's question, with numbered choices where it has some."""
        slot = self.slot(name)
        choices = self.choices(name)
        if choices is not None:
            return choices.question(slot)
        partial = self.frame.partial.get(name)
        if partial:
            return str(partial["ask"])
        text = self.text(slot.ask)
        lines = [f"{n}. {row}" for n, row in enumerate(self._static_rows(slot), 1)]
        return "\n".join([text, *lines])

    def _static_rows(self, slot: SlotModel) -> list[str]:
        if not isinstance(slot.options, list):
            return []
        rows = [(one, "") if isinstance(one, str) else (one.name, one.note) for one in slot.options]
        return [f"{name} ({note})" if note else name for name, note in rows]

    # Calling

    def _call(self, step: CallStep, instruction: Instruction) -> None:
        tool = self._tools.get(step.call)
        if tool is None or self.state.calls >= _MOST_CALLS:
            self.failed("unavailable", instruction)
            return
        self.state.calls += 1
        self.state.wait = "call"
        self.call = tool, render_value(step.arguments, self.lookup, self.show)

    def failed(self, code: str, instruction: Instruction) -> None:
        """Go the way of an error."""
        self.frame.saved["error"] = code
        self.frame.step = instruction.other if instruction.has_other else END
        if not instruction.has_other:
            self.hand_off(self.wording.say("trouble"))

    def called(self, result: Message) -> None:
        """Take in a tool's result and go on."""
        value = _json(result)
        if self.state.wait == "handoff":
            self._handed_off(is_told=not result.is_error)
            return
        instruction = self.instruction
        self.state.wait = ""
        if result.is_error:
            self.failed(_error_code(value), instruction)
        elif isinstance(instruction.step, CallStep):
            self._save(instruction.step, value)
            tool = self._tools.get(instruction.step.call)
            if tool is None or not tool.read_only:
                self.frame.done.append(self.frame.step)
            self.frame.step = instruction.next
        self.run()

    def _save(self, step: CallStep, value: Any) -> None:
        self.frame.seen, self.frame.shown = [], []
        if isinstance(step.save, str):
            self.frame.saved[step.save] = _bounded(value)
        for name, path in (step.save if isinstance(step.save, dict) else {}).items():
            self.frame.saved[name] = _bounded(pick(value, path.split(".")) if path else value)

    # Handing off

    def hand_off(self, reason: str) -> None:
        """Pass on to a person: tell the customer, tell staff, leave the flow."""
        if reason:
            self.said.append(reason)
        state, handoff = self.state, self.assistant.model.handoff
        state.reason = reason or self.wording.say("menu_person")
        state.summary = self.summary()
        tool = self._tools.get(handoff.call) if handoff else None
        if handoff is None or tool is None:
            self._handed_off(is_told=False)
            return
        state.wait = "handoff"
        self.call = tool, render_value(handoff.arguments, self.lookup, self.show)

    def _handed_off(self, *, is_told: bool) -> None:
        handoff = self.assistant.model.handoff
        if is_told and handoff is not None:
            self.said.append(self.text(handoff.say) if handoff.say else self.wording.say("handed"))
        elif handoff is not None:
            self.said.append(self.text(handoff.failed))
        else:
            self.said.append(self.assistant.model.contact or self.wording.say("handoff_plain"))
        state = self.state
        state.frame, state.wait, state.prompt = None, "", ""
        state.paused.clear()

    def summary(self, *, with_last: bool = True) -> str:
        """What is known, for the colleague who takes over."""
        state, parts = self.state, []
        if state.frame is not None:
            parts.append(f"{self.title(state.frame.flow)}.")
            for name in state.frame.slots:
                value = self.show(self.value_of(name), "full" if self._is_time(name) else "")
                parts.append(f"{name}: {value}.")
        shown = {} if state.frame is None else state.frame.slots.values()
        parts += [f"{key}: {value}." for key, value in state.known.items() if value not in shown]
        if state.said and with_last:
            parts.append(f'Last message: "{state.said}"')
        return " ".join(parts)

    def _is_time(self, name: str) -> bool:
        slot = self.program.flow.slots.get(name)
        return slot is not None and (slot.type == "datetime" or slot.refines is not None)

    def _agent(self, instruction: Instruction) -> None:
        if self.has_model:
            self.state.wait = "agent"
            self.wants_model = True
            return
        if instruction.has_other:
            self.frame.step = instruction.other
            return
        found = self.assistant.facts.search(self.state.said)
        if found is not None:
            self.said.append(
                f"{found.text}\n{self.wording.say('from_source', source=found.source)}"
            )
            self.frame.step = instruction.next
            return
        self.hand_off(self.wording.say("no_model"))

    # Values and texts

    def text(self, template: str) -> str:
        """Fill a text in; lines that stay empty for want of a value are left out."""
        lines = [(line, render(line, self.lookup, self.show)) for line in template.split("\n")]
        return "\n".join(text for line, text in lines if text.strip() or not line.strip())

    def value_of(self, name: str) -> Any:
        """What a name stands for in a condition or a bare place; None where nothing does."""
        frame = self.state.frame
        if frame is not None and name in frame.slots:
            value = frame.slots[name]
            slot = self.program.flow.slots.get(name)
            is_row = slot is not None and slot.type == "choice" and isinstance(value, dict)
            return value.get(field_of(slot)) if is_row and slot else value
        if frame is not None and name in frame.saved:
            return frame.saved[name]
        return self._builtin(name)

    def _builtin(self, name: str) -> Any:
        simple = {
            "now": self.calendar.now.isoformat(timespec="seconds"),
            "zone": self.assistant.model.zone,
            "business": self.assistant.model.assistant,
            "summary": self.state.summary,
            "said": self.state.said,
            "reason": self.state.reason,
            "exact": self._exact(),
            "began": self.state.frame.began if self.state.frame else "",
        }
        return simple.get(name)

    def _exact(self) -> Any:
        """The exact time that is wished for, where one is."""
        slots = self.state.frame.slots.values() if self.state.frame else ()
        wishes = (one for one in slots if isinstance(one, dict) and "when" in one)
        return next((one["exact"] for one in wishes), None)

    def lookup(self, place: Place) -> Any:
        """The value of a place of a template."""
        frame = self.state.frame
        if len(place.fields) == 1:
            return self.value_of(place.name)
        source = frame.slots.get(place.name) if frame else None
        if source is None:
            source = self.value_of(place.name)
        return pick(source, place.fields[1:])

    def show(self, value: Any, spec: str) -> str:
        """Write a value for the customer."""
        return show(value, spec, self.wording, self.calendar)


def _json(result: Message) -> Any:
    if result.structured is not None:
        return result.structured
    try:
        return json.loads(result.text)
    except ValueError:
        return {"text": result.text[:_LONGEST_TEXT]}


def _error_code(value: Any) -> str:
    code = value.get("code") if isinstance(value, dict) else None
    return code if isinstance(code, str) else "error"


def _bounded(value: Any) -> Any:
    """Keep lists short: the state travels with every answer."""
    if isinstance(value, list):
        return [_bounded(item) for item in value[:_MOST_ROWS]]
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in list(value.items())[:_MOST_ROWS]}
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value
