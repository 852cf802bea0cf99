"""StripeLedger: the payments of one Stripe account."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import BackendConfigError, InvalidInput
from aicore_tools.journal import EffectJournal
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.backends.stripe_billing import StripeBilling
from aicore_tools.payments.backends.stripe_calls import StripeCalls
from aicore_tools.payments.backends.stripe_entries import to_stripe
from aicore_tools.payments.backends.stripe_paying import StripePaying
from aicore_tools.payments.backends.stripe_procedures import StripeProcedures
from aicore_tools.payments.backends.stripe_reading import StripeReading
from aicore_tools.payments.backends.stripe_reports import StripeReports
from aicore_tools.payments.entry_json import entry_from_json, lines_to_json
from aicore_tools.payments.records import (
    Action,
    Customer,
    CustomerChange,
    Document,
    Entry,
    EntryId,
    FindQuery,
    Found,
    Invoice,
    Link,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    Payment,
    Product,
    ProductChange,
    Refund,
    Report,
    ReportQuery,
    Subscription,
    SubscriptionStep,
)
from aicore_tools.retries import Patience

__all__ = ["StripeLedger"]

SHORTEST_S, LONGEST_S = 30 * 60, 24 * 3600
"""How long Stripe keeps a checkout session open: https://docs.stripe.com/api/checkout/sessions."""
_SLACK_S = 60
PATIENCE = Patience()
_RESOURCES = ("customers", "invoices", "payment_intents", "refunds", "subscriptions", "prices")
E = TypeVar("E", bound=Entry)


class StripeLedger:
    """The Ledger port on Stripe. What it begins is journalled in `data_dir` first.

    `done_url` is where customers land who have paid a link that expires; without it there are no
    such links.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        data_dir: Path,
        business: str,
        done_url: str | None = None,
        patience: Patience = PATIENCE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._done_url = done_url
        self._calls = StripeCalls(connection, patience=patience)
        self._reading = StripeReading(self._calls)
        self._reports = StripeReports(self._calls)
        self._shared = StripeProcedures(self._calls, self._reading, clock=clock)
        billing, paying = StripeBilling(self._shared), StripePaying(self._shared)
        self._journal = EffectJournal(
            data_dir / f"payments-stripe-{quote(connection.account, safe='')}.db",
            business=business,
            procedures=(*billing.procedures(), *paying.procedures()),
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._calls)
            await stack.enter_async_context(self._journal)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def probe(self) -> Probe:
        """Read the account, and what a restricted key may read."""
        kind, mode = self._calls.key_kind
        name = await self._account_name()
        is_test = mode == "test"
        warnings: tuple[str, ...] = () if is_test else ("This is a live key: it moves real money.",)
        if kind == "sk":
            warnings += ("A secret key may do everything; a restricted key is safer.",)
            return Probe(
                name=name, can=("everything in this account",), warnings=warnings, is_test=is_test
            )
        can = [f"read {what}" for what in _RESOURCES if await self._can_read(what)]
        warnings += ("What a restricted key may write shows only when it is tried.",)
        return Probe(name=name, can=tuple(can), warnings=warnings, is_test=is_test)

    async def _account_name(self) -> str:
        try:
            about = await self._calls.read(self._calls.v1.accounts.retrieve_current_async)
        except BackendConfigError as error:
            if error.code != "missing_scope":
                raise
            return f"Stripe ({self._connection.account}; the key may not read its account)"
        profile = about.get("business_profile") or {}
        return f"{profile.get('name') or about.get('email') or 'Stripe'} ({about['id']})"

    async def _can_read(self, resource: str) -> bool:
        try:
            await self._calls.read(getattr(self._calls.v1, resource).list_async, limit=1)
        except BackendConfigError as error:
            if error.code != "missing_scope":
                raise
            return False
        return True

    async def get(self, entry: EntryId) -> Entry:
        """Read one entry."""
        return await self._reading.get(entry)

    async def customer(self, email: str) -> Customer | None:
        """Read the customer with that address."""
        return await self._reading.customer(email)

    async def payment(self, entry: EntryId) -> Payment:
        """Read a payment, or the one that paid a link or invoice."""
        return await self._reading.payment(entry)

    async def find(self, query: FindQuery) -> Found:
        """Read a page of entries."""
        return await self._reading.find(query)

    async def report(self, query: ReportQuery) -> Report:
        """Add up the account."""
        return await self._reports.report(query)

    def check_step(self, kind: Document, action: Action) -> None:
        """Refuse to mark links paid: Stripe does that itself."""
        if kind == "link" and action == "mark_paid":
            raise InvalidInput(
                "Stripe marks a link paid when it is paid.",
                hint="Void it if the money came in another way.",
            )

    def check_new(self, new: NewLink | NewInvoice | NewRefund | ProductChange) -> None:
        """Refuse amounts that Stripe cannot take, and times that it keeps no page open for."""
        if isinstance(new, NewLink | NewInvoice):
            for line in new.lines:
                to_stripe(line.amount_minor, new.currency)
        elif new.amount_minor is not None and new.currency is not None:
            to_stripe(new.amount_minor, new.currency)
        if isinstance(new, NewLink) and new.expires is not None:
            self._check_expiry(new.expires)

    async def earlier(self, operation: Operation) -> Effect[Entry] | None:
        """Look up what an operation gave."""
        effect = await self._journal.earlier(operation)
        return effect.map(entry_from_json) if effect else None

    async def add_link(self, new: NewLink, operation: Operation) -> Effect[Link]:
        """Make a payment link, or a checkout session where it is to expire."""
        self.check_new(new)
        request = {
            "lines": lines_to_json(new.lines),
            "currency": new.currency,
            "customer": new.customer,
            "expires_s": int(new.expires.timestamp()) if new.expires else None,
            "done_url": self._done_url,
        }
        return await self._effect(operation, "link", request)

    async def add_invoice(self, new: NewInvoice, operation: Operation) -> Effect[Invoice]:
        """Draft an invoice; nothing of it happens by itself."""
        self.check_new(new)
        request = {
            "lines": lines_to_json(new.lines),
            "currency": new.currency,
            "customer": new.customer,
            "due_days": new.due_days,
            "memo": new.memo,
        }
        return await self._effect(operation, "invoice", request)

    async def act(
        self, entry: EntryId, action: Action, *, by: str | None, operation: Operation
    ) -> Effect[Link | Invoice]:
        """Take a link or an invoice a step on; Stripe keeps no `by`."""
        earlier = await self._journal.earlier(operation)
        if earlier is not None:
            return earlier.map(lambda stored: cast("Link | Invoice", entry_from_json(stored)))
        found = await self._reading.get(entry)
        if not isinstance(found, Link | Invoice):
            raise InvalidInput(f"{entry} is neither an invoice nor a link.")
        self.check_step("link" if isinstance(found, Link) else "invoice", action)
        return await self._effect(operation, "step", {"entry": found.id, "action": action})

    async def save_customer(self, change: CustomerChange, operation: Operation) -> Effect[Customer]:
        """Change a customer, made first where the address is new."""
        return await self._effect(operation, "customer", asdict(change))

    async def save_product(self, change: ProductChange, operation: Operation) -> Effect[Product]:
        """Add a product with its price, or change one."""
        is_new = change.id is None
        if is_new and (change.amount_minor is None or change.currency is None):
            raise InvalidInput("A new product needs an amount and a currency.")
        self.check_new(change)
        return await self._effect(operation, "product" if is_new else "price", asdict(change))

    async def refund(self, new: NewRefund, operation: Operation) -> Effect[Refund]:
        """Give money of a payment back; Stripe refuses more than is left."""
        self.check_new(new)
        return await self._effect(operation, "refund", asdict(new))

    async def subscribe(self, new: NewSubscription, operation: Operation) -> Effect[Subscription]:
        """Begin a subscription whose invoices Stripe sends."""
        return await self._effect(operation, "subscribe", asdict(new))

    async def step_subscription(
        self, step: SubscriptionStep, operation: Operation
    ) -> Effect[Subscription]:
        """Change, cancel or resume a subscription."""
        return await self._effect(operation, "subscription", asdict(step))

    async def _effect(
        self, operation: Operation, procedure: str, request: dict[str, Any]
    ) -> Effect[E]:
        attempt = secrets.token_hex(4)
        stored = {**request, "asked_s": self._shared.now_s(), "attempt": attempt}
        effect = await self._journal.effect(operation, procedure, stored)
        # The journal gives back what this very procedure stored.
        return effect.map(lambda result: cast("E", entry_from_json(result)))

    def _check_expiry(self, expires: datetime) -> None:
        left_s = int(expires.timestamp()) - self._shared.now_s()
        if not SHORTEST_S + _SLACK_S <= left_s <= LONGEST_S - _SLACK_S:
            raise InvalidInput(
                "expires: Stripe keeps a page that expires open for 31 minutes to 24 hours.",
                hint="Give a time within that, or leave expires out.",
            )
        if self._done_url is None:
            raise BackendConfigError(
                "Links that expire need a page to land on after paying.",
                hint="Start the server with --pay-done-url, or leave expires out.",
            )
