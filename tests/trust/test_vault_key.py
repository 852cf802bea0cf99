"""The key of the vaults: where it comes from, and what happens when it is not there."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aicore.errors import ConfigError
from aicore.trust.vault_key import VaultKey, WrongKeyError

SECRET = bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [base64.b64encode(SECRET).decode(), base64.urlsafe_b64encode(SECRET).decode(), SECRET.hex()],
)
def test_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SHOP_VAULT_KEY", f" {text}\n")
    sealed = VaultKey(SECRET).seal(b"Ann", b"here")

    assert VaultKey.from_environment("SHOP_VAULT_KEY").unseal(sealed, b"here") == b"Ann"


@pytest.mark.parametrize("text", ["", "short", "x" * 64, base64.b64encode(SECRET[:16]).decode()])
def test_no_key_in_the_variable_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SHOP_VAULT_KEY", text)
    with pytest.raises(ConfigError, match="SHOP_VAULT_KEY") as caught:
        VaultKey.from_environment("SHOP_VAULT_KEY")
    assert not text or text not in str(caught.value)


def test_missing_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    sealed = VaultKey.from_file(path).seal(b"Ann", b"here")

    assert path.stat().st_mode & 0o777 == 0o600
    assert VaultKey.from_file(path).unseal(sealed, b"here") == b"Ann"
    assert [one.name for one in tmp_path.iterdir()] == ["vault.key"]


def test_processes_that_make_the_file_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: VaultKey.from_file(path), range(16)))
    sealed = keys[0].seal(b"Ann", b"here")

    assert all(key.unseal(sealed, b"here") == b"Ann" for key in keys)


def test_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    VaultKey.from_file(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        VaultKey.from_file(path)


@pytest.mark.parametrize("held", [b"", b"not a key", b"\xff\xfe"])
def test_file_that_holds_no_key_is_left_alone(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(held)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        VaultKey.from_file(path)
    assert path.read_bytes() == held


def test_file_in_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        VaultKey.from_file(tmp_path / "nowhere" / "vault.key")


def test_what_was_sealed_elsewhere_or_changed_does_not_open() -> None:
    key = VaultKey(SECRET)
    sealed = key.seal(b"Ann", b"here")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])

    for one, place, opener in (
        (sealed, b"there", key),
        (changed, b"here", key),
        (b"", b"here", key),
        (sealed, b"here", VaultKey.random()),
    ):
        with pytest.raises(WrongKeyError):
            opener.unseal(one, place)
    assert key.seal(b"Ann", b"here") != sealed


def test_key_is_nowhere_to_be_read() -> None:
    key = VaultKey(SECRET)
    assert SECRET.hex() not in repr(key)
    assert "\\x" not in repr(key)
    assert not hasattr(key, "__dict__")


def test_key_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError):
        VaultKey(os.urandom(16))
