"""Vaults by the url of their store. A new store adds one line."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from aicore.errors import ConfigError
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore, VaultStore

__all__ = ["open_vaults"]

# scheme: "module:class", where the class takes the url.
_STORES = {
    "postgres": "aicore.trust.vault_postgres:PostgresVaultStore",
    "postgresql": "aicore.trust.vault_postgres:PostgresVaultStore",
}


def open_vaults(
    url: str | None, *, key_env: str | None = None, key_file: Path | None = None
) -> Vaults:
    """Make the vaults of a url, for the caller to enter.

    `sqlite:///FILE` (absolute: four slashes) or only a path, or `postgresql://`; None: in memory,
    under a key that ends with the process. Otherwise the key is in the variable `key_env` or in
    the file `key_file`, which is made if it is missing.
    Raises: ConfigError; no message holds the url, which may have a password.
    """
    if url is None:
        return Vaults(MemoryVaultStore(), VaultKey.random())
    if key_env is not None:
        key = VaultKey.from_environment(key_env)
    elif key_file is not None:
        key = VaultKey.from_file(key_file)
    else:
        raise ConfigError("A vault that is kept needs a key: give key_env or key_file.")
    return Vaults(_store(url), key)


def _store(url: str) -> VaultStore:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() == "sqlite":
        from aicore.trust.vault_sqlite import SQLiteVaultStore

        path = rest.removeprefix("/") if separator else url
        if not path:
            raise ConfigError("The url of a vault in a file is sqlite:///FILE, or only its path.")
        return SQLiteVaultStore(Path(path).expanduser())
    target = _STORES.get(scheme.lower())
    if target is None:
        raise ConfigError("There is no vault of that kind. Known are sqlite and postgresql.")
    module, _, name = target.partition(":")
    make: Callable[[str], VaultStore] = getattr(importlib.import_module(module), name)
    return make(url)
