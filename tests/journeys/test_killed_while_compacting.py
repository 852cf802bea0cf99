"""A process killed while it compacts loses the summary at most: the next one makes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aicore.log import SQLiteLog
from aicore.log.events import MessageReceived, ReplySent, Summarized
from aicore.records import ConversationId

CHILD = Path(__file__).with_name("compacting_child.py")


def run(path: Path, die: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(CHILD), str(path), die], stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip()


async def count(path: Path, kind: type) -> int:
    async with SQLiteLog(path) as log:
        events = await log.read(ConversationId("web:1"))
    return sum(isinstance(event.body, kind) for event in events)


@pytest.mark.parametrize(("die", "written"), [("before", 0), ("after", 1)])
async def test_killed_around_its_summary(tmp_path: Path, die: str, written: int) -> None:
    path = tmp_path / "log.db"
    assert run(path, die) == (-signal.SIGKILL, "")
    assert await count(path, Summarized) == written
    messages = await count(path, MessageReceived)
    assert await count(path, ReplySent) in (messages, messages - 1)

    code, heading = run(path, "never")

    assert code == 0
    assert heading.startswith("Summary of ")
    assert await count(path, Summarized) == 1
    assert await count(path, MessageReceived) == messages + 2
    assert await count(path, ReplySent) == messages + 2
