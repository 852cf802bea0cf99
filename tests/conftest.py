"""Guards over every test: an emptied environment, no network but loopback, no skips in CI.

The guards act on this process; programs that a test starts inherit the emptied environment.
This file imports nothing of ours, so that a broken package fails its tests and not all of them.
"""

import importlib.util
import io
import ipaddress
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEPT = {"CI", "LANG", "LD_LIBRARY_PATH", "PATH", "TERM", "TMPDIR", "TZ", "VIRTUAL_ENV"}
KEPT_PREFIXES = ("AICORE_LIVE_", "COV_", "COVERAGE_", "HYPOTHESIS_", "LC_", "PYTEST_", "PYTHON")
HOME_FOLDERS = {
    "HOME": ".",
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}

_real = {"connect": socket.socket.connect, "connect_ex": socket.socket.connect_ex}
_real_sendto = socket.socket.sendto
_real_getaddrinfo = socket.getaddrinfo
_skipped: list[str] = []
_home = ""


class NetworkBlocked(RuntimeError):
    """A test reached for the network. Not an OSError: our code must not take it for an outage."""


def _refuse_unless_loopback(address: Any) -> None:
    if not isinstance(address, tuple):  # a unix socket's path
        return
    host = str(address[0]).partition("%")[0]
    if host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise NetworkBlocked(f"a test connects to {address!r}; only loopback is allowed")


def _connect(self: socket.socket, address: Any) -> None:
    _refuse_unless_loopback(address)
    _real["connect"](self, address)


def _connect_ex(self: socket.socket, address: Any) -> Any:
    _refuse_unless_loopback(address)
    return _real["connect_ex"](self, address)


def _sendto(self: socket.socket, data: Any, *rest: Any) -> int:
    _refuse_unless_loopback(rest[-1])
    return _real_sendto(self, data, *rest)


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Answer for addresses and this machine; a name under .invalid is unknown, as anywhere."""
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in {"", "localhost"} or name.endswith(".localhost"):
        return _real_getaddrinfo(host, *args, **kwargs)
    if name.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        raise NetworkBlocked(f"a test resolves {name!r}; only loopback is allowed") from None
    return _real_getaddrinfo(host, *args, **kwargs)


def _empty_environment(home: str) -> None:
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    for name, folder in HOME_FOLDERS.items():
        path = Path(home, folder)
        path.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(path)
    # The keyring of whoever runs the tests may hold connections to real accounts.
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def pytest_configure(config: pytest.Config) -> None:
    global _home
    _home = tempfile.mkdtemp(prefix="aicore-tests-home-")
    _empty_environment(_home)
    if config.getoption("-m") == "live":
        return  # these ask the vendors
    # Nobody here is vouched for by an authority of the internet, and to read them all for each
    # client took a tenth of the suite's time.
    os.environ["SSL_CERT_DIR"] = tempfile.mkdtemp(dir=_home)
    socket.socket.connect = _connect  # type: ignore[method-assign,assignment] # the guard itself
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign] # the guard itself
    socket.socket.sendto = _sendto  # type: ignore[method-assign,assignment] # the guard itself
    socket.getaddrinfo = _getaddrinfo


def pytest_unconfigure() -> None:
    shutil.rmtree(_home, ignore_errors=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def _skips_fail() -> bool:
    return bool(_skipped) and os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skips_fail() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _skips_fail():
        terminalreporter.write_line(
            f"FAILED: CI is set and {len(_skipped)} skipped: {', '.join(_skipped)}", red=True
        )


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Take away what a command that ran in this process had the root logger write to."""
    root = logging.getLogger()
    level = root.level
    yield
    if left := [one for one in root.handlers if type(one) is logging.StreamHandler]:
        for handler in left:
            root.removeHandler(handler)
        root.setLevel(level)


@dataclass(frozen=True)
class Done:
    """How a command of ours ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def aicore_here() -> Callable[..., Done]:
    """Run `aicore` in this process and a folder: a program of its own takes a second to start."""

    def run(folder: Path, *words: str) -> Done:
        from aicore.cli import main

        out, err = io.StringIO(), io.StringIO()
        with (
            chdir(folder),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main(words)
        return Done(int(end.value.code or 0), out.getvalue(), err.getvalue())

    return run


@dataclass(frozen=True)
class Sandbox:
    """A stand-in for a vendor that runs on loopback, as a test sees it."""

    url: str

    def fail(self, on: str, kind: str, **more: Any) -> None:
        """Let the next requests that match `METHOD /path` fail: see `Sandboxed` in the package."""
        import httpx2

        fault = {"on": on, "kind": kind, **more}
        answer = httpx2.post(f"{self.url}/_sandbox/faults", json=fault, timeout=5)
        assert answer.status_code == 200, answer.text

    @property
    def state(self) -> dict[str, Any]:
        """What is in it."""
        import httpx2

        shown: dict[str, Any] = httpx2.get(f"{self.url}/_sandbox/state", timeout=5).json()
        return shown


@pytest.fixture
def sandbox() -> Iterator[Callable[[str], Sandbox]]:
    """Start fresh sandboxes by the vendor's name; they end with the test."""
    with ExitStack() as stack:

        def start(vendor: str) -> Sandbox:
            from aicore_servers.sandbox._running import running

            return Sandbox(stack.enter_context(running(vendor)))

        yield start


def _beside(name: str) -> Any:
    """Load a module of this folder, which is on no path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A PostgreSQL server: see `PostgresServer` in postgres_server.py. One a session, or worker."""
    with _beside("postgres_server").running_postgres() as server:
        request.config.pluginmanager.register(server)
        yield server
        request.config.pluginmanager.unregister(server)


@pytest.fixture(scope="session")
def valkey(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A Valkey server: see `ValkeyServer` in valkey_server.py. One a session, or worker."""
    with _beside("valkey_server").running_valkey() as server:
        request.config.pluginmanager.register(server)
        yield server
        request.config.pluginmanager.unregister(server)
