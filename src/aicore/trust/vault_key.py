"""The key of the vaults: where it comes from, and what is sealed with it (AES-256-GCM)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Self

from aicore.errors import ConfigError

__all__ = ["VaultKey", "WrongKeyError"]

_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2.2: random, 96 bits


class WrongKeyError(Exception):
    """Something was sealed with another key, for another place, or was changed since."""


class VaultKey:
    """32 secret bytes. They are in no message, no log and no repr."""

    __slots__ = ("_finding", "_sealing")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise ConfigError(
                f"The key of the vault has {len(secret)} bytes and needs {_KEY_BYTES}."
            )
        # Two keys of one: the one that finds values again must not be the one that seals them.
        self._sealing = hmac.digest(secret, b"aicore vault: seal", hashlib.sha256)
        self._finding = hmac.digest(secret, b"aicore vault: find", hashlib.sha256)

    def __repr__(self) -> str:
        return "VaultKey(...)"

    @classmethod
    def random(cls) -> Self:
        """A key that nobody else has: for vaults that end with the process."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def from_environment(cls, variable: str) -> Self:
        """Take the key from an environment variable, in base64 or hexadecimal.

        Raises: ConfigError naming the variable when there is none in it.
        """
        secret = _decoded(os.environ.get(variable, ""))
        if secret is None:
            raise ConfigError(
                f"The environment variable {variable} holds no key for the vault: set it to 32 "
                "random bytes in base64, as `openssl rand -base64 32` gives them."
            )
        return cls(secret)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Take the key from a file, made with a new key, for its owner alone, if it is missing.

        A new key cannot open vaults that were sealed with another: these say so. Raises:
        ConfigError for a file that others may read, that holds no key, or cannot be read or made.
        """
        try:
            if not path.exists():
                _make_file(path)
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise ConfigError(f"Others may read the key file {path}. Run: chmod 600 {path}")
            secret = _decoded(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
            raise ConfigError(f"The key file {path} cannot be used: {reason}.") from exc
        if secret is None:
            raise ConfigError(
                f"The file {path} holds no key for the vault: 32 random bytes in base64. Name "
                "another file; a missing one is made."
            )
        return cls(secret)

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Encrypt for one place; it can be opened for no other."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._sealing).encrypt(nonce, plain, place)

    def unseal(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt. Raises: WrongKeyError."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._sealing).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place
            )
        except (InvalidTag, ValueError) as exc:
            raise WrongKeyError("Not sealed with this key, or not for this place.") from exc

    def finder(self, plain: bytes) -> bytes:
        """What a value is found by without being told: the same for the same bytes."""
        return hmac.digest(self._finding, plain, hashlib.sha256)


def _decoded(text: str) -> bytes | None:
    """The key in a text, or None."""
    text = text.strip()
    try:
        if len(text) == 2 * _KEY_BYTES:
            return bytes.fromhex(text)
        secret = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if len(secret) == _KEY_BYTES else None


def _make_file(path: Path) -> None:
    """Make the file whole or not at all; of two processes that do so at once, one wins."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        beside.unlink()
