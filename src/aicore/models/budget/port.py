"""The Ledger port: who spent how much, and what is set aside for requests under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Protocol, Self

from aicore.models.port import Origin

__all__ = ["BudgetLimits", "Ledger", "Reservation", "Spent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """US dollars that may be spent in a turn, a conversation, and by a business a day and a month.

    None: no limit. A request outside of turns counts for no turn, one outside of conversations
    for no conversation either.
    """

    turn_usd: Decimal | None = None
    conversation_usd: Decimal | None = None
    day_usd: Decimal | None = None
    month_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """US dollars that are spent or reserved, by the windows of one request and day."""

    turn_usd: Decimal
    conversation_usd: Decimal
    day_usd: Decimal
    month_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """US dollars set aside for one request. It counts in the windows of `origin` and `day`."""

    id: str
    origin: Origin
    day: date
    amount_usd: Decimal


class Ledger(Protocol):
    """Keeps what every business spent.

    Safe for many tasks, and as a file or database for many processes, at once: what is spent and
    reserved passes no limit by a reservation.

    Amounts are exact to a billionth of a dollar; finer ones are rounded up. `day` is the day of
    the business. Entered by its users, as often as they like; the last to leave closes it.

    Raises: StoreBusy (may be tried again), StoreError, NotOpenError.
    """

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        """Set an amount aside; it counts in full until it is settled, for ever if it never is.

        An amount of 0 is never refused. When cancelled, nothing stays set aside.
        Raises: BudgetReached when a limit would be passed, naming the narrowest window; then
        nothing is set aside. ValueError for an amount that is negative or none.
        """

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Put what a request cost in the place of its reservation, more or less as it may be.

        Only the first settling of a reservation counts. It may be asked for again after any error.
        """

    async def spent(self, origin: Origin, *, day: date) -> Spent:
        """What is spent or reserved in the windows of a request."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...
