"""`aicore db backup` and `restore` of a server: cut in the middle, on a full disk, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.cli import main
from aicore.log.events import MessageReceived
from aicore.log.registry import open_log
from aicore.records import ConversationId, Principal

COMMAND = (sys.executable, "-m", "aicore", "db")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def db(*words: object) -> int:
    """Run the command; gives its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["db", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def write(url: str, count: int, length: int = 10, business: str = "main") -> None:
    async with open_log(url, business=business) as log:
        for number in range(count):
            message = MessageReceived(
                text="x" * length, principal=Principal("customer", "ann"), message_id=f"m{number}"
            )
            await log.receive(ConversationId(f"web:{number}"), message)


async def contents(url: str, business: str = "main") -> dict[str, Any]:
    async with open_log(url, business=business) as log:
        names = [one.conversation for one in await log.conversations(limit=10_000)]
        return {name: list(await log.read(name)) for name in names}


@contextmanager
def locked(postgres: Any, url: str, mode: str) -> Iterator[Callable[[], int]]:
    """Holds the events' table, and gives what ends all who wait for it; gives how many."""
    import psycopg

    name = url.partition("@/")[2].partition("?")[0]

    def cut() -> int:
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = %s AND wait_event_type = 'Lock'
        """
        count: int = postgres.execute(query, name)[0][0]
        return count

    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE aicore_log.event IN {mode} MODE")
        yield cut


CUT = [("backup", "ACCESS EXCLUSIVE"), ("restore", "SHARE")]


@pytest.mark.parametrize(("part", "mode"), CUT)
def test_what_is_cut_in_the_middle_is_gone_on_with(postgres: Any, part: str, mode: str) -> None:
    url = prepared(postgres, part)
    with locked(postgres, url, mode) as cut:
        process = subprocess.Popen([*COMMAND, part, "b.db", "--url", url])
        cuts = 0
        while cuts < 3 and process.poll() is None:
            cuts += cut()
    assert process.wait(60) == 0
    assert anyio.run(contents, "b.db") == anyio.run(contents, url)
    assert len(anyio.run(contents, url)) == 20


@pytest.mark.parametrize(("part", "mode"), CUT)
def test_what_stays_cut_is_told_and_never_taken_for_done(
    folder: Path, postgres: Any, part: str, mode: str
) -> None:
    url = prepared(postgres, part)
    if part == "backup":
        (folder / "b.db").write_bytes(b"an older backup")
    with locked(postgres, url, mode) as cut:
        process = subprocess.Popen(
            [*COMMAND, part, "b.db", "--url", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while process.poll() is None:
            cut()
        out, err = process.communicate()
    assert process.returncode == 2
    assert not out
    assert b"agent" not in err.splitlines()[-1]
    if part == "backup":
        assert (folder / "b.db").read_bytes() == b"an older backup"
        assert [path.name for path in folder.iterdir()] == ["b.db"]
    else:
        assert db("restore", "b.db", "--url", url) == 0
        assert anyio.run(contents, url) == anyio.run(contents, "b.db")


def prepared(postgres: Any, part: str) -> str:
    """A server, and a file: one of them has twenty conversations."""
    url: str = postgres.new_database()
    assert db("migrate", "--url", url) == 0
    anyio.run(write, url if part == "backup" else "b.db", 20)
    return url


@pytest.mark.parametrize("count", [50, 65, 110])
def test_a_backup_that_does_not_fit_leaves_the_older_one(
    folder: Path, valkey: Any, count: int
) -> None:
    """What is left to write when the log is closed may not fit, and SQLite does not say so."""
    url = valkey.new_url()
    anyio.run(write, url, count, 100_000)
    (folder / "b.db").write_bytes(b"an older backup")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, -1));"
    command = f"{limit} from aicore.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", command, "db", "backup", "b.db", "--url", url],
        capture_output=True,
        check=False,
    )
    if ended.returncode == 0:
        assert anyio.run(contents, "b.db") == anyio.run(contents, url)
    else:
        assert ended.returncode == 2
        assert (folder / "b.db").read_bytes() == b"an older backup"
    assert [path.name for path in folder.iterdir()] == ["b.db"]
    assert (ended.returncode == 0) is (count == 50)


def test_a_backup_that_was_killed_leaves_nothing_behind_the_next_one(
    folder: Path, valkey: Any
) -> None:
    url = valkey.new_url()
    anyio.run(write, url, 400)
    process = subprocess.Popen([*COMMAND, "backup", "b.db", "--url", url])
    while process.poll() is None and not list(folder.glob(".b.db.*.partial-wal")):
        pass
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list(folder.glob(".b.db.*.partial"))
    assert db("backup", "b.db", "--url", url) == 0
    assert [path.name for path in folder.iterdir()] == ["b.db"]


def test_a_business_that_was_forgotten_is_told(
    folder: Path, valkey: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    url = valkey.new_url()
    anyio.run(write, "shop.db", 3, 10, "shop")
    assert db("restore", "shop.db", "--url", url) == 1
    assert "'shop'" in capsys.readouterr().out
    assert db("restore", "shop.db", "--url", url, "--business", "shop") == 0
    assert "3 conversations, 3 events" in capsys.readouterr().out
    (folder / "b.db").write_bytes(b"an older backup")
    assert db("backup", "b.db", "--url", url) == 2
    assert (folder / "b.db").read_bytes() == b"an older backup"
    assert db("backup", "b.db", "--url", url, "--business", "shop") == 0
    assert "3 conversations, 3 events" in capsys.readouterr().out
    anyio.run(write, "shop.db", 1)
    assert db("restore", "shop.db", "--url", valkey.new_url()) == 0
    assert "'shop'" in capsys.readouterr().out


def test_what_was_erased_since_the_last_copy_is_erased_there_when_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def erase() -> None:
        async with open_log("a.db") as log:
            await log.erase(await log.claim(ConversationId("web:1")))

    anyio.run(write, "a.db", 3)
    assert db("copy", "a.db", "b.db") == 0
    anyio.run(erase)
    assert db("copy", "a.db", "b.db") == 2
    assert "'web:1'" in capsys.readouterr().err
    assert len(anyio.run(contents, "b.db")) == 3
    assert db("copy", "a.db", "b.db", "--erased", "web:1") == 0
    assert anyio.run(contents, "b.db") == anyio.run(contents, "a.db")
