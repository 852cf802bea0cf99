"""Spans and metrics through the API of OpenTelemetry, for whatever SDK listens."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from opentelemetry import metrics, trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from aicore.records import ConversationId, Message, ToolCall, ToolResult, Usage
from aicore.telemetry import names
from aicore.telemetry.port import ChatWatch, Telemetry, ToolWatch, TurnWatch, tag

__all__ = ["Instruments", "SpanTelemetry"]

_log = logging.getLogger(__name__)

# Bounds that the conventions advise: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))


class Instruments:
    """The metrics, made once of one meter."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.operation = _seconds(meter, names.OPERATION_DURATION, "Duration of a model request.")
        self.first_chunk = _seconds(meter, names.FIRST_CHUNK_DURATION, "Time to the first text.")
        self.turn = _seconds(meter, names.TURN_DURATION, "Duration of a turn, until it rests.")
        self.tokens = meter.create_histogram(
            names.TOKENS,
            unit="{token}",
            description="Tokens of a model request.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.cost = meter.create_counter(
            names.COST, unit="USD", description="What model requests cost, where a price is known."
        )


class SpanTelemetry(Telemetry):
    """Tells a tracer and a meter. Content only with `with_content`.

    Without it no text of anybody leaves, and a conversation's id is told as its tag, because it
    may be a phone number.
    """

    is_silent = False

    def __init__(
        self, tracer: trace.Tracer, meter: metrics.Meter, *, agent: str, with_content: bool
    ) -> None:
        self._tracer = tracer
        self._instruments = Instruments(meter)
        self._agent = agent
        self._with_content = with_content

    def turn(self, conversation: ConversationId, turn: int) -> TurnWatch:
        """Watch a turn as an `invoke_agent` span."""
        with _harmless():
            return self._turn(conversation, turn)
        return super().turn(conversation, turn)

    def chat(self, request: Mapping[str, Any], messages: Sequence[Message]) -> ChatWatch:
        """Watch a request as a `chat` span."""
        with _harmless():
            return self._chat(request, messages)
        return super().chat(request, messages)

    def tool(self, call: ToolCall, server: str) -> ToolWatch:
        """Watch a call as an `execute_tool` span."""
        with _harmless():
            return self._tool(call, server)
        return super().tool(call, server)

    def _turn(self, conversation: ConversationId, turn: int) -> TurnWatch:
        span = self._tracer.start_span(
            f"{names.INVOKE_AGENT} {self._agent}",
            attributes={
                names.OPERATION: names.INVOKE_AGENT,
                names.AGENT: self._agent,
                names.CONVERSATION: conversation if self._with_content else tag(conversation),
                names.TURN: turn,
            },
        )
        return _SpanTurn(span, self._instruments, tag(conversation), turn)

    def _chat(self, request: Mapping[str, Any], messages: Sequence[Message]) -> ChatWatch:
        attributes = {names.OPERATION: names.CHAT, **request}
        if self._with_content:
            attributes[names.INPUT_MESSAGES] = _json([_shown(message) for message in messages])
            said = {"type": "text", "content": request.get(names.INSTRUCTIONS, "")}
            attributes[names.INSTRUCTIONS] = _json([said])
        else:
            attributes.pop(names.INSTRUCTIONS, None)
        span = self._tracer.start_span(
            f"{names.CHAT} {request.get(names.REQUEST_MODEL, '')}".strip(),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        kept = (names.OPERATION, names.PROVIDER, names.REQUEST_MODEL)
        labels = {name: attributes[name] for name in kept if name in attributes}
        return _SpanChat(span, self._instruments, labels, self._with_content)

    def _tool(self, call: ToolCall, server: str) -> ToolWatch:
        attributes: dict[str, Any] = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL: call.name,
            names.TOOL_CALL: call.id,
            names.TOOL_TYPE: "function",
            names.SERVER: server,
        }
        if self._with_content:
            attributes[names.TOOL_ARGUMENTS] = _json(dict(call.arguments))
        span = self._tracer.start_span(f"{names.EXECUTE_TOOL} {call.name}", attributes=attributes)
        return _SpanTool(span, self._with_content)


@contextmanager
def _harmless() -> Iterator[None]:
    """A listener that fails must not end a turn, least of all between an effect and its record."""
    try:
        yield
    except Exception:  # noqa: BLE001  boundary: the SDK and its processors are not ours
        _log.exception("telemetry_failed | the turn goes on")


class _Current:
    """A span that is the current one from entering to leaving, and tells how it ended."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.started = time.perf_counter()
        self.error = ""
        self._token = attach(trace.set_span_in_context(span))

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def fail(self, error: str) -> None:
        # Never the message: it may hold what a customer wrote.
        self.error = error
        self.span.set_attribute(names.ERROR_TYPE, error)
        self.span.set_status(Status(StatusCode.ERROR))

    def end(self, exc_type: type[BaseException] | None) -> None:
        detach(self._token)
        if exc_type is not None:
            self.fail(exc_type.__name__)
        self.span.end()


class _SpanTurn(TurnWatch):
    def __init__(self, span: Span, instruments: Instruments, conversation: str, turn: int) -> None:
        super().__init__(conversation, turn)
        self._span = span
        self._instruments = instruments
        self._outcome = ""
        self._current: _Current | None = None

    def __enter__(self) -> Self:
        with _harmless():
            self._current = _Current(self._span)
        return super().__enter__()

    @_harmless()
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc, traceback)
        if self._current is not None:
            labels = {names.OUTCOME: self._outcome or "failed"}
            if exc_type is not None:
                labels[names.ERROR_TYPE] = exc_type.__name__
            self._span.set_attribute(names.OUTCOME, labels[names.OUTCOME])
            self._current.end(exc_type)
            self._instruments.turn.record(self._current.elapsed_s, labels)

    def ended(self, outcome: str) -> None:
        self._outcome = outcome


class _SpanChat(ChatWatch):
    def __init__(
        self, span: Span, instruments: Instruments, labels: dict[str, Any], with_content: bool
    ) -> None:
        self._span = span
        self._instruments = instruments
        self._labels = labels
        self._with_content = with_content
        self._current: _Current | None = None

    def __enter__(self) -> Self:
        with _harmless():
            self._current = _Current(self._span)
        return self

    @_harmless()
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._current is None:
            return
        labels = dict(self._labels)
        if exc_type is not None:
            labels[names.ERROR_TYPE] = exc_type.__name__
        self._current.end(exc_type)
        self._instruments.operation.record(self._current.elapsed_s, labels)

    @_harmless()
    def first_chunk(self) -> None:
        if self._current is not None:
            elapsed_s = self._current.elapsed_s
            self._span.set_attribute(names.TIME_TO_FIRST_CHUNK, elapsed_s)
            self._instruments.first_chunk.record(elapsed_s, self._labels)

    @_harmless()
    def answered(
        self, *, text: str, calls: Sequence[ToolCall], finish: str, model: str, provider: str = ""
    ) -> None:
        self._span.set_attribute(names.FINISH_REASONS, [finish])
        if model:
            self._span.set_attribute(names.RESPONSE_MODEL, model)
            self._labels[names.RESPONSE_MODEL] = model
        if provider:
            self._span.set_attribute(names.PROVIDER, provider)
            self._labels[names.PROVIDER] = provider
        if self._with_content:
            answer = Message(role="assistant", text=text, calls=calls)
            self._span.set_attribute(names.OUTPUT_MESSAGES, _json([_shown(answer)]))

    @_harmless()
    def used(self, usage: Usage) -> None:
        self._span.set_attribute(names.INPUT_TOKENS, usage.input_tokens)
        self._span.set_attribute(names.CACHED_TOKENS, usage.cached_tokens)
        self._span.set_attribute(names.OUTPUT_TOKENS, usage.output_tokens)
        counts = {"input": usage.input_tokens, "output": usage.output_tokens}
        for kind, count in counts.items():
            self._instruments.tokens.record(count, {**self._labels, names.KIND_OF_TOKENS: kind})
        if usage.cost_usd is not None:
            self._span.set_attribute(names.COST_USD, float(usage.cost_usd))
            self._instruments.cost.add(float(usage.cost_usd), self._labels)


class _SpanTool(ToolWatch):
    def __init__(self, span: Span, with_content: bool) -> None:
        self._span = span
        self._with_content = with_content
        self._current: _Current | None = None

    def __enter__(self) -> Self:
        with _harmless():
            self._current = _Current(self._span)
        return self

    @_harmless()
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._current is not None:
            self._current.end(exc_type)

    @_harmless()
    def ended(self, result: ToolResult) -> None:
        self._span.set_attribute(names.OUTCOME, result.outcome)
        if self._with_content:
            self._span.set_attribute(names.TOOL_RESULT, result.text)
        if result.is_error and self._current is not None:
            self._current.fail("tool_error")


def _seconds(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    return meter.create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=_SECONDS
    )


def _shown(message: Message) -> dict[str, Any]:
    """A message in the form of the conventions: role and parts."""
    parts: list[dict[str, Any]] = []
    if message.role == "tool":
        parts.append({"type": "tool_call_response", "id": message.call_id, "result": message.text})
    elif message.text:
        parts.append({"type": "text", "content": message.text})
    parts += [
        {"type": "tool_call", "id": one.id, "name": one.name, "arguments": dict(one.arguments)}
        for one in message.calls
    ]
    return {"role": message.role, "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
