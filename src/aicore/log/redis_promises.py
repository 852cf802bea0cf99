"""What a Redis server must be set to, for a log on it to keep its promises."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aicore.errors import ConfigError, StoreError
from aicore.log.redis_server import RedisServer, is_forbidden

__all__ = ["Files", "check_promises"]

_LOG = logging.getLogger(__name__)
_OLDEST = 7
_ASSERT = (
    "If the service is durable by other means, say so: durability='asserted', or "
    "?durability=asserted in the url."
)
_NAMES = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy", "save")


@dataclass(frozen=True, slots=True)
class Files:
    """Which files the server keeps its data in, as far as it tells."""

    has_append_only: bool
    has_snapshots: bool


async def check_promises(server: RedisServer, *, is_asserted: bool) -> Files:
    """Refuse a server that would lose acknowledged events.

    `is_asserted`: the owner answers for durability; then a lack of it is only logged. A replica
    and a server that evicts keys are refused all the same.
    Raises: ConfigError naming the setting; StoreError for a server that is too old.
    """
    info = await _info(server)
    settings = await _settings(server)
    _check_server(server.name, info)
    _check_eviction(server.name, settings.get("maxmemory-policy") or info.get("maxmemory_policy"))
    faults = _faults(info, settings)
    if faults and not is_asserted:
        raise ConfigError(f"{server.name} could lose acknowledged events: {' '.join(faults)}")
    for fault in faults:
        _LOG.warning("durability_asserted server=%s although=%s", server.name, fault)
    has_append_only = settings.get("appendonly") == "yes" or info.get("aof_enabled") == "1"
    # Where CONFIG is forbidden there may be snapshots, with what is to be erased in them.
    return Files(has_append_only, bool(settings.get("save")) or not settings)


async def _info(server: RedisServer) -> Mapping[str, str]:
    """Every section that INFO gives by default; empty where the ACL forbids it."""
    text = (await _told(server, "INFO") or b"").decode("utf-8", "replace")
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


async def _settings(server: RedisServer) -> Mapping[str, str]:
    """The settings that matter; empty where CONFIG is forbidden or renamed, as managed ones do."""
    answer = await _told(server, "CONFIG", "GET", *_NAMES)
    words = [word.decode("utf-8", "replace") for word in answer or ()]
    return dict(zip(words[::2], words[1::2], strict=True))


async def _told(server: RedisServer, *command: str) -> Any:
    """What a server answers, or None where the command is forbidden or renamed."""
    try:
        return await server.ask(*command)
    except (ConfigError, StoreError) as exc:
        if not is_forbidden(exc):
            raise
        return None


def _check_server(name: str, info: Mapping[str, str]) -> None:
    version = info.get("redis_version", "").partition(".")[0]
    if version.isdecimal() and int(version) < _OLDEST:
        raise StoreError(
            f"{name} is Redis {info['redis_version']}. A log needs Redis {_OLDEST} or Valkey; "
            "upgrade the server."
        )
    if info.get("role", "master") != "master":
        raise ConfigError(
            f"{name} is a replica, which takes no writes. Name the primary in the url, or a name "
            "that follows it."
        )


def _check_eviction(name: str, policy: str | None) -> None:
    if policy not in (None, "noeviction"):
        raise ConfigError(
            f"{name} may throw conversations away when its memory is full: its maxmemory-policy "
            f"is {policy}. Set maxmemory-policy noeviction."
        )


def _faults(info: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    """What is missing for events that are acknowledged to survive a loss of power."""
    if not settings:
        return [f"it does not let CONFIG GET be asked, so its durability is not known. {_ASSERT}"]
    if settings.get("appendonly") != "yes":
        more = (
            " Snapshots (save) alone lose what came after the last." if settings.get("save") else ""
        )
        return [f"its appendonly is no.{more} Set appendonly yes and appendfsync always. {_ASSERT}"]
    faults = []
    if settings.get("appendfsync") != "always":
        faults.append(
            f"its appendfsync is {settings.get('appendfsync')}, so that about the last second, or "
            f"more, is lost with the power. Set appendfsync always. {_ASSERT}"
        )
    if settings.get("no-appendfsync-on-rewrite") == "yes":
        faults.append(
            "its no-appendfsync-on-rewrite is yes, so that nothing is forced to the disk while "
            f"the file is rewritten. Set no-appendfsync-on-rewrite no. {_ASSERT}"
        )
    return faults
