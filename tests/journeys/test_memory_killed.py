"""A process that is killed anywhere between a reply and learning loses and doubles nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from aicore.memory.port import Entry, Namespace
from aicore.memory.sqlite import SQLiteMemory

CHILD = Path(__file__).with_name("memory_child.py")


class Killer:
    """Runs the story in forks of one warm process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, folder: Path, die_at: int = 0) -> str:
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
