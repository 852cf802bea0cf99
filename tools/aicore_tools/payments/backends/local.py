"""LocalLedger: the payments of one business in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.backends.local_books import Books, PayTerms, new_id
from aicore_tools.payments.backends.local_rows import MIGRATIONS
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
    Product,
    ProductChange,
)

__all__ = ["LocalLedger", "PayTerms"]

E = TypeVar("E", bound=Entry)


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

    async def get(self, entry: EntryId) -> Entry:
        """Read one entry."""
        return await self._store.read(lambda connection: self._books(connection).get(entry))

    async def customer(self, email: str) -> Customer | None:
        """Read the customer with that address."""
        return await self._store.read(lambda connection: self._books(connection).by_email(email))

    async def find(self, query: FindQuery) -> Found:
        """Read a page of entries."""
        return await self._store.read(lambda connection: self._books(connection).find(query))

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
        if action in ("send", "remind"):
            raise InvalidInput(
                "This ledger sends no mail.",
                hint="Finalize the invoice, then write to the customer with the mail tools.",
            )

        def step(books: Books) -> Link | Invoice:
            found = books.get(entry)
            if not isinstance(found, Link | Invoice):
                raise InvalidInput(f"{entry} is neither an invoice nor a link.")
            kind: Document = "link" if isinstance(found, Link) else "invoice"
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

    def _books(self, connection: sqlite3.Connection) -> Books:
        now = self._clock().astimezone(UTC).replace(microsecond=0)
        return Books(connection=connection, business=self._business, terms=self._terms, now=now)

    async def _effect(self, operation: Operation, change: Callable[[Books], E]) -> Effect[E]:
        effect = await self._store.effect(
            operation, lambda connection: entry_to_json(change(self._books(connection)))
        )
        # The store gives back what this very tool stored.
        return effect.map(lambda stored: cast("E", entry_from_json(stored)))


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


T = TypeVar("T")


def _either(new: T | None, old: T) -> T:
    return old if new is None else new
