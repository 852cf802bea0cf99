"""How the servers start, refuse to start, and end; and what their common boundary does."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server import MCPServer

from aicore_servers._serve import Program, ServeSettings, data_home, serve
from aicore_servers._tooling import BusinessServer, Toolbox
from aicore_servers.crm import PROGRAM as CRM
from aicore_servers.crm import create
from aicore_servers.mail import PROGRAM as MAIL
from aicore_tools.errors import BackendUnavailable, OutcomeUnknown
from aicore_tools.progress import progress

Run = Callable[..., subprocess.CompletedProcess[str]]
Http = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]
Connect = Callable[..., AbstractAsyncContextManager[Any]]


def assert_plain_refusal(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "Traceback" not in line
    for word in words:
        assert word in line


def test_help_and_version(run: Run, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    done = run("crm", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, project["version"])
    done = run("mail", "--help")
    assert done.returncode == 0
    assert "--data" in done.stdout
    assert "delivers nothing" in " ".join(done.stdout.split())


def test_a_port_in_use_is_said_in_one_sentence(run: Run, http: Http, tmp_path: Path) -> None:
    with http("crm", tmp_path) as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        done = run("crm", "--http", "--port", port, "--data", str(tmp_path))
        assert_plain_refusal(done, port, "--port")


def refusal(program: Program, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Start a server that cannot start, in this process; gives the sentence it said."""
    with pytest.raises(SystemExit) as exit_:
        serve(program, arguments)
    said = capsys.readouterr()
    assert (exit_.value.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert line.startswith(f"{program.name}: ")
    return line


def test_a_database_that_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_tmp = ("--http", "--port", "0", "--data", str(tmp_path))
    (tmp_path / "file").write_text("")
    line = refusal(CRM, capsys, "--http", "--port", "0", "--data", str(tmp_path / "file"))
    assert "file/crm.db" in line
    (tmp_path / "crm.db").write_bytes(b"no database " * 999)
    line = refusal(CRM, capsys, *at_tmp)
    assert "crm.db" in line
    assert "backup" in line
    (tmp_path / "crm.db").unlink()
    newer = sqlite3.connect(tmp_path / "crm.db")
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    assert "newer" in refusal(CRM, capsys, *at_tmp)


def test_on_stdio_a_damaged_database_is_said_in_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "crm.db").write_bytes(b"no database " * 999)
    assert_plain_refusal(run("crm", "--data", str(tmp_path)), "crm.db", "backup")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backend", "hubspott"], "hubspott"),
        (["--tz", "Mars/Olympus"], "Mars/Olympus"),
        (["--business", " "], "--business"),
        (["--http", "--host", "0.0.0.0"], "0.0.0.0"),
        (["--http", "--host", "nowhere.invalid"], "nowhere.invalid"),
        (["--http", "--port", "70000"], "70000"),
        (["--port", "8000"], "--http"),
        (["--host", "127.0.0.1"], "--http"),
        (["--data", ""], "--data"),
    ],
)
def test_a_wrong_option_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert word in refusal(CRM, capsys, "--data", str(tmp_path), *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_mail_address_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "office@lakeside.example,nobody"
    assert "--address" in refusal(MAIL, capsys, "--data", str(tmp_path), "--address", wrong)


def test_stdin_at_its_end_ends_a_stdio_server(run: Run, tmp_path: Path) -> None:
    done = run("crm", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")


def test_in_a_terminal_an_interrupt_ends_it_without_another_line(
    tmp_path: Path, repository: Path
) -> None:
    terminal, stdin = pty.openpty()
    program = repository / "servers/aicore_servers/crm.py"
    process = subprocess.Popen(
        [sys.executable, str(program), "--data", str(tmp_path)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        os.write(terminal, b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        assert process.stdout.readline()  # it waits for the next line now
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    finally:
        process.kill()
        _, said = process.communicate()
        os.close(terminal)
        os.close(stdin)
    assert said == ""


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_DATA", "/data/here")
    assert data_home() == Path("/data/here")
    monkeypatch.delenv("AICORE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/xdg")
    assert data_home() == Path("/data/xdg/aicore")
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert data_home() == Path.home() / ".local/share/aicore"


def test_sigterm_ends_an_http_server_cleanly(http: Http, tmp_path: Path) -> None:
    with http("crm", tmp_path) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["crm.db"]


@pytest.mark.parametrize(
    ("header", "value"), [("Host", "evil.example"), ("Origin", "http://evil.example")]
)
def test_another_sites_page_cannot_reach_a_local_server(
    http: Http, tmp_path: Path, header: str, value: str
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with http("crm", tmp_path) as (url, _), httpx2.Client() as client:
        accept = {"Accept": "application/json, text/event-stream"}
        refused = client.post(url, json=request, headers={**accept, header: value})
        assert refused.status_code in (403, 421)
        assert client.post(url, json=request, headers=accept).status_code not in (403, 421)


async def test_killed_after_the_effect_the_same_key_repeats_nothing(
    http: Http, tmp_path: Path
) -> None:
    call: dict[str, Any] = {
        "name": "crm_log",
        "arguments": {"kind": "note", "text": "once"},
        "meta": {"aicore/operation-key": "k"},
    }
    answers = []
    for _ in range(2):
        with http("crm", tmp_path) as (url, process):
            async with Client(url) as client:
                result = await client.call_tool(**call)
                answers.append(json.loads(result.content[0].text))  # type: ignore[union-attr] # ours is text
                process.kill()
                process.wait(timeout=10)
    assert answers[1] == {**answers[0], "replayed": True}


def fragile(raised: list[Exception]) -> MCPServer[None]:
    box = Toolbox()

    @box.read
    async def look() -> dict[str, Any]:
        """Look."""
        raise raised[0]

    @box.effect()
    async def act() -> dict[str, Any]:
        """Act."""
        raise raised[0]

    @asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
        yield None

    return BusinessServer("fragile", instructions="", toolbox=box, lifespan=lifespan)


@pytest.mark.parametrize(
    ("error", "tool", "expected"),
    [
        (KeyError("secret"), "look", {"code": "internal", "outcome": "none"}),
        (KeyError("secret"), "act", {"code": "internal", "outcome": "unknown"}),
        (OutcomeUnknown("Sent or not?"), "act", {"code": "outcome_unknown", "outcome": "unknown"}),
        (
            BackendUnavailable("Busy.", retry_after_s=2.0),
            "act",
            {"code": "backend_unavailable", "retryable": True, "retry_after_s": 2.0},
        ),
    ],
)
async def test_what_goes_wrong_inside_is_told_without_its_secrets(
    error: Exception, tool: str, expected: dict[str, Any]
) -> None:
    async with Client(fragile([error])) as client:
        result = await client.call_tool(tool, {})
    assert result.is_error
    text = result.content[0].text  # type: ignore[union-attr] # ours is text
    body = json.loads(text)
    assert expected.items() <= body.items()
    assert "secret" not in text
    assert {"code", "message", "retryable", "outcome"} <= set(body)


def slow() -> MCPServer[Any]:
    box = Toolbox()

    @box.read
    async def look() -> dict[str, Any]:
        """Look three times."""
        for done in range(1, 4):
            await progress(done, 3)
        await progress(2, 3)
        await progress(4)
        return {"seen": 4}

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[Any]:
        yield None

    return BusinessServer("slow", instructions="", toolbox=box, lifespan=lifespan)


async def test_who_asks_hears_how_far_long_work_is() -> None:
    heard: list[tuple[float, float | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total))

    async with Client(slow()) as client:
        result = await client.call_tool("look", {}, progress_callback=hear)
        assert not result.is_error
        assert heard == [(1, 3), (2, 3), (3, 3), (4, None)]
        assert not (await client.call_tool("look", {})).is_error
    assert len(heard) == 4


@pytest.mark.parametrize("key", [7, "", "k" * 256, {"a": 1}, "k\ud800"])
async def test_an_operation_key_that_is_none_is_refused_before_anything(
    tmp_path: Path, key: Any
) -> None:
    async with Client(create(ServeSettings(data_dir=tmp_path))) as client:
        meta: Any = {"aicore/operation-key": key}
        result = await client.call_tool("crm_log", {"kind": "note", "text": "x"}, meta=meta)
        assert result.is_error
        body = json.loads(result.content[0].text)  # type: ignore[union-attr] # ours is text
        assert (body["code"], body["outcome"]) == ("invalid_input", "none")


async def test_text_that_is_no_unicode_is_kept_as_far_as_it_can_be(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("crm_log", key="k", kind="note", text="a\ud800b\0c")
        (row,) = (await desk("crm_search", type="note", query="\ud800 a"))["rows"]
        assert row["text"] == "a?bc"
        missing = await desk("crm_get", type="note", ids=["\ud800"])
        assert missing["missing"] == ["?"]


async def test_a_server_in_process_closes_its_database(in_process: Connect, tmp_path: Path) -> None:
    async with in_process(create) as desk:
        await desk("crm_log", key="k", kind="note", text="x")
    assert os.listdir(tmp_path) == ["crm.db"]  # noqa: PTH208  no wait in an async test


def test_servers_start_from_any_folder_under_their_command_names(tmp_path: Path) -> None:
    for name in ("aicore-crm", "aicore-mail"):
        program = Path(sys.executable).with_name(name)
        done = subprocess.run([program, "--help"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_settings_have_defaults_that_need_no_account() -> None:
    settings = ServeSettings()
    assert (settings.backend, settings.business, settings.time_zone) == ("local", "main", "UTC")
