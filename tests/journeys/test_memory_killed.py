"""A process that is killed anywhere between a reply and learning loses and doubles nothing."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from aicore.log import SQLiteLog
from aicore.log.events import Event, MessageReceived, ReplySent
from aicore.log.port import Stored
from aicore.memory.port import Entry, Namespace
from aicore.memory.sqlite import SQLiteMemory
from aicore.records import ConversationId

CHILD = Path(__file__).with_name("memory_child.py")
spec = importlib.util.spec_from_file_location("memory_child", CHILD)
assert spec is not None
assert spec.loader is not None
memory_child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory_child)


class Killer:
    """Runs the story in forks of one warm process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, folder: Path, die_at: int | str = 0) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        folder.mkdir(exist_ok=True)
        self._process.stdin.write(f"{folder} {die_at}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    process = subprocess.Popen(
        [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Killer(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


async def _entries(folder: Path) -> list[Entry]:
    async with SQLiteMemory(folder / "memory.db") as store:
        return list(await store.list(Namespace("main", "customer:ann")))


def remembered(folder: Path) -> Counter[tuple[object, ...]]:
    """What is remembered, whenever it was said."""
    return Counter(
        (one.kind, one.text, one.source, one.valid_to_ms is None, one.superseded_by is None)
        for one in anyio.run(_entries, folder)
    )


def test_killed_at_any_step_of_learning_it_comes_out_as_if_it_had_not_been(
    killer: Killer, tmp_path: Path
) -> None:
    assert killer.run(tmp_path / "whole") == "ok"
    whole = remembered(tmp_path / "whole")
    assert set(whole.values()) == {1}
    holding = {text for kind, text, _, holds, _ in whole if kind == "fact" and holds}
    assert holding == {
        "Phone: 01512222222",
        "Preference (time of day): mornings",
        "Allergy: nuts",
    }
    for point in range(1, 100):
        folder = tmp_path / f"killed-{point}"
        if killer.run(folder, point) == "ok":
            break
        assert killer.run(folder) == "ok"
        assert remembered(folder) == whole, point
    assert point > 12


def test_processes_that_learn_at_once_double_nothing(killer: Killer, tmp_path: Path) -> None:
    anyio.run(_talks, tmp_path)
    for name in ("one", "four"):
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "log.db", tmp_path / name / "log.db")
    assert killer.run(tmp_path / "four", "learners") == "ok"
    anyio.run(memory_child.learn, tmp_path / "one")
    alone, together = remembered(tmp_path / "one"), remembered(tmp_path / "four")

    assert set(together.values()) == {1}
    assert sum(alone.values()) == 30 * 7
    assert _holding(together) == _holding(alone) == {"Phone: 0151000029"}
    assert {one[:3] for one in together} == {one[:3] for one in alone}


def _holding(found: Counter[tuple[object, ...]]) -> set[object]:
    return {text for kind, text, _, holds, _ in found if kind == "fact" and holds}


async def _talks(folder: Path) -> None:
    """Thirty conversations of one customer, each with another number."""
    born_ms = 1_700_000_000_000
    async with SQLiteLog(folder / "log.db") as log:
        for number in range(30):
            talk = ConversationId(f"web:{number:02}")
            events: list[Event] = []
            for text in (f"My number is 0151 0000{number:02}.", "Are you there?", "Bye"):
                turn, at_ms = len(events) + 1, born_ms + number * 1000
                message = MessageReceived(text=text, principal=memory_child.ANN)
                events.append(Event(turn, turn, at_ms + turn, message))
                events.append(Event(turn + 1, turn, at_ms + turn + 1, ReplySent(text="Yes.")))
            await log.restore(Stored(talk, len(events), 1, born_ms + number), events)
