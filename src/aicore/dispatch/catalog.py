"""Reads a server's tools, all pages, into our records."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from aicore.dispatch.schemas import schema_fault
from aicore.records import DataClass, Tool

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import Tool as RemoteTool

__all__ = ["fetch"]

_log = logging.getLogger(__name__)

_MOST_PAGES = 100
_LONGEST_DESCRIPTION = 8_000
_HONOURS_KEY = "aicore/honours-operation-key"
_DATA_CLASS = "aicore/data-class"
_PERSONAL_FIELDS = "aicore/personal-fields"
_KIND = re.compile(r"[A-Z]{1,20}")


async def fetch(client: Client, server: str, known: Sequence[Tool]) -> tuple[Tool, ...]:
    """Ask for the catalog; `Tool.name` is the server's own name, to be made unique by others.

    A tool that has not changed is the same object as in `known`. A tool whose schema cannot be
    used is left out, and a name listed twice counts once: both are logged.
    """
    before = {tool.remote_name: tool for tool in known}
    tools: dict[str, Tool] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for remote in page.tools:
            tool = _read(remote, server, before.get(remote.name))
            if tool is not None and tools.setdefault(tool.remote_name, tool) is not tool:
                _log.warning("tool_listed_twice server=%s tool=%r", server, remote.name)
        if page.next_cursor is None or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    else:
        _log.warning("catalog_cut server=%s pages=%d", server, _MOST_PAGES)
    return tuple(tools.values())


def _read(remote: RemoteTool, server: str, before: Tool | None) -> Tool | None:
    hints, meta = remote.annotations, remote.meta or {}
    tool = Tool(
        name=remote.name,
        description=(remote.description or remote.title or "")[:_LONGEST_DESCRIPTION],
        parameters=remote.input_schema,
        server=server,
        remote_name=remote.name,
        read_only=bool(hints and hints.read_only_hint),
        destructive=not (hints and hints.destructive_hint is False),
        idempotent=bool(hints and hints.idempotent_hint),
        open_world=not (hints and hints.open_world_hint is False),
        honours_key=meta.get(_HONOURS_KEY) is True,
        data_class=_data_class(meta.get(_DATA_CLASS)),
        personal_fields=_fields(meta.get(_PERSONAL_FIELDS)),
    )
    if tool == before:
        return before
    fault = schema_fault(tool.parameters)
    if fault is not None:
        _log.warning("tool_left_out server=%s tool=%r: its schema: %s", server, remote.name, fault)
        return None
    return tool


def _data_class(claimed: Any) -> DataClass | None:
    """A class this version knows; one it does not know is taken for the most careful."""
    if claimed is None:
        return None
    known: tuple[DataClass, ...] = get_args(DataClass)
    return next((one for one in known if one == claimed), "special")


def _fields(claimed: Any) -> dict[str, str]:
    if not isinstance(claimed, Mapping):
        return {}
    return {
        str(name): kind
        for name, kind in claimed.items()
        if isinstance(kind, str) and _KIND.fullmatch(kind)
    }
