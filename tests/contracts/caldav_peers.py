"""A real CalDAV server behind a wire that can be cut, and the calendars on it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from aicore_tools.calendars import Agenda, AgendaSettings, agenda
from aicore_tools.connections import Connection


@dataclass
class Wire:
    """What lies between us and the server: it cuts the connection when it is told to.

    `cut` is the number of the PUT or DELETE, from 0, at which it cuts, before or after the server
    acted. `stays_dead`: nothing comes through after that. `holds`: it does not cut, it goes quiet.
    `answer` is given to everything, `to_effects` to each PUT and DELETE (or to the first
    `effects_left` of them), without asking the server. `meanwhile` happens once, before the next
    PUT or DELETE comes through. `rewrite` makes of an answer that of another server; `sent` are
    the requests.
    """

    port: int
    server_port: int
    cut: int | None = None
    is_after: bool = False
    stays_dead: bool = False
    holds: bool = False
    answer: bytes = b""
    to_effects: bytes = b""
    effects_left: int = -1
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    rewrite: Callable[[bytes], bytes] = bytes
    seen: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    quiet: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def heal(self) -> None:
        self.cut, self.stays_dead, self.holds = None, False, False

    async def pass_on(self, client: SocketStream) -> None:
        async with client:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._pass_on(client)

    async def _pass_on(self, client: SocketStream) -> None:
        request = await _request(client)
        method = request.split(b" ", 1)[0].decode()
        is_cut = False
        if self.answer:
            await client.send(self.answer)
            return
        if method in ("PUT", "DELETE"):
            if self.to_effects and self.effects_left != 0:
                self.effects_left -= 1
                await client.send(self.to_effects)
                return
            if self.meanwhile is not None:
                meanwhile, self.meanwhile = self.meanwhile, None
                await meanwhile()
            is_cut = self.cut == len(self.seen)
            self.seen.append(method)
        is_dead = self.stays_dead and self.cut is not None and len(self.seen) > self.cut
        if is_cut and self.is_after:
            await self._ask(request)
        if is_cut and self.holds:
            self.quiet.set()
            await anyio.sleep_forever()
        if is_cut or is_dead:
            return
        self.sent.append(request)
        await client.send(self.rewrite(await self._ask(request)))

    async def _ask(self, request: bytes) -> bytes:
        answer = b""
        async with await anyio.connect_tcp("127.0.0.1", self.server_port) as server:
            await server.send(re.sub(rb"(?i)accept-encoding", b"X-No-Encoding", request))
            with suppress(anyio.EndOfStream):
                while True:
                    answer += await server.receive()
        return answer


async def _request(client: SocketStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await client.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += await client.receive()
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def _wire_to(radicale: Any) -> AsyncIterator[Wire]:
    server_port = int(radicale.url.rstrip("/").rpartition(":")[2])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        wire = Wire(listener.extra(anyio.abc.SocketAttribute.local_port), server_port)
        group.start_soon(listener.serve, wire.pass_on)
        yield wire
        group.cancel_scope.cancel()


def _opened(url: str, user: str, folder: Path, **settings: Any) -> Agenda:
    fields = {"url": url, "user": user, "password": "secret"}
    return agenda(
        "caldav",
        AgendaSettings(
            data_dir=folder,
            business="main",
            tz="Europe/Berlin",
            addresses=("office@shop.example",),
            connect=lambda vendor: Connection(vendor=vendor, fields=fields),
            **{"calendars": ("main",), **settings},
        ),
    )


@pytest.fixture
def wired(radicale: Any) -> Callable[[], AbstractAsyncContextManager[Wire]]:
    """Put a wire between us and Radicale; open it inside the test."""
    return lambda: _wire_to(radicale)


@pytest.fixture
def open_caldav() -> Callable[..., Agenda]:
    """Make calendars of `url`, `user` and the folder of the journal."""
    return _opened
