"""Receiving the answer of a consent page on a loopback address (RFC 8252)."""

from __future__ import annotations

import hmac
import socket
import time
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from aicore_servers.connecting.asking import say
from aicore_tools.errors import BackendConfigError

__all__ = ["CONSENT_S", "Redirect", "open_browser"]

CONSENT_S = 300.0
_READ_S = 10.0
_LOOK_S = 0.2
_DONE = "<!doctype html><title>aicore</title><p>Done. You can close this page."


def open_browser(url: str) -> None:
    """Show a page to the person, and its address where no browser opens."""
    say("Give your consent in the browser. If none opened, open this address yourself:")
    say(url)
    webbrowser.open(url)


class Redirect:
    """Waits on loopback for one redirect; entered while it waits.

    `port` 0 picks a free one. `host` is how the address is called.

    Raises: BackendConfigError on entering where the port is in use.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        try:
            self._server = _Server(("127.0.0.1", self._port), _Handler)
        except OSError as error:
            raise BackendConfigError(
                f"Port {self._port} of this machine is in use: {error.strerror}."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.server_close()

    @property
    def url(self) -> str:
        """The address to be redirected to."""
        return f"http://{self._host}:{self._opened.server_port}/"

    @property
    def _opened(self) -> _Server:
        if self._server is None:
            raise RuntimeError("A Redirect is entered before it is used.")
        return self._server

    def code(
        self,
        url: str,
        state: str,
        *,
        show: Callable[[str], None] = open_browser,
        wait_s: float = CONSENT_S,
    ) -> str:
        """Show the consent page at `url` and give the code that comes back with `state`.

        Raises:
            BackendConfigError: consent was refused, or nothing came in time.
        """
        server = self._opened
        server.state = state
        show(url)
        until = time.monotonic() + wait_s
        while server.answer is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise BackendConfigError("No consent was given in time; nothing was kept.")
            server.timeout = min(left_s, _LOOK_S)
            server.handle_request()
        code, refusal = server.answer
        if refusal:
            raise BackendConfigError(f"Consent was refused ({refusal[:80]}); nothing was kept.")
        return code


class _Server(ThreadingHTTPServer):
    """Each caller has a thread: one that is slow holds up neither the others nor the deadline."""

    allow_reuse_address = False
    daemon_threads = True
    block_on_close = False

    state = ""
    answer: tuple[str, str] | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a caller that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_S

    def setup(self) -> None:
        """Let no caller that says nothing hold up the one that is waited for."""
        if isinstance(self.request, socket.socket):
            self.request.settimeout(_READ_S)
        super().setup()

    def do_GET(self) -> None:  # the name is http.server's
        """Take the redirect that belongs to this consent; anything else is not it."""
        given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        is_ours = hmac.compare_digest(
            given.get("state", "").encode(), self.server.state.encode()
        ) and ("code" in given or "error" in given)
        try:
            self._reply(is_ours=is_ours)
        finally:
            if is_ours:  # last, as the program may end with it
                self.server.answer = given.get("code", ""), given.get("error", "")

    def _reply(self, *, is_ours: bool) -> None:
        body = _DONE.encode() if is_ours else b""
        self.send_response(HTTPStatus.OK if is_ours else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # http.server's
        """Log nothing: the line would have the code in it."""
