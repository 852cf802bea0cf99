"""The `agent` step: a model is free here, within the step's goal, tools and number of turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aicore.errors import (
    BudgetReached,
    CredentialError,
    ModelError,
    PolicyBlocked,
    TemporaryError,
)
from aicore.flows.engine import Engine
from aicore.flows.schema import AgentStep
from aicore.models.port import Completion, Provider, Request
from aicore.records import Message, Prefix, Tool, ToolCall, Usage

__all__ = ["ModelStep"]

FINISH = "finish_step"
_FINISH_TOOL = Tool(
    name=FINISH,
    description="Call this when the goal is reached, or when the customer wants something else.",
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
    server="",
    remote_name=FINISH,
    read_only=True,
)


_CANNOT = (ModelError, CredentialError, TemporaryError, PolicyBlocked, BudgetReached)


class ModelStep:
    """Lets a model answer one message of an agent step; `calls` are what it wants done."""

    def __init__(self, model: Provider, name: str) -> None:
        self._model = model
        self._name = name
        self.calls: Sequence[ToolCall] = ()

    async def take(self, engine: Engine, request: Request) -> Usage:
        """Ask the model; when it is done, cannot or may not answer, the flow goes on."""
        step = engine.instruction.step
        assert isinstance(step, AgentStep)  # noqa: S101  - only an agent step wants a model
        engine.wants_model = False
        if request.tail[-1].role == "user":
            engine.frame.agent_turns += 1
        if engine.frame.agent_turns > step.agent.max_turns:
            engine.go(engine.instruction.next)
            return Usage()
        try:
            completion = await self._model.complete(self._request(engine, step, request))
        except _CANNOT:
            engine.has_model, engine.state.wait = False, ""
            engine.run()
            return Usage()
        self._apply(engine, step, completion)
        return completion.usage

    def _request(self, engine: Engine, step: AgentStep, request: Request) -> Request:
        allowed = set(step.agent.tools)
        tools = [
            tool
            for tool in request.prefix.tools
            if tool.name in allowed or tool.remote_name in allowed
        ]
        goal = engine.text(step.agent.goal)
        instructions = "\n\n".join(
            part
            for part in (
                request.prefix.instructions,
                f"Your task now: {goal}",
                engine.summary(),
                f"Call {FINISH} when this is done or the customer wants something else.",
            )
            if part
        )
        return replace(
            request,
            prefix=Prefix(instructions=instructions, tools=(*tools, _FINISH_TOOL)),
            tail=[self._as_models(message) for message in request.tail],
        )

    def _as_models(self, message: Message) -> Message:
        """Our messages of an agent step were the model's: give it its own state back."""
        if message.role != "assistant" or message.provider != self._name:
            return message
        inner = message.state.get("inner") if isinstance(message.state, dict) else None
        name = self._model.name if inner is not None else ""
        return replace(message, provider=name, state=inner, encoded={})

    def _apply(self, engine: Engine, step: AgentStep, completion: Completion) -> None:
        allowed = set(step.agent.tools)
        names = {tool.name: tool.remote_name for tool in engine.tools}
        self.calls = [
            call
            for call in completion.calls
            if call.name in names and {call.name, names[call.name]} & allowed
        ]
        engine.state.inner = completion.state
        engine.said.append(completion.text)
        is_finished = any(call.name == FINISH for call in completion.calls)
        if (is_finished and not self.calls) or (not self.calls and not completion.text.strip()):
            engine.go(engine.instruction.next)
