"""The backends of payments by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from aicore_tools.errors import BackendConfigError
from aicore_tools.payments.port import Ledger

__all__ = ["BACKENDS", "LedgerSettings", "ledger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """What a backend is told: whose payments, where they lie, and how customers pay.

    `url_template` is a page of the business to pay on, with {reference} in it; None: there is
    none, and `instructions` are all a customer gets.

    Raises:
        BackendConfigError: the page's address has no {reference} in it or is not https.
    """

    data_dir: Path
    business: str
    zone: ZoneInfo
    instructions: str
    url_template: str | None = None

    def __post_init__(self) -> None:
        page = self.url_template
        if page is not None and not (page.startswith("https://") and "{reference}" in page):
            raise BackendConfigError(
                f"The address to pay at, {page!r}, must be https and contain {{reference}}."
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


BACKENDS: Mapping[str, Callable[[LedgerSettings], Ledger]] = {"local": _local}


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
