"""What is told of a turn, to whom, and that no text of anybody is among it unless asked for."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aicore import Agent, tool
from aicore.errors import ConfigError, ProviderUnavailable
from aicore.models import ScriptedProvider
from aicore.models.port import Completion
from aicore.models.router import Router
from aicore.records import ConversationId, ToolCall, Usage
from aicore.telemetry import Telemetry, listening
from aicore.telemetry.listening import exporting, whoever_listens
from aicore.telemetry.logs import JsonLines, TextLines, TurnFilter
from aicore.telemetry.port import tag
from aicore.telemetry.spans import SpanTelemetry

TALK = "sms:+4915112345678"
SECRET = "xylophone"


@tool(read_only=True)
def look(what: str) -> str:
    """Look."""
    return f"saw {what}"


@tool(read_only=True)
def stumble(what: str) -> str:
    """Fail."""
    raise ValueError(what)


def asks(name: str) -> Completion:
    return Completion(
        text="",
        calls=(ToolCall("c1", name, {"what": SECRET}),),
        usage=Usage(input_tokens=70, cached_tokens=30, output_tokens=5, cost_usd=Decimal("0.002")),
        model="big-1",
    )


class Listener:
    """An SDK in memory."""

    def __init__(self, *, with_content: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = SpanTelemetry(
            traces.get_tracer("t"), meters.get_meter("t"), agent="shop", with_content=with_content
        )

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def text(self) -> str:
        spans = "".join(span.to_json() for span in self.exporter.get_finished_spans())
        return spans + str(self.metrics())

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


async def converse(telemetry: Telemetry, script: list[Any], *, is_streamed: bool = False) -> None:
    provider = ScriptedProvider(script)
    agent = Agent(
        provider=provider, tools=[look, stumble], instructions="Be kind.", telemetry=telemetry
    )
    async with agent:
        if is_streamed:
            async for _ in agent.stream(f"my {SECRET}", conversation=TALK):
                pass
        else:
            await agent.send(f"my {SECRET}", conversation=TALK)


async def test_a_turn_is_one_trace_by_the_conventions() -> None:
    listener = Listener()
    await converse(listener.telemetry, [asks("look"), Completion(text="Done.", finish="stop")])
    spans = listener.exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "chat",
        "execute_tool look",
        "chat",
        "invoke_agent shop",
    ]
    turn = spans[-1]
    assert {span.context.trace_id for span in spans} == {turn.context.trace_id}
    assert all(span.parent.span_id == turn.context.span_id for span in spans[:-1] if span.parent)
    assert dict(turn.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "shop",
        "gen_ai.conversation.id": tag(ConversationId(TALK)),
        "aicore.turn": 1,
        "aicore.outcome": "replied",
    }
    chat = dict(spans[0].attributes or {})
    assert chat["gen_ai.provider.name"] == "scripted"
    assert chat["gen_ai.response.model"] == "big-1"
    assert chat["gen_ai.response.finish_reasons"] == ("stop",)
    assert chat["gen_ai.usage.input_tokens"] == 70
    assert chat["gen_ai.usage.cache_read.input_tokens"] == 30
    assert chat["gen_ai.usage.output_tokens"] == 5
    assert chat["aicore.cost_usd"] == 0.002
    called = dict(spans[1].attributes or {})
    assert called["gen_ai.tool.name"] == "look"
    assert called["gen_ai.tool.call.id"] == "c1"
    assert called["aicore.outcome"] == "done"


async def test_metrics_count_time_tokens_and_cost() -> None:
    listener = Listener()
    await converse(listener.telemetry, [asks("look"), "Done."])
    metrics = listener.metrics()
    assert sum(point.count for point in metrics["gen_ai.client.operation.duration"]) == 2
    sums = {
        point.attributes["gen_ai.token.type"]: point.sum
        for point in metrics["gen_ai.client.token.usage"]
        if point.attributes.get("gen_ai.response.model") == "big-1"
    }
    assert sums == {"input": 70, "output": 5}
    assert [point.value for point in metrics["aicore.cost"]] == [0.002]
    [turn] = metrics["aicore.turn.duration"]
    assert (turn.count, dict(turn.attributes)) == (1, {"aicore.outcome": "replied"})


async def test_of_a_router_the_provider_that_answered_is_told() -> None:
    listener = Listener()
    members = [
        ScriptedProvider([ProviderUnavailable("down")] * 2, name="first"),
        ScriptedProvider([asks("look"), "Done."], name="second"),
    ]
    async with Agent(provider=Router(members), tools=[look], telemetry=listener.telemetry) as agent:
        await agent.send("hi", conversation=TALK)
    chat = dict(listener.spans()["chat"].attributes or {})
    assert chat["gen_ai.provider.name"] == "second"
    [cost] = listener.metrics()["aicore.cost"]
    assert cost.attributes["gen_ai.provider.name"] == "second"


async def test_streaming_tells_when_the_first_text_came() -> None:
    listener = Listener()
    await converse(listener.telemetry, ["Hello there."], is_streamed=True)
    attributes = dict(listener.spans()["chat"].attributes or {})
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert listener.metrics()["gen_ai.client.operation.time_to_first_chunk"][0].count == 1


async def test_no_text_of_anybody_is_told() -> None:
    listener = Listener()
    await converse(listener.telemetry, [asks("look"), f"your {SECRET}"])
    text = listener.text()
    assert "invoke_agent" in text
    for hidden in (SECRET, "Be kind", "49151", "saw"):
        assert hidden not in text


async def test_an_errors_text_is_not_told_either() -> None:
    listener = Listener()
    await converse(listener.telemetry, [asks("stumble"), "Sorry."])
    assert SECRET not in listener.text()
    called = listener.spans()["execute_tool stumble"]
    assert dict(called.attributes or {})["error.type"] == "tool_error"
    assert not called.status.is_ok


async def test_content_is_told_where_it_was_asked_for() -> None:
    listener = Listener(with_content=True)
    await converse(listener.telemetry, [asks("look"), "Done."])
    spans = listener.spans()
    chat = dict(spans["chat"].attributes or {})
    sent = json.loads(str(chat["gen_ai.input.messages"]))
    assert sent[0] == {"role": "user", "parts": [{"type": "text", "content": f"my {SECRET}"}]}
    assert [one["parts"][0]["type"] for one in sent[1:]] == ["tool_call", "tool_call_response"]
    assert "Be kind." in str(chat["gen_ai.system_instructions"])
    assert "Done." in str(chat["gen_ai.output.messages"])
    called = dict(spans["execute_tool look"].attributes or {})
    assert json.loads(str(called["gen_ai.tool.call.arguments"])) == {"what": SECRET}
    assert SECRET in str(called["gen_ai.tool.call.result"])
    assert dict(spans["invoke_agent shop"].attributes or {})["gen_ai.conversation.id"] == TALK


async def test_a_failed_turn_says_by_what() -> None:
    listener = Listener()
    with pytest.raises(ProviderUnavailable):
        await converse(listener.telemetry, [ProviderUnavailable(f"no {SECRET}")])
    spans = listener.spans()
    for name in ("chat", "invoke_agent shop"):
        assert dict(spans[name].attributes or {})["error.type"] == "ProviderUnavailable"
    assert dict(spans["invoke_agent shop"].attributes or {})["aicore.outcome"] == "failed"
    [turn] = listener.metrics()["aicore.turn.duration"]
    assert turn.attributes["error.type"] == "ProviderUnavailable"
    assert SECRET not in listener.text()


async def test_a_cancelled_turn_ends_its_spans() -> None:
    listener = Listener()
    started = anyio.Event()

    @tool(read_only=True)
    async def wait_for_ever(what: str) -> str:
        """Wait."""
        started.set()
        await anyio.sleep_forever()
        return what

    agent = Agent(
        provider=ScriptedProvider([asks("wait_for_ever")]),
        tools=[wait_for_ever],
        telemetry=listener.telemetry,
    )
    async with agent, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: agent.send("x", conversation=TALK))
        await started.wait()
        tasks.cancel_scope.cancel()
    assert set(listener.spans()) == {"chat", "execute_tool wait_for_ever", "invoke_agent shop"}


async def test_many_conversations_at_once_are_traces_of_their_own() -> None:
    listener = Listener()
    provider = ScriptedProvider([Completion(text="hi")] * 20)
    async with (
        Agent(provider=provider, telemetry=listener.telemetry) as agent,
        anyio.create_task_group() as tasks,
    ):
        for number in range(20):
            tasks.start_soon(lambda n: agent.send("x", conversation=f"web:{n}"), number)
    spans = listener.exporter.get_finished_spans()
    turns = {s.context.span_id: s for s in spans if s.name == "invoke_agent shop"}
    chats = [span for span in spans if span.name == "chat"]
    assert len(turns) == len(chats) == 20
    assert {chat.parent.span_id for chat in chats if chat.parent} == set(turns)


class Broken(SpanProcessor):
    """A processor of somebody's that fails."""

    def __init__(self, *, fails_at: str) -> None:
        self._fails_at = fails_at

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._fails_at == "start":
            raise OSError("no disk")

    def on_end(self, span: ReadableSpan) -> None:
        if self._fails_at == "end":
            raise OSError("no disk")


@pytest.mark.parametrize("fails_at", ["start", "end"])
async def test_a_listener_that_fails_ends_no_turn(
    fails_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(Broken(fails_at=fails_at))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    telemetry = SpanTelemetry(
        traces.get_tracer("t"), meters.get_meter("t"), agent="shop", with_content=False
    )
    await converse(telemetry, [asks("look"), "Done."], is_streamed=True)
    assert "telemetry_failed" in caplog.text
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_collector_that_is_down_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_FLUSH_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        telemetry = exporting("otlp", endpoint=endpoint, agent="shop", with_content=False)
        with anyio.fail_after(3):
            await converse(telemetry, ["Done."])


@asynccontextmanager
async def watched_logs(form: logging.Formatter) -> AsyncIterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(TurnFilter())
    handler.setFormatter(form)
    logger = logging.getLogger("aicore.tests")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@tool(read_only=True)
def noisy(what: str) -> str:
    """Log something."""
    logging.getLogger("aicore.tests").warning("looked at=%s", len(what))
    return "done"


async def test_lines_of_the_log_name_the_conversation_and_the_turn() -> None:
    async with watched_logs(JsonLines()) as lines:
        agent = Agent(provider=ScriptedProvider([asks("noisy"), "ok"]), tools=[noisy])
        async with agent:
            await agent.send("x", conversation=TALK)
        logging.getLogger("aicore.tests").warning("outside")
    inside, outside = map(json.loads, lines)
    assert inside["conversation"] == tag(ConversationId(TALK))
    assert (inside["turn"], inside["message"], inside["level"]) == (1, "looked at=9", "warning")
    assert "turn" not in outside


@pytest.mark.parametrize("form", [JsonLines(), TextLines()], ids=["json", "text"])
async def test_of_an_error_its_place_and_class_are_logged_and_not_its_message(
    form: logging.Formatter,
) -> None:
    async with watched_logs(form) as lines:
        try:
            dict[str, str]()[SECRET]
        except KeyError:
            logging.getLogger("aicore.tests").exception("broke")
    assert SECRET not in lines[0]
    assert "KeyError" in lines[0]
    assert "test_telemetry.py" in lines[0]


async def test_as_text_the_ids_stand_at_the_end_of_the_first_line() -> None:
    async with watched_logs(TextLines()) as lines:
        agent = Agent(provider=ScriptedProvider([asks("noisy"), "ok"]), tools=[noisy])
        async with agent:
            await agent.send("x", conversation=TALK)
        logging.getLogger("aicore.tests").warning("outside")
    conversation = tag(ConversationId(TALK))
    assert lines == [
        f"aicore.tests looked at=9 conversation={conversation} turn=1",
        "aicore.tests outside",
    ]


class Collector(BaseHTTPRequestHandler):
    """An OTLP collector: keeps what it is sent."""

    got: dict[str, list[bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def collecting() -> Iterator[tuple[str, dict[str, list[bytes]]]]:
    got: dict[str, list[bytes]] = {}
    handler = type("Handler", (Collector,), {"got": got})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", got
        finally:
            server.shutdown()
            thread.join()


async def test_a_configuration_sends_to_a_collector_before_the_agent_has_closed(
    tmp_path: Path,
) -> None:
    with collecting() as (endpoint, got):
        telemetry = exporting("otlp", endpoint=f"{endpoint}/", agent="shop", with_content=False)
        await converse(telemetry, ["Done."])
        traces = ExportTraceServiceRequest.FromString(got["/v1/traces"][0])
        [resource] = traces.resource_spans
        names = [span.name for scope in resource.scope_spans for span in scope.spans]
        assert sorted(names) == ["chat", "invoke_agent shop"]
        metrics = ExportMetricsServiceRequest.FromString(got["/v1/metrics"][-1])
        sent = {
            metric.name
            for resource_metrics in metrics.resource_metrics
            for scope in resource_metrics.scope_metrics
            for metric in scope.metrics
        }
        assert {"gen_ai.client.operation.duration", "aicore.turn.duration"} <= sent
        assert SECRET.encode() not in b"".join(b"".join(bodies) for bodies in got.values())


def test_an_exporter_without_an_endpoint_is_refused() -> None:
    with pytest.raises(ConfigError):
        exporting("otlp", endpoint=None, agent="shop", with_content=False)


def test_nobody_is_told_by_default() -> None:
    assert type(whoever_listens("shop")) is Telemetry
    assert type(exporting("none", endpoint=None, agent="shop", with_content=False)) is Telemetry


def test_an_sdk_that_the_program_set_up_listens() -> None:
    """In a process of its own: a provider can be set once."""
    program = """
import anyio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
from aicore import Agent
from aicore.models import ScriptedProvider
async def main():
    async with Agent(provider=ScriptedProvider(["hi"])) as agent:
        await agent.send("x", conversation="web:1")
anyio.run(main)
print(",".join(span.name for span in exporter.get_finished_spans()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "chat,invoke_agent aicore"


def test_an_agent_without_listeners_does_not_load_the_sdk() -> None:
    program = """
import sys, anyio
from aicore import Agent
from aicore.models import ScriptedProvider
async def main():
    async with Agent(provider=ScriptedProvider(["hi"])) as agent:
        await agent.send("x", conversation="web:1")
anyio.run(main)
assert "opentelemetry.sdk" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_databases_pool_warns_of_is_told_by_us_alone() -> None:
    """In a process of its own, whose logging is changed."""
    program = (
        "import logging; from aicore.telemetry.logs import write_logs; write_logs('text'); "
        "logging.getLogger('psycopg.pool').warning('error connecting'); "
        "logging.getLogger('elsewhere').warning('heard')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr.decode().split() == ["elsewhere", "heard"]
