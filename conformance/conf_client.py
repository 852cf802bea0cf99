"""The client under test: `aicore.dispatch`, driven by the official suite.

The suite starts this program with the URL of its mock server as the last argument, the scenario
in MCP_CONFORMANCE_SCENARIO and what the scenario wants sent in MCP_CONFORMANCE_CONTEXT. It does
what an agent does: connect, read the catalog, call tools.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio

from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.dispatch.server import Server
from aicore.records import ConversationId, OperationKey, Principal, Tool, ToolCall

SAMPLES: Mapping[str, Any] = {
    "array": [],
    "boolean": False,
    "integer": 5,
    "number": 5,
    "object": {},
    "string": "x",
}
CATALOG_ONLY = {"initialize", "json-schema-ref-no-deref"}
SCHEMA_TOOL, ECHO_TOOL = "json_schema_2020_12_tool", "json_schema_echo"


def sample_arguments(tool: Tool) -> dict[str, Any]:
    """Give the arguments a schema requires, of the right types."""
    properties = tool.parameters.get("properties", {})
    return {
        name: SAMPLES.get(properties.get(name, {}).get("type"), "x")
        for name in tool.parameters.get("required", [])
    }


def wanted_calls(scenario: str, tools: Sequence[Tool]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the calls of a scenario: what the suite dictates, else every tool once."""
    by_name = {tool.remote_name: tool for tool in tools}
    dictated = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}").get("toolCalls")
    if scenario in CATALOG_ONLY:
        return
    if scenario == "json-schema-2020-12-preservation":
        yield ECHO_TOOL, {"schema": by_name[SCHEMA_TOOL].parameters}
    elif dictated is not None:
        for call in dictated:
            if call["name"] in by_name:
                yield call["name"], call.get("arguments") or {}
    else:
        for name, tool in by_name.items():
            yield name, sample_arguments(tool)


async def main() -> int:
    """Run one scenario. Returns 1 when the server could not be reached."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    server = Server.http(sys.argv[-1], name="suite")
    async with Dispatcher([server]) as dispatcher:
        (health,) = dispatcher.health()
        sys.stderr.write(f"{health}\n")
        if health.state != "connected":
            return 1
        offered = {tool.remote_name: tool.name for tool in dispatcher.tools}
        calls = list(wanted_calls(scenario, dispatcher.tools))
        for number, (name, arguments) in enumerate(calls):
            call = ToolCall(f"call-{number}", offered[name], arguments)
            result = dispatcher.check(call) or await dispatcher.call(call, context(number))
            sys.stderr.write(f"{name}: {result}\n")
    return 0


def context(number: int) -> CallContext:
    """Tell for whom a call is made, as the agent would."""
    return CallContext(
        operation_key=OperationKey(f"conformance-{number}"),
        principal=Principal("staff", "conformance"),
        conversation=ConversationId("conformance"),
    )


if __name__ == "__main__":
    sys.exit(anyio.run(main))
