"""The places vaults can be kept in, by url. A new one adds one line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from aicore.errors import ConfigError
from aicore.log.registry import file_of
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

if TYPE_CHECKING:
    from aicore.trust.vault_store import VaultStore

__all__ = ["open_vaults"]

_SERVERS = {
    "postgresql": "aicore.trust.vault_postgres:PostgresVaultStore",
    "postgres": "aicore.trust.vault_postgres:PostgresVaultStore",
}


def open_vaults(
    url: str | None, *, key_env: str | None = None, key_file: Path | None = None
) -> Vaults:
    """Make the vaults that a configuration names, for the caller to enter.

    `url` is sqlite:///FILE, a path, or postgresql://...; None keeps them in memory, under a key of
    their own, for as long as the process lives. The key is in the environment variable `key_env`
    or in the file `key_file`, which is made if it is missing.

    Raises: ConfigError.
    """
    if url is None:
        return Vaults(MemoryVaultStore(), VaultKey.random())
    store = _store(url)
    if key_env is not None:
        return Vaults(store, VaultKey.from_environment(key_env))
    if key_file is not None:
        return Vaults(store, VaultKey.from_file(key_file))
    raise ConfigError("privacy.vault needs a key: give privacy.key_env or privacy.key_file.")


def _store(url: str) -> VaultStore:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme == "sqlite":
        from aicore.trust.vault_sqlite import SQLiteVaultStore

        path = file_of(url)
        if path is not None:
            return SQLiteVaultStore(path)
    target = _SERVERS.get(scheme)
    if target is None:
        raise ConfigError(
            f"privacy.vault cannot be kept at {scheme}://. Known are a file, sqlite:///FILE, "
            f"{', '.join(f'{name}://' for name in _SERVERS)}."
        )
    module, _, name = target.partition(":")
    store: VaultStore = getattr(importlib.import_module(module), name)(url)
    return store
