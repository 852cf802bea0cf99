"""A request that breaks on the way fails alone, and is told from one that never left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from aicore.dispatch.dispatcher import Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server

Call = Callable[..., Awaitable[Any]]


GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


def effects(state: Path) -> int:
    """How often slow_effect has run."""
    path = state / "slow_effect"
    return int(path.read_text() or 0) if path.exists() else 0


class Road:
    """The way to a server: carries bytes, until told to misbehave for requests with `word`."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.word = b""
        self.answer: bytes | None = None
        self.carries_first = False
        self.hits = 0
        self.port = 0

    async def carry(self, near: SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", self.target)
        async with near, far, anyio.create_task_group() as group:
            group.start_soon(self._back, far, near)
            with suppress(*GONE):
                await self._forth(near, far)
            group.cancel_scope.cancel()

    async def _forth(self, near: SocketStream, far: SocketStream) -> None:
        async for chunk in near:
            if self.answer is None or self.word not in chunk:
                await far.send(chunk)
                continue
            self.hits += 1
            if self.carries_first:
                await far.send(chunk)
            answer, self.answer = self.answer, None
            await near.send(answer)
            return

    async def _back(self, far: SocketStream, near: SocketStream) -> None:
        with suppress(*GONE):
            async for chunk in far:
                await near.send(chunk)
            await near.send_eof()


@asynccontextmanager
async def road_to(port: int) -> AsyncIterator[Road]:
    road = Road(port)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        road.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, road.carry)
        yield road
        group.cancel_scope.cancel()


def http(status: str, body: str, kind: str = "text/plain", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    return (head + body).encode()


BROKEN = {
    "closed without a word": b"",
    "gateway timeout": http("504 Gateway Timeout", "<h1>sorry</h1>", "text/html"),
    "half a JSON answer": http("200 OK", '{"jsonrpc": "2.0", "id"', "application/json", 500),
    "garbage instead of JSON": http("200 OK", "hello", "application/json"),
    "half an event stream": http("200 OK", "event: message\r\ndata: {", "text/event-stream", 500),
    "no HTTP at all": b"SSH-2.0-OpenSSH_9\r\n",
}
REFUSED = {
    "unauthorized": http("401 Unauthorized", "who are you"),
    "too many requests": http("429 Too Many Requests", "slow down"),
    "too large": http("413 Content Too Large", ""),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("era", [(), ("2025",)], ids=["2026", "2025"])
async def test_a_broken_answer_fails_one_call_and_only_what_may_be_repeated_is(
    shared_http_peer: Call, limits: DispatchLimits, call: Call, era: tuple[str, ...], answer: bytes
) -> None:
    peer, _ = shared_http_peer(*era)
    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            road.word, road.answer = b"slow_effect", answer
            broken = await call(dispatcher, "slow_effect", "key-1", seconds=0)
            assert broken.is_error
            assert broken.outcome == "unknown"
            assert road.hits == 1
            road.word, road.answer = b'"echo"', answer
            assert not (await call(dispatcher, "echo", text="hi")).is_error
            assert road.hits == 2
            assert dispatcher.health()[0].generation == 1


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refused_effect_was_not_done_and_is_sent_once_more(
    shared_http_peer: Call, limits: DispatchLimits, call: Call, answer: bytes
) -> None:
    peer, state = shared_http_peer()
    before = effects(state)
    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            road.word, road.answer = b"slow_effect", answer
            assert (await call(dispatcher, "slow_effect", seconds=0)).outcome == "done"
    assert road.hits == 1
    assert effects(state) == before + 1


async def test_an_effect_that_arrived_before_the_answer_broke_is_done_once(
    shared_http_peer: Call, limits: DispatchLimits, call: Call
) -> None:
    peer, state = shared_http_peer("2025")
    before = effects(state)
    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            road.word, road.answer, road.carries_first = b"slow_effect", b"", True
            broken = await call(dispatcher, "slow_effect", "key-1", seconds=0)
            assert broken.outcome == "unknown"
            with anyio.fail_after(5):
                while effects(state) != before + 1:
                    await call(dispatcher, "echo", text="wait")


async def test_others_on_the_same_connection_are_not_disturbed(
    shared_http_peer: Call, limits: DispatchLimits, call: Call
) -> None:
    peer, _ = shared_http_peer("2025")
    results: list[Any] = []

    async def slow() -> None:
        results.append(await call(dispatcher, "slow_effect", "k", seconds=0.3))

    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(slow)
                await anyio.wait_all_tasks_blocked()
                road.word, road.answer = b'"refuse"', b""
                assert (await call(dispatcher, "refuse", reason="x")).outcome == "unknown"
            assert [result.outcome for result in results] == ["done"] * 10
            assert dispatcher.health()[0].generation == 1


async def test_a_forgotten_session_is_opened_anew(
    shared_http_peer: Call, http_peer: Call, limits: DispatchLimits, call: Call
) -> None:
    peer, _ = shared_http_peer("2025")
    other = http_peer("2025")
    other.start()
    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            road.target = other.port
            road.word, road.answer = b'"echo"', b""  # the open connection leads to the old one
            assert not (await call(dispatcher, "echo", text="hi")).is_error
            result = await call(dispatcher, "slow_effect", "key-1", seconds=0)
            assert result.outcome == "done"
            assert dispatcher.health()[0].generation == 2


async def test_an_answer_without_an_end_is_cut_off(
    shared_http_peer: Call, limits: DispatchLimits, call: Call
) -> None:
    peer, _ = shared_http_peer()
    async with road_to(peer.port) as road:
        server = Server.http(f"http://127.0.0.1:{road.port}/mcp", name="peer")
        async with Dispatcher([server], limits=limits) as dispatcher:
            road.word = b"slow_effect"
            road.answer = http("200 OK", '"' + "x" * 17 * 1024 * 1024 + '"', "application/json")
            assert (await call(dispatcher, "slow_effect", "k", seconds=0)).outcome == "unknown"
            assert not (await call(dispatcher, "echo", text="hi")).is_error


async def test_a_wrong_url_is_said_so(shared_http_peer: Call, limits: DispatchLimits) -> None:
    peer, _ = shared_http_peer()
    server = Server.http(f"http://127.0.0.1:{peer.port}/elsewhere")
    async with Dispatcher([server], limits=limits) as dispatcher:
        failure = dispatcher.health()[0].failure
    assert failure == "there is no MCP server at this URL (HTTP 404)"


async def test_refused_credentials_are_said_so(limits: DispatchLimits) -> None:
    async def refuse(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(REFUSED["unauthorized"])

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, refuse)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        server = Server.http(f"http://127.0.0.1:{port}/mcp", headers={"authorization": "Bearer x"})
        async with Dispatcher([server], limits=limits) as dispatcher:
            failure = dispatcher.health()[0].failure
        group.cancel_scope.cancel()
    assert failure == "the server refused our credentials (HTTP 401)"
