"""Several processes on one ledger: they race, and some are killed with reservations open."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.models.budget import open_ledger
from aicore.models.port import Origin

SPENDER = Path(__file__).with_name("spender_process.py")
ORIGIN = Origin(business="dental", conversation="web:1", turn=1)

Start = Callable[..., "subprocess.Popen[str]"]


def _file(request: pytest.FixtureRequest, folder: Path) -> str:
    return str(folder / "ledger.db")


def _database(request: pytest.FixtureRequest, folder: Path) -> str:
    url: str = request.getfixturevalue("postgres").new_database()
    return url


@pytest.fixture(params=[_file, _database], ids=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where a new ledger is."""
    return request.param(request, tmp_path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts spenders; those still running end with the test."""
    with ExitStack() as stack:

        def run(*words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, str(SPENDER), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield run


async def told(process: subprocess.Popen[str]) -> tuple[int, int]:
    """How many reservations a spender kept, and how it ended."""
    with anyio.fail_after(50):
        out, _ = await anyio.to_thread.run_sync(process.communicate, "go\n", abandon_on_cancel=True)
    return int(out), process.returncode


async def day_usd(url: str) -> Decimal:
    async with open_ledger(url) as ledger:
        return (await ledger.spent(ORIGIN, day=date(2026, 11, 21))).day_usd


async def test_processes_share_a_limit_and_never_pass_it(url: str, start: Start) -> None:
    processes = [start(url, "0.755", "0.01", "60") for _ in range(2)]
    ended: list[tuple[int, int]] = []

    async def watch(process: subprocess.Popen[str]) -> None:
        ended.append(await told(process))

    async with anyio.create_task_group() as group:
        for process in processes:
            group.start_soon(watch, process)

    assert [code for _, code in ended] == [0, 0]
    kept = sum(number for number, _ in ended)
    assert 0 < kept <= 75
    assert await day_usd(url) == kept * Decimal("0.01")


async def test_what_a_killed_process_reserved_counts_in_full(url: str, start: Start) -> None:
    killed = await told(start(url, "0.30", "0.01", "50", "die"))
    assert killed == (30, -signal.SIGKILL)
    assert await day_usd(url) == Decimal("0.30")
    assert await told(start(url, "0.30", "0.01", "10")) == (0, 0)
