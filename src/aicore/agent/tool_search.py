"""Many tools without their weight: the model gets a tool that finds tools, and one that calls them.

Above a number of tools, their definitions are no longer part of every request. A model asks
`find_tools` for what it needs and gets the definitions as a result, at the end of the transcript;
it uses `call_tool` to call what it found. So the beginning of every request stays the same, byte
for byte, whatever was found, with any provider. What the model calls through `call_tool` is the
call itself from then on: the policy judges it, staff approve it, and the journal records it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aicore.agent.tool_index import ToolIndex
from aicore.records import Tool, ToolCall, ToolResult

__all__ = ["CALL_TOOL", "FIND_TOOLS", "ToolSearch", "is_too_deep", "malformed", "meant"]

_MOST_FOUND = 5
_MOST_CHARACTERS = 8_000
"""Of one result: it stays in every later request."""
_SERVERS_NAMED = 2
_MOST_NAMED = 30
_NAMED_CHARACTERS = 600
_LONGEST_DESCRIPTION = 2_000
_LONGEST_SENTENCE = 160
_SENTENCE = re.compile(r".*?[.!?](?=\s|\Z)|.+", re.DOTALL)
_DEEPEST = 64

_OWN = "this program"
"""Whose tools plain functions are: they come from no server."""
_CUT = " [cut]"
_MORE = "parameters: too long to show here; find_tools with this exact name as query shows them"

FIND_TOOLS = Tool(
    name="find_tools",
    description=(
        "Find tools for a need that the tools you see do not serve. Give it a few English words "
        "for the action and the thing, such as 'cancel appointment'. It returns tools with their "
        "parameters; call one with call_tool. Search before you say that something cannot be done."
    ),
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string", "maxLength": 300}},
        "required": ["query"],
        "additionalProperties": False,
    },
    server="aicore",
    remote_name="find_tools",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)

CALL_TOOL = Tool(
    name="call_tool",
    description=(
        "Call a tool that find_tools returned: its name, and arguments that fit its parameters."
    ),
    parameters={
        "type": "object",
        "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    },
    server="aicore",
    remote_name="call_tool",
    read_only=True,
    destructive=False,
    open_world=False,
)
"""Never carried out itself: `meant` gives what it stands for, and that has hints of its own."""


class ToolSearch:
    """Chooses which definitions a model is sent: all of them, or the tools that find the others."""

    def __init__(self, above: int | None) -> None:
        """Search from more than `above` tools on; None: never."""
        self._above = above
        self._tools: Sequence[Tool] = ()
        self._index: ToolIndex | None = None

    def offered(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The definitions to send of a catalog; the same for any catalog that is too large."""
        if self._above is None or len(tools) <= self._above:
            return tools
        return (FIND_TOOLS, CALL_TOOL)

    def find(self, tools: Sequence[Tool], arguments: Mapping[str, Any]) -> ToolResult:
        """Carry out a call of FIND_TOOLS. `tools` is compared by identity."""
        query = arguments.get("query")
        if not isinstance(query, str) or not query.strip():
            return _mistake("query must say in a few words what the tool should do.")
        if self._index is None or tools is not self._tools:
            self._tools, self._index = tools, ToolIndex(tools)
        found = self._index.search(query, _MOST_FOUND)
        if not found:
            servers = ", ".join(sorted({tool.server or _OWN for tool in tools}))
            return _mistake(f"No tool fits. Try other words. There are tools of: {servers}.")
        return ToolResult(text=_result(found, _beside(found, tools)))


def meant(call: ToolCall) -> ToolCall:
    """What a model's call stands for: of CALL_TOOL the call within it, of any other itself.

    A malformed one stays as it is, and is answered as a mistake.
    """
    if call.name != CALL_TOOL.name:
        return call
    name, arguments = call.arguments.get("name"), call.arguments.get("arguments", {})
    if isinstance(arguments, str):  # some models write them as JSON in a text
        # Here: it loads a parser that few agents need.
        from aicore.models.wire_json import parse_json, to_json_text

        try:
            arguments = parse_json(arguments)
            if is_too_deep(arguments):
                return call
            to_json_text(arguments)  # refuses NaN and infinity, which no JSON can hold
        except ValueError:
            return call
    if not isinstance(name, str) or not isinstance(arguments, dict) or name == CALL_TOOL.name:
        return call
    return ToolCall(call.id, name, arguments)


def is_too_deep(value: Any) -> bool:
    """Whether JSON is nested so deeply that whoever walks through it might run out of stack.

    Decided by the value alone: a conversation that is read again must mean the same.
    """
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                inner.extend(one.values())
            elif isinstance(one, list | tuple):
                inner.extend(one)
        if not inner:
            return False
        level = inner
    return True


def malformed() -> ToolResult:
    """The answer to a CALL_TOOL that stands for nothing."""
    return _mistake("Give name, as find_tools returned it, and arguments as an object.")


def _result(found: Sequence[Tool], beside: Sequence[str]) -> str:
    """As many whole definitions as fit, the best first; of the others what tells them apart."""
    short = [*map(_named, found)]
    room = _MOST_CHARACTERS - sum(len(text) + 1 for text in (*short, *beside))
    shown: list[str] = []
    for tool, name in zip(found, short, strict=True):
        whole = _shown(tool)
        if not shown and len(whole) > room + len(name):
            whole = f"{whole[: room + len(name) - len(_CUT)]}{_CUT}"
        fits = len(whole) <= room + len(name)
        room -= len(whole) - len(name) if fits else 0
        shown.append(whole if fits else name)
    return "\n".join([*shown, *beside])


def _shown(tool: Tool) -> str:
    schema = json.dumps(tool.parameters, ensure_ascii=False, separators=(",", ":"))
    return f"## {tool.name}\n{tool.description[:_LONGEST_DESCRIPTION]}\nparameters: {schema}"


def _named(tool: Tool) -> str:
    sentence = _SENTENCE.match(tool.description[:_LONGEST_SENTENCE].strip())
    return f"## {tool.name}\n{sentence[0] if sentence else ''}\n{_MORE}"


def _beside(found: Sequence[Tool], tools: Sequence[Tool]) -> list[str]:
    """The names of what else the servers of the best tools have: often the need in other words."""
    servers = dict.fromkeys(tool.server for tool in found[:_SERVERS_NAMED])
    names = {server: [t.name for t in tools if t.server == server] for server in servers}
    shown = {tool.name for tool in found}
    others = {server: [name for name in names[server] if name not in shown] for server in servers}
    return [
        f"Also of {server or _OWN}, to be looked for by name: {_listed(rest)}"
        for server, rest in others.items()
        if rest
    ]


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MOST_NAMED])
    return text if len(text) <= _NAMED_CHARACTERS else text[:_NAMED_CHARACTERS].rpartition(", ")[0]


def _mistake(text: str) -> ToolResult:
    return ToolResult(text=text, is_error=True, outcome="none")
