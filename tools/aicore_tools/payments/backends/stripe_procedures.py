"""Effects at Stripe that can be sent again: each follows from its stored request alone.

Stripe answers a repeat under the same idempotency key with the first answer, for a day at least.
So an effect whose outcome is not known is looked up, and where it is not found yet, sent again
under its key, with its stored request. After that day it is only looked up: by the operation in
the metadata, or by the state of what it changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.journal import Claim, Procedure
from aicore_tools.payments.backends.stripe_calls import StripeCalls
from aicore_tools.payments.backends.stripe_entries import OP
from aicore_tools.payments.backends.stripe_reading import StripeReading

__all__ = ["Found", "StripeProcedures", "begun", "done", "key_of", "nowhere"]

Found: TypeAlias = dict[str, Any] | None
KEYS_KEPT_S = 23 * 3600
"""Stripe keeps idempotency keys for 24 hours at least; an hour is left for clocks and requests."""
MOST_FORMER = 10
"""How many customers made for one address within a day are looked through."""


@contextmanager
def begun(*, is_begun: bool = True) -> Iterator[None]:
    """Run a later step: where Stripe does not judge it, the whole is not known to be undone.

    Raises:
        OutcomeUnknown: `is_begun`, and Stripe could not be reached or refused the key.
    """
    try:
        yield
    except (BackendUnavailable, BackendConfigError) as error:
        if not is_begun:
            raise
        raise _unfinished(error) from error


@contextmanager
def done() -> Iterator[None]:
    """Run what follows an effect: no failure of it says that nothing happened.

    Raises:
        OutcomeUnknown: something failed.
    """
    try:
        yield
    except OutcomeUnknown:
        raise
    except ToolsError as error:
        raise _unfinished(error) from error


def _unfinished(error: ToolsError) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"It was begun at Stripe and not finished: {error.message}",
        hint="Repeat the call with the same operation key: it goes on where it stopped.",
    )


def key_of(claim: Claim, step: str = "") -> str:
    """Give the idempotency key of one step of an effect.

    What was decided anew after a refusal gets other keys: Stripe keeps refusals under theirs.
    """
    return ":".join(filter(None, (claim.key, claim.request["attempt"], step)))


class StripeProcedures:
    """What every effect at Stripe shares: customers by address, metadata, and looking up."""

    def __init__(
        self, calls: StripeCalls, reading: StripeReading, *, clock: Callable[[], datetime]
    ) -> None:
        self.calls = calls
        self.reading = reading
        self.clock = clock

    def now_s(self) -> int:
        """Now, as seconds of the epoch."""
        return int(self.clock().astimezone(UTC).timestamp())

    def procedure(
        self,
        name: str,
        perform: Callable[[Claim], Awaitable[dict[str, Any]]],
        find: Callable[[Claim], Awaitable[Found]],
    ) -> Procedure:
        """Make a procedure of how it is sent, and how it is found."""

        async def reconcile(claim: Claim) -> Found:
            with done():
                found = await find(claim)
            if found is not None:
                return found
            if self.is_late(claim):
                return None
            try:
                with begun():
                    return await perform(claim)
            except OutcomeUnknown:
                raise
            except ToolsError:  # what Stripe refuses under this key, it refused from the start
                return None

        return Procedure(name=name, perform=perform, reconcile=reconcile)

    def is_late(self, claim: Claim) -> bool:
        """Tell whether Stripe may have forgotten the keys of an effect."""
        return self.now_s() - int(claim.request["asked_s"]) > KEYS_KEPT_S

    async def customer_id(self, given: str) -> str:
        """Give a customer's id; an address that is new becomes a customer."""
        if "@" not in given:
            return given
        known = await self.reading.customer(given)
        return known.id if known is not None else await self.new_customer(given)

    async def new_customer(self, email: str) -> str:
        """Make a customer for an address that has none, and give its id.

        The key follows from the address, so that two who ask at once make one customer. For a
        day Stripe answers with whom it made first, also one who was deleted or got another
        address since: the next key follows from that one.

        Raises:
            Conflict: too many such were made within a day.
        """
        customers, params = self.calls.v1.customers, {"email": email}
        key = _digest(f"customer {email}")
        for _ in range(MOST_FORMER):
            made = await self.calls.send(customers.create_async, key=key, params=params)
            found = await self.calls.read(customers.retrieve_async, made["id"])
            if not found.get("deleted") and (found.get("email") or "").lower() == email:
                return str(found["id"])
            key = _digest(f"{key} {made['id']}")
        raise Conflict(
            "Too many customers of that address were made and changed again within a day.",
            hint="Make one at Stripe, and name it by its id.",
        )

    async def marked(self, method: Any, claim: Claim, **params: Any) -> dict[str, Any] | None:
        """Look through a list for what carries the operation in its metadata."""
        async for row in self.calls.rows(method, **params):
            if (row.get("metadata") or {}).get(OP) == claim.key:
                return row
        return None

    def since(self, claim: Claim) -> dict[str, int]:
        """Give the bounds of a list for what this effect made; clocks may differ by an hour."""
        return {"gte": claim.request["asked_s"] - 3600}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def nowhere(_: Claim) -> Found:
    """Find nothing, where sending again changes nothing more."""
    return None
