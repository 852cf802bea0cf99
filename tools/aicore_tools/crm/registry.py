"""The backends of the CRM by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from aicore_tools.connections import Connect, not_connected
from aicore_tools.crm.mapping import TypeRule
from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.errors import BackendConfigError

__all__ = ["BACKENDS", "CrmSettings", "directory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmSettings:
    """What a backend is told: whose records, where our files lie, which account, which fields.

    `mapping` declares fields and types beside the standard ones (see `mapping.read_mapping`).
    """

    data_dir: Path
    business: str
    account: str = "default"
    connect: Connect = not_connected
    mapping: Mapping[str, TypeRule] = field(default_factory=dict)


def _local(settings: CrmSettings) -> CustomerDirectory:
    from aicore_tools.crm.backends.local import LocalDirectory
    from aicore_tools.crm.mapping import own_catalogue

    return LocalDirectory(
        settings.data_dir / "crm.db",
        business=settings.business,
        catalogue=own_catalogue(settings.mapping),
    )


def _hubspot(settings: CrmSettings) -> CustomerDirectory:
    from aicore_tools.crm.backends.hubspot import HubSpotDirectory

    connection = settings.connect("hubspot")
    return HubSpotDirectory(
        connection,
        journal=settings.data_dir / f"crm-hubspot-{quote(connection.account, safe='@')}.db",
        business=settings.business,
        mapping=settings.mapping,
    )


BACKENDS: Mapping[str, Callable[[CrmSettings], CustomerDirectory]] = {
    "local": _local,
    "hubspot": _hubspot,
}


def directory(backend: str, settings: CrmSettings) -> CustomerDirectory:
    """Make the backend of that name; it opens when it is entered.

    Raises:
        BackendConfigError: there is none of that name, or no connection for it.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no CRM backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    return make(settings)
