"""The books of one business inside one transaction: what is read and written there."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.payments.backends.local_rows import (
    customer_of,
    document_of,
    payment_of,
    product_of,
    refund_of,
)
from aicore_tools.payments.cursors import bound_cursor, position_of
from aicore_tools.payments.entry_json import lines_to_json
from aicore_tools.payments.records import (
    Customer,
    CustomerId,
    Entry,
    EntryId,
    FindQuery,
    Found,
    Invoice,
    Kind,
    Link,
    NewInvoice,
    NewLink,
    NewRefund,
    Payment,
    Product,
    total_minor,
)
from aicore_tools.payments.remainders import over_refund

__all__ = ["Books", "PayTerms", "new_id", "place_of"]


_DOCUMENTS = """
SELECT document.* FROM document
JOIN document_state AS state ON state.business = document.business
  AND state.document_id = document.id
  AND state.step = (SELECT max(step) FROM document_state
                    WHERE business = document.business AND document_id = document.id)
WHERE document.business = :business AND document.kind = :kind AND document.seq < :before_seq
  AND document.created_s >= :after_s AND document.created_s < :before_s
  AND (:customer IS NULL OR document.customer_id = :customer)
  AND (:status IS NULL OR :status = CASE
        WHEN document.kind = 'link' AND state.status = 'open' AND document.expires_s <= :now_s
        THEN 'expired' ELSE state.status END)
  AND (:text = '' OR instr(document.search_text, :text) > 0)
ORDER BY document.seq DESC LIMIT :limit
"""

_CUSTOMERS = """
SELECT * FROM customer
WHERE business = :business AND seq < :before_seq
  AND created_s >= :after_s AND created_s < :before_s
  AND (:customer IS NULL OR id = :customer)
  AND (:text = '' OR instr(search_text, :text) > 0)
ORDER BY seq DESC LIMIT :limit
"""

_PRODUCTS = """
SELECT * FROM product
WHERE business = :business AND seq < :before_seq
  AND created_s >= :after_s AND created_s < :before_s
  AND (:status IS NULL OR is_active = (:status = 'active'))
  AND (:text = '' OR instr(search_text, :text) > 0)
ORDER BY seq DESC LIMIT :limit
"""

_REFUNDS = """
SELECT * FROM refund
WHERE business = :business AND seq < :before_seq
  AND created_s >= :after_s AND created_s < :before_s
  AND (:customer IS NULL OR customer_id = :customer)
  AND (:status IS NULL OR :status = 'succeeded')
  AND (:text = '' OR instr(search_text, :text) > 0)
ORDER BY seq DESC LIMIT :limit
"""
_QUERIES = {"customer": _CUSTOMERS, "product": _PRODUCTS, "refund": _REFUNDS}
_LAST = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class PayTerms:
    """How customers pay: what they are told, and a page of the business, with {reference}.

    `zone` is where the year of a reference begins.
    """

    instructions: str
    zone: ZoneInfo
    url_template: str | None = None

    def url(self, reference: str) -> str | None:
        """Give where to pay, None without a page."""
        if self.url_template is None:
            return None
        return self.url_template.replace("{reference}", quote(reference, safe=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """What is written of a link, an invoice or a payment."""

    id: EntryId
    kind: Kind
    customer: Customer | None
    amount_minor: int
    currency: str
    body: dict[str, Any]
    words: Sequence[str]
    status: str
    by: str | None
    expires: datetime | None = None


def new_id(kind: str) -> EntryId:
    """Make an id whose prefix tells the kind."""
    return EntryId(f"{kind}_{secrets.token_hex(8)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Reads and writes on one connection, inside the transaction of its caller."""

    connection: sqlite3.Connection
    business: str
    terms: PayTerms
    now: datetime

    @property
    def now_s(self) -> int:
        """Now, as seconds of the epoch."""
        return int(self.now.timestamp())

    def get(self, entry: str) -> Entry:
        """Read an entry by id, reference or number.

        Raises:
            NotFound: there is none.
        """
        named = self._one("SELECT document_id FROM reference WHERE reference = ?", entry.upper())
        document = self._one(
            "SELECT * FROM document WHERE id = ?", named["document_id"] if named else entry
        )
        if document is not None:
            return self._document(document)
        if row := self._one("SELECT * FROM customer WHERE id = ?", entry):
            return customer_of(row)
        if row := self._one("SELECT * FROM product WHERE id = ?", entry):
            return product_of(row)
        if row := self._one("SELECT * FROM refund WHERE id = ?", entry):
            return refund_of(row)
        raise NotFound(
            f"There is nothing with the id {entry[:80]!r}.",
            hint="Look for it with payments_search.",
        )

    def by_email(self, email: str) -> Customer | None:
        """Read the customer with that address."""
        row = self._one("SELECT * FROM customer WHERE email = ?", email)
        return customer_of(row) if row else None

    def find(self, query: FindQuery) -> Found:
        """Read a page of entries.

        Raises:
            InvalidInput: the cursor is none of this query's.
        """
        bound = {
            "business": self.business,
            "kind": query.kind,
            "before_seq": place_of(query),
            "after_s": int(query.after.timestamp()) if query.after else 0,
            "before_s": int(query.before.timestamp()) if query.before else _LAST,
            "customer": query.customer,
            "status": query.status,
            "text": query.text.casefold(),
            "now_s": self.now_s,
            "limit": query.limit + 1,
        }
        statement = _QUERIES.get(query.kind, _DOCUMENTS)
        rows = self.connection.execute(statement, bound).fetchall()
        page = rows[: query.limit]
        return Found(
            entries=tuple(self._entry(query.kind, row) for row in page),
            next_cursor=(
                bound_cursor(query, str(page[-1]["seq"])) if len(rows) > query.limit else None
            ),
        )

    def payment_for(self, paid: Link | Invoice) -> Payment | None:
        """Read the payment of a link or invoice, None if there is none."""
        row = self._one(
            "SELECT * FROM document WHERE kind = 'payment'"
            " AND json_extract(body_json, '$.paid_for') = ?",
            paid.id,
        )
        payment = self._document(row) if row else None
        return payment if isinstance(payment, Payment) else None

    def product(self, price: str) -> Product:
        """Read a product on sale.

        Raises:
            NotFound: there is none of that id, or it was taken off.
        """
        found = self.get(price)
        if not isinstance(found, Product) or not found.is_active:
            raise NotFound(f"There is no active price {price[:80]!r}.")
        return found

    def add_refund(self, new: NewRefund) -> EntryId:
        """Write a refund; give its id.

        Raises:
            NotFound: there is no such payment.
            Conflict: less than that is left of it.
        """
        payment = self.get(new.payment)
        if not isinstance(payment, Payment):
            raise NotFound(f"There is no payment {new.payment[:80]!r}.")
        left_minor = payment.amount_minor - payment.refunded_minor
        if new.amount_minor > left_minor or new.currency != payment.currency:
            raise over_refund(left_minor, payment.currency)
        refund = new_id("ref")
        customer = self.get(payment.customer) if payment.customer else None
        named = (customer.email, customer.name) if isinstance(customer, Customer) else ()
        self.connection.execute(
            "INSERT INTO refund (business, id, payment_id, customer_id, amount_minor, currency,"
            " reason, by, created_s, search_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.business,
                refund,
                payment.id,
                payment.customer,
                new.amount_minor,
                new.currency,
                new.reason,
                new.by,
                self.now_s,
                _searchable((payment.id, new.reason, *named)),
            ),
        )
        return refund

    def customer_for(self, given: str) -> Customer:
        """Read a customer by id or address; an unknown address becomes a new customer.

        Raises:
            NotFound: there is no customer of that id.
        """
        if "@" not in given:
            found = self.get(given)
            if not isinstance(found, Customer):
                raise NotFound(f"There is no customer {given[:80]!r}.", hint="Give id or e-mail.")
            return found
        known = self.by_email(given)
        if known is not None:
            return known
        customer = Customer(id=CustomerId(new_id("cus")), email=given, created=self.now)
        self.write_customer(customer)
        return customer

    def write_customer(self, customer: Customer) -> None:
        """Write a customer, over an earlier state if there is one."""
        words = (customer.email, customer.name, customer.phone, customer.tax_id)
        self.connection.execute(
            "INSERT INTO customer (business, id, email, name, phone, address, tax_id,"
            " metadata_json, created_s, search_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (business, id) DO UPDATE SET name = excluded.name,"
            " phone = excluded.phone, address = excluded.address, tax_id = excluded.tax_id,"
            " metadata_json = excluded.metadata_json, search_text = excluded.search_text",
            (
                self.business,
                customer.id,
                customer.email,
                customer.name,
                customer.phone,
                customer.address,
                customer.tax_id,
                json.dumps(dict(customer.metadata)),
                int(customer.created.timestamp()),
                _searchable(words),
            ),
        )

    def write_product(self, product: Product) -> None:
        """Write a product, over an earlier state if there is one."""
        self.connection.execute(
            "INSERT INTO product (business, id, name, amount_minor, currency, every, is_active,"
            " created_s, search_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (business, id) DO UPDATE SET name = excluded.name,"
            " amount_minor = excluded.amount_minor, currency = excluded.currency,"
            " every = excluded.every, is_active = excluded.is_active,"
            " search_text = excluded.search_text",
            (
                self.business,
                product.id,
                product.name,
                product.amount_minor,
                product.currency,
                product.every,
                int(product.is_active),
                int(product.created.timestamp()),
                _searchable((product.name,)),
            ),
        )

    def add_link(self, new: NewLink) -> EntryId:
        """Write a link with the next reference; give its id."""
        customer = self.customer_for(new.customer) if new.customer else None
        reference = self._next_reference("PR")
        link = _Document(
            id=new_id("link"),
            kind="link",
            customer=customer,
            amount_minor=total_minor(new.lines),
            currency=new.currency,
            body={
                "lines": lines_to_json(new.lines),
                "url": self.terms.url(reference),
                "instructions": self.terms.instructions,
            },
            words=[reference, *(line.description for line in new.lines)],
            status="open",
            by=new.by,
            expires=new.expires,
        )
        self._insert(link)
        self._name(link.id, reference)
        return link.id

    def add_invoice(self, new: NewInvoice) -> EntryId:
        """Write a draft; give its id."""
        invoice = _Document(
            id=new_id("inv"),
            kind="invoice",
            customer=self.customer_for(new.customer),
            amount_minor=total_minor(new.lines),
            currency=new.currency,
            body={
                "lines": lines_to_json(new.lines),
                "due_days": new.due_days,
                "memo": new.memo,
                "instructions": self.terms.instructions,
            },
            words=[new.memo, *(line.description for line in new.lines)],
            status="draft",
            by=new.by,
        )
        self._insert(invoice)
        return invoice.id

    def add_payment(self, paid: Link | Invoice, by: str | None) -> None:
        """Write that the whole of a link or invoice was paid."""
        customer = self.get(paid.customer) if paid.customer else None
        payment = _Document(
            id=new_id("pay"),
            kind="payment",
            customer=customer if isinstance(customer, Customer) else None,
            amount_minor=paid.amount_minor,
            currency=paid.currency,
            body={"paid_for": paid.id},
            words=[paid.reference if isinstance(paid, Link) else paid.number or ""],
            status="succeeded",
            by=by,
        )
        self._insert(payment)

    def number(self, invoice: EntryId) -> None:
        """Give an invoice the next number."""
        self._name(invoice, self._next_reference("INV"))

    def add_state(self, document: EntryId, status: str, by: str | None) -> None:
        """Write the next state of a document."""
        self.connection.execute(
            "INSERT INTO document_state (business, document_id, step, status, at_s, by)"
            " SELECT :business, :document, coalesce(max(step), 0) + 1, :status, :at_s, :by"
            " FROM document_state WHERE business = :business AND document_id = :document",
            {
                "business": self.business,
                "document": document,
                "status": status,
                "at_s": self.now_s,
                "by": by,
            },
        )

    def _insert(self, document: _Document) -> None:
        customer = document.customer
        named = (customer.email, customer.name) if customer else ()
        self.connection.execute(
            "INSERT INTO document (business, id, kind, customer_id, amount_minor, currency,"
            " expires_s, created_s, body_json, search_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.business,
                document.id,
                document.kind,
                customer.id if customer else None,
                document.amount_minor,
                document.currency,
                int(document.expires.timestamp()) if document.expires else None,
                self.now_s,
                json.dumps(document.body),
                _searchable((*document.words, *named)),
            ),
        )
        self.add_state(document.id, document.status, document.by)

    def _next_reference(self, series: str) -> str:
        """Give the next number of this year; a transaction that fails gives it back: no gaps."""
        year = self.now.astimezone(self.terms.zone).year
        row = self.connection.execute(
            "INSERT INTO counter (business, series, last) VALUES (?, ?, 1)"
            " ON CONFLICT (business, series) DO UPDATE SET last = last + 1 RETURNING last",
            (self.business, f"{series}-{year}"),
        ).fetchone()
        return f"{series}-{year}-{row['last']:04d}"

    def _name(self, document: EntryId, reference: str) -> None:
        self.connection.execute(
            "INSERT INTO reference (business, reference, document_id) VALUES (?, ?, ?)",
            (self.business, reference, document),
        )

    def _entry(self, kind: Kind, row: sqlite3.Row) -> Entry:
        if kind == "customer":
            return customer_of(row)
        if kind == "refund":
            return refund_of(row)
        return product_of(row) if kind == "product" else self._document(row)

    def _document(self, row: sqlite3.Row) -> Link | Invoice | Payment:
        states = self.connection.execute(
            "SELECT * FROM document_state WHERE business = ? AND document_id = ? ORDER BY step",
            (self.business, row["id"]),
        ).fetchall()
        if row["kind"] == "payment":
            return payment_of(row, states, self._refunded_minor(row["id"]))
        named = self._one("SELECT reference FROM reference WHERE document_id = ?", row["id"])
        return document_of(row, states, named["reference"] if named else None, self.now_s)

    def _refunded_minor(self, payment: str) -> int:
        row = self._one(
            "SELECT coalesce(sum(amount_minor), 0) AS total FROM refund WHERE payment_id = ?",
            payment,
        )
        return int(row["total"]) if row else 0

    def _one(self, statement: str, value: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute(
            f"{statement} AND business = ?", (value, self.business)
        ).fetchone()
        return row


def place_of(query: FindQuery) -> int:
    """Give the number before which a page begins.

    Raises:
        InvalidInput: the cursor is none of this query's.
    """
    place = position_of(query) or str(_LAST)
    if not (place.isascii() and place.isdigit() and int(place) <= _LAST):
        raise InvalidInput("cursor: that is none of ours.", hint="Leave it out to start anew.")
    return int(place)


def _searchable(words: Sequence[str]) -> str:
    return "\n".join(words).casefold()
