"""Holes of a flow, found when its file is loaded and not when a customer falls into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from aicore.flows.program import END, Place, Program
from aicore.flows.schema import (
    AgentStep,
    AssistantModel,
    CallStep,
    CollectStep,
    ConfirmStep,
    FlowModel,
    HandoffStep,
    IfStep,
    OptionsFrom,
    SayStep,
    SlotModel,
    Step,
)
from aicore.flows.templates import find_places

__all__ = ["ALWAYS_KNOWN", "Fault", "lint_assistant", "lint_flow"]

ALWAYS_KNOWN = frozenset(
    {"now", "zone", "business", "summary", "said", "error", "reason", "exact", "began"}
)
"""Names that every template may use."""

Fault = tuple[str, Place]
"""A sentence, and the path in the file."""


def lint_assistant(model: AssistantModel, zone_exists: Callable[[str], bool]) -> Iterator[Fault]:
    """Check what lies outside the flows."""
    names = [flow.flow for flow in model.flows]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield f"the flow {name!r} is there twice", ("flows", number, "flow")
        mover = model.flows[number].moved_by
        if mover is not None and mover not in names:
            yield f"there is no flow {mover!r}", ("flows", number, "moved_by")
    if not zone_exists(model.zone):
        yield f"there is no time zone {model.zone!r}", ("zone",)
    if model.person.flow is not None and model.person.flow not in names:
        yield f"there is no flow {model.person.flow!r}", ("person", "flow")
    if model.handoff is not None:
        yield from _templates(model.handoff.arguments, ALWAYS_KNOWN, ("handoff", "with"))
        for key in ("say", "failed"):
            text = getattr(model.handoff, key)
            yield from _templates(text, ALWAYS_KNOWN, ("handoff", key))


def lint_flow(program: Program, place: Place) -> Iterator[Fault]:
    """Check one flow."""
    flow = program.flow
    known = ALWAYS_KNOWN | set(flow.slots) | set(_saved(program))
    yield from _lint_slots(flow, known, _saved(program), place)
    for label, where in program.twice:
        yield f"the label {label!r} is there twice", where
    for at, goto in program.gotos:
        if goto.goto != "end" and goto.goto not in program.labels:
            yield f"there is no step {goto.goto!r} to go to", program.code[at].place
        for slot in goto.clear:
            if slot not in known:
                yield f"there is no slot {slot!r} to clear", program.code[at].place
    for instruction in program.code:
        yield from _lint_step(instruction.step, instruction.place, flow, known)
        for name in sorted(instruction.condition.names - known if instruction.condition else ()):
            yield f"{name!r} is neither a slot nor a saved result", instruction.place
    yield from _lint_paths(program)


def _saved(program: Program) -> list[str]:
    names: list[str] = []
    for instruction in program.code:
        if isinstance(instruction.step, CallStep):
            save = instruction.step.save
            names += [save] if isinstance(save, str) else list(save or ())
    return names


def _lint_slots(
    flow: FlowModel, known: Iterable[str], saved: Iterable[str], place: Place
) -> Iterator[Fault]:
    for name, slot in flow.slots.items():
        where = (*place, "slots", name)
        yield from _templates([slot.ask, slot.hint, slot.taken, slot.found], known, where)
        if slot.type == "choice" and not slot.options:
            yield f"the choice {name!r} has no options", where
        if slot.type != "choice" and slot.options is not None:
            yield f"{name!r} has options, so its type must be choice", where
        if slot.refines is not None and not _is_period(flow, slot):
            yield f"{name!r} refines {slot.refines!r}, which is no period slot of this flow", where
        if isinstance(slot.options, OptionsFrom):
            sources = slot.options.source
            for source in [sources] if isinstance(sources, str) else sources:
                if source not in saved:
                    yield f"no call saves {source!r}, so {name!r} can offer nothing", where


def _is_period(flow: FlowModel, slot: SlotModel) -> bool:
    other = flow.slots.get(slot.refines or "")
    return other is not None and other.type == "period" and isinstance(slot.options, OptionsFrom)


def _lint_step(
    step: Step | None, place: Place, flow: FlowModel, known: Iterable[str]
) -> Iterator[Fault]:
    if isinstance(step, CollectStep) and step.collect not in flow.slots:
        yield f"there is no slot {step.collect!r}", place
    elif isinstance(step, CallStep):
        if not step.on_error:
            yield f"the call of {step.call!r} has no on_error", place
        yield from _templates(step.arguments, known, (*place, "with"))
    elif isinstance(step, SayStep):
        yield from _templates(step.say, known, place)
    elif isinstance(step, ConfirmStep):
        yield from _templates(step.confirm, known, place)
    elif isinstance(step, HandoffStep):
        yield from _templates(step.handoff, known, place)
    elif isinstance(step, AgentStep):
        yield from _templates(step.agent.goal, known, place)
    elif isinstance(step, IfStep) and not step.then:
        yield "the if has no steps to do", place


def _templates(value: Any, known: Iterable[str], place: Place) -> Iterator[Fault]:
    try:
        for found in find_places(value):
            if found.name not in known:
                yield f"{{{found.name}}} is neither a slot nor a saved result", place
    except ValueError as error:
        yield str(error), place


def _lint_paths(program: Program) -> Iterator[Fault]:
    reached = _reach(program, 0)
    for at, instruction in enumerate(program.code):
        if at not in reached and instruction.step is not None:
            yield "this step is never reached", instruction.place
    filled = {
        one.step.collect
        for at, one in enumerate(program.code)
        if at in reached and isinstance(one.step, CollectStep)
    }
    for place, name in _used_slots(program, reached):
        if name not in filled:
            yield f"nothing ever collects the slot {name!r}", place
    yield from _endless(program, reached)


def _reach(program: Program, start: int, without: frozenset[int] = frozenset()) -> set[int]:
    reached: set[int] = set()
    waiting = [start]
    while waiting:
        at = waiting.pop()
        if at == END or at in reached or at in without:
            continue
        reached.add(at)
        waiting += program.successors(at)
    return reached


def _used_slots(program: Program, reached: set[int]) -> Iterator[tuple[Place, str]]:
    slots = program.flow.slots
    for at in sorted(reached):
        instruction = program.code[at]
        texts = (
            instruction.step.model_dump(
                by_alias=True, exclude={"then", "otherwise", "on_error", "declined"}
            )
            if instruction.step
            else {}
        )
        names = {place.name for place in _places(texts)}
        names |= instruction.condition.names if instruction.condition else set()
        for name in sorted(names & set(slots)):
            yield instruction.place, name


def _places(texts: Mapping[str, Any]) -> list[Any]:
    try:
        return list(find_places({key: text for key, text in texts.items() if key != "if"}))
    except ValueError:
        return []  # reported where it stands


def _endless(program: Program, reached: set[int]) -> Iterator[Fault]:
    """A way round that never waits for the customer: only steps that pass by themselves."""
    waits = frozenset(
        at
        for at, one in enumerate(program.code)
        if isinstance(one.step, ConfirmStep | AgentStep) or _asks_again(program, at)
    )
    for at, goto in program.gotos:
        target = program.code[at].next
        if at in reached and target != END and at in _reach(program, target, waits):
            yield (
                f"going to {goto.goto!r} can repeat for ever: let the loop ask again, "
                "by a confirm or by clearing a slot that it collects",
                program.code[at].place,
            )


def _asks_again(program: Program, at: int) -> bool:
    step = program.code[at].step
    if not isinstance(step, CollectStep):
        return False
    return any(step.collect in goto.clear for _, goto in program.gotos)
