"""Erasing from a Redis server's files: they keep what was deleted until they are rewritten."""

from __future__ import annotations

import logging

import anyio

from aicore.errors import ConfigError, StoreBusy, StoreError
from aicore.log.redis_promises import Files
from aicore.log.redis_server import RedisServer, is_forbidden

__all__ = ["rewrite_files"]

_LOG = logging.getLogger(__name__)
_REWRITTEN_S = 60.0
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5


async def rewrite_files(server: RedisServer, files: Files) -> None:
    """Have the server write its files anew from what it holds now, and wait until it has.

    Raises: StoreBusy when that takes more than a minute or fails; the server then still has the
    old files. Where the commands are forbidden, that is logged and nothing done.
    """
    try:
        with anyio.fail_after(_REWRITTEN_S):
            if files.has_append_only:
                await _rewrite(server, "BGREWRITEAOF", "aof_rewrite", "aof_last_bgrewrite_status")
            if files.has_snapshots:
                await _rewrite(server, "BGSAVE", "rdb_bgsave", "rdb_last_bgsave_status")
    except TimeoutError as exc:
        raise StoreBusy(
            f"The conversation is erased, but {server.name} has not rewritten its files yet: "
            "traces stay in them until it has. Run BGREWRITEAOF when it has less to do.",
            retry_after_s=60.0,
        ) from exc


async def _rewrite(server: RedisServer, command: str, running: str, status: str) -> None:
    try:
        told = await _wait_for(server, command, running)
    except (ConfigError, StoreError) as exc:
        if not is_forbidden(exc):
            raise _failed(server, command) from exc
        _LOG.warning("erased_traces_stay_in_files server=%s forbidden=%s", server.name, command)
        return
    if f"{status}:ok" not in told:
        raise _failed(server, command)


async def _wait_for(server: RedisServer, command: str, running: str) -> set[str]:
    """Begin to rewrite, and give what the server tells of its files when it has done so."""
    pause_s = _FIRST_PAUSE_S
    while not await _is_begun(server, command):
        await anyio.sleep(pause_s)  # another one runs, which may have begun before the erasure
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    while True:
        told = set((await server.ask("INFO", "persistence")).decode("utf-8", "replace").split())
        if {f"{running}_in_progress:0", "aof_rewrite_scheduled:0"} <= told:
            return told
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _is_begun(server: RedisServer, command: str) -> bool:
    try:
        await server.ask(command)
    except StoreError as exc:
        if "in progress" in str(exc) or "child process" in str(exc):
            return False
        raise
    return True


def _failed(server: RedisServer, command: str) -> StoreBusy:
    return StoreBusy(
        f"The conversation is erased, but {server.name} failed to rewrite its files, so that "
        f"traces stay in them. See its own log, then run {command}.",
        retry_after_s=60.0,
    )
