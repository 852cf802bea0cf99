"""Where connections are kept, and in which order they are looked for.

    environment > credentials file > OS keyring > encrypted file

The first that has the connection gives all of it: fields of two places are never mixed, so no key
goes to an address that was meant for another.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aicore_tools.connection_file import PASSPHRASE_VARIABLE, EncryptedFile
from aicore_tools.connections import (
    DEFAULT_ACCOUNT,
    Connect,
    Connection,
    connect_command,
    refuse_base_url,
)
from aicore_tools.errors import BackendConfigError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = [
    "DEFAULT_ACCOUNT",
    "ConnectionStores",
    "CredentialsFile",
    "EncryptedFile",
    "EnvironmentStore",
    "KeyringStore",
    "Known",
    "account_name",
    "open_stores",
    "secrets_home",
    "stored",
    "usable_keyring",
]

_SERVICE = "aicore"
_INDEX = "connections"
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def secrets_home() -> Path:
    """Give the folder of the encrypted file: $AICORE_SECRETS, else the XDG configuration home."""
    if chosen := os.environ.get("AICORE_SECRETS"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "aicore"


def account_name(text: str) -> str:
    """Check the name of an account.

    Raises:
        BackendConfigError: it is none.
    """
    if _ACCOUNT.fullmatch(text) is None:
        raise BackendConfigError(
            f"{text[:80]!r} is no name of an account.",
            hint="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    return text


class ReadableStore(Protocol):
    """A place that has connections."""

    @property
    def where(self) -> str:
        """Where it is, for a person."""
        ...

    def load(self, vendor: str, account: str) -> Connection | None:
        """Give a connection, None if it is not here."""
        ...

    def known(self) -> Sequence[tuple[str, str]]:
        """Give vendor and account of each connection that is here."""
        ...


class WritableStore(ReadableStore, Protocol):
    """A place that keeps connections."""

    def save(self, connection: Connection) -> None:
        """Keep a connection, in the place of an earlier one of that account."""
        ...

    def forget(self, vendor: str, account: str) -> bool:
        """Take a connection out; tells whether it was here."""
        ...


class EnvironmentStore:
    """Connections of the account `default` in variables such as AICORE_STRIPE_API_KEY.

    `vendors` are the ones that `known` looks for.
    """

    where = "the environment"

    def __init__(self, environment: Mapping[str, str], vendors: Sequence[str] = ()) -> None:
        self._environment = environment
        self._vendors = vendors

    def load(self, vendor: str, account: str) -> Connection | None:
        """Give a connection, None if no variable of the vendor is set or it is another account."""
        prefix = f"AICORE_{vendor.upper()}_"
        fields = {
            name.removeprefix(prefix).lower(): value
            for name, value in self._environment.items()
            if name.startswith(prefix) and value
        }
        if account != DEFAULT_ACCOUNT or not fields:
            return None
        return Connection(vendor=vendor, account=account, fields=fields)

    def known(self) -> Sequence[tuple[str, str]]:
        """Give the vendors that have variables."""
        return [(name, DEFAULT_ACCOUNT) for name in self._vendors if self.load(name, "default")]


class CredentialsFile:
    """Connections in a TOML file that somebody else writes: a table `[vendor.account]` for each.

    Raises, in all methods: BackendConfigError for a file that others may read, or that is broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def where(self) -> str:
        """Where it is, for a person."""
        return f"the credentials file {self._path}"

    def load(self, vendor: str, account: str) -> Connection | None:
        """Give a connection, None if it is not here."""
        fields = self._tables().get((vendor, account))
        if fields is None:
            return None
        return Connection(vendor=vendor, account=account, fields=fields)

    def known(self) -> Sequence[tuple[str, str]]:
        """Give vendor and account of each connection that is here."""
        return list(self._tables())

    def _tables(self) -> dict[tuple[str, str], dict[str, str]]:
        try:
            mode = self._path.stat().st_mode
            read = tomllib.loads(self._path.read_text("utf-8"))
        except OSError as error:
            raise BackendConfigError(
                f"{self._path} cannot be read: {error.strerror}.",
                hint="It is named by AICORE_CREDENTIALS.",
            ) from error
        except ValueError as error:
            raise BackendConfigError(f"{self._path} is no TOML.") from error
        if os.name == "posix" and mode & 0o007:
            raise BackendConfigError(
                f"{self._path} can be read by others.", hint=f"chmod 600 {self._path}"
            )
        return {
            (vendor, account): self._fields(vendor, account, fields)
            for vendor, accounts in read.items()
            for account, fields in (accounts.items() if isinstance(accounts, dict) else ())
        }

    def _fields(self, vendor: str, account: str, fields: object) -> dict[str, str]:
        if not isinstance(fields, dict) or not all(
            isinstance(value, str | int) for value in fields.values()
        ):
            raise BackendConfigError(
                f"{self._path}: [{vendor}.{account}] must be a table of texts.",
                hint=f"Write [{vendor}.{DEFAULT_ACCOUNT}] above the fields of {vendor}.",
            )
        return {name: str(value) for name, value in fields.items()}


class KeyringStore:
    """Connections in the OS keyring, one entry each, and one that lists them."""

    def __init__(self, keyring: KeyringBackend) -> None:
        self._keyring = keyring

    @property
    def where(self) -> str:
        """Where it is, for a person."""
        return f"the keyring of this system ({self._keyring.name})"

    def load(self, vendor: str, account: str) -> Connection | None:
        """Give a connection, None if it is not here."""
        text = self._get(f"{vendor}/{account}")
        if text is None:
            return None
        return Connection(vendor=vendor, account=account, fields=json.loads(text))

    def known(self) -> Sequence[tuple[str, str]]:
        """Give vendor and account of each connection that is here."""
        names = [name.partition("/") for name in json.loads(self._get(_INDEX) or "[]")]
        return [(vendor, account) for vendor, _, account in names]

    def save(self, connection: Connection) -> None:
        """Keep a connection, in the place of an earlier one of that account.

        Raises:
            BackendConfigError: the keyring refuses it: it is locked, or the entry is too long.
        """
        name = f"{connection.vendor}/{connection.account}"
        self._set(name, json.dumps(dict(connection.fields)))
        listed = {f"{vendor}/{account}" for vendor, account in self.known()}
        self._set(_INDEX, json.dumps(sorted(listed | {name})))

    def forget(self, vendor: str, account: str) -> bool:
        """Take a connection out; tells whether it was here."""
        from keyring.errors import KeyringError

        name = f"{vendor}/{account}"
        listed = {f"{vendor}/{account}" for vendor, account in self.known()}
        self._set(_INDEX, json.dumps(sorted(listed - {name})))
        if self._get(name) is None:
            return False
        try:
            self._keyring.delete_password(_SERVICE, name)
        except KeyringError as error:
            raise self._refused() from error
        return True

    def _get(self, name: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            return self._keyring.get_password(_SERVICE, name)
        except KeyringError as error:
            raise self._refused() from error

    def _set(self, name: str, text: str) -> None:
        from keyring.errors import KeyringError

        try:
            self._keyring.set_password(_SERVICE, name, text)
        except (KeyringError, OSError) as error:  # Windows raises OSError for one that is too long
            raise self._refused() from error

    def _refused(self) -> BackendConfigError:
        return BackendConfigError(
            f"{self.where[0].upper()}{self.where[1:]} refuses: it may be locked, or the entry too"
            " long.",
            hint="Unlock it, or use --store file.",
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A connection that is kept, without what is in it."""

    vendor: str
    account: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStores:
    """All places, in the order in which they are asked. New connections go to `writable[0]`."""

    given: Sequence[ReadableStore]
    writable: Sequence[WritableStore]

    def find(self, vendor: str, account: str) -> Connection:
        """Give the connection of the first place that has it.

        Raises:
            BackendConfigError: no place has it, one cannot be read, or its base_url is no address.
        """
        places = (*self.given, *self.writable)
        for place in places:
            found = place.load(vendor, account)
            if found is not None:
                refuse_base_url(found.fields)
                return found
        raise BackendConfigError(
            f"There is no connection to {vendor} ({account}) in"
            f" {', '.join(place.where for place in places)}.",
            hint=f"Run `{connect_command(vendor, account)}`.",
        )

    def save(self, connection: Connection) -> str:
        """Keep a connection; gives where. Another place that kept the account forgets it."""
        first, *others = self.writable
        first.save(connection)
        for other in others:
            other.forget(connection.vendor, connection.account)
        return first.where

    def forget(self, vendor: str, account: str) -> Sequence[str]:
        """Take a connection out everywhere; gives where it was."""
        return [place.where for place in self.writable if place.forget(vendor, account)]

    def known(self) -> Sequence[Known]:
        """Give every connection of every place, the places in the order they are asked."""
        return [
            Known(vendor, account, place.where)
            for place in (*self.given, *self.writable)
            for vendor, account in sorted(place.known())
        ]


def usable_keyring() -> KeyringBackend | None:
    """Give the OS keyring, None where there is none or it does not answer.

    One that stores plain text is none.
    """
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend
        from keyring.errors import KeyringError
    except ModuleNotFoundError:
        return None
    _point_to_session_bus()
    found = keyring.get_keyring()
    if isinstance(found, ChainerBackend):
        found = ChainerBackend.backends[0]
    if not keyring.core.recommended(found) or type(found).__module__.startswith("keyrings.alt"):
        return None
    try:
        found.get_password(_SERVICE, _INDEX)
    except (KeyringError, OSError):
        return None
    return found


def _point_to_session_bus() -> None:
    """Say where systemd has the bus of the keyring: MCP clients pass that variable on to nobody.

    https://www.freedesktop.org/software/systemd/man/latest/pam_systemd.html
    """
    bus = Path(f"/run/user/{os.getuid()}/bus") if hasattr(os, "getuid") else None
    if bus is not None and bus.exists():
        os.environ.setdefault("DBUS_SESSION_BUS_ADDRESS", f"unix:path={bus}")


def open_stores(*, vendors: Sequence[str] = (), only_file: bool = False) -> ConnectionStores:
    """Give the places of this machine and user.

    Args:
        vendors: the ones to list from the environment.
        only_file: keep new connections in the encrypted file although there is a keyring.
    """
    given: list[ReadableStore] = [EnvironmentStore(os.environ, vendors)]
    if path := os.environ.get("AICORE_CREDENTIALS"):
        given.append(CredentialsFile(Path(path)))
    file = EncryptedFile(secrets_home(), passphrase=os.environ.get(PASSPHRASE_VARIABLE, ""))
    writable: list[WritableStore] = [file]
    keyring = usable_keyring()
    if keyring is not None:
        writable.insert(1 if only_file else 0, KeyringStore(keyring))
    return ConnectionStores(given=given, writable=writable)


def stored(account: str = DEFAULT_ACCOUNT) -> Connect:
    """Give the `Connect` of one account: it looks in the places above when it is called.

    Raises:
        BackendConfigError: that is no name of an account.
    """
    name = account_name(account)
    return lambda vendor: open_stores().find(vendor, name)
