"""How payments lie in SQLite: the schema, and rows to records and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from aicore_tools.payments.entry_json import lines_of, moment_of, state_of
from aicore_tools.payments.records import Customer, Invoice, Link, Payment, Product

__all__ = [
    "MIGRATIONS",
    "customer_of",
    "document_of",
    "product_of",
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


def document_of(
    row: sqlite3.Row, states: list[sqlite3.Row], reference: str | None, now_s: int
) -> Link | Invoice | Payment:
    """Read a link, invoice or payment with its states, the first one first."""
    body, history = json.loads(row["body_json"]), tuple(state_of(state) for state in states)
    shared: dict[str, Any] = {
        "id": row["id"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "status": history[-1].status,
        "customer": row["customer_id"],
        "created": moment_of(row["created_s"]),
    }
    if row["kind"] == "payment":
        return Payment(paid_for=body["paid_for"], **shared)
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
