"""What the stores of a ledger share: the windows of a request, amounts as integers, the check."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import uuid4

import anyio

from aicore.errors import AicoreError, BudgetReached
from aicore.models.budget.port import BudgetLimits, Ledger, Reservation, Spent
from aicore.models.port import Origin

__all__ = [
    "KEEP",
    "KEEP_RESERVATIONS",
    "Window",
    "WindowKind",
    "check",
    "nano_of",
    "new_reservation",
    "spent_of",
    "undone_if_cancelled",
    "windows_of",
]

WindowKind = Literal["turn", "conversation", "day", "month"]

KEEP: Mapping[WindowKind, timedelta] = {
    "turn": timedelta(days=40),
    "conversation": timedelta(days=400),
}
"""How long after its last use a sum is kept; those of days and months stay."""

KEEP_RESERVATIONS = KEEP["turn"]
"""How long a reservation can be settled; later it counts in full for good."""

_NANO = Decimal(1_000_000_000)
_MOST_USD = Decimal(1_000_000)


class Window(NamedTuple):
    """One sum of a business. `key` names no conversation: only a digest of its id is kept."""

    kind: WindowKind
    key: str


@lru_cache(maxsize=1024)  # asked for three times a request
def windows_of(origin: Origin, day: date) -> Sequence[Window]:
    """Give the sums that a request counts in, the narrowest first."""
    windows = [Window("day", day.isoformat()), Window("month", f"{day:%Y-%m}")]
    if origin.conversation:
        # Ids are telephone numbers and mail addresses; a digest is as good for counting.
        id_ = origin.conversation.encode("utf-8", "surrogatepass")
        digest = sha256(id_).hexdigest()[:32]
        windows.insert(0, Window("conversation", digest))
        if origin.turn:
            windows.insert(0, Window("turn", f"{digest}:{origin.turn}"))
    return windows


def nano_of(amount_usd: Decimal) -> int:
    """Give an amount in billionths of a dollar. Raises: ValueError below 0 and for no number."""
    if not (amount_usd.is_finite() and 0 <= amount_usd <= _MOST_USD):
        raise ValueError(f"An amount is between 0 and a million dollars, not {amount_usd}.")
    return int((amount_usd * _NANO).to_integral_value(ROUND_CEILING))


def new_reservation(origin: Origin, amount_usd: Decimal, day: date) -> Reservation:
    """Make a reservation with an id of its own, not yet kept anywhere. Raises as `nano_of`."""
    rounded_usd = _usd(nano_of(amount_usd))
    return Reservation(id=uuid4().hex, origin=origin, day=day, amount_usd=rounded_usd)


def check(limits: BudgetLimits, used: Mapping[WindowKind, int], nano: int) -> None:
    """Raise BudgetReached if `nano` more would pass a limit; `used` is spent or reserved."""
    if not nano:
        return
    for kind, used_nano in used.items():
        limit_usd: Decimal | None = getattr(limits, f"{kind}_usd")
        if limit_usd is not None and (used_nano + nano) > limit_usd * _NANO:
            raise BudgetReached(window=kind, limit=limit_usd, used=_usd(used_nano))


def spent_of(used: Mapping[WindowKind, int]) -> Spent:
    """Give sums in dollars; a window that does not apply has 0."""
    return Spent(
        turn_usd=_usd(used.get("turn", 0)),
        conversation_usd=_usd(used.get("conversation", 0)),
        day_usd=_usd(used.get("day", 0)),
        month_usd=_usd(used.get("month", 0)),
    )


async def undone_if_cancelled(
    ledger: Ledger, reservation: Reservation, made: Awaitable[Reservation]
) -> Reservation:
    """Give what is made; when cancelled, take the reservation back: nobody knows of it."""
    try:
        return await made
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True), suppress(AicoreError):
            await ledger.settle(reservation, Decimal(0))
        raise


def _usd(nano: int) -> Decimal:
    return nano / _NANO
