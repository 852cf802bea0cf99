"""`aicore advise`: the owner's words and the owner's log, and a configuration that can be used."""

from __future__ import annotations

import json
import pty
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from os import close, write
from pathlib import Path
from textwrap import dedent

import pytest

from aicore import Agent
from aicore.config import Settings
from aicore.log import Event, SQLiteLog, Stored
from aicore.log.events import Body, MessageReceived, ModelReplied, ReplySent
from aicore.models import Capabilities, Completion, Price, ScriptedProvider
from aicore.models.prices import priced
from aicore.records import ConversationId, DataClass, Principal, Usage

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


def small_box(folder: Path) -> tuple[str, ...]:
    """A box that is never full, and its price."""
    data = {"provider": "box", "tokens_per_s_out": 1000, "tokens_per_s_in": 10_000}
    (folder / "measured.json").write_text(json.dumps({**data, "is_throughput": True}))
    return ("--measured", "measured.json", "--box-usd-per-hour", "5")


async def two_weeks(folder: Path, *, priced_days: int = 15) -> None:
    """A log with an ordinary and a special answer each day, a million tokens in."""
    work = Usage(input_tokens=1_000_000, output_tokens=100)
    classes: tuple[DataClass, ...] = ("personal", "special")
    async with SQLiteLog(folder / "log.db") as log:
        for data_class in classes:
            events: list[Event] = []
            for day in range(15):
                price = DEAR if day < priced_days else None
                turn = len(events) + 1
                answer = ModelReplied(
                    text="Yes.",
                    calls=(),
                    usage=priced(price, work),
                    provider="cloud",
                    model="m",
                    finish="stop",
                    price=price and price.to_json(),
                    data_class=data_class,
                )
                hello = MessageReceived(text="Hi", principal=Principal("customer", "a"))
                bodies: list[Body] = [hello, answer, ReplySent(text="Yes.")]
                at_ms = day * 86_400_000
                events += [Event(turn + n, turn, at_ms, one) for n, one in enumerate(bodies)]
            stored = Stored(ConversationId(f"web:{data_class}"), len(events), 1, 0)
            await log.restore(stored, events)
    (folder / "aicore.toml").write_text(
        '[log]\npath = "log.db"\n[providers.own]\nkind = "vllm"\nmodel = "m"\n'
    )


@pytest.mark.parametrize(
    ("stay", "expected", "told"),
    [
        # By the configuration special data stays here; by law it need not.
        ("none", "managed", "managed is cheapest"),
        ("special", "self-hosted", "self-hosted on 1 machine is cheapest, at $3,650.00"),
        ("all", "self-hosted", "self-hosted on 1 machine is cheapest, at $3,650.00"),
    ],
)
async def test_the_figures_are_reckoned_with_what_the_owner_says_must_stay(
    tmp_path: Path, stay: str, expected: str, told: str
) -> None:
    await two_weeks(tmp_path)
    done = advise(tmp_path, "--must-stay", stay, *small_box(tmp_path))
    assert told in done.stdout
    assert placement(done) == expected


async def test_a_cost_of_which_little_is_known_is_unknown(tmp_path: Path) -> None:
    await two_weeks(tmp_path, priced_days=1)
    done = advise(tmp_path, "--own-data", "yes", "--must-stay", "none")
    assert "of unknown cost" in done.stdout
    assert "[prices]" in done.stdout
    assert "at most 1 conversation that" in done.stdout


def test_the_questions_are_asked_at_a_terminal_and_may_be_left_open(tmp_path: Path) -> None:
    def typed(keys: bytes) -> subprocess.CompletedProcess[str]:
        ours, theirs = pty.openpty()
        write(ours, keys)
        command = [sys.executable, "-m", "aicore", "advise"]
        try:
            return subprocess.run(
                command,
                cwd=tmp_path,
                stdin=theirs,
                capture_output=True,
                text=True,
                timeout=50,
                check=False,
            )
        finally:
            close(ours)
            close(theirs)

    assert placement(typed(b"sp\nmaybe\nyes\nn\nno\n")) == "hybrid"
    assert placement(typed(b"\n\x04\x04\x04")) == "managed"
