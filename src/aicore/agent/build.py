"""From settings to an Agent."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aicore.agent.agent import Agent
from aicore.agent.context import ContextLimits
from aicore.agent.limits import Limits
from aicore.agent.routing import build_book, build_router, model_provider
from aicore.config import LimitSettings, ServerSettings, Settings, load
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.errors import AicoreError, ConfigError
from aicore.log.port import EventLog
from aicore.log.registry import open_log
from aicore.log.sqlite import SQLiteLog
from aicore.models.port import Provider
from aicore.telemetry import Telemetry
from aicore.telemetry.listening import exporting

if TYPE_CHECKING:
    from aicore.memory.memory import Memory
    from aicore.models.price_book import PriceBook

__all__ = [
    "build_agent",
    "build_configured",
    "build_instructions",
    "build_log",
    "build_memory",
    "build_provider",
    "build_server",
    "build_telemetry",
]


def build_agent(path: Path, *, provider: Provider | None = None) -> Agent:
    """Build the agent that a file describes; `provider` is used instead of the file's.

    Raises: ConfigError, FlowError.
    """
    settings = load(path)
    if provider is None:
        provider = build_configured(settings)
    return Agent(
        provider=provider,
        servers=[build_server(name, one) for name, one in settings.servers.items()],
        instructions=build_instructions(settings),
        log=build_log(settings),
        limits=_limits(settings.limits),
        call_limits=DispatchLimits(**settings.calls.model_dump()),
        context=_context(settings, provider),
        memory=build_memory(settings, provider),
        zone=settings.agent.zone,
        telemetry=build_telemetry(settings),
        tool_classes=settings.privacy.tools,
    )


def build_configured(settings: Settings) -> Provider:
    """What answers by a configuration: its one provider, or a router. Raises as build_provider."""
    if settings.is_routed:
        return build_router(settings)
    return build_provider(settings.provider, build_book(settings))


def build_provider(settings: Mapping[str, Any], book: PriceBook | None = None) -> Provider:
    """Open the provider that `kind` names: `flows`, or a dialect of `aicore.models`.

    `auto`, or no kind, is flows here: only `aicore chat` looks for running model servers. `book`
    says what a managed model costs whose settings do not.
    Raises: ConfigError, FlowError.
    """
    fields = dict(settings)
    kind = fields.pop("kind", "auto")
    if kind == "auto" and "file" not in fields:
        raise ConfigError(
            'No provider is configured. Set provider.kind to "openai-compatible" with base_url '
            "and model, or provider.file to a flow file."
        )
    return _flows(fields) if kind in ("auto", "flows") else model_provider(kind, fields, book)


def build_log(settings: Settings) -> EventLog:
    """The event log that a configuration names. Raises: ConfigError."""
    log = settings.log
    if log.path is not None:
        return SQLiteLog(log.path, business=log.business)
    return open_log("memory:" if log.url is None else log.url, business=log.business)


def build_memory(settings: Settings, provider: Provider | None) -> Memory | None:
    """The memory that a configuration names, if any; `provider` may find facts.

    Raises: ConfigError.
    """
    if settings.memory.path is None and settings.memory.url is None:
        return None
    from aicore.flows import FlowProvider
    from aicore.memory.registry import open_memory

    model = None if isinstance(provider, FlowProvider) else provider
    return open_memory(settings.memory, settings.log.business, provider=model)


def build_telemetry(settings: Settings) -> Telemetry | None:
    """The exporter that a configuration names; None: whoever listens. Raises: ConfigError."""
    telemetry = settings.telemetry
    if telemetry.exporter == "none":
        return None
    return exporting(
        telemetry.exporter,
        endpoint=telemetry.endpoint,
        agent=telemetry.service,
        with_content=telemetry.content,
    )


def build_server(name: str, settings: ServerSettings) -> Server:
    """One MCP server of a configuration. Raises: ConfigError."""
    if settings.local is not None:
        return Server.local(_call(name, settings.local, settings.args), name=name)
    if settings.url is not None:
        headers = {header: _env(name, var) for header, var in settings.headers_env.items()}
        return Server.http(settings.url, headers=headers, name=name)
    command, *words = settings.command or [""]
    return Server.stdio(command, *words, *settings.args, env=settings.env or None, name=name)


def _flows(fields: dict[str, Any]) -> Provider:
    from aicore.flows import FlowProvider

    file = fields.pop("file", None)
    if file is None or fields:
        unknown = ", ".join(sorted(fields)) or "none"
        raise ConfigError(
            f"A flows provider takes `file` and nothing else (also found: {unknown})."
        )
    return FlowProvider(Path(file))


def build_instructions(settings: Settings) -> str:
    """What the assistant is told of itself, from the file or the text. Raises: ConfigError."""
    agent = settings.agent
    if agent.instructions_file is None:
        return agent.instructions
    try:
        text = agent.instructions_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"agent.instructions_file {agent.instructions_file} cannot be read: {error}."
        ) from error
    return f"{agent.instructions}\n\n{text}" if agent.instructions else text


def _limits(settings: LimitSettings) -> Limits:
    return Limits(
        rounds=settings.rounds or None,
        tokens=settings.tokens or None,
        cost_usd=settings.cost_usd or None,
        wall_s=settings.wall_s or None,
        output_tokens_per_request=settings.output_tokens_per_request or None,
    )


def _context(settings: Settings, provider: Provider) -> ContextLimits:
    if settings.context.summary == "model":
        from aicore.flows import FlowProvider

        if isinstance(provider, FlowProvider):
            raise ConfigError(
                'context.summary is "model", but the flows answer without one. Set it to "rule".'
            )
    return ContextLimits(**settings.context.model_dump())


def _env(server: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(f"servers.{server}: set the environment variable {variable}.")
    return value


def _call(name: str, target: str, args: list[str]) -> Any:
    module_name, separator, function = target.partition(":")
    if not separator:
        raise ConfigError(f"servers.{name}.local {target!r} must look like package.module:name.")
    try:
        make = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"servers.{name}.local {target!r} cannot be imported: {error}."
        ) from error
    try:
        return make(*args)
    except AicoreError:
        raise
    except Exception as error:
        # Boundary: foreign code built from settings; whatever it says is about those settings.
        raise ConfigError(f"servers.{name}.local {target!r} refused its args: {error}") from error
