"""The records of payments: what every backend gives and takes. No I/O, no vendor word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType, TypeAlias
from zoneinfo import ZoneInfo

__all__ = [
    "Action",
    "Customer",
    "CustomerChange",
    "CustomerId",
    "Dispute",
    "Document",
    "Entry",
    "EntryId",
    "Every",
    "FindQuery",
    "Found",
    "GroupBy",
    "Invoice",
    "Kind",
    "Line",
    "Link",
    "NewInvoice",
    "NewLink",
    "NewRefund",
    "NewSubscription",
    "Payment",
    "Payout",
    "Product",
    "ProductChange",
    "Refund",
    "Report",
    "ReportKind",
    "ReportQuery",
    "ReportRow",
    "State",
    "Subscription",
    "SubscriptionStep",
    "When",
    "total_minor",
]

CustomerId = NewType("CustomerId", str)
EntryId = NewType("EntryId", str)
"""Names any entry; its prefix tells the kind. Local: cus, price, link, inv, pay, ref, sub."""

Kind = Literal[
    "customer",
    "invoice",
    "payment",
    "refund",
    "subscription",
    "product",
    "dispute",
    "payout",
    "link",
]
Document = Literal["link", "invoice"]
Action = Literal["finalize", "send", "remind", "void", "mark_paid"]
Every = Literal["month", "year"]
When = Literal["now", "period_end"]
ReportKind = Literal["balance", "revenue", "aging", "payouts", "ledger"]
GroupBy = Literal["day", "month", "customer", "product"]


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
    """Something sold. `every` (month, year, or a vendor's other) is set where it is paid again.

    `amount_minor` is None where the price depends on how much is bought.
    """

    id: EntryId
    name: str
    amount_minor: int | None
    currency: str
    every: str | None = None
    is_active: bool = True
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A request to pay: open, paid, expired or void.

    `url` is where the customer pays, None where there is no such page; `instructions` say what
    else can be done, quoting `reference`. `created` is None where the backend does not keep it.
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
    created: datetime | None
    history: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A bill: draft, open, paid or void. It has a number and a due time once finalized.

    `url` is where the customer sees and pays it, None where there is no such page. `to` is the
    address that it goes to, empty where the backend keeps none but the customer's.
    """

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
    url: str | None = None
    to: str = ""
    created: datetime
    history: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that came in; `refunded_minor` of it went or is going back.

    `paid_for` is the link or invoice, None where the backend does not tell.
    """

    id: EntryId
    paid_for: EntryId | None
    amount_minor: int
    refunded_minor: int = 0
    currency: str
    status: str
    customer: CustomerId | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money of a payment that goes back: pending, succeeded, failed or canceled."""

    id: EntryId
    payment: EntryId
    amount_minor: int
    currency: str
    status: str
    reason: str
    customer: CustomerId | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A product that a customer pays for every period, `amount_minor` each time for all of it.

    `more_prices` are what it is of besides `price`, where somebody else made it so; `quantity` is
    of `price` alone then. `period_end` is when the next period is billed; `cancel_at` when it
    ends, if that is decided; `next_price` what counts from `period_end` on, if that is another.
    """

    id: EntryId
    customer: CustomerId
    price: EntryId
    description: str
    quantity: int
    amount_minor: int
    currency: str
    every: str | None
    status: str
    period_end: datetime | None
    cancel_at: datetime | None = None
    next_price: EntryId | None = None
    more_prices: tuple[EntryId, ...] = ()
    created: datetime
    history: tuple[State, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A payment that the customer's bank takes back; `due` is the last day to answer it."""

    id: EntryId
    payment: EntryId | None
    amount_minor: int
    currency: str
    status: str
    reason: str
    due: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money on its way from the payment provider to the business's bank."""

    id: EntryId
    amount_minor: int
    currency: str
    status: str
    arrives: datetime
    created: datetime


Entry: TypeAlias = (
    Customer | Product | Link | Invoice | Payment | Refund | Subscription | Dispute | Payout
)


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
class NewRefund:
    """Money of a payment that is to go back; never more than what is left of it."""

    payment: EntryId
    amount_minor: int
    currency: str
    reason: str = ""
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSubscription:
    """A subscription that is to begin. `customer` is a known one, or an e-mail address."""

    customer: str
    price: EntryId
    quantity: int = 1
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStep:
    """What is to become of a subscription; of a change None leaves `price` or `quantity`."""

    id: EntryId
    action: Literal["change", "cancel", "resume"]
    price: EntryId | None = None
    quantity: int | None = None
    when: When = "now"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportQuery:
    """Which figures: of what happened from `after` until before `before`, grouped by `by`.

    A balance is of `now`; aging counts the days that open invoices are late then. Days and months
    are those of `zone`.
    """

    kind: ReportKind
    after: datetime
    before: datetime
    now: datetime
    by: GroupBy | None
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One figure: of `count` things named by `label`, in one currency.

    `fee_minor` is what the payment provider kept of it.
    """

    label: str
    currency: str
    amount_minor: int
    count: int
    fee_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rows of a report. `note` says what they leave out, where they do."""

    rows: tuple[ReportRow, ...]
    note: str = ""


def total_minor(lines: tuple[Line, ...]) -> int:
    """Add up the lines."""
    return sum(line.amount_minor * line.quantity for line in lines)
