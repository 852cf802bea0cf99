"""The backends of the calendars by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aicore_tools.calendars.port import Agenda
from aicore_tools.connections import Connect, not_connected
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing

__all__ = ["BACKENDS", "AgendaSettings", "agenda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaSettings:
    """What a backend is told: whose calendars, where they lie, their zone and their ids.

    `calendars` are ids, the default one first; empty means all that the account has (the local
    backend: `main`). `addresses` are the business's own e-mail addresses. `connect` gives the
    credentials of a vendor, of which `account` is the chosen one.
    """

    data_dir: Path
    business: str
    tz: str
    calendars: Sequence[str] = ()
    addresses: Sequence[str] = ()
    connect: Connect = not_connected
    account: str = "default"


def _local(settings: AgendaSettings) -> Agenda:
    from aicore_tools.calendars.backends.local import LocalAgenda

    return LocalAgenda(
        settings.data_dir / "calendars.db",
        business=settings.business,
        tz=settings.tz,
        calendars=settings.calendars or ("main",),
        addresses=settings.addresses,
    )


def _caldav(settings: AgendaSettings) -> Agenda:
    with needing("caldav"):
        from aicore_tools.calendars.backends.caldav import CalDavAgenda, Place

    connection = settings.connect("caldav")
    return CalDavAgenda(
        settings.data_dir / f"calendars-caldav-{quote(settings.account, safe='')}.db",
        connection,
        business=settings.business,
        place=Place(
            tz=settings.tz,
            calendars=settings.calendars,
            addresses=settings.addresses,
            user=connection.need("user"),
        ),
    )


def _google(settings: AgendaSettings) -> Agenda:
    from aicore_tools.calendars.backends.google import GoogleAgenda

    return GoogleAgenda(
        settings.data_dir / f"calendars-google-{quote(settings.account, safe='')}.db",
        settings.connect("google"),
        business=settings.business,
        calendars=settings.calendars,
        addresses=settings.addresses,
    )


BACKENDS: Mapping[str, Callable[[AgendaSettings], Agenda]] = {
    "local": _local,
    "caldav": _caldav,
    "google": _google,
}


def agenda(backend: str, settings: AgendaSettings) -> Agenda:
    """Make the backend of that name; it opens when it is entered.

    Raises:
        BackendConfigError: there is none of that name.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no calendar backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    return make(settings)
