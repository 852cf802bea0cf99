"""`aicore advise`: the owner's words and the owner's log, and a configuration that can be used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from aicore import Agent
from aicore.config import Settings
from aicore.log import SQLiteLog
from aicore.models import Capabilities, Completion, Price, ScriptedProvider
from aicore.records import Usage

DEAR = Price(input_usd=Decimal(1), output_usd=Decimal(2))


def advise(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aicore", "advise", *words]
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def placement(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("Advice: ")]
    return line.removeprefix("Advice: ")


def configuration(done: subprocess.CompletedProcess[str]) -> Settings:
    _, _, lines = done.stdout.partition("The configuration that does it")
    return Settings(**tomllib.loads(dedent(lines.partition("\n\n")[2])))


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    """A folder with a log in which a special conversation cost as much as an ordinary one."""
    answer = Completion(
        text="Yes.", model="m", usage=Usage(input_tokens=500_000, output_tokens=250_000)
    )
    provider = ScriptedProvider(
        [answer, answer],
        capabilities=Capabilities(locality="managed", price=DEAR, reads_class=True),
    )
    async with Agent(provider=provider, log=SQLiteLog(tmp_path / "log.db")) as agent:
        await agent.send("Hello", conversation="web:1")
        await agent.send("I am diabetic.", conversation="web:2")
    (tmp_path / "aicore.toml").write_text('[log]\npath = "log.db"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--must-stay", "all"), "self-hosted"),
        (("--must-stay", "special"), "hybrid"),
        (("--must-stay", "none", "--sets-apart", "no"), "managed"),
        (("--must-stay", "none", "--sets-apart", "yes"), "self-hosted"),
        ((), "managed"),
    ],
)
def test_without_a_log_what_the_owner_says_decides(
    tmp_path: Path, words: Sequence[str], expected: str
) -> None:
    done = advise(tmp_path, *words)
    assert placement(done) == expected
    assert configuration(done).is_routed


async def test_the_log_answers_where_the_owner_does_not(log: Path) -> None:
    done = advise(log)
    assert "50.0 %" in done.stdout
    assert "$1.00000 each" in done.stdout
    assert placement(done) == "hybrid"
    assert "aicore measure" in done.stdout


async def test_the_own_price_is_tested_against_the_published_one(log: Path) -> None:
    done = advise(log, "--must-stay", "none")
    assert "60 requests a month" in done.stdout
    assert placement(done) == "managed"


def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aicore.toml").write_text('[log]\npath = "log.db"\n')
    (tmp_path / "log.db").write_text("no database")
    done = advise(tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
