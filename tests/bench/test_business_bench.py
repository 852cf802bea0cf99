"""The bench of the business tools calls every tool, and finds what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from business_report import as_markdown
from crowds import SEARCHES, Search, search_times
from jobs import JOBS, Desk, WrongAnswer
from tool_times import open_desk, tool_times


async def test_every_tool_has_a_job_and_is_called(tmp_path: Path) -> None:
    taken = await tool_times(tmp_path, 2)
    async with open_desk(tmp_path) as desk:
        offered = {
            tool.name
            for client in desk.clients.values()
            for tool in (await client.list_tools()).tools
        }
    assert set(taken) == offered | {"echo"}
    assert {len(values) for values in taken.values()} == {2}


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.title)
async def test_each_store_is_filled_and_searched(search: Search, tmp_path: Path) -> None:
    taken = await search_times(search, tmp_path, 200, 2)
    assert len(taken) == len(search.questions)


async def test_a_wrong_answer_stops_the_bench(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        assert isinstance(desk, Desk)
        with pytest.raises(WrongAnswer):
            await desk.call("crm_get", {"type": "nothing", "ids": ["1"]})
    assert len({job.tool for job in JOBS}) == 32


def test_the_report_tells_a_missed_aim() -> None:
    figures = {"is_quick": True, "machine": {"cpu": "one"}, "search": {"fast": [1], "slow": [11]}}
    table = as_markdown(figures)
    assert "| fast | 1.00 | 1.00 | yes |" in table
    assert "| slow | 11.00 | 11.00 | **no** |" in table
