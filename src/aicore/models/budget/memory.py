"""A ledger in memory: for tests, and where budgets may begin anew with the process."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Self

from aicore.models.budget.port import BudgetLimits, Reservation, Spent
from aicore.models.budget.windows import (
    KEEP,
    KEEP_RESERVATIONS,
    Window,
    WindowKind,
    check,
    nano_of,
    new_reservation,
    spent_of,
    windows_of,
)
from aicore.models.port import Origin

__all__ = ["MemoryLedger"]


class MemoryLedger:
    """Keeps sums for as long as it lives; see Ledger."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, Window], int] = defaultdict(int)
        self._last_used: dict[tuple[str, Window], date] = {}
        self._reserved: dict[str, Reservation] = {}
        self._folded: date | None = None

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        """Set an amount aside; see Ledger."""
        reservation = new_reservation(origin, amount_usd, day)
        nano = nano_of(reservation.amount_usd)
        check(limits, self._used(origin, day), nano)
        self._reserved[reservation.id] = reservation
        self._add(reservation, nano)
        self._fold(day)
        return reservation

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Put what a request cost in the place of its reservation; see Ledger."""
        nano = nano_of(amount_usd)
        kept = self._reserved.pop(reservation.id, None)
        if kept is not None:
            self._add(kept, nano - nano_of(kept.amount_usd))

    async def spent(self, origin: Origin, *, day: date) -> Spent:
        """What is spent or reserved in the windows of a request."""
        return spent_of(self._used(origin, day))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    def _used(self, origin: Origin, day: date) -> dict[WindowKind, int]:
        windows = windows_of(origin, day)
        return {window.kind: self._sums.get((origin.business, window), 0) for window in windows}

    def _add(self, reservation: Reservation, nano: int) -> None:
        for window in windows_of(reservation.origin, reservation.day):
            place = (reservation.origin.business, window)
            self._sums[place] += nano
            self._last_used[place] = reservation.day

    def _fold(self, day: date) -> None:
        if self._folded is not None and day <= self._folded:
            return
        self._folded = day
        for place, last_used in list(self._last_used.items()):
            keep = KEEP.get(place[1].kind)
            if keep is not None and day - last_used > keep:
                del self._sums[place], self._last_used[place]
        for reservation in list(self._reserved.values()):
            if day - reservation.day > KEEP_RESERVATIONS:
                del self._reserved[reservation.id]
