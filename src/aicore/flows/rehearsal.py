"""Plays conversations against a flow file with made-up tool results: the file's own tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aicore.flows.assistant import Assistant, load_assistant
from aicore.flows.provider import FlowProvider
from aicore.flows.schema import CallStep, TestModel
from aicore.models.port import Completion, Provider, Request
from aicore.records import Message, Prefix, Tool, ToolCall

__all__ = ["FlowTestResult", "Rehearsal", "run_flow_tests", "stub_tool"]

_MOST_ROUNDS = 20

Stub = Callable[[Mapping[str, Any]], Any]
"""Answers a call: JSON, or a `{"error": code}`."""


def stub_tool(name: str, *, read_only: bool = False) -> Tool:
    """A tool that exists only in a rehearsal."""
    return Tool(
        name=name,
        description="",
        parameters={"type": "object"},
        server="rehearsal",
        remote_name=name,
        read_only=read_only,
    )


@dataclass(slots=True)
class Rehearsal:
    """One conversation played with a provider, as the agent would: call, result, call again.

    After every step the transcript goes through JSON, so what does not survive a restart
    does not survive here.
    """

    provider: Provider
    tools: Sequence[Tool]
    answer: Callable[[ToolCall], Any]
    tail: list[Message] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)

    @property
    def state(self) -> dict[str, Any]:
        """The provider's last state."""
        return next((one.state for one in reversed(self.tail) if one.role == "assistant"), {})

    async def say(self, text: str) -> str:
        """Send a message; give everything that was said in reply."""
        self.tail.append(Message(role="user", text=text))
        self.transcript.append(f"> {text}")
        said: list[str] = []
        for _ in range(_MOST_ROUNDS):
            completion = await self.provider.complete(
                Request(prefix=Prefix(instructions="", tools=self.tools), tail=self.tail)
            )
            self._record(completion)
            if completion.text:
                said.append(completion.text)
            if not completion.calls:
                break
            for call in completion.calls:
                self._call(call)
        reply = "\n\n".join(said)
        self.transcript.append(reply)
        return reply

    def _record(self, completion: Completion) -> None:
        self.tail.append(
            Message(
                role="assistant",
                text=completion.text,
                calls=completion.calls,
                provider=self.provider.name,
                state=json.loads(json.dumps(completion.state)),
            )
        )

    def _call(self, call: ToolCall) -> None:
        value = self.answer(ToolCall(call.id, call.name, json.loads(json.dumps(call.arguments))))
        is_error = isinstance(value, Mapping) and "error" in value
        if is_error:
            value = {"code": value["error"], "message": "", "retryable": False, "outcome": "none"}
        self.calls.append(call)
        self.transcript.append(f"  [{call.name} {'failed' if is_error else 'done'}]")
        self.tail.append(
            Message(
                role="tool",
                call_id=call.id,
                text=json.dumps(value),
                structured=value,
                is_error=is_error,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTestResult:
    """How one test of a flow file came out; `message` says what was different."""

    flow: str
    number: int
    is_ok: bool
    message: str = ""
    transcript: str = ""


async def run_flow_tests(source: str | Path | Mapping[str, Any]) -> list[FlowTestResult]:
    """Play the tests of a flow file, without a model.

    Raises: FlowError when the file has a hole.
    """
    assistant = load_assistant(source)
    return [
        await _play(assistant, flow.flow, number, test)
        for flow in assistant.model.flows
        for number, test in enumerate(flow.tests, 1)
    ]


async def _play(assistant: Assistant, flow: str, number: int, test: TestModel) -> FlowTestResult:
    moment = datetime.fromisoformat(test.now)
    answers = _Answers(test.results)
    tools = [stub_tool(name) for name in _tool_names(assistant)]
    provider = FlowProvider(assistant, now=lambda: moment)
    rehearsal = Rehearsal(provider, tools, answers.give)
    replies = [await rehearsal.say(text) for text in test.say]
    message = _difference(test, rehearsal, replies)
    return FlowTestResult(
        flow=flow,
        number=number,
        is_ok=not message,
        message=message,
        transcript="\n".join(rehearsal.transcript),
    )


def _tool_names(assistant: Assistant) -> list[str]:
    names = {
        one.step.call
        for program in assistant.programs.values()
        for one in program.code
        if isinstance(one.step, CallStep)
    }
    if assistant.model.handoff is not None:
        names.add(assistant.model.handoff.call)
    return sorted(names)


class _Answers:
    """The results that a test gives; a list is given one after another, its last for good."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._results = dict(results)

    def give(self, call: ToolCall) -> Any:
        """Answer a call."""
        value = self._results.get(call.name, {})
        if isinstance(value, list):
            if len(value) > 1:
                self._results[call.name] = value[1:]
            value = value[0] if value else {}
        return value


def _difference(test: TestModel, rehearsal: Rehearsal, replies: Sequence[str]) -> str:
    called = [call.name for call in rehearsal.calls]
    if test.calls is not None and called != test.calls:
        return f"The calls were {called}, not {test.calls}."
    at = 0
    joined = "\n".join(replies)
    for text in test.replies:
        found = joined.find(text, at)
        if found < 0:
            return f"No reply says {text!r}."
        at = found + len(text)
    slots = (rehearsal.state.get("frame") or {}).get("slots", {})
    for name, wanted in test.slots.items():
        value = slots.get(name)
        if isinstance(value, dict):
            value = value.get("name", value)
        if value != wanted:
            return f"The slot {name!r} is {value!r}, not {wanted!r}."
    return ""
