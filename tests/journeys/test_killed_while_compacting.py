"""A process killed while it compacts loses the summary at most: the next one makes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aicore.log import SQLiteLog
from aicore.log.events import Body, MessageReceived, ReplySent, Summarized
from aicore.records import ConversationId

CHILD = Path(__file__).with_name("compacting_child.py")


def run(path: Path, die: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(CHILD), str(path), die], stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip()


async def recorded(path: Path) -> list[Body]:
    async with SQLiteLog(path) as log:
        return [event.body for event in await log.read(ConversationId("web:1"))]


def count(bodies: Sequence[Body], kind: type) -> int:
    return sum(isinstance(body, kind) for body in bodies)


@pytest.mark.parametrize(("die", "written"), [("before", 0), ("after", 1)])
async def test_killed_around_its_summary(tmp_path: Path, die: str, written: int) -> None:
    path = tmp_path / "log.db"
    assert run(path, die) == (-signal.SIGKILL, "")
    before = await recorded(path)
    assert count(before, Summarized) == written
    messages = count(before, MessageReceived)
    assert count(before, ReplySent) in (messages, messages - 1)

    code, heading = run(path, "never")

    assert code == 0
    assert heading.startswith("Summary of ")
    after = await recorded(path)
    covered = [body.covers_seq for body in after if isinstance(body, Summarized)]
    assert covered
    assert covered == sorted(set(covered)), "none was made twice"
    assert count(after, MessageReceived) == count(after, ReplySent) == messages + 2
