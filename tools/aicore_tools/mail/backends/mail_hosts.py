"""Where a mail server is, and how the way to it is protected."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, get_args

from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

__all__ = ["MailHost"]

Tls = Literal["ssl", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class MailHost:
    """A server's name and port; `tls` from the first byte, by STARTTLS, or not at all."""

    name: str
    port: int
    tls: Tls

    @classmethod
    def of(cls, connection: Connection, protocol: str, *, default_port: int) -> MailHost:
        """Read the fields `<protocol>_host`, `_port` and `_tls` of a connection.

        Raises:
            BackendConfigError: one is missing or wrong, or a password would go unprotected to
                another machine; the field `allow_unencrypted` = yes allows that.
        """
        name = connection.need(f"{protocol}_host")
        port = connection.get(f"{protocol}_port", str(default_port))
        tls = connection.get(f"{protocol}_tls", "ssl")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BackendConfigError(f"{protocol}_port is no port.", hint="Give 1 to 65535.")
        if tls not in get_args(Tls):
            raise BackendConfigError(
                f"{protocol}_tls is {tls!r}.", hint=f"Give one of: {', '.join(get_args(Tls))}."
            )
        told = connection.get("allow_unencrypted").lower() == "yes"
        if tls == "none" and not told and not _is_loopback(name):
            raise BackendConfigError(
                f"Without TLS the password would go to {name} for everybody to read.",
                hint=f"Set {protocol}_tls to ssl or starttls, or allow_unencrypted to yes.",
            )
        chosen: Tls = tls  # type: ignore[assignment] # checked above
        return cls(name, int(port), chosen)


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
