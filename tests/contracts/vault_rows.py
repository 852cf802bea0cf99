"""The stores that the contract suite of vaults runs over. A new one adds a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from aicore.trust.vault_postgres import PostgresVaultStore
from aicore.trust.vault_sqlite import SQLiteVaultStore
from aicore.trust.vault_store import MemoryVaultStore, VaultStore


@dataclass(frozen=True)
class Stores:
    """Makes stores over one and the same place; `holds` looks for bytes in all that is kept."""

    make: Callable[[], VaultStore]
    holds: Callable[[bytes], bool]


def _memory(request: pytest.FixtureRequest, folder: Path) -> Stores:
    store = MemoryVaultStore()

    def holds(wanted: bytes) -> bool:
        kept = store._vaults.values()
        sealed = [value.sealed for one in kept for value in one.values.values()]
        return any(wanted in one for one in (*sealed, *(one.head.proof for one in kept)))

    return Stores(lambda: store, holds)


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> Stores:
    def holds(wanted: bytes) -> bool:
        return any(wanted in path.read_bytes() for path in folder.iterdir())

    return Stores(lambda: SQLiteVaultStore(folder / "vault.db"), holds)


def _postgres(request: pytest.FixtureRequest, folder: Path) -> Stores:
    server = request.getfixturevalue("postgres")
    url = server.new_database()
    name = url.partition("@/")[2].partition("?")[0]

    def holds(wanted: bytes) -> bool:
        server.execute("CHECKPOINT")
        [(number,)] = server.execute("SELECT oid FROM pg_database WHERE datname = %s", name)
        files = (server.data / "base" / str(number)).iterdir()
        return any(wanted in path.read_bytes() for path in files if path.is_file())

    return Stores(lambda: PostgresVaultStore(url), holds)


STORES = {"memory": _memory, "postgres": _postgres, "sqlite": _sqlite}


@pytest.fixture(params=sorted(STORES))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """A place for vaults, empty."""
    return STORES[request.param](request, tmp_path)
