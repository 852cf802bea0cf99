"""What a business allows its callers: amounts, currencies, and how much in one day."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from zoneinfo import ZoneInfo

from aicore_tools.errors import NotAllowed, OutcomeUnknown, ToolsError
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.money import amount_text

__all__ = ["DayLimit", "PaymentRules"]

T = TypeVar("T")

_SPENDING = """
CREATE TABLE spending (
    business TEXT NOT NULL,
    day TEXT NOT NULL,
    op_key TEXT NOT NULL,
    attempt TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    PRIMARY KEY (business, day, op_key, attempt)
) STRICT;
"""
_TOTAL = """
SELECT coalesce(sum(most), 0) AS total FROM (
    SELECT max(amount_minor) AS most FROM spending
    WHERE business = :business AND day = :day AND op_key <> :op_key GROUP BY op_key)
"""
_A_PERSON = "A person of the business has to do this."


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRules:
    """What the business allows: `max_amount_minor` a call, 0 for no money at all.

    `currencies` are those that may be used, None for any.
    """

    zone: ZoneInfo
    currency: str = "EUR"
    max_amount_minor: int = 1_000_000
    currencies: frozenset[str] | None = None

    def check(self, amount_minor: int, currency: str) -> None:
        """Hold one amount against the rules.

        Raises:
            NotAllowed: it is too high (code `amount_too_high`), or of a currency that is not
                allowed (`currency_not_allowed`).
        """
        if self.currencies is not None and currency not in self.currencies:
            raise NotAllowed(
                f"{currency} is not used here.",
                hint=f"Allowed: {', '.join(sorted(self.currencies))}.",
                code="currency_not_allowed",
            )
        if amount_minor > self.max_amount_minor:
            most = amount_text(self.max_amount_minor, currency)
            raise NotAllowed(
                f"{amount_text(amount_minor, currency)} is more than one call may ask for"
                f" ({most}).",
                hint=_A_PERSON,
                code="amount_too_high",
            )


class DayLimit:
    """How much may be asked for and given back in one day, over all callers of a business.

    Minor units of all currencies are added up as if they were one: nobody gets more by changing
    the currency. An amount is reserved in the SQLite file `path` before its effect, under the
    operation key, and released if the effect certainly did nothing; so the limit holds across
    processes and crashes. Open inside its `async with`.

    Args:
        path: made if missing.
        business: whose day it is.
        most_minor: 0 for no money at all.
        zone: where the day begins.
        clock: tells the time.

    Raises on entry:
        BackendConfigError: as LocalStore.
    """

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        most_minor: int,
        zone: ZoneInfo,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = LocalStore(path, migrations=(_SPENDING,), business=business)
        self._most_minor = most_minor
        self._zone = zone
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._store.__aexit__(kind, error, trace)

    async def check(self, amount_minor: int, operation: Operation) -> None:
        """Look whether the day has room for it, and reserve nothing.

        Raises:
            NotAllowed: it has not (code `day_limit_reached`).
        """
        day, op_key = self._day(), operation.key or ""
        await self._store.read(
            lambda connection: self._refuse_over(connection, day, op_key, amount_minor)
        )

    async def within(
        self, amount_minor: int, operation: Operation, perform: Callable[[], Awaitable[Effect[T]]]
    ) -> Effect[T]:
        """Do the effect if the day has room for its amount.

        What happened before is not counted again, nor what certainly did not happen, with the
        earlier attempts of that operation; what may have happened stays counted.

        Raises:
            NotAllowed: it has not (code `day_limit_reached`).
            ToolsError: what `perform` raised.
        """
        day, attempt = self._day(), secrets.token_hex(8)
        op_key = operation.key or attempt

        def reserve(connection: sqlite3.Connection) -> None:
            self._refuse_over(connection, day, op_key, amount_minor)
            connection.execute(
                "INSERT INTO spending (business, day, op_key, attempt, amount_minor)"
                " VALUES (?, ?, ?, ?, ?)",
                (self._store.business, day, op_key, attempt, amount_minor),
            )

        await self._store.write(reserve)
        try:
            effect = await perform()
        except OutcomeUnknown:
            raise
        except ToolsError as error:
            if error.code == "operation_key_reused":  # what the key was used for stays counted
                await self._release(attempt)
            else:
                await self._release_up_to(attempt, op_key)
            raise
        if effect.is_replay:
            await self._release(attempt)
        return effect

    async def _release(self, attempt: str) -> None:
        """Take back one attempt; another one under the same key keeps its own row."""
        await self._store.write(
            lambda connection: connection.execute(
                "DELETE FROM spending WHERE business = ? AND attempt = ?",
                (self._store.business, attempt),
            )
        )

    async def _release_up_to(self, attempt: str, op_key: str) -> None:
        """Take back an attempt and those before it under its key, whatever day they were of.

        They did nothing either, or it would have given what they did. One that began later may
        be at it still.
        """
        await self._store.write(
            lambda connection: connection.execute(
                "DELETE FROM spending WHERE business = :business AND op_key = :op_key AND rowid <="
                " (SELECT rowid FROM spending WHERE business = :business AND attempt = :attempt)",
                {"business": self._store.business, "op_key": op_key, "attempt": attempt},
            )
        )

    def _refuse_over(
        self, connection: sqlite3.Connection, day: str, op_key: str, amount_minor: int
    ) -> None:
        bound = {"business": self._store.business, "day": day, "op_key": op_key}
        total_minor = int(connection.execute(_TOTAL, bound).fetchone()["total"])
        if total_minor + amount_minor > self._most_minor:
            left_minor = max(0, self._most_minor - total_minor)
            raise NotAllowed(
                f"That is more than the business lets through in one day; {left_minor} minor"
                " units are left today.",
                hint=_A_PERSON,
                code="day_limit_reached",
            )

    def _day(self) -> str:
        return self._clock().astimezone(self._zone).date().isoformat()
