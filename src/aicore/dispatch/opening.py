"""Opens `mcp` clients and speaks through them: all that touches the mcp package's client side.

Loaded when the first server opens: mcp costs half a second.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import mcp_types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    RequestParamsMeta,
    ToolListChangedNotification,
)
from pydantic import ValidationError

from aicore.dispatch.catalog import fetch
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.link import CallFailed
from aicore.dispatch.safe_http import fault_of, http_client
from aicore.dispatch.server import Server
from aicore.dispatch.stdio import Child
from aicore.records import Tool

__all__ = ["Opening", "reason"]

_log = logging.getLogger(__name__)

_LISTEN_AGAIN_S = 1.0
_LISTEN_AGAIN_MAX_S = 60.0
_LARGEST_EVENT_BYTES = 16 * 1024 * 1024
_LONGEST_REASON = 300
_MOST_PAGES = 100
_CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)

_NOT_DONE = frozenset(
    {
        mcp_types.METHOD_NOT_FOUND,
        mcp_types.INVALID_PARAMS,
        mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY,
        mcp_types.UNSUPPORTED_PROTOCOL_VERSION,
    }
)

# Also what servers answer on a session they have lost; it has other causes, so it proves nothing.
_BROKEN = frozenset({mcp_types.CONNECTION_CLOSED, mcp_types.PARSE_ERROR, mcp_types.INVALID_REQUEST})


def _classify(error: BaseException) -> CallFailed:
    if isinstance(error, MCPError):
        return _classify_code(error)
    if isinstance(error, ValidationError):
        why = "its answer is not a result: it is broken, or it asks for input from a person"
        return CallFailed(why, maybe_done=True, is_answer=True)
    return CallFailed(f"the connection broke ({type(error).__name__})", maybe_done=True)


def _classify_code(error: MCPError) -> CallFailed:
    fault = fault_of(error.data)
    if fault is not None:
        sent, why = fault
        return CallFailed(why, maybe_done=sent)
    if error.code in _BROKEN:
        return CallFailed("the connection broke", maybe_done=True)
    if error.code == mcp_types.HEADER_MISMATCH:
        return CallFailed("the tool has changed", maybe_done=False)
    if error.code == mcp_types.REQUEST_TIMEOUT:
        return CallFailed("the server reports a timeout", maybe_done=True, is_timeout=True)
    return CallFailed(_cut(error.message), maybe_done=error.code not in _NOT_DONE, is_answer=True)


def reason(error: BaseException) -> str:
    """Say in plain words why a connection failed."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"{error.filename!r} was not found: install it, or give its full path"
    if isinstance(error, PermissionError):
        return f"{error.filename!r} may not be executed"
    if isinstance(error, MCPError):
        fault = fault_of(error.data)
        return fault[1] if fault else f"the server answered: {_cut(error.message)}"
    if isinstance(error, TimeoutError):
        return "the server no longer answers"
    if hasattr(error, "hint"):  # a server in this process that says itself why it cannot start
        return _cut(f"{error} {error.hint or ''}")
    return f"{type(error).__name__}: {_cut(str(error))}"


class Opening:
    """One attempt to reach a server, and the connection it leads to.

    `on_lost` is called when the connection turns out to be gone, `on_tools` when the server says
    that its tools have changed.
    """

    def __init__(
        self,
        server: Server,
        limits: DispatchLimits,
        *,
        on_lost: Callable[[], None],
        on_tools: Callable[[], None],
    ) -> None:
        self._server = server
        self._limits = limits
        self._on_lost = on_lost
        self._on_tools = on_tools
        self._child = Child(server, on_lost)
        self._client: Client | None = None

    @property
    def end(self) -> str:
        """How a program ended by itself, or empty."""
        return self._child.end

    @property
    def protocol(self) -> str:
        """The MCP revision spoken on this connection."""
        return self._connected.protocol_version

    @property
    def _connected(self) -> Client:
        if self._client is None:
            raise CallFailed("the connection is closed", maybe_done=False)
        return self._client

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect: handshake in the newest protocol that both sides speak."""
        async with (
            self._target() as target,
            Client(
                target,
                message_handler=self._hear,
                client_info=Implementation(name="aicore", version=_version()),
                cache=None,
            ) as self._client,
        ):
            yield

    async def catalog(self, known: Sequence[Tool]) -> tuple[Tool, ...]:
        """Fetch the server's tools."""
        return await fetch(self._connected, self._server.name, known)

    async def send(
        self, name: str, arguments: dict[str, Any], meta: dict[str, Any]
    ) -> CallToolResult:
        """Send a tools/call and give its result.

        Not `Client.call_tool`: that raises when an effect was done but its result breaks the
        server's own output schema, and so loses the result.

        Raises: CallFailed.
        """
        params = CallToolRequestParams(
            name=name, arguments=arguments, _meta=cast("RequestParamsMeta", meta)
        )
        request = CallToolRequest(params=params)
        try:
            return await self._connected.session.send_request(request, CallToolResult)
        except (Exception, SystemExit) as error:  # boundary: whatever a server or mcp does
            raise _classify(error) from error

    async def read(self, uri: str) -> str | None:
        """Give the text of a resource, None where the server has none of that address.

        Raises: CallFailed.
        """
        client = self._connected
        if client.server_capabilities.resources is None:
            return None
        try:
            if not await self._has(uri):
                return None
            result = await client.read_resource(uri)
        except (MCPError, ValidationError, *_CLOSED) as error:
            raise _classify(error) from error
        return "".join(getattr(content, "text", "") for content in result.contents)

    async def _has(self, uri: str) -> bool:
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._connected.list_resources(cursor=cursor)
            if any(str(resource.uri) == uri for resource in page.resources):
                return True
            if page.next_cursor is None or page.next_cursor == cursor:
                return False
            cursor = page.next_cursor
        return False

    async def listen(self) -> None:
        """Hear of changed tools in the protocol of 2026; older ones tell the message handler.

        Nothing is replayed, so each new subscription asks for the catalog again.
        """
        client = self._connected
        tools = client.server_capabilities.tools
        if not (tools and tools.list_changed):
            return
        pause_s = _LISTEN_AGAIN_S
        while True:
            try:
                async with client.listen(tools_list_changed=True) as events:
                    self._on_tools()
                    async for _ in events:
                        self._on_tools()
                        pause_s = _LISTEN_AGAIN_S
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost) as error:
                if isinstance(error, MCPError) and error.code in _NOT_DONE:
                    _log.info("no_listen server=%s: %s", self._server.name, error.message)
                    return
            self._on_tools()  # the stream ended: see whether the server still lives
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LISTEN_AGAIN_MAX_S)

    async def _hear(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._on_tools()

    @asynccontextmanager
    async def _target(self) -> AsyncIterator[Any]:
        server = self._server
        if server.transport == "stdio":
            yield self._child.streams()
        elif server.transport == "local":
            yield server.peer
        else:
            limits = self._limits
            async with http_client(
                dict(server.headers), limits.connect_s, limits.call_s, self._on_lost
            ) as http:
                yield streamable_http_client(
                    server.url, http_client=http, max_sse_event_size=_LARGEST_EVENT_BYTES
                )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("aicore-mcp")
    except PackageNotFoundError:
        return "0"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "..."
