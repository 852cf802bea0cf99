"""The provider that follows flow files: answers with no model, keeps nothing in memory."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from aicore.flows.agent_step import ModelStep
from aicore.flows.assistant import Assistant, load_assistant
from aicore.flows.dialogue import Dialogue
from aicore.flows.engine import Engine
from aicore.flows.state import State
from aicore.flows.transcript import Since, read_tail
from aicore.models.port import Capabilities, Completion, Price, Provider, Request, TextDelta
from aicore.records import ToolCall, Usage

__all__ = ["FlowProvider"]

_FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))
_PIECE = re.compile(r"\S+\s*|\s+")


class FlowProvider:
    """Follows the flows of one assistant file; rules only, or with `model` in agent steps.

    The state of a conversation travels in `Completion.state` and is read back from the
    transcript: nothing is kept between requests, so restarts and many processes are harmless.
    `now` gives the present moment; a naive one is taken as the business's wall time.

    Raises: FlowError when the file has a hole.
    """

    def __init__(
        self,
        source: str | Path | Mapping[str, Any] | Assistant,
        *,
        now: Callable[[], datetime] | None = None,
        model: Provider | None = None,
        name: str = "flows",
    ) -> None:
        self.assistant = source if isinstance(source, Assistant) else load_assistant(source)
        self._now = now or (lambda: datetime.now(UTC))
        self._model = model
        self._name = name
        self._capabilities = _facts(model)

    @property
    def name(self) -> str:
        """The name under which its state is found again."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """In this process and free; with a model, where that is and what it costs."""
        return self._capabilities

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(_warm_up)
        if self._model is not None:
            await self._model.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._model is not None:
            await self._model.__aexit__(exc_type, exc, traceback)

    async def complete(self, request: Request) -> Completion:
        """Answer the newest message or tool result."""
        since = read_tail(request.tail, self._name)
        state = State.from_json(since.state, self.assistant.version)
        engine = Engine(self.assistant, state, request.prefix.tools, self._moment())
        engine.has_model = self._model is not None
        usage = Usage(cost_usd=Decimal(0))
        if since.is_waiting:
            engine.say("waiting")
        else:
            self._advance(engine, since)
        if engine.wants_model and self._model is not None:
            step = ModelStep(self._model, self._name)
            usage = await step.take(engine, request)
            if step.calls:
                return self._completion(engine, usage, step.calls)
        return self._completion(engine, usage, self._calls(engine, len(request.tail)))

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer word by word."""
        completion = await self.complete(request)
        for piece in _PIECE.findall(completion.text):
            yield TextDelta(piece)
        yield completion

    def _moment(self) -> datetime:
        moment = self._now()
        zone = self.assistant.zone
        return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)

    def _advance(self, engine: Engine, since: Since) -> None:
        state = engine.state
        if state.version != self.assistant.version:
            self._start_over(engine)
        elif since.result is not None:
            engine.called(since.result)
        elif state.wait in ("call", "handoff"):
            state.wait = ""  # its result was lost: the step is taken again
            engine.run()
        elif state.wait == "agent" and since.text is None and engine.has_model:
            engine.wants_model = True  # it has called a tool and wants to go on
        if since.text is not None and engine.call is None and not engine.wants_model:
            Dialogue(engine).hear(since.text)

    def _start_over(self, engine: Engine) -> None:
        """The file changed under the conversation: what is known of the customer stays."""
        old = engine.state
        fresh = State(version=self.assistant.version, greeted=old.greeted, known=old.known)
        if old.frame is not None:
            engine.say("restart")
        engine.state = fresh

    def _calls(self, engine: Engine, position: int) -> Sequence[ToolCall]:
        if engine.call is None:
            return ()
        tool, arguments = engine.call
        return (ToolCall(f"flow_{position}", tool.name, arguments),)

    def _completion(self, engine: Engine, usage: Usage, calls: Sequence[ToolCall]) -> Completion:
        state = engine.state
        said = [part.strip() for part in engine.said if part.strip()]
        if not said and not calls:
            said = [engine.state.prompt or engine.wording.say("fallback_1")]
        if said and not state.greeted:
            said.insert(0, self.assistant.model.disclosure)
            state.greeted = True
        text = "\n\n".join(said)
        if text and text == state.last and (state.misses or state.wait == "collect"):
            more = "offer_person" if state.frame is not None else "reword"
            text = f"{text}\n\n{engine.wording.say(more)}"
        if text:
            state.last = text
        return Completion(
            text=text, calls=tuple(calls), usage=usage, model=self._name, state=state.to_json()
        )


def _facts(model: Provider | None) -> Capabilities:
    """What may be sent here, and what it costs: an agent step hands the conversation on."""
    if model is None:
        return Capabilities(locality="in_process", price=_FREE)
    return replace(model.capabilities, tools=True, schema=False, context_tokens=None)


def _warm_up() -> None:
    """Load what is slow to load, before a customer waits for it."""
    import dateparser
    import phonenumbers

    dateparser.parse("le 3 mai", languages=["en", "de", "fr", "es", "it", "nl", "pl", "tr"])
    list(phonenumbers.PhoneNumberMatcher("030 1234567", "DE"))
