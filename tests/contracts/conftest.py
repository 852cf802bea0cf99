"""What the contract suites run over. A new event log adds a function and its row in LOGS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from aicore.log import EventLog, MemoryLog, SQLiteLog


class MakeLog(Protocol):
    """Makes logs over one and the same store."""

    def __call__(self, *, business: str = "main") -> EventLog: ...


def _memory(folder: Path) -> MakeLog:
    logs: dict[str, MemoryLog] = {}

    def make(*, business: str = "main") -> EventLog:
        return logs.setdefault(business, MemoryLog(business=business))

    return make


def _sqlite(folder: Path) -> MakeLog:
    def make(*, business: str = "main") -> EventLog:
        return SQLiteLog(folder / "log.db", business=business)

    return make


LOGS: dict[str, Callable[[Path], MakeLog]] = {"memory": _memory, "sqlite": _sqlite}


@pytest.fixture(params=sorted(LOGS))
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> MakeLog:
    return LOGS[request.param](tmp_path)
