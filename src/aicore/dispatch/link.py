"""The connection to one server: owned by one task, used by many."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import anyio

from aicore.dispatch.breaker import Breaker
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.records import Tool

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from aicore.dispatch.opening import Opening

__all__ = ["CallFailed", "ServerHealth", "ServerLink"]

_log = logging.getLogger(__name__)

_CLOSE_S = 2.0
_REFRESH_PAUSE_S = 0.1
_STEADY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHealth:
    """How a server is doing.

    `state` open: it failed so often that calls are held back for a while. `failure` is the last
    reason, for a person, or None while all is well. `protocol` is the MCP revision spoken, None
    before the first connection. `generation` counts the connections made so far.
    """

    name: str
    state: Literal["connecting", "connected", "failed", "open"]
    failure: str | None
    tools: int
    protocol: str | None
    generation: int


class CallFailed(Exception):
    """A call got no result.

    `maybe_done`: it may have been carried out. `is_answer`: the server itself said so, in
    `why`; else the connection failed. `is_timeout`: no answer within the deadline.
    `is_offline`: there was no connection to send it on.
    """

    def __init__(
        self,
        why: str,
        *,
        maybe_done: bool,
        is_answer: bool = False,
        is_timeout: bool = False,
        is_offline: bool = False,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.maybe_done = maybe_done
        self.is_answer = is_answer
        self.is_timeout = is_timeout
        self.is_offline = is_offline


class ServerLink:
    """Keeps one server connected and its catalog current, until closed.

    `run` is the owner task: the only one that enters and leaves the client, so no cancel scope
    crosses tasks. All other methods may be used from any task of the loop. `on_change` is called
    when the catalog or the state has changed.
    """

    def __init__(
        self, server: Server, limits: DispatchLimits, on_change: Callable[[], None]
    ) -> None:
        self.server = server
        self.tools: tuple[Tool, ...] = ()
        self.breaker = Breaker(limits.breaker_failures, limits.breaker_open_s)
        self.settled = anyio.Event()
        """Set once the first attempt to connect has succeeded or failed."""
        self._limits = limits
        self._on_change = on_change
        self._live: Opening | None = None
        self._ready = anyio.Event()
        self._wake = anyio.Event()
        self._nudge = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self._tending: anyio.CancelScope | None = None
        self._refreshing: anyio.CancelScope | None = None
        self._is_lost = False
        self._closing = False
        self._waiting = 0
        self._failures = 0
        self._failure: str | None = None
        self._protocol: str | None = None
        self._generation = 0

    @property
    def health(self) -> ServerHealth:
        """How the server is doing right now."""
        state: Literal["connecting", "connected", "failed", "open"] = "connecting"
        if self.breaker.is_open:
            state = "open"
        elif self._live is not None:
            state = "connected"
        elif self._failure is not None:
            state = "failed"
        return ServerHealth(
            name=self.server.name,
            state=state,
            failure=self._failure,
            tools=len(self.tools),
            protocol=self._protocol,
            generation=self._generation,
        )

    async def run(self) -> None:
        """Connect, stay connected, connect again; ends after `close`."""
        while not self._closing:
            before, started_at = self._generation, anyio.current_time()
            await self._connect_once()
            if self._generation > before and anyio.current_time() - started_at > _STEADY_S:
                self._failures = 0
            if not self._closing:
                await self._back_off()
                self._failures += 1

    def close(self) -> None:
        """Let `run` end; open calls fail."""
        self._closing = True
        self._nudge.set()
        if self._live is None and self._scope is not None:
            self._scope.cancel()
        self._lose()
        self._ready.set()  # whoever waits sees that there is nothing to wait for

    async def call(
        self, name: str, arguments: dict[str, Any], meta: dict[str, Any]
    ) -> CallToolResult:
        """Call a tool by the server's own name for it.

        Raises: CallFailed.
        """
        live = self._live
        if live is None or not self._ready.is_set():
            live = await self._wait_ready()
        with anyio.move_on_after(self._limits.call_s) as scope:
            try:
                result = await live.send(name, arguments, meta)
            except CallFailed as failure:
                if not scope.cancel_called:
                    self._note(live, failure)
                    raise
            else:
                self._failures = 0
                self.breaker.succeeded()
                return result
        why = f"no answer within {self._limits.call_s:g} s"
        timeout = CallFailed(why, maybe_done=True, is_timeout=True)
        self._note(live, timeout)
        raise timeout

    async def read(self, uri: str) -> str | None:
        """Give the text of a resource, None where the server has none of that address.

        Raises: CallFailed.
        """
        live = self._live
        if live is None or not self._ready.is_set():
            live = await self._wait_ready()
        with anyio.move_on_after(self._limits.call_s):
            return await live.read(uri)
        why = f"no answer within {self._limits.call_s:g} s"
        raise CallFailed(why, maybe_done=False, is_timeout=True)

    async def _wait_ready(self) -> Opening:
        self._waiting += 1
        self._nudge.set()
        try:
            with anyio.move_on_after(self._limits.wait_s):
                while not (self._ready.is_set() or self._closing):
                    await self._ready.wait()
        finally:
            self._waiting -= 1
        if self._live is None or not self._ready.is_set():
            self.breaker.failed()
            why = self._failure or "it is not connected"
            raise CallFailed(why, maybe_done=False, is_offline=True)
        return self._live

    def _note(self, live: Opening, failure: CallFailed) -> None:
        if failure.is_answer:
            self.breaker.succeeded()
        else:
            self._suspect(live)

    def _suspect(self, live: Opening) -> None:
        """Something failed on this connection: have the owner see whether it still lives.

        Calls wait meanwhile. Many calls that fail together count as one failure.
        """
        if self._live is live and self._ready.is_set():
            self.breaker.failed()
            self._ready = anyio.Event()
            self._wake.set()
            self._hurry()
            self._on_change()

    def _hurry(self) -> None:
        # A server under suspicion has calls waiting for it; any other may take its time.
        by = anyio.current_time() + self._limits.wait_s
        if self._refreshing is not None:
            self._refreshing.deadline = min(self._refreshing.deadline, by)

    def _lose(self) -> None:
        """The connection is gone."""
        if self._live is not None and self._ready.is_set() and not self._closing:
            self.breaker.failed()
        self._is_lost = True
        self._down()
        if self._tending is not None:
            self._tending.cancel()

    def _down(self) -> None:
        self._live = None
        if self._ready.is_set():
            self._ready = anyio.Event()
        self._on_change()

    async def _connect_once(self) -> None:
        from aicore.dispatch.opening import Opening, reason

        opening = Opening(self.server, self._limits, on_lost=self._lose, on_tools=self._stale)
        self._is_lost = False
        failure: str | None = None
        try:
            deadline = anyio.current_time() + self._limits.connect_s
            with anyio.CancelScope(deadline=deadline) as self._scope:
                async with opening.connected():
                    await self._serve(opening, self._scope)
            if self._scope.cancelled_caught and not self._is_lost:
                failure = f"no answer within {self._limits.connect_s:g} s"
        except Exception as error:  # noqa: BLE001  # boundary of a background task: kept, retried
            failure = reason(error)
        finally:
            self._scope = None
        failure = opening.end or failure
        if not self._closing:
            failure = failure or "the connection was lost"
            level = logging.DEBUG if failure == self._failure else logging.WARNING
            _log.log(level, "server_down server=%s: %s", self.server.name, failure)
            self._failure = failure
        self._down()
        self.settled.set()

    async def _serve(self, opening: Opening, scope: anyio.CancelScope) -> None:
        """Publish a fresh connection and tend it until it is lost."""
        tools = await opening.catalog(self.tools)
        scope.deadline = math.inf
        try:
            async with anyio.create_task_group() as group:
                self._tending = group.cancel_scope
                self._wake = anyio.Event()
                self._live, self._failure, self._protocol = opening, None, opening.protocol
                self._generation += 1
                self.breaker.reconnected()
                self._publish(tools)
                self.settled.set()
                _log.info("server_up server=%s tools=%d", self.server.name, len(tools))
                group.start_soon(opening.listen)
                await self._tend(opening)
                group.cancel_scope.cancel()
        finally:
            self._tending = None
            self._down()
            scope.deadline = anyio.current_time() + _CLOSE_S

    async def _tend(self, opening: Opening) -> None:
        """Fetch the catalog whenever it may have changed, or the server may have died."""
        while not self._is_lost:
            await self._wake.wait()
            self._wake = anyio.Event()
            tools = await self._catalog(opening)
            self._publish(tools)
            await anyio.sleep(_REFRESH_PAUSE_S)

    async def _catalog(self, opening: Opening) -> tuple[Tool, ...]:
        """Fetch the catalog; raises when the connection is past saving."""
        with anyio.fail_after(self._limits.connect_s) as self._refreshing:
            if not self._ready.is_set():
                self._hurry()
            try:
                return await opening.catalog(self.tools)
            except Exception:  # boundary: whatever a server or mcp does
                if self._is_lost:
                    raise
            # Giving up fails every call in flight: one request that broke is not enough.
            await anyio.sleep(_REFRESH_PAUSE_S)
            return await opening.catalog(self.tools)

    def _publish(self, tools: tuple[Tool, ...]) -> None:
        self.tools = tools
        self._ready.set()
        self._on_change()

    def _stale(self) -> None:
        """The server says that its tools have changed."""
        self._wake.set()

    async def _back_off(self) -> None:
        """Pause before the next attempt: none at first, then longer; a waiting call ends it."""
        if not self._waiting:
            self._nudge = anyio.Event()
        if self._failures == 0 and self._generation:
            return
        delay_s = min(
            self._limits.retry_s * 2.0 ** min(self._failures, 30), self._limits.retry_max_s
        )
        jitter = random.uniform(0.75, 1.25)  # noqa: S311  # spreads clients, guards nothing
        with anyio.move_on_after(delay_s * jitter) as self._scope:
            # Whoever waits may cut a long pause short, but not the first one.
            await anyio.sleep(min(self._limits.retry_s, delay_s))
            await self._nudge.wait()
