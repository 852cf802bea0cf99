"""A real calendar server to connect to."""

import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest


@pytest.fixture(scope="session")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Radicale on a free port; any user with any password may enter. Gives its address."""
    folder = tmp_path_factory.mktemp("radicale")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "radicale", "--config", "", "--auth-type", "none"]
    command += ["--server-hosts", f"127.0.0.1:{port}", "--storage-filesystem-folder", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    listener = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        said = ""
        while "server ready" not in said:
            said = process.stderr.readline()
            assert said, "Radicale ended at its start"
        listener.start()
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)
        if listener.ident is not None:
            listener.join(10)
        process.stderr.close()


@pytest.fixture
def calendar_user(radicale: str) -> Callable[[], str]:
    """Make up users of Radicale who have a calendar, `main`."""

    def make() -> str:
        user = f"user-{secrets.token_hex(6)}"
        url = f"{radicale}{user}/main/"
        httpx2.request("MKCALENDAR", url, auth=(user, "x"), timeout=10).raise_for_status()
        return user

    return make
