"""`aicore doctor`: checks a configuration part by part and says what is wrong."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from aicore.agent.build import build_agent, build_log, build_memory, build_provider, build_server
from aicore.agent.choose import choose_provider
from aicore.agent.routing import build_members, build_rules
from aicore.cli.screen import Screen
from aicore.config import BudgetSettings, MemorySettings, Settings, load
from aicore.dispatch.dispatcher import CallFailed, Dispatcher
from aicore.errors import AicoreError
from aicore.log.registry import file_of
from aicore.models.port import Provider, Request
from aicore.records import Message, Prefix
from aicore.trust.data_classes import DATA_CLASSES

if TYPE_CHECKING:
    from aicore.models.router import Member

__all__ = ["run_doctor"]

_CONNECTION = "aicore://connection"
"""The resource in which a server proves its connection: `{"connections": [{server, backend, name,
can, warnings, is_test} or {server, backend, error: {message, hint}}]}`."""

_FLOWS_DO_NOT_READ = (
    "learns and lists, but only a model is told of it (and of knowledge): flows answer from their "
    "own file"
)


def run_doctor(options: argparse.Namespace) -> int:
    """Check everything a configuration names; changes nothing. Returns 0, or 1 if a part fails."""
    return anyio.run(_examine, options.config)


async def _examine(config: Path) -> int:
    screen = Screen()
    try:
        settings = load(config)
    except AicoreError as error:
        screen.line(f"FAIL  configuration: {error}", style="red")
        return 1
    screen.line(f"ok    configuration: {config}")
    parts: list[tuple[str, Callable[[Settings], Awaitable[list[str]]]]] = [
        ("log", _check_log),
        ("memory", _check_memory),
        ("provider", _check_provider),
        ("flows", _check_flows),
        ("servers", _check_servers),
    ]
    failed: list[str] = []
    for name, check in parts:
        try:
            findings = await check(settings)
        except AicoreError as error:
            findings = [f"FAIL {error}"]
        failed += _told(screen, name, findings)
    try:
        chosen = await choose_provider(settings)
        build_agent(config, provider=chosen.provider)
    except AicoreError as error:
        # What no part above has looked at, so that this passes nothing that `aicore chat` refuses.
        if str(error) not in failed:
            failed += _told(screen, "agent", [f"FAIL {error}"])
    return 1 if failed else 0


def _told(screen: Screen, name: str, findings: Sequence[str]) -> list[str]:
    """Show what was found of a part. Returns the failures."""
    failed = []
    for finding in findings:
        is_failure = finding.startswith("FAIL ")
        text = finding.removeprefix("FAIL ")
        failed += [text] if is_failure else []
        screen.line(
            f"{'FAIL ' if is_failure else 'ok   '} {name}: {text}",
            style="red" if is_failure else "",
        )
    return failed


async def _check_log(settings: Settings) -> list[str]:
    url = settings.log.url
    if settings.log.path is None and url is None:
        return ["kept in memory: conversations are lost when the program ends"]
    path = settings.log.path if url is None else file_of(url)
    if path is not None and not path.exists():
        folder = path.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            return [f"FAIL {folder} is not a folder that can be written; create it."]
        return [f"{path} will be created"]
    async with build_log(settings) as log:
        open_turns = await log.open_turns()
    return [f"{path or _place(url or '')}, {len(open_turns)} open turns"]


def _place(url: str) -> str:
    """Where a store is, without user, password or option."""
    scheme = url.partition(":")[0].lower()
    if scheme.startswith("postgres"):
        from aicore.databases.postgres_errors import describe

        return f"PostgreSQL at {describe(url)}"
    if scheme == "memory":
        return "kept in memory"
    from aicore.log.redis_server import split_url

    return split_url(url)[1]


async def _check_memory(settings: Settings) -> list[str]:
    rules_only = settings.memory.model_copy(update={"extract": "rules"})
    memory = build_memory(settings.model_copy(update={"memory": rules_only}), None)
    if memory is None:
        return []
    told = [_FLOWS_DO_NOT_READ] if _is_flows(settings) else []
    told += [
        f"FAIL the folder {folder} of memory.knowledge is missing. Create it, or correct its name."
        for folder in settings.memory.knowledge
        if not folder.is_dir()
    ]
    told += await _check_embedder(settings.memory)
    url = settings.memory.url
    path = settings.memory.path if url is None else file_of(url)
    if path is not None and not path.exists():
        if not path.parent.is_dir():
            return [f"FAIL {path.parent} is not a folder; create it.", *told]
        return [f"{path} will be created", *told]
    async with memory:
        subjects = await memory.subjects()
    return [f"{path or _place(url or '')}, {len(subjects)} whom something is remembered of", *told]


async def _check_embedder(settings: MemorySettings) -> list[str]:
    """Ask for one vector: a memory whose embedder is down goes on without, and nobody would see."""
    if settings.embedder is None:
        return []
    from aicore.memory.registry import open_embedder

    try:
        async with open_embedder(settings.embedder) as embedder:
            [numbers] = await embedder.embed(["Hello"])
    except AicoreError as error:
        return [f"FAIL the embedder: {error}"]
    return [f"the embedder {settings.embedder.model} gives vectors of {len(numbers)} numbers"]


def _is_flows(settings: Settings) -> bool:
    """Whether the flows answer: of "auto" they do where no model server runs."""
    is_plain = not settings.is_routed
    return is_plain and settings.provider.get("kind", "auto") in ("auto", "flows")


async def _check_provider(settings: Settings) -> list[str]:
    if settings.is_routed:
        return await _check_router(settings)
    if settings.provider.get("kind", "auto") == "auto":
        chosen = await choose_provider(settings)
        return [chosen.why]
    return [await _ask(build_provider(settings.provider))]


async def _check_router(settings: Settings) -> list[str]:
    """Ask each of the providers, and say who may be sent what."""
    members, rules = build_members(settings), build_rules(settings)
    lines = []
    for one in members:
        try:
            lines.append(await _ask(one.provider))
        except AicoreError as error:
            lines.append(f"FAIL {one.provider.name}: {error}")
    for data_class in DATA_CLASSES:
        rule = rules.rule(data_class)
        may = [one for one in members if not rule.refusal(one.provider.capabilities)]
        names = ", ".join(one.provider.name for one in may)
        lines.append(f"{data_class} data may go to {names or 'nobody'}")
    return [*lines, *_budget_lines(settings.budget, members)]


def _budget_lines(budget: BudgetSettings, members: Sequence[Member]) -> Iterator[str]:
    """What a budget brings with it that its limits do not say."""
    limits = (budget.turn_usd, budget.conversation_usd, budget.day_usd, budget.month_usd)
    if not any(limits):
        return
    for one in members:
        if one.provider.capabilities.price is None:
            yield (
                f"FAIL {one.provider.name} is never asked: there is a budget, and its price is not "
                'known. Give it one; price = { input_usd = "0", output_usd = "0" } where it costs '
                "nothing."
            )
    if budget.path is None and budget.url is None:
        yield "the budget is counted in memory, from zero at each start: budget.path keeps it"


async def _ask(provider: Provider) -> str:
    async with provider:
        request = Request(
            prefix=Prefix("Answer with one word."),
            tail=[Message(role="user", text="Hello")],
            max_output_tokens=16,
        )
        completion = await provider.complete(request)
    return f"{provider.name} answered ({completion.usage.output_tokens} tokens)"


async def _check_flows(settings: Settings) -> list[str]:
    """Play the tests that a flow file brings along."""
    file = settings.provider.get("file")
    if not file:
        return []
    from aicore.flows import run_flow_tests

    results = await run_flow_tests(file)
    failed = [
        f"FAIL test {result.number} of {result.flow} in {file}: {result.message}"
        for result in results
        if not result.is_ok
    ]
    return failed or [f"{len(results)} tests in {file} pass"]


async def _check_servers(settings: Settings) -> list[str]:
    if not settings.servers:
        return ["none configured"]
    findings: list[str] = []
    servers = []
    for name, one in settings.servers.items():
        try:
            servers.append(build_server(name, one))
        except AicoreError as error:
            findings.append(f"FAIL {error}")
    async with Dispatcher(servers) as dispatcher:
        for health in dispatcher.health():
            if health.failure:
                findings.append(f"FAIL {health.name}: {health.failure}")
            else:
                findings.append(f"{health.name}, {health.tools} tools")
                findings += await _check_connection(dispatcher, health.name)
    return findings


async def _check_connection(dispatcher: Dispatcher, server: str) -> list[str]:
    """Let a server that can do so prove its connection by a read."""
    try:
        text = await dispatcher.read(server, _CONNECTION)
        if text is None:
            return []
        connections = json.loads(text)["connections"]
        found = [line for one in connections for line in _connection_lines(server, one)]
    except CallFailed as error:
        found = [f"FAIL {server}: its connection cannot be read: {error.why}"]
    except (ValueError, KeyError, TypeError, AttributeError):
        found = [f"FAIL {server}: what it says of its connection cannot be read"]
    return ["".join(char if char.isprintable() else "?" for char in line) for line in found]


def _connection_lines(server: str, one: Mapping[str, Any]) -> Iterator[str]:
    where = f"{server}: {one['server']} on {one['backend']}"
    error = one.get("error")
    if error:
        yield f"FAIL {where}: {error['message']} {error.get('hint') or ''}".rstrip()
        return
    kind = " (test account)" if one["is_test"] else ""
    yield f"{where}: {one['name']}{kind}; can {', '.join(one['can'])}"
    for warning in one["warnings"]:
        yield f"{where}: warning: {warning}"
