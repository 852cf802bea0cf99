"""A flow as a flat list of instructions, so that a place in it is one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aicore.flows.conditions import Condition, read_condition
from aicore.flows.schema import (
    AgentStep,
    CallStep,
    CollectStep,
    ConfirmStep,
    FlowModel,
    GotoStep,
    HandoffStep,
    IfStep,
    SayStep,
    Step,
)

__all__ = ["END", "Instruction", "Place", "Program", "compile_flow"]

END = -1
"""Where a flow is over."""

Place = tuple[str | int, ...]


@dataclass(slots=True, kw_only=True)
class Instruction:
    """One step. `next` is where it goes on; `other` where it goes instead.

    `other` of an `if` is its else, of a `confirm` its no, of a `call` its error, of an `agent`
    where there is no model. `place` is the path in the file.
    """

    step: Step | None
    place: Place
    next: int = END
    other: int = END
    condition: Condition | None = None
    has_other: bool = False


@dataclass(slots=True)
class Program:
    """A compiled flow: its instructions, and where its labels are."""

    flow: FlowModel
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    gotos: list[tuple[int, GotoStep]] = field(default_factory=list)
    twice: list[tuple[str, Place]] = field(default_factory=list)

    def successors(self, at: int) -> list[int]:
        """Where an instruction may go on."""
        one = self.code[at]
        if isinstance(one.step, HandoffStep):
            return []
        return [one.next, one.other] if one.has_other else [one.next]


def compile_flow(flow: FlowModel, place: Place) -> Program:
    """Lay a flow's steps out. Unknown labels go to the end; the lint reports them.

    Raises: ValueError for a condition that is not allowed; `args` are sentence and place.
    """
    program = Program(flow)
    _Compiler(program).block(flow.steps, (*place, "steps"))
    code = program.code
    for instruction in code:
        for name in ("next", "other"):
            if getattr(instruction, name) == len(code):
                setattr(instruction, name, END)
    for at, goto in program.gotos:
        code[at].next = END if goto.goto == "end" else program.labels.get(goto.goto, END)
    return program


class _Compiler:
    def __init__(self, program: Program) -> None:
        self._program = program

    def block(self, steps: Sequence[Step], place: Place) -> None:
        for number, step in enumerate(steps):
            self._step(step, (*place, number))

    def _emit(self, step: Step | None, place: Place, **more: Any) -> Instruction:
        code = self._program.code
        instruction = Instruction(step=step, place=place, next=len(code) + 1, **more)
        label = step.collect if isinstance(step, CollectStep) else getattr(step, "label", None)
        if label is not None:
            if label in self._program.labels and not isinstance(step, CollectStep):
                self._program.twice.append((label, place))
            self._program.labels.setdefault(label, len(code))
        if isinstance(step, GotoStep):
            self._program.gotos.append((len(code), step))
        code.append(instruction)
        return instruction

    def _step(self, step: Step, place: Place) -> None:
        if isinstance(step, IfStep):
            self._if(step, place)
        elif isinstance(step, ConfirmStep):
            self._branch(step, self._declined(step), (*place, "declined"), place)
        elif isinstance(step, CallStep):
            steps = step.on_error if isinstance(step.on_error, list) else []
            self._branch(step, steps, (*place, "on_error"), place)
        elif isinstance(step, AgentStep):
            self._branch(step, step.agent.without, (*place, "agent", "without"), place)
        elif isinstance(step, SayStep | CollectStep | HandoffStep | GotoStep):
            self._emit(step, place)

    @staticmethod
    def _declined(step: ConfirmStep) -> Sequence[Step]:
        if step.declined is None or step.declined == "change":
            return [GotoStep(goto="end")]
        return [step.declined] if isinstance(step.declined, GotoStep) else step.declined

    def _if(self, step: IfStep, place: Place) -> None:
        try:
            condition = read_condition(step.condition)
        except ValueError as error:
            raise ValueError(str(error), place) from error
        branch = self._emit(step, place, condition=condition, has_other=True)
        self.block(step.then, (*place, "then"))
        leave = self._emit(None, place)
        branch.other = len(self._program.code)
        self.block(step.otherwise, (*place, "else"))
        leave.next = len(self._program.code)

    def _branch(self, step: Step, steps: Sequence[Step], inner: Place, place: Place) -> None:
        """A step that goes on behind a side branch, which joins it again."""
        is_ignored = isinstance(step, CallStep) and step.on_error == "go_on"
        main = self._emit(step, place, has_other=bool(steps) or is_ignored)
        main.other = len(self._program.code)
        if steps:
            self.block(steps, inner)
            self._emit(None, place)
        main.next = len(self._program.code)
        if steps:
            self._program.code[main.next - 1].next = main.next
