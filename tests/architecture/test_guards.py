"""The guards of tests/conftest.py hold: each would be missed in silence if it did not."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def run_pytest(folder: Path, repository: Path, source: str, **environment: str) -> int:
    """Run one test file under our conftest and give pytest's exit code."""
    shutil.copy(repository / "tests" / "conftest.py", folder)
    (folder / "test_one.py").write_text(source, encoding="utf-8")
    plugins = ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "--rootdir", folder, folder],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
    ).returncode


def test_connecting_beyond_loopback_is_refused() -> None:
    """192.0.2.0/24 is for documentation: RFC 5737."""
    with socket.socket() as connection, pytest.raises(RuntimeError, match="loopback"):
        connection.connect(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as sender, pytest.raises(RuntimeError):
        sender.sendto(b"x", ("192.0.2.1", 53))


def test_resolving_a_name_of_the_internet_is_refused() -> None:
    with pytest.raises(RuntimeError, match="loopback"):
        socket.getaddrinfo("example.com", 80)


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as connection:
            assert connection.getpeername() == address


def test_no_key_of_the_machine_reaches_a_test(repository: Path, tmp_path: Path) -> None:
    source = "import os\ndef test_it(): assert not {'X_API_KEY', 'AICORE_DATA'} & set(os.environ)\n"

    assert run_pytest(tmp_path, repository, source, X_API_KEY="k", AICORE_DATA="d") == 0


def test_home_is_a_folder_of_its_own() -> None:
    assert Path.home().name.startswith("aicore-tests-home-")
    assert Path(os.environ["XDG_DATA_HOME"]).is_relative_to(Path.home())


def test_skip_fails_the_run_in_ci_only(repository: Path, tmp_path: Path) -> None:
    source = "import pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('no server')\n"

    assert run_pytest(tmp_path, repository, source) == 0
    assert run_pytest(tmp_path, repository, source, CI="true") == 1
    assert run_pytest(tmp_path, repository, "def test_one(): pass\n", CI="true") == 0
