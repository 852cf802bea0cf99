"""LocalLedger: the payments of one business in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from aicore_tools.connections import Probe
from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.backends.local_books import Books, PayTerms, new_id, place_of
from aicore_tools.payments.backends.local_reports import Reports
from aicore_tools.payments.backends.local_rows import MIGRATIONS
from aicore_tools.payments.backends.local_subscriptions import Subscriptions
from aicore_tools.payments.entry_json import entry_from_json, entry_to_json
from aicore_tools.payments.lifecycle import next_status
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

__all__ = ["LocalLedger", "PayTerms"]

E = TypeVar("E", bound=Entry)
T = TypeVar("T")


class LocalLedger:
    """The Ledger port on SQLite. Money arrives outside; `mark_paid` says that it did."""

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        terms: PayTerms,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._business = business
        self._terms = terms
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

    async def probe(self) -> Probe:
        """Read the file."""
        await self._store.read(lambda connection: self._books(connection).by_email(""))
        return Probe(
            name=str(self._store.path),
            can=("read and write payments", "record money that came in or went back outside"),
            warnings=("It takes and sends no money by itself.",),
        )

    async def get(self, entry: EntryId) -> Entry:
        """Read one entry."""
        return await self._read(lambda books: _get(books, entry))

    async def payment(self, entry: EntryId) -> Payment:
        """Read a payment, or the one that paid a link or invoice."""

        def find(books: Books) -> Payment:
            found = _get(books, entry)
            if isinstance(found, Link | Invoice):
                found = books.payment_for(found) or found
            if not isinstance(found, Payment):
                raise Conflict(f"{entry[:80]} was not paid; there is nothing to give back.")
            return found

        return await self._read(find)

    async def customer(self, email: str) -> Customer | None:
        """Read the customer with that address."""
        return await self._store.read(lambda connection: self._books(connection).by_email(email))

    async def find(self, query: FindQuery) -> Found:
        """Read a page of entries."""

        def read(books: Books) -> Found:
            if query.kind in ("dispute", "payout"):  # nobody here disputes or pays out
                place_of(query)
                return Found(entries=())
            if query.kind == "subscription":
                return Subscriptions(books).find(query)
            return books.find(query)

        return await self._read(read)

    async def report(self, query: ReportQuery) -> Report:
        """Add up the books."""
        return await self._read(lambda books: Reports(books).report(query))

    def check_step(self, kind: Document, action: Action) -> None:
        """Refuse to send: there is no mail here."""
        if kind == "invoice" and action in ("send", "remind"):
            raise InvalidInput(
                "This ledger sends no mail.",
                hint="Finalize the invoice, then write to the customer with the mail tools.",
            )

    def check_new(self, new: NewLink | NewInvoice | NewRefund | ProductChange) -> None:
        """Take everything: what is wrong for every backend was refused before."""

    async def earlier(self, operation: Operation) -> Effect[Entry] | None:
        """Look up what an operation gave."""
        effect = await self._store.find_effect(operation)
        return effect.map(entry_from_json) if effect else None

    async def add_link(self, new: NewLink, operation: Operation) -> Effect[Link]:
        """Write the link, its reference and the operation's mark in one transaction."""

        def add(books: Books) -> Link:
            return cast("Link", books.get(books.add_link(new)))  # it was just written

        return await self._effect(operation, add)

    async def add_invoice(self, new: NewInvoice, operation: Operation) -> Effect[Invoice]:
        """Write the draft and the operation's mark in one transaction."""

        def add(books: Books) -> Invoice:
            return cast("Invoice", books.get(books.add_invoice(new)))  # it was just written

        return await self._effect(operation, add)

    async def act(
        self, entry: EntryId, action: Action, *, by: str | None, operation: Operation
    ) -> Effect[Link | Invoice]:
        """Write the step and the operation's mark in one transaction."""

        def step(books: Books) -> Link | Invoice:
            found = _get(books, entry)
            if not isinstance(found, Link | Invoice):
                raise InvalidInput(f"{entry} is neither an invoice nor a link.")
            kind: Document = "link" if isinstance(found, Link) else "invoice"
            self.check_step(kind, action)
            target = next_status(kind, found.status, action)
            if target != found.status:
                books.add_state(found.id, target, by)
                if action == "finalize":
                    books.number(found.id)
                if action == "mark_paid":
                    books.add_payment(found, by)
            return cast("Link | Invoice", books.get(found.id))  # the same that was found

        return await self._effect(operation, step)

    async def save_customer(self, change: CustomerChange, operation: Operation) -> Effect[Customer]:
        """Write the customer and the operation's mark in one transaction."""

        def save(books: Books) -> Customer:
            customer = books.customer_for(change.id or change.email or "")
            metadata = {**customer.metadata, **change.metadata}
            saved = replace(
                customer,
                name=_either(change.name, customer.name),
                phone=_either(change.phone, customer.phone),
                address=_either(change.address, customer.address),
                tax_id=_either(change.tax_id, customer.tax_id),
                metadata={key: value for key, value in metadata.items() if value is not None},
            )
            books.write_customer(saved)
            return saved

        return await self._effect(operation, save)

    async def save_product(self, change: ProductChange, operation: Operation) -> Effect[Product]:
        """Write the product and the operation's mark in one transaction."""

        def save(books: Books) -> Product:
            saved = _changed(_present(books, change.id), change, books.now)
            books.write_product(saved)
            return saved

        return await self._effect(operation, save)

    async def refund(self, new: NewRefund, operation: Operation) -> Effect[Refund]:
        """Write the refund and the operation's mark in one transaction."""

        def give_back(books: Books) -> Refund:
            return cast("Refund", books.get(books.add_refund(new)))  # it was just written

        return await self._effect(operation, give_back)

    async def subscribe(self, new: NewSubscription, operation: Operation) -> Effect[Subscription]:
        """Write the subscription, its first draft and the operation's mark in one transaction."""

        def begin(books: Books) -> Subscription:
            subscriptions = Subscriptions(books)
            return cast("Subscription", subscriptions.get(subscriptions.add(new)))

        return await self._effect(operation, begin)

    async def step_subscription(
        self, step: SubscriptionStep, operation: Operation
    ) -> Effect[Subscription]:
        """Write the step and the operation's mark in one transaction."""

        def take(books: Books) -> Subscription:
            subscriptions = Subscriptions(books)
            return cast("Subscription", subscriptions.get(subscriptions.step(step)))

        return await self._effect(operation, take)

    async def _read(self, query: Callable[[Books], T]) -> T:
        """Read, after the drafts of subscriptions whose next period has begun."""
        if await self._store.read(
            lambda connection: Subscriptions(self._books(connection)).is_due()
        ):
            await self._store.write(
                lambda connection: Subscriptions(self._books(connection)).bill_due()
            )
        return await self._store.read(lambda connection: query(self._books(connection)))

    def _books(self, connection: sqlite3.Connection) -> Books:
        now = self._clock().astimezone(UTC).replace(microsecond=0)
        return Books(connection=connection, business=self._business, terms=self._terms, now=now)

    async def _effect(self, operation: Operation, change: Callable[[Books], E]) -> Effect[E]:
        def run(connection: sqlite3.Connection) -> dict[str, Any]:
            books = self._books(connection)
            Subscriptions(books).bill_due()
            return entry_to_json(change(books))

        effect = await self._store.effect(operation, run)
        # The store gives back what this very tool stored.
        return effect.map(lambda stored: cast("E", entry_from_json(stored)))


def _get(books: Books, entry: str) -> Entry:
    return Subscriptions(books).get(entry) or books.get(entry)


def _present(books: Books, product: EntryId | None) -> Product | None:
    if product is None:
        return None
    found = books.get(product)
    if not isinstance(found, Product):
        raise NotFound(f"There is no product {product}.", hint="Leave id out to add one.")
    return found


def _changed(present: Product | None, change: ProductChange, now: datetime) -> Product:
    if present is not None:
        return replace(
            present,
            name=change.name,
            amount_minor=_either(change.amount_minor, present.amount_minor),
            currency=_either(change.currency, present.currency),
            every=_either(change.every, present.every),
            is_active=_either(change.is_active, present.is_active),
        )
    if change.amount_minor is None or change.currency is None:
        raise InvalidInput("A new product needs an amount and a currency.")
    return Product(
        id=new_id("price"),
        name=change.name,
        amount_minor=change.amount_minor,
        currency=change.currency,
        every=change.every,
        is_active=_either(change.is_active, True),
        created=now,
    )


def _either(new: T | None, old: T) -> T:
    return old if new is None else new
