"""Connections to vendors: whose account, and what its credential may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aicore_tools.errors import BackendConfigError

__all__ = ["Connect", "Connection", "Probe", "not_connected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One account at one vendor. `fields` hold secrets and are never shown."""

    vendor: str
    account: str = "default"
    fields: Mapping[str, str] = field(repr=False)

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
                hint=f"Run `aicore connect {self.vendor}` again.",
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
