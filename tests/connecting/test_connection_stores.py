"""Where connections are kept: found again, never shown, never mixed, and refused when damaged."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError

from aicore_tools.connection_file import EncryptedFile
from aicore_tools.connection_stores import (
    ConnectionStores,
    CredentialsFile,
    EnvironmentStore,
    KeyringStore,
    account_name,
    open_stores,
    secrets_home,
    stored,
    usable_keyring,
)
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

SECRET = "rk_test_do_not_show"


class MemoryKeyring(KeyringBackend):
    """A keyring of this process."""

    priority = 5  # type: ignore[assignment] # keyring declares a property of its own kind
    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise KeyringLocked
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError
        del self.entries[service, username]


def connection(vendor: str = "stripe", account: str = "default", **fields: str) -> Connection:
    return Connection(vendor=vendor, account=account, fields=fields or {"api_key": SECRET})


def a_file(folder: Path) -> EncryptedFile:
    return EncryptedFile(folder)


def a_locked_file(folder: Path) -> EncryptedFile:
    return EncryptedFile(folder, passphrase="correct horse")


def a_keyring(_: Path) -> KeyringStore:
    return KeyringStore(MemoryKeyring())


@pytest.mark.parametrize("make", [a_file, a_locked_file, a_keyring])
def test_what_is_saved_is_found_until_it_is_forgotten(
    make: Callable[[Path], Any], tmp_path: Path
) -> None:
    store = make(tmp_path)
    assert store.load("stripe", "default") is None
    assert list(store.known()) == []
    store.save(connection())
    store.save(connection(account="branch", api_key="other"))
    store.save(connection(vendor="imap", user="a@example.com", password="ä € 𝄞"))
    assert store.load("stripe", "default") == connection()
    assert store.load("stripe", "branch").need("api_key") == "other"
    assert store.load("imap", "default").need("password") == "ä € 𝄞"
    assert store.load("imap", "branch") is None
    assert sorted(store.known()) == [
        ("imap", "default"),
        ("stripe", "branch"),
        ("stripe", "default"),
    ]
    store.save(connection(api_key="newer"))
    assert store.load("stripe", "default").need("api_key") == "newer"
    assert store.forget("stripe", "default") is True
    assert store.forget("stripe", "default") is False
    assert store.load("stripe", "default") is None
    assert store.load("stripe", "branch").need("api_key") == "other"


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    store = EncryptedFile(tmp_path, passphrase="correct horse")
    store.save(connection())
    kept = store.load("stripe", "default")
    for shown in (repr(kept), str(kept), repr(store), f"{kept}"):
        assert SECRET not in shown
        assert "correct horse" not in shown
    for path in tmp_path.iterdir():
        assert SECRET.encode() not in path.read_bytes()
        assert b"stripe" not in path.read_bytes()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    EncryptedFile(tmp_path / "new").save(connection())
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    assert modes == {"connections.enc": 0o600, "connections.key": 0o600, "connections.lock": 0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    store = EncryptedFile(tmp_path)
    store.save(connection())
    (tmp_path / "connections.key").chmod(0o644)
    with pytest.raises(BackendConfigError) as refused:
        store.load("stripe", "default")
    assert refused.value.hint is not None
    assert "chmod 600" in refused.value.hint


@pytest.mark.parametrize("text", ["", "ab" * 16, "ab" * 40, "no key"])
@pytest.mark.parametrize("has_file", [True, False])
def test_a_damaged_key_is_refused_and_left_as_it_is(
    text: str, has_file: bool, tmp_path: Path
) -> None:
    store = EncryptedFile(tmp_path)
    if has_file:
        store.save(connection())
    key = tmp_path / "connections.key"
    key.write_text(text)
    key.chmod(0o600)
    with pytest.raises(BackendConfigError) as refused:
        store.save(connection(account="branch"))
    assert refused.value.hint is not None
    assert key.read_text() == text
    assert (tmp_path / "connections.enc").exists() is has_file


def flipped(path: Path, name: str) -> None:
    envelope = json.loads(path.read_bytes())
    raw = bytearray(base64.b64decode(envelope[name]))
    raw[-1] ^= 1
    envelope[name] = base64.b64encode(raw).decode()
    path.write_text(json.dumps(envelope))


def cut(path: Path, _: str) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def without(path: Path, name: str) -> None:
    envelope = json.loads(path.read_bytes())
    del envelope[name]
    path.write_text(json.dumps(envelope))


def turned_to(value: Any) -> Callable[[Path, str], None]:
    def turn(path: Path, name: str) -> None:
        envelope = json.loads(path.read_bytes())
        envelope[name] = value
        path.write_text(json.dumps(envelope))

    return turn


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (flipped, "sealed"),
        (flipped, "nonce"),
        (cut, ""),
        (without, "nonce"),
        (without, "version"),
        (turned_to(2), "version"),
        (turned_to("***"), "sealed"),
        (turned_to(7), "sealed"),
        (turned_to(""), "nonce"),
        (turned_to("AAAA"), "salt"),
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(
    damage: Callable[[Path, str], None], part: str, tmp_path: Path
) -> None:
    store = EncryptedFile(tmp_path)
    store.save(connection())
    path = tmp_path / "connections.enc"
    damage(path, part)
    before = path.read_bytes()
    for attempt in (
        lambda: store.load("stripe", "default"),
        lambda: store.save(connection()),
        lambda: store.forget("stripe", "default"),
        store.known,
    ):
        with pytest.raises(BackendConfigError) as refused:
            attempt()
        assert "connections.enc" in refused.value.message
    assert path.read_bytes() == before


def test_another_passphrase_or_none_opens_nothing(tmp_path: Path) -> None:
    EncryptedFile(tmp_path, passphrase="correct horse").save(connection())
    for passphrase in ("battery staple", ""):
        with pytest.raises(BackendConfigError) as refused:
            EncryptedFile(tmp_path, passphrase=passphrase).load("stripe", "default")
        said = f"{refused.value} {refused.value.hint}"
        assert "AICORE_SECRETS_PASSPHRASE" in said
        assert "battery" not in said
    assert not (tmp_path / "connections.key").exists()


def test_a_lost_key_file_is_said(tmp_path: Path) -> None:
    store = EncryptedFile(tmp_path)
    store.save(connection())
    (tmp_path / "connections.key").unlink()
    with pytest.raises(BackendConfigError) as refused:
        store.load("stripe", "default")
    assert "connections.key" in refused.value.message


def test_the_next_save_moves_to_a_passphrase(tmp_path: Path) -> None:
    EncryptedFile(tmp_path).save(connection())
    moved = EncryptedFile(tmp_path, passphrase="correct horse")
    moved.save(connection(vendor="imap"))
    assert moved.load("stripe", "default") == connection()
    (tmp_path / "connections.key").unlink()
    assert moved.load("imap", "default") == connection(vendor="imap")


def test_every_save_uses_another_nonce(tmp_path: Path) -> None:
    store, seen = EncryptedFile(tmp_path), set()
    for _ in range(5):
        store.save(connection())
        seen.add(json.loads((tmp_path / "connections.enc").read_bytes())["nonce"])
    assert len(seen) == 5


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EncryptedFile(tmp_path)
    store.save(connection())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(BackendConfigError):
            store.save(connection(api_key="newer"))
    assert store.load("stripe", "default") == connection()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "connections.enc",
        "connections.key",
        "connections.lock",
    ]


SAVING = """
import sys
from pathlib import Path
from aicore_tools.connection_file import EncryptedFile
from aicore_tools.connections import Connection
store = EncryptedFile(Path(sys.argv[1]))
for number in range(10):
    account = f"{sys.argv[2]}{number}"
    store.save(Connection(vendor="stripe", account=account, fields={"api_key": account}))
"""


def test_two_programs_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(tmp_path), name]) for name in "abc"
    ]
    assert [program.wait(timeout=30) for program in programs] == [0, 0, 0]
    accounts = {account for _, account in EncryptedFile(tmp_path).known()}
    assert accounts == {f"{name}{number}" for name in "abc" for number in range(10)}


def test_variables_are_the_default_account_only() -> None:
    store = EnvironmentStore(
        {"AICORE_STRIPE_API_KEY": SECRET, "AICORE_STRIPE_BASE_URL": "", "AICORE_DATA": "x"},
        vendors=("stripe", "imap"),
    )
    assert store.load("stripe", "default") == connection()
    assert store.load("stripe", "branch") is None
    assert store.load("imap", "default") is None
    assert list(store.known()) == [("stripe", "default")]


def test_the_first_place_gives_all_fields(tmp_path: Path) -> None:
    """A key from one place never goes to an address from another."""
    file = EncryptedFile(tmp_path)
    file.save(connection(api_key="sk_live", base_url="https://api.example"))
    variables = EnvironmentStore({"AICORE_STRIPE_BASE_URL": "http://127.0.0.1:9"})
    stores = ConnectionStores(given=[variables], writable=[file])
    found = stores.find("stripe", "default")
    assert dict(found.fields) == {"base_url": "http://127.0.0.1:9"}
    with pytest.raises(BackendConfigError):
        found.need("api_key")


def test_accounts_are_apart(tmp_path: Path) -> None:
    file, ring = EncryptedFile(tmp_path), KeyringStore(MemoryKeyring())
    stores = ConnectionStores(given=[], writable=[ring, file])
    stores.save(connection(account="lakeside", api_key="one"))
    stores.save(connection(account="hillside", api_key="two"))
    assert stores.find("stripe", "lakeside").need("api_key") == "one"
    assert stores.find("stripe", "hillside").need("api_key") == "two"
    with pytest.raises(BackendConfigError) as missing:
        stores.find("stripe", "default")
    assert missing.value.hint == "Run `aicore connect stripe`."
    with pytest.raises(BackendConfigError) as missing:
        stores.find("stripe", "seaside")
    assert missing.value.hint == "Run `aicore connect stripe --account seaside`."
    assert stores.forget("stripe", "lakeside")
    assert stores.find("stripe", "hillside").need("api_key") == "two"


def test_saving_again_elsewhere_leaves_no_old_copy(tmp_path: Path) -> None:
    file, ring = EncryptedFile(tmp_path), KeyringStore(MemoryKeyring())
    ConnectionStores(given=[], writable=[file, ring]).save(connection(api_key="old"))
    both = ConnectionStores(given=[], writable=[ring, file])
    both.save(connection(api_key="new"))
    assert file.load("stripe", "default") is None
    (known,) = both.known()
    assert (known.vendor, known.account) == ("stripe", "default")


def test_a_credentials_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text("[imap.default]\nuser = 'a'\nimap_port = 993\n[imap.branch]\nuser = 'b'\n")
    path.chmod(0o600)
    store = CredentialsFile(path)
    found = store.load("imap", "default")
    assert found is not None
    assert dict(found.fields) == {"user": "a", "imap_port": "993"}
    assert store.load("stripe", "default") is None
    assert sorted(store.known()) == [("imap", "branch"), ("imap", "default")]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("[imap.default]\nuser = 'a'\n", 0o644),
        ("[imap", 0o600),
        ("[imap]\nuser = 'a'\n", 0o600),
        ("[imap.default]\nuser = ['a']\n", 0o600),
        (None, 0o600),
    ],
)
def test_a_credentials_file_that_cannot_be_used_is_refused(
    text: str | None, mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.toml"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(BackendConfigError) as refused:
        CredentialsFile(path).load("imap", "default")
    assert "credentials.toml" in refused.value.message


def test_a_locked_keyring_is_said() -> None:
    ring = MemoryKeyring()
    store = KeyringStore(ring)
    store.save(connection())
    ring.is_locked = True
    for attempt in (lambda: store.load("stripe", "default"), lambda: store.save(connection())):
        with pytest.raises(BackendConfigError) as refused:
            attempt()
        assert "memory" in refused.value.message
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "ä", "x" * 65, "-x"])
def test_a_name_that_is_no_account_is_refused(name: str) -> None:
    with pytest.raises(BackendConfigError):
        account_name(name)


def test_only_a_keyring_that_hides_and_answers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    good, locked = MemoryKeyring(), MemoryKeyring()
    locked.is_locked = True
    chosen: KeyringBackend = good
    monkeypatch.setattr(keyring, "get_keyring", lambda: chosen)
    assert usable_keyring() is good
    chosen = locked
    assert usable_keyring() is None
    chosen = fail.Keyring()
    assert usable_keyring() is None


def test_a_machine_without_keyring_uses_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path))
    assert secrets_home() == tmp_path
    open_stores().save(connection(account="branch"))
    assert (tmp_path / "connections.enc").exists()
    assert stored("branch")("stripe") == connection(account="branch")
    monkeypatch.setenv("AICORE_STRIPE_API_KEY", "from the environment")
    assert stored()("stripe").need("api_key") == "from the environment"
    assert stored("branch")("stripe") == connection(account="branch")


def test_the_secrets_lie_in_the_configuration_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config/here")
    assert secrets_home() == Path("/config/here/aicore")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert secrets_home() == Path.home() / ".config/aicore"
