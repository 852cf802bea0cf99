"""The records of payments: what every backend gives and takes. No I/O, no vendor word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType, TypeAlias

__all__ = [
    "Action",
    "Customer",
    "CustomerChange",
    "CustomerId",
    "Entry",
    "EntryId",
    "Every",
    "FindQuery",
    "Found",
    "Invoice",
    "Kind",
    "Line",
    "Link",
    "NewInvoice",
    "NewLink",
    "Payment",
    "Product",
    "ProductChange",
    "State",
    "total_minor",
]

CustomerId = NewType("CustomerId", str)
EntryId = NewType("EntryId", str)
"""Names any entry; its prefix tells the kind: cus, price, link, inv, pay."""

Kind = Literal["customer", "invoice", "payment", "product", "link"]
Action = Literal["finalize", "send", "remind", "void", "mark_paid"]
Every = Literal["month", "year"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One step in the life of a link or invoice, and who took it, as the caller said."""

    status: str
    at: datetime
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing to pay for: `amount_minor` is for one of it."""

    description: str
    amount_minor: int
    quantity: int = 1
    price: EntryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Someone who pays; known by the e-mail address, which is in lower case."""

    id: CustomerId
    email: str
    name: str = ""
    phone: str = ""
    address: str = ""
    tax_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something sold at a fixed price. `every` is set where it is paid again and again."""

    id: EntryId
    name: str
    amount_minor: int
    currency: str
    every: Every | None = None
    is_active: bool = True
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A request to pay: open, paid, expired or void.

    `url` is where the customer pays, None where there is no such page; `instructions` say what
    else can be done, quoting `reference`.
    """

    id: EntryId
    reference: str
    lines: tuple[Line, ...]
    amount_minor: int
    currency: str
    status: str
    url: str | None
    instructions: str
    customer: CustomerId | None
    expires: datetime | None
    created: datetime
    history: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A bill: draft, open, paid or void. It has a number and a due time once finalized."""

    id: EntryId
    number: str | None
    lines: tuple[Line, ...]
    amount_minor: int
    currency: str
    status: str
    customer: CustomerId
    due_days: int
    due: datetime | None
    memo: str
    instructions: str
    created: datetime
    history: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that came in for a link or an invoice."""

    id: EntryId
    paid_for: EntryId
    amount_minor: int
    currency: str
    status: str
    customer: CustomerId | None
    created: datetime


Entry: TypeAlias = Customer | Product | Link | Invoice | Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A request to pay that is to be made. `customer` is a known one, or an e-mail address."""

    lines: tuple[Line, ...]
    currency: str
    customer: str | None = None
    expires: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvoice:
    """An invoice that is to be drafted. `customer` is a known one, or an e-mail address."""

    lines: tuple[Line, ...]
    currency: str
    customer: str
    due_days: int
    memo: str = ""
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerChange:
    """What is to be different; None leaves it. One of `id` and `email` names the customer.

    In `metadata` None takes a key out.
    """

    id: CustomerId | None = None
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    address: str | None = None
    tax_id: str | None = None
    metadata: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductChange:
    """A product to add, or, with the `id` of one, what is to be different; None leaves it."""

    name: str
    id: EntryId | None = None
    amount_minor: int | None = None
    currency: str | None = None
    every: Every | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindQuery:
    """Which entries, newest first. `after` and `before` bound when they were created.

    `text` is matched without regard to case; `cursor` is a `next_cursor`, as it came.
    """

    kind: Kind
    customer: CustomerId | None = None
    status: str | None = None
    text: str = ""
    after: datetime | None = None
    before: datetime | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Entries, and the cursor of the next page, None at the end."""

    entries: tuple[Entry, ...]
    next_cursor: str | None = None


def total_minor(lines: tuple[Line, ...]) -> int:
    """Add up the lines."""
    return sum(line.amount_minor * line.quantity for line in lines)
