"""A disk that is full in the middle of a turn loses nothing, and needs nobody afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CHILD = Path(__file__).with_name("full_disk_child.py")


def test_when_there_is_room_again_the_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path / "log.db")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    seen = {line[0]: line[1:] for line in told}
    assert seen["open"] == [1]
    assert seen["full"] == ["StoreError"]
    assert ["web:2", True] in seen["resumed"][0]
    assert seen["again"] == ["short"]
    assert seen["checked"] == [2, [], 0]
    [fitted] = seen["fitted"]
    assert fitted > 0
    assert seen["web:1"] == [fitted + 1] * 3
    assert seen["web:2"] == [3] * 3
