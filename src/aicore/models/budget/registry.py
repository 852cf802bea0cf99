"""The stores a ledger can be kept in, by the beginning of their url. A new one adds one line."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path

from aicore.errors import ConfigError
from aicore.models.budget.memory import MemoryLedger
from aicore.models.budget.port import Ledger

__all__ = ["open_ledger"]

# "module:class", which takes the url.
_LEDGERS = {
    "postgresql": "aicore.models.budget.postgres:PostgresLedger",
    "postgres": "aicore.models.budget.postgres:PostgresLedger",
}
_KNOWN = ("sqlite", *_LEDGERS, "memory")


def open_ledger(url: str) -> Ledger:
    """Make the ledger of a url, for the caller to enter.

    `sqlite:///FILE` (absolute: four slashes) or only a path, `postgresql://` or `memory:`.
    Raises: ConfigError for another scheme, naming the nearest known one, and for a client that
    is not installed. No message holds the rest of the url, which may have a password.
    """
    scheme, separator, rest = url.partition(":")
    if not separator or len(scheme) == 1:  # one letter is a Windows drive
        return _in_file(url)
    scheme = scheme.lower()
    if scheme == "sqlite":
        return _in_file(rest.removeprefix("///") if rest.startswith("///") else "")
    if scheme == "memory":
        return MemoryLedger()
    if scheme not in _LEDGERS:
        near = difflib.get_close_matches(scheme, _KNOWN, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"There is no ledger of that kind. Known are {', '.join(_KNOWN)}.{hint}")
    module, _, name = _LEDGERS[scheme].partition(":")
    make: Callable[[str], Ledger] = getattr(importlib.import_module(module), name)
    return make(url)


def _in_file(path: str) -> Ledger:
    from aicore.models.budget.sqlite import SQLiteLedger

    if not path:
        raise ConfigError("The url of a ledger in a file is sqlite:///FILE, or only its path.")
    return SQLiteLedger(Path(path).expanduser())
