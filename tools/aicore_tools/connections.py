"""Connections to vendors: whose account, and what its credential may do."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from aicore_tools.errors import BackendConfigError

__all__ = [
    "DEFAULT_ACCOUNT",
    "Connect",
    "Connection",
    "Probe",
    "connect_command",
    "is_loopback",
    "named_account",
    "not_connected",
    "refuse_base_url",
]

DEFAULT_ACCOUNT = "default"
_BARE_COMMAND = re.compile(r"`aicore connect (\w+)`")


def connect_command(vendor: str, account: str) -> str:
    """Give the command that connects an account, without backquotes."""
    named = "" if account == DEFAULT_ACCOUNT else f" --account {account}"
    return f"aicore connect {vendor}{named}"


def named_account(hint: str, account: str) -> str:
    """Name the account in the commands of a hint that was written without knowing it."""
    return _BARE_COMMAND.sub(lambda found: f"`{connect_command(found[1], account)}`", hint)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_base_url(fields: Mapping[str, str]) -> None:
    """Refuse a base_url that is no address, or would send a key through the net in clear text.

    Raises:
        BackendConfigError: it is not https, nor http to this machine.
    """
    given = fields.get("base_url")
    if not given:
        return
    try:
        address = urlsplit(given)
        is_address = bool(address.hostname) and address.port != 0
    except ValueError:
        is_address = False
    if not is_address or address.scheme not in ("https", "http") or "@" in address.netloc:
        raise BackendConfigError(
            "base_url is no address.", hint="Write it as https://host/ or http://127.0.0.1:8801."
        )
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        raise BackendConfigError(
            f"base_url: over http the key would go to {address.hostname} in clear text.",
            hint="Use https; http is for this machine alone.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One account at one vendor. `fields` hold secrets and are never shown."""

    vendor: str
    account: str = DEFAULT_ACCOUNT
    fields: Mapping[str, str] = field(repr=False)

    @property
    def command(self) -> str:
        """The command that connects this account again, without backquotes."""
        return connect_command(self.vendor, self.account)

    def get(self, name: str, default: str = "") -> str:
        """Give a field, or `default` where it is missing or empty."""
        return self.fields.get(name) or default

    def need(self, name: str) -> str:
        """Give a field that must be there.

        Raises:
            BackendConfigError: it is missing or empty.
        """
        value = self.fields.get(name)
        if not value:
            raise BackendConfigError(
                f"The connection to {self.vendor} ({self.account}) has no {name}.",
                hint=f"Run `{self.command}` again.",
            )
        return value


Connect: TypeAlias = Callable[[str], Connection]
"""Gives the connection to the vendor of that name, or raises BackendConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a read through a connection proved.

    `name` is whose account or which file it is, `can` says in plain words what the credential
    allows, `warnings` what its owner should know. `is_test`: nothing real can happen there.
    """

    name: str
    can: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    is_test: bool = False


def not_connected(vendor: str) -> Connection:
    """Be the `Connect` of a program that has no connections.

    Raises:
        BackendConfigError: always.
    """
    raise BackendConfigError(
        f"There is no connection to {vendor}.", hint=f"Run `aicore connect {vendor}`."
    )
