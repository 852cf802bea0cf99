"""The stores a log can be kept in, by the beginning of their url. A new one adds one line."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable
from pathlib import Path

from aicore.errors import ConfigError
from aicore.log.memory import MemoryLog
from aicore.log.port import EventLog

__all__ = ["file_of", "open_log"]

# "module:class", which takes the url.
_LOGS = {
    "postgresql": "aicore.log.postgres:PostgresLog",
    "postgres": "aicore.log.postgres:PostgresLog",
    "redis": "aicore.log.redis:RedisLog",
    "rediss": "aicore.log.redis:RedisLog",
    "valkey": "aicore.log.redis:RedisLog",
    "valkeys": "aicore.log.redis:RedisLog",
    "unix": "aicore.log.redis:RedisLog",
}
_KNOWN = ("sqlite", *_LOGS, "memory")
# One letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_log(url: str, *, business: str = "main") -> EventLog:
    """Make the log of a url, for the caller to enter.

    `sqlite:///FILE` or only a path (absolute: four slashes), `postgresql://`, `redis://`,
    `valkey://` and their like, or `memory:`.
    Raises: ConfigError for another scheme, naming the nearest known one, and for a client that
    is not installed. No message holds the rest of the url, which may have a password.
    """
    path = file_of(url)
    if path is not None:
        from aicore.log.sqlite import SQLiteLog

        return SQLiteLog(path, business=business)
    target = _LOGS.get(_scheme(url) or "")
    if target is None:
        return MemoryLog(business=business)
    module, _, name = target.partition(":")
    make: Callable[..., EventLog] = getattr(importlib.import_module(module), name)
    return make(url, business=business)


def file_of(url: str) -> Path | None:
    """The SQLite file that a url means; None for other stores. Raises: ConfigError."""
    scheme = _scheme(url)
    if scheme is None:
        rest = url
    elif scheme == "sqlite":
        _, found, rest = url.partition(":///")
        rest = rest if found else ""
    else:
        return None
    if not rest:
        raise ConfigError("The url of a log in a file is sqlite:///FILE, or only its path.")
    return Path(rest).expanduser()


def _scheme(url: str) -> str | None:
    """What a url begins with; None for a path. Raises: ConfigError for one that nobody knows."""
    match = _SCHEME.match(url)
    if match is None:
        _check_colon(url)
        return None
    scheme = match[1].lower()
    if scheme not in _KNOWN:
        near = difflib.get_close_matches(scheme, _KNOWN, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"There is no log of the kind {scheme!r}. Known are {', '.join(_KNOWN)}.{hint}"
        )
    return scheme


def _check_colon(path: str) -> None:
    """Refuse what would be a file called "postgres//...", in a folder nobody meant."""
    scheme, slashes, _ = path.partition("//")
    if slashes and scheme.lower() in _KNOWN:
        raise ConfigError(f"The url of a log begins with {scheme}://, with a colon.")
