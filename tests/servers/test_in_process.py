"""The servers in a program's own process, with the arguments of their commands."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from mcp import Client

from aicore_tools.errors import BackendConfigError

MODULES = ["crm", "mail", "calendars", "payments"]


@pytest.mark.parametrize("name", MODULES)
async def test_a_server_in_process_offers_its_tools(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"aicore_servers.{name}")
    async with Client(module.server("--data", str(tmp_path), "--business", "shop")) as client:
        tools = (await client.list_tools()).tools
    assert tools
    names = {"crm": "crm.db", "mail": "mail.db", "calendars": "calendars.db"}
    assert (tmp_path / names.get(name, "payments.db")).stat().st_size > 0


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    "args", [["--http"], ["--no-such-option"], ["--backend", "none"], ["--tz", "Mars/Olympus"]]
)
def test_arguments_that_cannot_be_are_refused_without_ending_the_process(
    name: str, args: list[str]
) -> None:
    module = importlib.import_module(f"aicore_servers.{name}")
    with pytest.raises(BackendConfigError):
        module.server(*args)
