"""Long work at a vendor: whoever asks hears how far it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp import Client

from aicore_servers._serve import ServeSettings
from aicore_servers.crm import create
from aicore_tools.connections import Connection


async def test_a_batch_and_a_report_tell_how_far_they_are(
    tmp_path: Path, sandbox: Callable[[str], Any]
) -> None:
    fields = {"access_token": "pat", "base_url": sandbox("hubspot").url}
    settings = ServeSettings(
        data_dir=tmp_path,
        backend="hubspot",
        connect=lambda vendor: Connection(vendor=vendor, fields=fields),
    )
    heard: list[tuple[float, float | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total))

    async with Client(create(settings)) as client:
        records = [{"set": {"name": f"Ann {n}", "email": f"ann{n}@example.com"}} for n in range(20)]
        batch = {"type": "contact", "records": records}
        result = await client.call_tool("crm_upsert", batch, progress_callback=hear)
        assert not result.is_error
        assert heard == [(done, 20) for done in range(1, 21)]
        heard.clear()
        report = {"kind": "duplicates"}
        result = await client.call_tool("crm_report", report, progress_callback=hear)
        assert not result.is_error
        assert heard == [(20, None)]
