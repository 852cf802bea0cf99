"""The command line: what a mistake is told, and with which exit code."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ELSEWHERE = ("demo", "connect", "install", "sandbox")


def aicore(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aicore", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def written(folder: Path, text: str) -> None:
    (folder / "aicore.toml").write_text(text, encoding="utf-8")


FLOW = """
assistant: Test
zone: Europe/Berlin
region: DE
greeting: Hello.
disclosure: I am a machine.
contact: Call us.
flows:
  - flow: hello
    title: Say hello
    triggers: [hello]
    steps:
      - say: Hello.
"""


@pytest.mark.parametrize("command", ["chat", "doctor"])
def test_a_missing_configuration_is_named_with_the_remedy(tmp_path: Path, command: str) -> None:
    done = aicore(tmp_path, command)
    assert done.returncode in (1, 2)
    said = done.stdout + done.stderr
    assert "aicore.toml" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[provider]\nkind = 'flows'\nfile = 'gone.yaml'\n", "gone.yaml"),
        ("[provider]\nkind = 'flows'\nfile = 'hole.yaml'\n", "hole.yaml"),
        ("[provider]\nkind = 'openai-compat'\n", "openai-compatible"),
        ("[provider\n", "TOML"),
        ("[agent]\nzone = 'Mars/Olympus'\n[provider]\nfile = 'ok.yaml'\n", "Mars/Olympus"),
        ("[log]\npath = 'no/such/folder/x.db'\n[provider]\nfile = 'ok.yaml'\n", "no/such/folder"),
        ("[log]\npath = 'corrupt.db'\n[provider]\nfile = 'ok.yaml'\n", "corrupt.db"),
        ("[log]\npath = 'newer.db'\n[provider]\nfile = 'ok.yaml'\n", "newer.db"),
    ],
)
def test_a_broken_configuration_gives_one_plain_sentence(
    tmp_path: Path, text: str, word: str
) -> None:
    written(tmp_path, text.replace("[provider]\nfile", "[provider]\nkind = 'flows'\nfile"))
    (tmp_path / "ok.yaml").write_text(FLOW)
    (tmp_path / "hole.yaml").write_text("assistant: X\nflows:\n  - flow: a\n")
    (tmp_path / "corrupt.db").write_bytes(b"this is no database " * 100)
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 9999")
    newer.execute("CREATE TABLE future (x)")
    newer.commit()
    newer.close()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db")}
    done = aicore(tmp_path, "chat", stdin="hi\n")
    assert done.returncode == 2, done.stdout + done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.db")} == before


def test_doctor_names_each_part_that_fails_and_exits_1(tmp_path: Path) -> None:
    written(
        tmp_path,
        "[provider]\nkind = 'openai-compatible'\nbase_url = 'http://127.0.0.1:9/v1'\n"
        "model = 'm'\n[servers.gone]\ncommand = ['no-such-program-anywhere']\n"
        "[servers.closed]\nurl = 'http://127.0.0.1:9/mcp'\n",
    )
    done = aicore(tmp_path, "doctor")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 3, done.stdout
    assert any("127.0.0.1:9" in line for line in failed)
    assert any("no-such-program-anywhere" in line for line in failed)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "part", "word"),
    [
        ("[memory]\npath = 'm.db'\nextract = 'model'\n", "agent", "extract"),
        ("[context]\nsummary = 'model'\n", "agent", "summary"),
        ("[telemetry]\nexporter = 'otlp'\n", "agent", "endpoint"),
        ("[agent]\ninstructions_file = 'gone.md'\n", "agent", "gone.md"),
        ("[memory]\npath = 'm.db'\nknowledge = ['gone']\n", "memory", "gone"),
        (
            "[memory]\npath = 'm.db'\nvectors = 'rows'\n"
            "embedder = { base_url = 'http://127.0.0.1:9/v1', model = 'm' }\n",
            "memory",
            "127.0.0.1:9",
        ),
    ],
)
def test_doctor_passes_nothing_that_an_agent_would_refuse_or_miss(
    tmp_path: Path, aicore_here: Any, settings: str, part: str, word: str
) -> None:
    written(tmp_path, f"{settings}[provider]\nkind = 'flows'\nfile = 'ok.yaml'\n")
    (tmp_path / "ok.yaml").write_text(FLOW)
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1, done.stdout
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed.startswith(f"FAIL  {part}: ")
    assert word in failed


def test_doctor_plays_the_tests_of_a_flow_file(tmp_path: Path, aicore_here: Any) -> None:
    written(tmp_path, "[provider]\nkind = 'flows'\nfile = 'ok.yaml'\n")
    right = FLOW + "    tests:\n      - {say: [hello], replies: [Hello]}\n"
    (tmp_path / "ok.yaml").write_text(right)
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout
    assert "1 tests in" in done.stdout

    (tmp_path / "ok.yaml").write_text(right.replace("replies: [Hello]", "replies: [Goodbye]"))
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1
    assert "FAIL  flows: test 1 of hello" in done.stdout


WORKS = {
    "server": "aicore-x",
    "backend": "local",
    "name": "Lakeside\x1b[2J",
    "can": ["read", "write"],
}
WORKS |= {"warnings": ["expires soon"], "is_test": True}
BROKEN = {"server": "aicore-y", "backend": "vendor", "error": {"message": "Revoked.", "hint": None}}


def asks(folder: Path, *command: str) -> None:
    """Configure one server, which the doctor then asks."""
    words = ", ".join(json.dumps(word) for word in (sys.executable, *command))
    provider = "[provider]\nkind = 'flows'\nfile = 'ok.yaml'\n"
    written(folder, f"{provider}[servers.desk]\ncommand = [{words}]\n")
    (folder / "ok.yaml").write_text(FLOW)


def test_doctor_lets_a_server_prove_its_connection(
    tmp_path: Path, repository: Path, aicore_here: Any
) -> None:
    odd = str(repository / "tests/cli/connection_server.py")
    asks(tmp_path, odd, json.dumps({"connections": [WORKS]}))
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "desk: aicore-x" in line]
    assert len(lines) == 2
    assert "Lakeside?[2J" in lines[0]
    assert "test account" in lines[0]
    assert "read, write" in lines[0]
    assert "expires soon" in lines[1]


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({"connections": [WORKS, BROKEN]}),
        "FAIL",
        "no JSON",
        "[]",
        '{"connections": [7]}',
        '{"connections": [{"server": "x"}]}',
    ],
)
def test_doctor_fails_where_a_connection_is_not_proved(
    tmp_path: Path, repository: Path, aicore_here: Any, said: str
) -> None:
    asks(tmp_path, str(repository / "tests/cli/connection_server.py"), said)
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "desk" in line
    assert "Traceback" not in done.stdout + done.stderr
    if said.endswith("]}") and "error" in said:
        assert "Revoked." in line


def test_doctor_asks_a_server_of_ours(tmp_path: Path, repository: Path) -> None:
    server = str(repository / "servers/aicore_servers/calendars.py")
    asks(tmp_path, server, "--data", str(tmp_path))
    done = aicore(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "desk: aicore-calendars on local" in done.stdout


def test_doctor_gives_the_words_of_a_server_in_process_that_cannot_start(
    tmp_path: Path, aicore_here: Any
) -> None:
    written(
        tmp_path,
        "[provider]\nkind = 'flows'\nfile = 'ok.yaml'\n[servers.crm]\n"
        "local = 'aicore_servers.crm:server'\n"
        "args = ['--backend', 'hubspot', '--account', 'rev', '--data', 'data']\n",
    )
    (tmp_path / "ok.yaml").write_text(FLOW)
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "BackendConfigError" not in line
    assert "`aicore connect hubspot --account rev`" in line


@pytest.mark.parametrize("command", ELSEWHERE)
def test_commands_of_other_packages_are_handed_over(tmp_path: Path, command: str) -> None:
    done = aicore(tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"aicore {command}" in done.stdout


def test_a_model_that_is_down_is_told_and_the_chat_goes_on(tmp_path: Path) -> None:
    written(
        tmp_path,
        "[provider]\nkind = 'openai-compatible'\nbase_url = 'http://127.0.0.1:9/v1'\nmodel = 'm'\n",
    )
    done = aicore(tmp_path, "chat", stdin="hi\nagain\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("you> ") == 2
    assert done.stdout.count("http://127.0.0.1:9") == 2
    assert "Traceback" not in done.stdout + done.stderr


CLOSED = "[provider]\nkind = 'openai-compatible'\nbase_url = 'http://127.0.0.1:9/v1'\nmodel = 'm'\n"


def test_an_interrupted_chat_ends_at_once_though_it_waits_for_a_line(tmp_path: Path) -> None:
    written(tmp_path, CLOSED)
    process = subprocess.Popen(
        [sys.executable, "-m", "aicore", "chat"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hi\n")
        process.stdin.flush()
        while "you> hi" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    finally:
        process.kill()
        _, stderr = process.communicate()
    assert "Traceback" not in stderr


def test_a_chat_whose_output_nobody_reads_any_more_ends_quietly(tmp_path: Path) -> None:
    written(tmp_path, CLOSED)
    process = subprocess.Popen(
        [sys.executable, "-m", "aicore", "chat"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("hi\nthere\n")
        process.stdin.close()
        assert process.wait(timeout=10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_version_and_help_answer(tmp_path: Path) -> None:
    assert aicore(tmp_path, "--version").returncode == 0
    done = aicore(tmp_path, "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in (*ELSEWHERE, "chat", "doctor"))
    assert aicore(tmp_path, "nonsense").returncode == 2
