"""Sends tool calls to servers and plain functions, and says honestly what came of each."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from aicore.dispatch.fencing import fence
from aicore.dispatch.functions import FunctionTool, function_name
from aicore.dispatch.limits import CallContext, DispatchLimits
from aicore.dispatch.link import CallFailed, ServerHealth, ServerLink
from aicore.dispatch.names import Key, assign
from aicore.dispatch.results import from_server, refusal
from aicore.dispatch.schemas import ArgumentChecker
from aicore.dispatch.server import Server
from aicore.errors import ConfigError, NotOpenError
from aicore.records import Tool, ToolCall, ToolResult

__all__ = ["CallContext", "CallFailed", "DispatchLimits", "Dispatcher", "ServerHealth", "fence"]

_log = logging.getLogger(__name__)

_MOST_CHECKED = 1_000
_MOST_THREADS = 40


class Dispatcher:
    """The tools of an agent, and the connections behind them. Entered once, by its owner.

    Entering starts every server at the same time and waits until each has connected, failed,
    or used up `connect_s`. A server that does not come up stops nobody: it is tried again in
    the background, and its tools appear when it comes. A server that goes away keeps its tools
    in the catalog; calls to it fail until it is back.

    Raises: ConfigError for two servers or two functions of one name.
    """

    def __init__(
        self,
        servers: Sequence[Server] = (),
        functions: Sequence[Callable[..., Any]] = (),
        limits: DispatchLimits | None = None,
    ) -> None:
        self._limits = limits or DispatchLimits()
        _check_server_names(servers)
        _check_function_names(functions)
        self._links = [ServerLink(server, self._limits, self._on_change) for server in servers]
        self._plain_functions = tuple(functions)
        self._functions: dict[str, FunctionTool] = {}
        self._routes: dict[str, ServerLink] = {}
        self._by_name: dict[str, Tool] = {}
        self._tools: tuple[Tool, ...] = ()
        self._seen: list[tuple[Tool, ...]] | None = None
        self._given: dict[Key, str] = {}
        self._checker = ArgumentChecker()
        self._checked: dict[str, tuple[ToolCall, Tool]] = {}
        self._changed = anyio.Event()
        self._group: TaskGroup | None = None
        self._was_entered = False
        self._is_open = False

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise NotOpenError("A Dispatcher is entered once: make a new one")
        self._was_entered = True
        # Of its own: functions that hang must not use up the threads of everybody else.
        limiter = anyio.CapacityLimiter(_MOST_THREADS)
        for function in self._plain_functions:
            made = FunctionTool(function, limiter)
            self._functions[made.tool.name] = made
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            for link in self._links:
                self._group.start_soon(link.run)
            with anyio.move_on_after(self._limits.connect_s):
                for link in self._links:
                    await link.settled.wait()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        # Only now: names must not depend on which server happened to answer first.
        self._is_open = True
        self._on_change()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        group, self._group = self._group, None
        if group is None:
            return None
        for link in self._links:
            link.close()
        if isinstance(exc, anyio.get_cancelled_exc_class()):
            return await group.__aexit__(exc_type, exc, traceback)
        # The task group is no business of whoever raised: it would wrap the error in a group.
        await group.__aexit__(None, None, None)
        return None

    @property
    def tools(self) -> Sequence[Tool]:
        """The catalog: functions, then servers as given, each by name.

        The same object until something in it changes. For the names see `names.assign`.
        """
        return self._tools

    def find(self, name: str) -> Tool | None:
        """Give the tool offered under a name."""
        return self._by_name.get(name)

    def health(self) -> Sequence[ServerHealth]:
        """How each server is doing, in the order given."""
        return [link.health for link in self._links]

    async def read(self, server: str, uri: str) -> str | None:
        """Give the text of a server's resource, None where it has none of that address.

        Raises:
            CallFailed: it cannot be read.
            KeyError: there is no server of that name.
        """
        links = {link.server.name: link for link in self._links}
        return await links[server].read(uri)

    async def wait_changed(self) -> None:
        """Wait until the catalog or the state of a server changes next."""
        await self._changed.wait()

    def check(self, call: ToolCall) -> ToolResult | None:
        """Tell whether a call may be sent: None, or the error result that the model reads."""
        tool = self._by_name.get(call.name)
        if tool is None:
            return refusal(self._unknown(call.name))
        faults = self._checker.faults(tool.parameters, call.arguments)
        if faults:
            return refusal(
                f"The arguments do not fit {call.name}: {'; '.join(faults)}. Nothing was done: "
                "call it again with arguments that fit its schema."
            )
        if len(self._checked) >= _MOST_CHECKED:
            self._checked.clear()
        self._checked[call.id] = (call, tool)
        return None

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult:
        """Send a call that `check` allows, and give what came of it. Raises nothing.

        A failed call is sent once more if that can do no harm: it had not been sent; or the tool
        is read-only or idempotent; or it honours operation keys and has one, and then with the
        same key, also where the tool itself says that its outcome is unknown. Where an effect may
        have happened unseen, the outcome is `unknown`.
        """
        checked = self._checked.pop(call.id, None)
        tool = self._by_name.get(call.name)
        if tool is None or checked is None or checked[0] is not call or checked[1] is not tool:
            fault = self.check(call)
            if fault is not None:
                return fault
            self._checked.pop(call.id, None)
            tool = self._by_name[call.name]
        arguments = dict(call.arguments)
        link = self._routes.get(call.name)
        if link is None:
            function = self._functions[call.name]
            return await function.call(call.id, arguments, context, self._limits)
        if not link.breaker.allow():
            return refusal(
                f"The server {tool.server} has failed several times in a row and is left alone "
                "for a moment. Nothing was done."
            )
        return await self._send(link, tool, call.id, arguments, context)

    async def _send(
        self,
        link: ServerLink,
        tool: Tool,
        call_id: str,
        arguments: dict[str, Any],
        context: CallContext,
    ) -> ToolResult:
        meta = {"aicore/principal": str(context.principal)}
        if context.operation_key is not None:
            meta["aicore/operation-key"] = context.operation_key
        may_be_done = False
        try:
            try:
                result = await link.call(tool.remote_name, arguments, meta)
            except CallFailed as failure:
                if not _may_repeat(failure, tool, context):
                    raise
                _log.info("call_again server=%s tool=%s: %s", tool.server, tool.name, failure.why)
                may_be_done = failure.maybe_done and not tool.read_only
                result = await link.call(tool.remote_name, arguments, meta)
        except CallFailed as failure:
            # What a server answers may name a customer; what failed on the way does not.
            why = "its answer" if failure.is_answer else failure.why
            _log.warning("call_failed server=%s tool=%s: %s", tool.server, tool.name, why)
            return _failed(failure, tool, may_be_done or failure.maybe_done)
        given = from_server(result, tool, call_id, self._limits, is_repeated=may_be_done)
        if given.outcome == "unknown" and not may_be_done and _settles(tool, context):
            return await self._settled(link, tool, call_id, arguments, meta) or given
        return given

    async def _settled(
        self,
        link: ServerLink,
        tool: Tool,
        call_id: str,
        arguments: dict[str, Any],
        meta: dict[str, Any],
    ) -> ToolResult | None:
        """Ask again, under the same key, a tool that does not know what came of its effect."""
        _log.info("settle server=%s tool=%s", tool.server, tool.name)
        try:
            result = await link.call(tool.remote_name, arguments, meta)
        except CallFailed as failure:
            why = "its answer" if failure.is_answer else failure.why
            _log.warning("settle_failed server=%s tool=%s: %s", tool.server, tool.name, why)
            return None
        return from_server(result, tool, call_id, self._limits, is_repeated=True)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._by_name, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"There is no tool {name[:80]!r}.{hint} Nothing was done."

    def _on_change(self) -> None:
        if not self._is_open:
            return
        catalogs = [link.tools for link in self._links]
        if self._seen != catalogs:
            self._seen = catalogs
            self._rebuild()
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _rebuild(self) -> None:
        keys = [(tool.server, tool.remote_name) for link in self._links for tool in link.tools]
        for name in self._functions:
            self._given["", name] = name
        names = assign(keys, self._given)
        self._given.update(names)
        tools = [function.tool for function in self._functions.values()]
        routes: dict[str, ServerLink] = {}
        for link in self._links:
            named = [self._named(tool, names[tool.server, tool.remote_name]) for tool in link.tools]
            tools.extend(sorted(named, key=lambda tool: tool.name))
            routes.update((tool.name, link) for tool in named)
        if tuple(tools) != self._tools:
            self._tools = tuple(tools)
            self._by_name = {tool.name: tool for tool in tools}
            self._checker.forget()
            _log.info("catalog_changed tools=%d", len(tools))
        self._routes = routes

    def _named(self, tool: Tool, name: str) -> Tool:
        named = tool if tool.name == name else replace(tool, name=name)
        known = self._by_name.get(name)
        return known if known == named else named


def _may_repeat(failure: CallFailed, tool: Tool, context: CallContext) -> bool:
    if failure.is_answer or failure.is_offline:
        return False
    settles = _settles(tool, context)
    if failure.is_timeout:
        return settles  # what took too long once is asked again only to learn what came of it
    return not failure.maybe_done or tool.read_only or tool.idempotent or settles


def _settles(tool: Tool, context: CallContext) -> bool:
    """Whether sending the call again only tells what came of it, or does what was not done."""
    return tool.honours_key and context.operation_key is not None


def _failed(failure: CallFailed, tool: Tool, may_be_done: bool) -> ToolResult:
    # An answer is in the server's words, and words from outside are fenced.
    why = fence(failure.why, tool.server) if failure.is_answer else failure.why
    what = f"{tool.name} failed: {why}."
    if failure.is_offline:
        what = f"The server {tool.server} cannot be reached at the moment."
    if tool.read_only or not may_be_done:
        return refusal(f"{what} Nothing was changed.")
    return refusal(
        f"{what} It is not known whether the call took effect: do not call it again, look up "
        "first what happened.",
        "unknown",
    )


def _check_server_names(servers: Sequence[Server]) -> None:
    seen: dict[str, Server] = {}
    for server in servers:
        other = seen.setdefault(server.name, server)
        if other is not server or servers.count(server) > 1:
            raise ConfigError(
                f"Two servers are called {server.name!r} ({_place(other)} and {_place(server)}): "
                "give one of them another name="
            )


def _place(server: Server) -> str:
    # Neither arguments nor the query of a URL: they may hold a key.
    return server.url.split("?")[0] or (server.command or (server.transport,))[0]


def _check_function_names(functions: Sequence[Callable[..., Any]]) -> None:
    seen: set[str] = set()
    for function in functions:
        name = function_name(function)
        if name in seen:
            raise ConfigError(f"Two functions are called {name!r}: give one @tool(name=...)")
        seen.add(name)
