"""The Ledger port: what the payment service needs of a backend, and nothing more."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from aicore_tools.connections import Probe
from aicore_tools.operations import Effect, Operation
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

__all__ = ["Ledger"]


class Ledger(Protocol):
    """The payments of one business. Open inside its `async with`.

    Every method may raise BackendUnavailable (nothing was done), and an effect also
    OutcomeUnknown. An effect happens once per `operation.key`: a repeat gives what the first run
    gave, marked as a replay; the key with other arguments raises Conflict. An effect that raises
    has changed nothing, unless it is OutcomeUnknown, but for a new customer that may stay.

    Amounts are whole minor units, currencies ISO 4217 codes in capitals. Links, invoices,
    payments and refunds never change but for their status.
    """

    async def __aenter__(self) -> Self:
        """Open what the backend needs."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        ...

    async def probe(self) -> Probe:
        """Prove by a read that the backend can be used, and say what it may do.

        Raises:
            BackendConfigError: its credential is refused.
        """
        ...

    async def get(self, entry: EntryId) -> Entry:
        """Give one entry by its id, a link also by its reference, an invoice by its number.

        Raises:
            NotFound: there is none.
        """
        ...

    async def customer(self, email: str) -> Customer | None:
        """Give the customer with that e-mail address in lower case, None if there is none."""
        ...

    async def payment(self, entry: EntryId) -> Payment:
        """Give the payment of that id, or the one that paid that link or invoice.

        Raises:
            NotFound: there is none of that id.
            Conflict: it was not paid, or not through this backend.
        """
        ...

    async def find(self, query: FindQuery) -> Found:
        """Give entries of one kind, newest first as far as the backend keeps their time.

        A page may hold fewer than `limit` and still have a cursor.

        Raises:
            InvalidInput: the cursor is none of this backend's, or of another query.
        """
        ...

    async def report(self, query: ReportQuery) -> Report:
        """Add up what happened.

        Raises:
            InvalidInput: it would be too much to read; a shorter time helps.
        """
        ...

    def check_step(self, kind: Document, action: Action) -> None:
        """Refuse a step that this backend never takes; asks nobody.

        Raises:
            InvalidInput: there is no such step here.
        """
        ...

    def check_new(self, new: NewLink | NewInvoice | NewRefund | ProductChange) -> None:
        """Refuse what this backend can never take; asks nobody.

        Raises:
            InvalidInput: an amount is too exact, or a time too near or too far.
            BackendConfigError: it would need a setting that is missing.
        """
        ...

    async def earlier(self, operation: Operation) -> Effect[Entry] | None:
        """Give what `operation` did before; None if it was not done or has no key.

        Raises:
            Conflict: the key was used with other arguments.
            OutcomeUnknown: it was begun, and cannot be looked up.
        """
        ...

    async def add_link(self, new: NewLink, operation: Operation) -> Effect[Link]:
        """Make a request to pay, open at once. An unknown e-mail address becomes a customer.

        Raises:
            NotFound: there is no customer of that id.
        """
        ...

    async def add_invoice(self, new: NewInvoice, operation: Operation) -> Effect[Invoice]:
        """Draft an invoice with all its lines. An unknown e-mail address becomes a customer.

        Raises:
            NotFound: there is no customer of that id.
        """
        ...

    async def act(
        self, entry: EntryId, action: Action, *, by: str | None, operation: Operation
    ) -> Effect[Link | Invoice]:
        """Take a link or an invoice a step on; a step that was taken already changes nothing.

        Finalizing gives an invoice its number and due time; `mark_paid` records the payment.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: the backend has no such step for it.
            Conflict: its status does not allow the step.
        """
        ...

    async def save_customer(self, change: CustomerChange, operation: Operation) -> Effect[Customer]:
        """Change a customer; an unknown e-mail address becomes a new one.

        Raises:
            NotFound: there is none of that id.
        """
        ...

    async def save_product(self, change: ProductChange, operation: Operation) -> Effect[Product]:
        """Add a product, or change the one of that id.

        Raises:
            InvalidInput: a new one lacks its amount or currency.
        """
        ...

    async def refund(self, new: NewRefund, operation: Operation) -> Effect[Refund]:
        """Give money of a payment back.

        Raises:
            NotFound: there is no such payment.
            Conflict: less than that is left of it (code `over_refund`).
        """
        ...

    async def subscribe(self, new: NewSubscription, operation: Operation) -> Effect[Subscription]:
        """Begin a subscription. An unknown e-mail address becomes a customer.

        Raises:
            NotFound: there is no such customer or price.
        """
        ...

    async def step_subscription(
        self, step: SubscriptionStep, operation: Operation
    ) -> Effect[Subscription]:
        """Change, cancel or resume a subscription.

        Raises:
            NotFound: there is none of that id.
            Conflict: its status does not allow the step.
        """
        ...
