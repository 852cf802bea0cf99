"""How payments lie in SQLite: the schema, and rows to records and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from aicore_tools.payments.entry_json import lines_of, moment_of, state_of
from aicore_tools.payments.records import Customer, Invoice, Link, Payment, Product, Refund

__all__ = [
    "MIGRATIONS",
    "customer_of",
    "document_of",
    "payment_of",
    "product_of",
    "refund_of",
]

MIGRATIONS = (
    """
CREATE TABLE customer (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    address TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    metadata_json TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    search_text TEXT NOT NULL,
    UNIQUE (business, id),
    UNIQUE (business, email)
) STRICT;
CREATE TABLE product (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency TEXT NOT NULL,
    every TEXT,
    is_active INTEGER NOT NULL,
    created_s INTEGER NOT NULL,
    search_text TEXT NOT NULL,
    UNIQUE (business, id)
) STRICT;
CREATE TABLE document (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('link', 'invoice', 'payment')),
    customer_id TEXT,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    expires_s INTEGER,
    created_s INTEGER NOT NULL,
    body_json TEXT NOT NULL,
    search_text TEXT NOT NULL,
    UNIQUE (business, id),
    FOREIGN KEY (business, customer_id) REFERENCES customer (business, id)
) STRICT;
CREATE INDEX document_by_kind ON document (business, kind, seq);
CREATE INDEX document_by_customer ON document (business, customer_id, kind, seq);
CREATE TABLE document_state (
    business TEXT NOT NULL,
    document_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    status TEXT NOT NULL,
    at_s INTEGER NOT NULL,
    by TEXT,
    PRIMARY KEY (business, document_id, step),
    FOREIGN KEY (business, document_id) REFERENCES document (business, id)
) STRICT;
CREATE TABLE reference (
    business TEXT NOT NULL,
    reference TEXT NOT NULL,
    document_id TEXT NOT NULL,
    PRIMARY KEY (business, reference),
    UNIQUE (business, document_id),
    FOREIGN KEY (business, document_id) REFERENCES document (business, id)
) STRICT;
CREATE TABLE counter (
    business TEXT NOT NULL,
    series TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (business, series)
) STRICT;
CREATE TRIGGER document_stays BEFORE UPDATE ON document
    BEGIN SELECT RAISE(ABORT, 'a document does not change'); END;
CREATE TRIGGER document_is_kept BEFORE DELETE ON document
    BEGIN SELECT RAISE(ABORT, 'a document is not deleted'); END;
CREATE TRIGGER document_state_stays BEFORE UPDATE ON document_state
    BEGIN SELECT RAISE(ABORT, 'a state does not change'); END;
CREATE TRIGGER document_state_is_kept BEFORE DELETE ON document_state
    BEGIN SELECT RAISE(ABORT, 'a state is not deleted'); END;
""",
    """
CREATE INDEX payment_by_what ON document (business, json_extract(body_json, '$.paid_for'))
    WHERE kind = 'payment';
CREATE TABLE refund (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    customer_id TEXT,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    by TEXT,
    created_s INTEGER NOT NULL,
    search_text TEXT NOT NULL,
    UNIQUE (business, id),
    FOREIGN KEY (business, payment_id) REFERENCES document (business, id)
) STRICT;
CREATE INDEX refund_by_payment ON refund (business, payment_id);
CREATE TABLE subscription (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    next_due_s INTEGER,
    created_s INTEGER NOT NULL,
    UNIQUE (business, id),
    FOREIGN KEY (business, customer_id) REFERENCES customer (business, id)
) STRICT;
CREATE INDEX subscription_due ON subscription (business, next_due_s);
CREATE TABLE subscription_state (
    business TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'canceled')),
    price_id TEXT NOT NULL,
    description TEXT NOT NULL,
    unit_minor INTEGER NOT NULL CHECK (unit_minor >= 0),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    currency TEXT NOT NULL,
    every TEXT NOT NULL CHECK (every IN ('month', 'year')),
    effective_s INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    by TEXT,
    PRIMARY KEY (business, subscription_id, step),
    FOREIGN KEY (business, subscription_id) REFERENCES subscription (business, id)
) STRICT;
CREATE TABLE subscription_period (
    business TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    start_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL CHECK (end_s > start_s),
    anchor_s INTEGER NOT NULL,
    number INTEGER NOT NULL,
    every TEXT NOT NULL,
    invoice_id TEXT NOT NULL,
    PRIMARY KEY (business, subscription_id, start_s),
    FOREIGN KEY (business, subscription_id) REFERENCES subscription (business, id),
    FOREIGN KEY (business, invoice_id) REFERENCES document (business, id)
) STRICT;
CREATE TRIGGER refund_stays BEFORE UPDATE ON refund
    BEGIN SELECT RAISE(ABORT, 'a refund does not change'); END;
CREATE TRIGGER refund_is_kept BEFORE DELETE ON refund
    BEGIN SELECT RAISE(ABORT, 'a refund is not deleted'); END;
CREATE TRIGGER subscription_state_stays BEFORE UPDATE ON subscription_state
    BEGIN SELECT RAISE(ABORT, 'a state does not change'); END;
CREATE TRIGGER subscription_state_is_kept BEFORE DELETE ON subscription_state
    BEGIN SELECT RAISE(ABORT, 'a state is not deleted'); END;
""",
)

_SECONDS_A_DAY = 86_400


def customer_of(row: sqlite3.Row) -> Customer:
    """Read a customer."""
    return Customer(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        phone=row["phone"],
        address=row["address"],
        tax_id=row["tax_id"],
        metadata=json.loads(row["metadata_json"]),
        created=moment_of(row["created_s"]),
    )


def product_of(row: sqlite3.Row) -> Product:
    """Read a product."""
    return Product(
        id=row["id"],
        name=row["name"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        every=row["every"],
        is_active=bool(row["is_active"]),
        created=moment_of(row["created_s"]),
    )


def refund_of(row: sqlite3.Row) -> Refund:
    """Read a refund."""
    return Refund(
        id=row["id"],
        payment=row["payment_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        status="succeeded",
        reason=row["reason"],
        customer=row["customer_id"],
        created=moment_of(row["created_s"]),
    )


def payment_of(row: sqlite3.Row, states: list[sqlite3.Row], refunded_minor: int) -> Payment:
    """Read a payment with its states, the first one first."""
    return Payment(
        id=row["id"],
        paid_for=json.loads(row["body_json"])["paid_for"],
        amount_minor=row["amount_minor"],
        refunded_minor=refunded_minor,
        currency=row["currency"],
        status=states[-1]["status"],
        customer=row["customer_id"],
        created=moment_of(row["created_s"]),
    )


def document_of(
    row: sqlite3.Row, states: list[sqlite3.Row], reference: str | None, now_s: int
) -> Link | Invoice:
    """Read a link or an invoice with its states, the first one first."""
    body, history = json.loads(row["body_json"]), tuple(state_of(state) for state in states)
    shared: dict[str, Any] = {
        "id": row["id"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "status": history[-1].status,
        "customer": row["customer_id"],
        "created": moment_of(row["created_s"]),
    }
    shared |= {
        "lines": lines_of(body["lines"]),
        "instructions": body["instructions"],
        "history": history,
    }
    if row["kind"] == "link":
        expires_s = row["expires_s"]
        if shared["status"] == "open" and expires_s is not None and expires_s <= now_s:
            shared["status"] = "expired"
        expires = None if expires_s is None else moment_of(expires_s)
        return Link(reference=reference or "", url=body["url"], expires=expires, **shared)
    opened = next((state["at_s"] for state in states if state["status"] == "open"), None)
    due = None if opened is None else moment_of(opened + body["due_days"] * _SECONDS_A_DAY)
    return Invoice(
        number=reference, due_days=body["due_days"], due=due, memo=body["memo"], **shared
    )
