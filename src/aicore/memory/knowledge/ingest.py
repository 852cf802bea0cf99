"""Reading a folder of documents once, because somebody asked for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio.to_thread

from aicore.errors import ConfigError
from aicore.memory.knowledge.knowledge import Knowledge, Refreshed
from aicore.memory.places import Places

__all__ = ["run_ingest"]


async def run_ingest(
    folder: Path, places: Places, business: str, configured: Knowledge | None
) -> Refreshed:
    """Take a folder into the memory as it is now, and delete what was read of it and is gone.

    A folder that `configured` covers is refreshed with all of its folders. Another one is kept
    beside them, until it is ingested again: that which is in it then stays.

    Raises: ConfigError when there is no such folder; otherwise as `Knowledge.refresh`.
    """
    path = await anyio.to_thread.run_sync(_checked, folder)
    if configured is not None and configured.covers(path):
        return await configured.refresh()
    owner = f"once-{hashlib.sha256(str(path).encode(errors='replace')).hexdigest()[:12]}"
    return await Knowledge([path], places, business, owner=owner).refresh()


def _checked(folder: Path) -> Path:
    path = folder.expanduser().resolve()
    if not path.is_dir():
        raise ConfigError(f"{folder} is no folder. Name one that holds documents.")
    return path
