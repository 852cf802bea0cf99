"""A proxy in front of a server, which cuts or holds a connection at a chosen moment."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Literal, Self

import anyio

Fault = Literal["cut before", "cut after", "hold"]


class Proxy:
    """Passes bytes on to a port of this machine, until a fault is set for the next request.

    "cut before": the connection is cut before the server sees the request. "cut after": it is
    cut when the server has answered, and the answer is lost. "hold": the answer is kept back
    until `let_go`, or until `drop` cuts the connection instead.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._fault: Fault | None = None
        self._after = 0
        self._held = asyncio.Event()
        self._freed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_dropped = False
        self.url = ""

    def fail(self, fault: Fault, after: int = 0) -> None:
        """Let the next request fail, or that after some."""
        self._fault = fault
        self._after = after

    async def held(self) -> None:
        """Wait until an answer is held."""
        await self._held.wait()

    def let_go(self) -> None:
        self._freed.set()

    def drop(self) -> None:
        self._is_dropped = True
        self._freed.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._freed.set()
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, up_writer}
        async with anyio.create_task_group() as pipes:
            pipes.start_soon(self._pass_requests, reader, up_writer, writer)
            pipes.start_soon(self._pass_answers, up_reader, writer, up_writer)

    async def _pass_requests(
        self, reader: asyncio.StreamReader, up: asyncio.StreamWriter, down: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            if self._is_time_for("cut before"):
                break
            up.write(data)
        up.close()
        down.close()

    async def _pass_answers(
        self, reader: asyncio.StreamReader, down: asyncio.StreamWriter, up: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            if self._is_time_for("cut after"):
                break
            if self._is_time_for("hold"):
                self._held.set()
                await self._freed.wait()
                if self._is_dropped:
                    break
            down.write(data)
        up.close()
        down.close()

    def _is_time_for(self, fault: Fault) -> bool:
        if self._fault != fault:
            return False
        self._after -= 1
        if self._after >= 0:
            return False
        self._fault = None
        return True


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""
