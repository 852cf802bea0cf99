"""A server as a child process: newline-delimited JSON-RPC over its standard input and output.

Why not `mcp.client.stdio`: it lets the child write over the user's terminal, cannot tell that
the child died until somebody calls, and takes up to six seconds to stop a hung one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from aicore.dispatch.server import Server

__all__ = ["Child"]

_log = logging.getLogger(__name__)

# The spec's order is: close stdin, wait, terminate, kill. Together they stay under 3 seconds.
_FLUSH_S = 0.2
_GRACE_S = 1.4
_TERMINATE_S = 0.7
_REAP_S = 0.5
_POLL_S = 0.01

_QUEUE = 256
_LONGEST_MESSAGE_BYTES = 16 * 1024 * 1024
_LONGEST_LINE = 500

_GONE = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError)


class Child:
    """Starts and ends the program of one `Server.stdio`.

    `on_end` is called once, in the event loop, when the program stops talking to us.
    """

    def __init__(self, server: Server, on_end: Callable[[], None]) -> None:
        self._server = server
        self._on_end = on_end
        self._ended = False
        self._stopping = False
        self._has_babbled = False
        self._last_line = ""
        self._exit_code: int | None = None

    @property
    def end(self) -> str:
        """How the program ended by itself, for a person; empty when it did not."""
        if not self._ended:
            return ""
        code = "" if self._exit_code is None else f" with exit code {self._exit_code}"
        said = f", saying: {self._last_line}" if self._last_line else ""
        return f"the program {self._server.command[0]!r} ended{code}{said}"

    @asynccontextmanager
    async def streams(
        self,
    ) -> AsyncIterator[tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]]:
        """Run the program and give the two streams that `mcp.Client` wants.

        Raises: OSError when it cannot be started.
        """
        # Cancelled half way, the started process and its pipes would have no owner. It is quick.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                self._server.command,
                env=get_default_environment() | dict(self._server.env),
                cwd=self._server.cwd,
                start_new_session=True,
            )
        # No await from here to the task group, for the same reason.
        incoming, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        # Some room, so that a program that does not read cannot hold its callers past a deadline.
        write_stream, outgoing = anyio.create_memory_object_stream[SessionMessage](_QUEUE)
        written, errors_read = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._read, process, incoming)
            group.start_soon(self._write, process, outgoing, written)
            group.start_soon(self._log_errors, process, errors_read)
            grace_s = _GRACE_S
            try:
                yield read_stream, write_stream
            except BaseException:
                grace_s = _FLUSH_S  # given up on: it does not answer, or was never needed
                raise
            finally:
                self._stopping = True
                with anyio.CancelScope(shield=True):
                    read_stream.close()
                    write_stream.close()
                    with anyio.move_on_after(_FLUSH_S):
                        await written.wait()
                    if self._ended:
                        # What it said last tells why.
                        with anyio.move_on_after(_FLUSH_S):
                            await errors_read.wait()
                    await _stop(process, grace_s)
                self._exit_code = process.returncode
                group.cancel_scope.cancel()

    async def _read(self, process: Process, incoming: MemoryObjectSendStream[Any]) -> None:
        assert process.stdout is not None  # noqa: S101  # opened with pipes
        async with incoming:
            with suppress(*_GONE):
                async for line in _lines(process.stdout):
                    # While stopping, read on: a full pipe would keep the program from ending.
                    if not self._stopping:
                        await self._deliver(line, incoming)
            self._finished()

    async def _deliver(self, line: bytearray, incoming: MemoryObjectSendStream[Any]) -> None:
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            level = logging.DEBUG if self._has_babbled else logging.WARNING
            _log.log(level, "not_mcp server=%s bytes=%d", self._server.name, len(line))
            self._has_babbled = True
            return
        with suppress(*_GONE):
            await incoming.send(SessionMessage(message))

    async def _write(
        self,
        process: Process,
        outgoing: MemoryObjectReceiveStream[SessionMessage],
        written: anyio.Event,
    ) -> None:
        assert process.stdin is not None  # noqa: S101  # opened with pipes
        try:
            async with outgoing:
                async for item in outgoing:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await process.stdin.send(text.encode() + b"\n")
        except _GONE:
            self._finished()
        finally:
            written.set()

    async def _log_errors(self, process: Process, errors_read: anyio.Event) -> None:
        assert process.stderr is not None  # noqa: S101  # opened with pipes
        with suppress(*_GONE):
            async for line in _lines(process.stderr):
                if text := line[:_LONGEST_LINE].decode(errors="replace").strip():
                    self._last_line = text
                    _log.debug("server_says server=%s %s", self._server.name, text)
        errors_read.set()

    def _finished(self) -> None:
        if not self._ended and not self._stopping:
            self._ended = True
            self._on_end()


async def _lines(stream: ByteReceiveStream) -> AsyncIterator[bytearray]:
    pending = bytearray()
    async for chunk in stream:
        pending += chunk
        if b"\n" in chunk:
            *lines, pending = pending.split(b"\n")
            for line in lines:
                yield line
        elif len(pending) > _LONGEST_MESSAGE_BYTES:
            return


async def _stop(process: Process, grace_s: float) -> None:
    assert process.stdin is not None  # noqa: S101  # opened with pipes
    with suppress(*_GONE):
        await process.stdin.aclose()
    if not await _exited(process, grace_s):
        if os.name == "posix":
            from mcp.os.posix.utilities import terminate_posix_process_tree

            await terminate_posix_process_tree(process, _TERMINATE_S)
        else:
            process.kill()
        if not await _exited(process, _REAP_S):
            _log.warning("server_left_running pid=%d", process.pid)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(*_GONE):
                await stream.aclose()
    # Nothing public closes it, and a descendant that holds a pipe would keep it open.
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if transport is not None:
        with suppress(PermissionError):
            transport.close()


async def _exited(process: Process, within_s: float) -> bool:
    # Not process.wait(): it also waits for pipes that a grandchild may hold open.
    with anyio.move_on_after(within_s):
        while process.returncode is None:  # noqa: ASYNC110  # nothing tells of it
            await anyio.sleep(_POLL_S)
    return process.returncode is not None
