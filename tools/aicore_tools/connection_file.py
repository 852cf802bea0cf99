"""Connections in a file that is encrypted, for machines without a keyring."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing
from aicore_tools.whole_files import replace_whole

try:
    import fcntl
except ModuleNotFoundError:  # Windows: two writers at once may lose one of two changes
    fcntl = None  # type: ignore[assignment] # the module is optional

__all__ = ["PASSPHRASE_VARIABLE", "EncryptedFile"]

PASSPHRASE_VARIABLE = "AICORE_SECRETS_PASSPHRASE"  # noqa: S105  # a name
_VERSION = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_SALT_BYTES = 16
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1

_Held = dict[str, dict[str, str]]


class EncryptedFile:
    """All connections in one file, `connections.enc` in `folder`, under AES-256-GCM.

    The key comes from `passphrase` by scrypt; without one it is random and lies beside the file
    in `connections.key`. Both files are for their owner alone. A file keeps its kind of key until
    something is saved in it; then it takes the kind that is set.

    Raises, in all methods: BackendConfigError for a file that is damaged or of another key.
    """

    def __init__(self, folder: Path, *, passphrase: str = "") -> None:
        self._folder = folder
        self._file = folder / "connections.enc"
        self._key_file = folder / "connections.key"
        self._passphrase = passphrase
        self._derived: dict[str, bytes] = {}

    @property
    def where(self) -> str:
        """Where it is, for a person."""
        return f"the encrypted file {self._file}"

    def load(self, vendor: str, account: str) -> Connection | None:
        """Give a connection, None if it is not here."""
        fields = self._read().get(f"{vendor}/{account}")
        return (fields and Connection(vendor=vendor, account=account, fields=fields)) or None

    def known(self) -> Sequence[tuple[str, str]]:
        """Give vendor and account of each connection that is here."""
        names = [name.partition("/") for name in self._read()]
        return [(vendor, account) for vendor, _, account in names]

    def save(self, connection: Connection) -> None:
        """Keep a connection, in the place of an earlier one of that account."""
        with self._alone():
            held = self._read()
            held[f"{connection.vendor}/{connection.account}"] = dict(connection.fields)
            self._write(held)

    def forget(self, vendor: str, account: str) -> bool:
        """Take a connection out; tells whether it was here."""
        if not self._file.exists():
            return False
        with self._alone():
            held = self._read()
            if held.pop(f"{vendor}/{account}", None) is None:
                return False
            self._write(held)
            return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other process read and write in between."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._folder / "connections.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BackendConfigError(
                f"Connections cannot be kept in {self._folder}: {error.strerror}."
            ) from error
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> _Held:
        try:
            envelope = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged() from error
        if not isinstance(envelope, dict):
            raise self._damaged()
        if envelope.get("version") != _VERSION:
            raise BackendConfigError(f"{self._file} is of another version of aicore.")
        header = {name: envelope.get(name) for name in ("version", "salt")}
        try:
            nonce, sealed = _bytes(envelope["nonce"]), _bytes(envelope["sealed"])
            key = self._key_of(header)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged() from error
        held: _Held = json.loads(self._opened(key, nonce, sealed, header))
        return held

    def _opened(self, key: bytes, nonce: bytes, sealed: bytes, header: Mapping[str, Any]) -> bytes:
        aes, invalid = _cryptography()
        try:
            opened: bytes = aes(key).decrypt(nonce, sealed, _bound(header))
        except (invalid, ValueError) as error:
            if header["salt"]:
                raise BackendConfigError(
                    f"{self._file} does not open: the passphrase in {PASSPHRASE_VARIABLE} is"
                    " wrong, or the file is damaged."
                ) from error
            raise self._damaged() from error
        return opened

    def _write(self, held: _Held) -> None:
        aes, _ = _cryptography()
        header: dict[str, Any] = {"version": _VERSION, "salt": self._salt()}
        if header["salt"] is None:
            self._make_key_file()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = aes(self._key_of(header)).encrypt(nonce, json.dumps(held).encode(), _bound(header))
        envelope = header | {"nonce": _text(nonce), "sealed": _text(sealed)}
        try:
            replace_whole(self._file, json.dumps(envelope).encode())
        except OSError as error:
            raise BackendConfigError(
                f"{self._file} cannot be written: {error.strerror}."
            ) from error

    def _key_of(self, header: Mapping[str, Any]) -> bytes:
        if not header["salt"]:
            return self._key_from_file()
        if not self._passphrase:
            raise BackendConfigError(
                f"{self._file} is locked with a passphrase.",
                hint=f"Set it in {PASSPHRASE_VARIABLE}.",
            )
        salt = header["salt"]
        if salt not in self._derived:
            from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

            kdf = Scrypt(
                salt=_bytes(salt), length=_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P
            )
            self._derived = {salt: kdf.derive(self._passphrase.encode())}
        return self._derived[salt]

    def _salt(self) -> str | None:
        """Keep the salt of the file that was read: another key costs a third of a second."""
        if not self._passphrase:
            return None
        return next(iter(self._derived), None) or _text(secrets.token_bytes(_SALT_BYTES))

    def _key_from_file(self) -> bytes:
        try:
            text = self._key_file.read_text("ascii")
            mode = self._key_file.stat().st_mode
        except (OSError, ValueError) as error:
            raise BackendConfigError(
                f"{self._file} does not open: its key, {self._key_file}, cannot be read.",
                hint="Put the key file back, or delete both files and connect anew.",
            ) from error
        if os.name == "posix" and mode & 0o077:
            raise BackendConfigError(
                f"{self._key_file} can be read by others.", hint=f"chmod 600 {self._key_file}"
            )
        try:
            key = bytes.fromhex(text)
        except ValueError as error:
            raise self._damaged() from error
        if len(key) != _KEY_BYTES:
            raise self._damaged()
        return key

    def _make_key_file(self) -> None:
        if not self._key_file.exists():
            replace_whole(self._key_file, secrets.token_hex(_KEY_BYTES).encode())

    def _damaged(self) -> BackendConfigError:
        return BackendConfigError(
            f"{self._file} does not open: it is damaged, or {self._key_file.name} is not its key.",
            hint="Put both back from a copy, or delete both and connect anew.",
        )


def _cryptography() -> tuple[Any, type[Exception]]:
    with needing("connect"):
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    return AESGCM, InvalidTag


def _bound(header: Mapping[str, Any]) -> bytes:
    return json.dumps(["aicore connections", header], sort_keys=True).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
