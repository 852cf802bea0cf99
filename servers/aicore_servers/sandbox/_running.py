"""`aicore sandbox VENDOR`: runs a stand-in for a vendor on a loopback port."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from aicore_servers.sandbox._faults import CUT
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing

__all__ = ["SANDBOXES", "main", "running", "running_app"]


@dataclass(frozen=True, slots=True)
class _Stand:
    """A sandbox: the module whose `app()` makes it, and a connection that it lets in."""

    module: str
    fields: Mapping[str, str]


SANDBOXES: Mapping[str, _Stand] = {
    "stripe": _Stand("aicore_servers.sandbox.stripe", {"API_KEY": "rk_test_any"}),
    "hubspot": _Stand("aicore_servers.sandbox.hubspot", {"ACCESS_TOKEN": "any"}),
    "google": _Stand(
        "aicore_servers.sandbox.google",
        {
            "CLIENT_ID": "any",
            "CLIENT_SECRET": "any",
            "REFRESH_TOKEN": "office@lakeside.example",
        },
    ),
}
_END_S = 10.0


class _Cuttable(H11Protocol):
    """Lets the app close the connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self.app_state = {**self.app_state, CUT: transport.abort}


class _Prompt(uvicorn.Server):
    """Ends when it is told to: uvicorn's own takes two tenths of a second, times many tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended: Future[None] = Future()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await asyncio.wrap_future(self.ended)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def end(self) -> None:
        """End it from another thread; connections that are open are closed."""
        self.ended.set_result(None)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Cuttable,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )


def _app(vendor: str) -> ASGIApp:
    with needing(vendor):
        made: ASGIApp = importlib.import_module(SANDBOXES[vendor].module).app()
    return made


def _listener(port: int) -> socket.socket:
    # Named TCP, so that asyncio sets TCP_NODELAY: without it every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


@contextmanager
def running(vendor: str) -> Iterator[str]:
    """Run a fresh sandbox in a thread of this process and give its address; for tests."""
    with running_app(_app(vendor)) as url:
        yield url


@contextmanager
def running_app(app: ASGIApp) -> Iterator[str]:
    """Run any app in the same way."""
    server = _Prompt(_config(app))
    with _listener(0) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.end()
            thread.join(_END_S)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sandbox until it is interrupted."""
    parser = argparse.ArgumentParser(
        prog="aicore sandbox",
        description="A stand-in for a vendor, made by us, in memory. It is not the vendor.",
    )
    parser.add_argument("vendor", choices=tuple(SANDBOXES))
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 picks a free one")
    options = parser.parse_args(argv)
    try:
        server = uvicorn.Server(_config(_app(options.vendor)))
        listener = _listener(options.port)
    except BackendConfigError as error:
        sys.stderr.write(f"aicore sandbox: {error} {error.hint}\n")
        return 2
    except (OSError, OverflowError) as error:
        why = str(getattr(error, "strerror", None) or error).rstrip(".")
        sys.stderr.write(
            f"aicore sandbox: cannot listen on port {options.port}: {why}. Choose another with"
            " --port, or 0 for a free one.\n"
        )
        return 2
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sys.stderr.write(f"{options.vendor} sandbox (not the vendor) at {url}\nTo use it:\n")
        for name, value in {"BASE_URL": url, **SANDBOXES[options.vendor].fields}.items():
            sys.stderr.write(f"  export AICORE_{options.vendor.upper()}_{name}={value}\n")
        sys.stderr.flush()
        server.run(sockets=[listener])
    return 0
