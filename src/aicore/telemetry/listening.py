"""Who listens: an exporter that the owner configured, or an SDK that the program has set up."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal

import anyio
import anyio.to_thread

from aicore.errors import ConfigError
from aicore.records import ConversationId, Message, ToolCall
from aicore.telemetry.port import ChatWatch, Telemetry, ToolWatch, TurnWatch

__all__ = ["Exporter", "exporting", "whoever_listens"]

Exporter = Literal["none", "console", "otlp"]

_FLUSH_S = 5.0


def whoever_listens(agent: str) -> Telemetry:
    """Telemetry for an SDK that this program has set up; where there is none, for nobody.

    An SDK counts when its tracer provider is set before the agent is made. Costs nothing else:
    OpenTelemetry is not even imported when nobody has done so.
    """
    if "opentelemetry.sdk" not in sys.modules and "opentelemetry.trace" not in sys.modules:
        return Telemetry()
    from opentelemetry import metrics, trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return Telemetry()
    from aicore.telemetry.spans import SpanTelemetry

    return SpanTelemetry(
        trace.get_tracer("aicore"), metrics.get_meter("aicore"), agent=agent, with_content=False
    )


def exporting(
    exporter: Exporter, *, endpoint: str | None, agent: str, with_content: bool
) -> Telemetry:
    """Telemetry with an exporter of its own, that runs while it is entered.

    "console" writes to standard error; "otlp" sends to `endpoint` over HTTP, the base address of
    a collector such as `http://127.0.0.1:4318`, with the headers of OTEL_EXPORTER_OTLP_HEADERS.
    Raises: ConfigError when the extra is missing, or there is no endpoint.
    """
    if exporter == "none":
        return Telemetry()
    if exporter == "otlp" and not endpoint:
        raise ConfigError(
            'telemetry.exporter is "otlp": set telemetry.endpoint to the address of your '
            "collector, such as http://127.0.0.1:4318."
        )
    try:
        return _Exporting(exporter, endpoint or "", agent, with_content=with_content)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "telemetry.exporter needs OpenTelemetry's SDK: install aicore-mcp[telemetry]."
        ) from error


class _Exporting(Telemetry):
    """Owns providers of its own, so that nothing of the program's is changed."""

    is_silent = False

    def __init__(
        self, exporter: Exporter, endpoint: str, agent: str, *, with_content: bool
    ) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from aicore.telemetry.spans import SpanTelemetry

        spans, metrics = _console() if exporter == "console" else _otlp(endpoint)
        resource = Resource.create({"service.name": agent})
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(BatchSpanProcessor(spans))
        reader = PeriodicExportingMetricReader(metrics)
        self._metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._inner = SpanTelemetry(
            self._traces.get_tracer("aicore"),
            self._metrics.get_meter("aicore"),
            agent=agent,
            with_content=with_content,
        )

    def turn(self, conversation: ConversationId, turn: int) -> TurnWatch:
        return self._inner.turn(conversation, turn)

    def chat(self, request: Mapping[str, Any], messages: Sequence[Message]) -> ChatWatch:
        return self._inner.chat(request, messages)

    def tool(self, call: ToolCall, server: str) -> ToolWatch:
        return self._inner.tool(call, server)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        # The SDK waits for a collector that is down as long as it likes; nobody else has to.
        with anyio.move_on_after(_FLUSH_S, shield=True):
            async with anyio.create_task_group() as tasks:
                for stop in (self._traces.shutdown, self._metrics.shutdown):
                    tasks.start_soon(
                        partial(anyio.to_thread.run_sync, stop, abandon_on_cancel=True)
                    )
        return None


def _console() -> tuple[Any, Any]:
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=sys.stderr), ConsoleMetricExporter(out=sys.stderr)


def _otlp(endpoint: str) -> tuple[Any, Any]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base = endpoint.rstrip("/")
    return (
        OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=10),
        OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=10),
    )
