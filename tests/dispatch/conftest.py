"""Real peers for the dispatcher's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.records import ConversationId, OperationKey, Principal, ToolCall, ToolResult

PEER = str(Path(__file__).with_name("peer_server.py"))

Call = Callable[..., Awaitable[ToolResult]]


@pytest.fixture
def limits() -> DispatchLimits:
    """Deadlines that fit a test."""
    return DispatchLimits(connect_s=30, wait_s=4, call_s=4, retry_s=0.05, retry_max_s=0.3)


@pytest.fixture
def call() -> Call:
    """Call a tool by name, as one turn of a conversation does."""
    number = 0

    async def run(
        dispatcher: Dispatcher, name: str, key: str | None = None, /, **arguments: Any
    ) -> ToolResult:
        nonlocal number
        number += 1
        context = CallContext(
            operation_key=OperationKey(key) if key else None,
            principal=Principal("customer", "c7"),
            conversation=ConversationId("web:42"),
        )
        return await dispatcher.call(ToolCall(f"call_{number}", name, arguments), context)

    return run


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait until something is true of a dispatcher, for at most thirty seconds."""

    async def wait(dispatcher: Dispatcher, is_so: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while not is_so():
                await dispatcher.wait_changed()

    return wait


@pytest.fixture
def stdio_peer(tmp_path: Path) -> Callable[..., Server]:
    """Make a server that runs the peer as a child process."""

    def make(*words: str, name: str = "peer") -> Server:
        env = {"STATE_DIR": str(tmp_path)}
        return Server.stdio(sys.executable, PEER, "stdio", *words, env=env, name=name)

    return make


class HttpPeer:
    """The peer behind HTTP, in a process that a test may stop and start again."""

    def __init__(self, state: Path, *words: str, port: int = 0) -> None:
        self._env = {**os.environ, "STATE_DIR": str(state)}
        self._words = words
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, PEER, "http", str(self.port), *self._words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._env)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def server(self) -> Server:
        return Server.http(f"http://127.0.0.1:{self.port}/mcp", name="peer")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@pytest.fixture
def http_peer(tmp_path: Path) -> Iterator[Callable[..., HttpPeer]]:
    """Make peers behind HTTP; they are ended with the test."""
    peers: list[HttpPeer] = []

    def make(*words: str, port: int = 0) -> HttpPeer:
        peer = HttpPeer(tmp_path, *words, port=port)
        peers.append(peer)
        return peer

    yield make
    for peer in peers:
        peer.kill()


@pytest.fixture(scope="session")
def shared_http_peer(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[HttpPeer, Path]]]:
    """One peer behind HTTP per era, for the tests that leave it as it was."""
    peers: dict[tuple[str, ...], tuple[HttpPeer, Path]] = {}

    def get(*words: str) -> tuple[HttpPeer, Path]:
        if words not in peers:
            state = tmp_path_factory.mktemp("peer")
            peers[words] = HttpPeer(state, *words), state
            peers[words][0].start()
        return peers[words]

    yield get
    for peer, _ in peers.values():
        peer.kill()


@pytest.fixture(params=["stdio 2026", "stdio 2025", "http 2026", "http 2025", "in process"])
def any_peer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    stdio_peer: Callable[..., Server],
    shared_http_peer: Callable[..., tuple[HttpPeer, Path]],
    local_peer: Callable[[], Server],
) -> tuple[Server, Path]:
    """The peer over each transport and in each era of the protocol, and its state."""
    words = request.param.split()
    era = [word for word in words if word == "2025"]
    if words[0] == "stdio":
        return stdio_peer(*era), tmp_path
    if words[0] == "in":
        return local_peer(), tmp_path
    peer, state = shared_http_peer(*era)
    return peer.server, state


@pytest.fixture(params=["stdio 2026", "http 2025", "in process"])
def some_peer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    stdio_peer: Callable[..., Server],
    shared_http_peer: Callable[..., tuple[HttpPeer, Path]],
    local_peer: Callable[[], Server],
) -> tuple[Server, Path]:
    """As `any_peer`, for what differs by transport but not by era."""
    if request.param == "stdio 2026":
        return stdio_peer(), tmp_path
    if request.param == "in process":
        return local_peer(), tmp_path
    peer, state = shared_http_peer("2025")
    return peer.server, state


@pytest.fixture
def any_server(any_peer: tuple[Server, Path]) -> Server:
    """As `any_peer`, without its state."""
    return any_peer[0]


@pytest.fixture
def local_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Server]:
    """Make a fresh peer in this process."""

    def make() -> Server:
        import importlib.util

        monkeypatch.setenv("STATE_DIR", str(tmp_path))
        spec = importlib.util.spec_from_file_location("peer_server_in_process", PEER)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # annotations are looked up there
        spec.loader.exec_module(module)
        return Server.local(module.SERVER)

    return make
