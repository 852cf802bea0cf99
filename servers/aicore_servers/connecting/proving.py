"""Proving a connection: the backends that use it read something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import BackendUnavailable, ToolsError

__all__ = ["Proof", "prove"]

_PROBE_S = 60.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What one backend found: a probe, or why there is none."""

    domain: str
    backend: str
    probe: Probe | None
    failure: ToolsError | None = None


async def prove(connection: Connection, backends: Mapping[str, str]) -> list[Proof]:
    """Let each backend, by domain, read through the connection. Keeps and changes nothing."""
    proofs = []
    for domain, backend in backends.items():
        with TemporaryDirectory(prefix="aicore-connect-") as folder:
            try:
                probe = await _probe(domain, backend, connection, Path(folder))
            except ToolsError as error:
                proofs.append(Proof(domain, backend, None, error))
            else:
                proofs.append(Proof(domain, backend, probe))
    return proofs


async def _probe(domain: str, backend: str, connection: Connection, folder: Path) -> Probe:
    try:
        with anyio.fail_after(_PROBE_S):
            async with _OPEN[domain](backend, connection, folder) as port:
                probe: Probe = await port.probe()
                return probe
    except TimeoutError as error:
        raise BackendUnavailable(f"No answer within {_PROBE_S:g} s.") from error


_Port = AbstractAsyncContextManager[Any]


def _crm(backend: str, connection: Connection, folder: Path) -> _Port:
    from aicore_tools.crm.registry import CrmSettings, directory

    settings = CrmSettings(
        data_dir=folder,
        business="main",
        account=connection.account,
        connect=lambda _: connection,
    )
    return directory(backend, settings)


def _mail(backend: str, connection: Connection, folder: Path) -> _Port:
    from aicore_tools.mail.registry import MailboxSettings, mailbox

    settings = MailboxSettings(
        data_dir=folder,
        business="main",
        account=connection.account,
        connect=lambda _: connection,
    )
    return mailbox(backend, settings)


def _calendars(backend: str, connection: Connection, folder: Path) -> _Port:
    from aicore_tools.calendars.registry import AgendaSettings, agenda

    settings = AgendaSettings(
        data_dir=folder,
        business="main",
        tz="UTC",
        account=connection.account,
        connect=lambda _: connection,
    )
    return agenda(backend, settings)


def _payments(backend: str, connection: Connection, folder: Path) -> _Port:
    from zoneinfo import ZoneInfo

    from aicore_tools.payments.registry import LedgerSettings, ledger

    settings = LedgerSettings(
        data_dir=folder,
        business="main",
        zone=ZoneInfo("UTC"),
        instructions="",
        account=connection.account,
        connect=lambda _: connection,
    )
    return ledger(backend, settings)


_OPEN: Mapping[str, Callable[[str, Connection, Path], _Port]] = {
    "crm": _crm,
    "mail": _mail,
    "calendars": _calendars,
    "payments": _payments,
}
