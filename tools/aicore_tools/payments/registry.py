"""The backends of payments by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from aicore_tools.connections import Connect, not_connected
from aicore_tools.errors import BackendConfigError
from aicore_tools.payments.port import Ledger

__all__ = ["BACKENDS", "LedgerSettings", "ledger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """What a backend is told: whose payments, where they lie, and how customers pay.

    `url_template` is a page of the business to pay on, with {reference} in it; None: there is
    none, and `instructions` are all a customer gets. `done_url` is where a vendor's pay page sends
    those who have paid. `connect` gives the connection to a vendor, `account` names it.

    Raises:
        BackendConfigError: an address is not https, or the page's has no {reference} in it.
    """

    data_dir: Path
    business: str
    zone: ZoneInfo
    instructions: str
    url_template: str | None = None
    done_url: str | None = None
    connect: Connect = not_connected
    account: str = "default"

    def __post_init__(self) -> None:
        page = self.url_template
        if page is not None and not (page.startswith("https://") and "{reference}" in page):
            raise BackendConfigError(
                f"The address to pay at, {page!r}, must be https and contain {{reference}}."
            )
        if self.done_url is not None and not self.done_url.startswith("https://"):
            raise BackendConfigError(
                f"The address {self.done_url!r} to land on after paying must be https."
            )


def _local(settings: LedgerSettings) -> Ledger:
    from aicore_tools.payments.backends.local import LocalLedger, PayTerms

    return LocalLedger(
        settings.data_dir / "payments.db",
        business=settings.business,
        terms=PayTerms(
            instructions=settings.instructions,
            url_template=settings.url_template,
            zone=settings.zone,
        ),
    )


def _stripe(settings: LedgerSettings) -> Ledger:
    from aicore_tools.payments.backends.stripe import StripeLedger

    return StripeLedger(
        settings.connect("stripe"),
        data_dir=settings.data_dir,
        business=settings.business,
        done_url=settings.done_url,
    )


BACKENDS: Mapping[str, Callable[[LedgerSettings], Ledger]] = {"local": _local, "stripe": _stripe}


def ledger(backend: str, settings: LedgerSettings) -> Ledger:
    """Make the backend of that name; it opens when it is entered.

    Raises:
        BackendConfigError: there is none of that name.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no payment backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    return make(settings)
