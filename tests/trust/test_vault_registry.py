"""Vaults as a configuration names them."""

from pathlib import Path

import pytest

from aicore.errors import ConfigError
from aicore.trust.vault_registry import open_vaults


async def test_vaults_of_a_file_open_again_with_the_same_key(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'vault.db'}", str(tmp_path / "vault.db")):
        async with open_vaults(url, key_file=tmp_path / "vault.key") as vaults:
            await vaults.remember("web:1", [("NAME", "Ann")])
            assert (await vaults.open("web:1")).newest == 1


async def test_key_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_VAULT_KEY", "ab" * 32)
    async with open_vaults(str(tmp_path / "vault.db"), key_env="SHOP_VAULT_KEY") as vaults:
        await vaults.remember("web:1", [("NAME", "Ann")])
    monkeypatch.setenv("SHOP_VAULT_KEY", "cd" * 32)
    async with open_vaults(str(tmp_path / "vault.db"), key_env="SHOP_VAULT_KEY") as vaults:
        with pytest.raises(ConfigError):
            await vaults.open("web:1")


async def test_without_a_place_they_end_with_the_process() -> None:
    async with open_vaults(None) as one, open_vaults(None) as two:
        assert (await one.open("web:1")).nonce != (await two.open("web:1")).nonce


async def test_vaults_in_a_database(postgres: object, tmp_path: Path) -> None:
    url = postgres.new_database()  # type: ignore[attr-defined]
    async with open_vaults(url, key_file=tmp_path / "vault.key") as vaults:
        await vaults.remember("web:1", [("NAME", "Ann")])
        assert await vaults.erase("web:1")


@pytest.mark.parametrize("url", ["mysql://x/y", "redis://x", "sqlite://x", "file:x://y"])
def test_place_that_nobody_knows_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_vaults(url, key_file=tmp_path / "vault.key")


def test_kept_vault_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_vaults(str(tmp_path / "vault.db"))
