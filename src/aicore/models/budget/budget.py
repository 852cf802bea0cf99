"""A budget: a ledger, the limits, and when a day begins."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from aicore.errors import ConfigError
from aicore.models.budget.port import BudgetLimits, Ledger, Reservation, Spent
from aicore.models.port import Origin

__all__ = ["Budget"]


_SLOT_MS = 15 * 60 * 1000
"""Days begin at a quarter of an hour of UTC, in every zone of today."""


class Budget:
    """Sets money aside before a model is asked. Entering it enters its ledger.

    Days and months are those of `zone`, an IANA name; None: the machine's own. Moments are
    milliseconds since 1970, UTC. Raises: ConfigError for a zone that nobody knows, and for a
    limit below 0.
    """

    def __init__(self, ledger: Ledger, limits: BudgetLimits, *, zone: str | None = None) -> None:
        self._ledger = ledger
        self._limits = limits
        self._zone = None if zone is None else _known(zone)
        self._slot: int | None = None
        self._today = date.min
        for name in BudgetLimits.__slots__:
            limit_usd = getattr(limits, name)
            if limit_usd is not None and not (limit_usd.is_finite() and limit_usd >= 0):
                raise ConfigError(f"budget.{name} is {limit_usd}. Give an amount from 0 on.")

    @property
    def limits(self) -> BudgetLimits:
        """What may be spent."""
        return self._limits

    async def reserve(self, origin: Origin, amount_usd: Decimal, *, now_ms: int) -> Reservation:
        """Set an amount aside for one request; see Ledger. Raises as that does."""
        return await self._ledger.reserve(origin, amount_usd, self._limits, day=self._day(now_ms))

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Put what a request cost in the place of its reservation; see Ledger."""
        await self._ledger.settle(reservation, amount_usd)

    async def spent(self, origin: Origin, *, now_ms: int) -> Spent:
        """What is spent or reserved in the windows of a request."""
        return await self._ledger.spent(origin, day=self._day(now_ms))

    async def __aenter__(self) -> Self:
        await self._ledger.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._ledger.__aexit__(exc_type, exc, traceback)

    def _day(self, now_ms: int) -> date:
        slot = now_ms // _SLOT_MS
        if slot != self._slot:
            self._slot = slot
            self._today = datetime.fromtimestamp(slot * _SLOT_MS / 1000, self._zone).date()
        return self._today


def _known(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, LookupError) as exc:
        raise ConfigError(f"There is no time zone {zone!r}. Name one as Europe/Berlin.") from exc
