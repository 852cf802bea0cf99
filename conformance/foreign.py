"""Clients of others on our servers: the Inspector, and the TypeScript SDK in two generations."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import Outcome
from toolchain import OUT, Finished, Toolchain

CLIENT_S = 45.0
READS: Mapping[str, Mapping[str, Any]] = {
    "aicore-crm": {"name": "crm_search", "arguments": {"type": "contact"}},
    "aicore-mail": {"name": "mail_search", "arguments": {}},
    "aicore-calendars": {"name": "calendar_calendars", "arguments": {}},
    "aicore-payments": {"name": "payments_search", "arguments": {"kind": "invoice"}},
}
"""One call per server that changes nothing; a server without one is only listed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server of ours: its command's name, how to start it for stdio, and its URL."""

    name: str
    command: Sequence[str]
    url: str


def command_of(name: str) -> list[str]:
    """Give the command that starts an installed server on data of its own."""
    data = OUT / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    return [str(Path(sys.executable).with_name(name)), "--data", str(data)]


def foreign_outcomes(tools: Toolchain, target: Target) -> Iterator[Outcome]:
    """List and call a server with every client, over stdio and HTTP."""
    for transport in ("stdio", "HTTP"):
        yield _outcome(target, f"Inspector, {transport}: list", *_list(tools, target, transport))
        if target.name in READS:
            found = _call(tools, target, transport)
            yield _outcome(target, f"Inspector, {transport}: call", *found)
        for sdk, revision in (("v1", "2025-11-25"), ("v2", "2026-07-28")):
            found = _typescript(tools, target, transport, sdk, revision)
            yield _outcome(target, f"TypeScript {sdk}, {transport}", *found, revision=revision)


def _outcome(
    target: Target, what: str, passed: int, failures: Sequence[str], *, revision: str = "any"
) -> Outcome:
    return Outcome(
        part=target.name, revision=revision, scenario=what, passed=passed, failures=failures
    )


def _inspect(tools: Toolchain, target: Target, transport: str, *options: str) -> Finished:
    where = list(target.command)
    if transport == "HTTP":
        where = [target.url, "--transport", "http"]
    return tools.run("mcp-inspector", "--cli", *where, *options, timeout_s=CLIENT_S)


def _list(tools: Toolchain, target: Target, transport: str) -> tuple[int, list[str]]:
    """List the tools; --strict fails on a schema that some client cannot take."""
    done = _inspect(tools, target, transport, "--method", "tools/list", "--strict")
    return _judged(done, lambda answer: [] if answer["tools"] else ["no tool is listed"])


def _call(tools: Toolchain, target: Target, transport: str) -> tuple[int, list[str]]:
    call = READS[target.name]
    pairs = [f"{name}={value}" for name, value in call["arguments"].items()]
    arguments = [part for pair in pairs for part in ("--tool-arg", pair)]
    options = ("--method", "tools/call", "--tool-name", call["name"], *arguments)
    done = _inspect(tools, target, transport, *options)
    return _judged(done, lambda answer: ["the tool failed"] if answer.get("isError") else [])


def _typescript(
    tools: Toolchain, target: Target, transport: str, sdk: str, revision: str
) -> tuple[int, list[str]]:
    command, *args = target.command
    where = {"url": target.url} if transport == "HTTP" else {"command": command, "args": args}
    call = json.dumps(READS.get(target.name))
    done = tools.run("interop.mjs", sdk, json.dumps(where), call, timeout_s=CLIENT_S)

    def faults(answer: Mapping[str, Any]) -> list[str]:
        found = [] if answer["tools"] else ["no tool is listed"]
        if answer["isError"]:
            found.append(f"{answer['called']} failed: {answer['text']}")
        if answer["protocol"] not in (revision, None):
            found.append(f"speaks {answer['protocol']}, not {revision}")
        return found

    return _judged(done, faults)


def _judged(done: Finished, faults: Any) -> tuple[int, list[str]]:
    """Read the JSON a client printed, and let `faults` look at it."""
    said = (done.err.strip().splitlines() or [""])[-1][:200]
    if done.code is None:
        return 0, [f"no end after {CLIENT_S:g} s: {said}"]
    if done.code != 0:
        return 0, [f"exit code {done.code}: {said}"]
    try:
        found = faults(json.loads(done.out))
    except (ValueError, KeyError) as error:
        return 0, [f"its answer cannot be read: {error}"]
    return int(not found), found
