"""Stripe's objects as our records, and amounts in Stripe's smallest units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore_tools.errors import InvalidInput
from aicore_tools.payments.entry_json import moment_of
from aicore_tools.payments.records import (
    Customer,
    CustomerId,
    Dispute,
    EntryId,
    Invoice,
    Line,
    Link,
    Payment,
    Payout,
    Product,
    Refund,
    State,
    Subscription,
)

__all__ = [
    "CREATED",
    "CUSTOMER",
    "INLINE",
    "OP",
    "REASON",
    "TAX_ID",
    "customer_of",
    "dispute_of",
    "from_stripe",
    "invoice_of",
    "link_of",
    "payment_of",
    "payout_of",
    "product_of",
    "refund_of",
    "session_of",
    "subscription_of",
    "to_stripe",
]

OP = "aicore_op"
INLINE = "aicore_inline"
CREATED = "aicore_created"
CUSTOMER = "aicore_customer"
REASON = "reason"
TAX_ID = "tax_id"
_OURS = (OP, INLINE, CREATED, CUSTOMER, TAX_ID)

# https://docs.stripe.com/currencies, read 2026-11: where Stripe's smallest unit is not that of
# ISO 4217, and where the last of three decimals has to be 0.
_TWO_MORE_DECIMALS = ("ISK", "UGX")
_TWO_FEWER_DECIMALS = ("MGA",)
_LAST_DIGIT_ZERO = ("BHD", "JOD", "KWD", "OMR", "TND")
_PAYMENT_STATUS = {"succeeded": "succeeded", "processing": "processing", "canceled": "canceled"}
_SESSION_STATUS = {"complete": "paid", "expired": "expired"}
_DISPUTE_STATUS = {
    "warning_needs_response": "needs_response",
    "warning_under_review": "under_review",
    "warning_closed": "closed",
    "prevented": "closed",
}


def to_stripe(amount_minor: int, currency: str) -> int:
    """Give an amount in Stripe's smallest unit.

    Raises:
        InvalidInput: Stripe cannot take an amount that exact.
    """
    if currency in _TWO_MORE_DECIMALS:
        return amount_minor * 100
    unit = 100 if currency in _TWO_FEWER_DECIMALS else 10 if currency in _LAST_DIGIT_ZERO else 1
    if amount_minor % unit:
        raise InvalidInput(
            f"amount: Stripe takes {currency} in steps of {unit} minor units only.",
            hint=f"Give {amount_minor // unit * unit} or {(amount_minor // unit + 1) * unit}.",
        )
    return amount_minor // 100 if currency in _TWO_FEWER_DECIMALS else amount_minor


def from_stripe(amount: int, currency: str) -> int:
    """Undo `to_stripe`."""
    if currency in _TWO_MORE_DECIMALS:
        return amount // 100
    return amount * 100 if currency in _TWO_FEWER_DECIMALS else amount


def customer_of(one: Mapping[str, Any]) -> Customer:
    """Read a customer."""
    metadata = one.get("metadata") or {}
    return Customer(
        id=CustomerId(one["id"]),
        email=(one.get("email") or "").lower(),
        name=one.get("name") or "",
        phone=one.get("phone") or "",
        address=_address(one.get("address") or {}),
        tax_id=metadata.get(TAX_ID, ""),
        metadata={name: value for name, value in metadata.items() if name not in _OURS},
        created=moment_of(one["created"]),
    )


def product_of(price: Mapping[str, Any]) -> Product:
    """Read a price whose product is filled in."""
    currency = price["currency"].upper()
    amount = price.get("unit_amount")
    product = price["product"]
    return Product(
        id=EntryId(price["id"]),
        name=product.get("name") or "",
        amount_minor=None if amount is None else from_stripe(amount, currency),
        currency=currency,
        every=_every(price.get("recurring")),
        is_active=bool(price["active"] and product.get("active", False)),
        created=moment_of(price["created"]),
    )


def invoice_of(one: Mapping[str, Any]) -> Invoice:
    """Read an invoice with all its lines."""
    currency = one["currency"].upper()
    return Invoice(
        id=EntryId(one["id"]),
        number=one.get("number"),
        lines=_lines(one["lines"]["data"], currency),
        amount_minor=from_stripe(one["total"], currency),
        currency=currency,
        status=one.get("status") or "draft",
        customer=CustomerId(_id(one.get("customer")) or ""),
        due_days=one.get("days_until_due") or 0,
        due=None if one.get("due_date") is None else moment_of(one["due_date"]),
        memo=one.get("description") or "",
        instructions="",
        url=one.get("hosted_invoice_url"),
        to=one.get("customer_email") or "",
        created=moment_of(one["created"]),
        history=_history(one),
    )


def link_of(one: Mapping[str, Any]) -> Link:
    """Read a payment link with its lines. Stripe does not keep when it was made: we note it."""
    metadata = one.get("metadata") or {}
    sessions = (one.get("restrictions") or {}).get("completed_sessions") or {}
    is_paid = bool(sessions.get("limit")) and sessions.get("count", 0) >= sessions["limit"]
    made_s = metadata.get(CREATED, "")
    status = "paid" if is_paid else "open" if one["active"] else "void"
    return _link(
        one,
        status=status,
        url=one["url"] if status == "open" else None,
        customer=metadata.get(CUSTOMER),
        created_s=int(made_s) if made_s.isdigit() else None,
    )


def session_of(one: Mapping[str, Any]) -> Link:
    """Read a checkout session: a pay page that expires."""
    return _link(
        one,
        status=_SESSION_STATUS.get(one["status"] or "", "open"),
        url=one.get("url"),
        customer=_id(one.get("customer")),
        created_s=one["created"],
    )


def payment_of(one: Mapping[str, Any]) -> Payment:
    """Read a payment intent whose latest charge is filled in."""
    currency = one["currency"].upper()
    charge = one.get("latest_charge")
    refunded = charge.get("amount_refunded", 0) if isinstance(charge, Mapping) else 0
    paid = one.get("amount_received") or one["amount"]
    return Payment(
        id=EntryId(one["id"]),
        paid_for=None,
        amount_minor=from_stripe(paid, currency),
        refunded_minor=from_stripe(refunded, currency),
        currency=currency,
        status=_PAYMENT_STATUS.get(one["status"], "open"),
        customer=_customer(one),
        created=moment_of(one["created"]),
    )


def refund_of(one: Mapping[str, Any]) -> Refund:
    """Read a refund."""
    currency, status = one["currency"].upper(), one.get("status") or "pending"
    return Refund(
        id=EntryId(one["id"]),
        payment=EntryId(_id(one.get("payment_intent")) or _id(one.get("charge")) or ""),
        amount_minor=from_stripe(one["amount"], currency),
        currency=currency,
        status="pending" if status == "requires_action" else status,
        reason=(one.get("metadata") or {}).get(REASON) or one.get("reason") or "",
        customer=_customer(one),
        created=moment_of(one["created"]),
    )


def subscription_of(one: Mapping[str, Any]) -> Subscription:
    """Read a subscription by its first item, as ours have one; the amount is of all items."""
    items = one["items"]["data"]
    first, price = items[0], items[0]["price"]
    currency = one["currency"].upper()
    total = sum((item["price"].get("unit_amount") or 0) * item.get("quantity", 1) for item in items)
    has_ended = one["status"] == "canceled"
    cancel_s = one.get("cancel_at")
    return Subscription(
        id=EntryId(one["id"]),
        customer=CustomerId(_id(one["customer"]) or ""),
        price=EntryId(price["id"]),
        description=price.get("nickname") or "",
        quantity=first.get("quantity", 1),
        amount_minor=from_stripe(total, currency),
        currency=currency,
        every=_every(price.get("recurring")),
        status="paused" if one.get("pause_collection") and not has_ended else one["status"],
        period_end=None if has_ended else moment_of(first["current_period_end"]),
        cancel_at=moment_of(cancel_s) if cancel_s is not None and not has_ended else None,
        more_prices=tuple(EntryId(item["price"]["id"]) for item in items[1:]),
        created=moment_of(one["created"]),
    )


def dispute_of(one: Mapping[str, Any]) -> Dispute:
    """Read a dispute."""
    currency = one["currency"].upper()
    due_s = (one.get("evidence_details") or {}).get("due_by")
    payment = _id(one.get("payment_intent")) or _id(one.get("charge"))
    return Dispute(
        id=EntryId(one["id"]),
        payment=EntryId(payment) if payment else None,
        amount_minor=from_stripe(one["amount"], currency),
        currency=currency,
        status=_DISPUTE_STATUS.get(one["status"], one["status"]),
        reason=one.get("reason") or "",
        due=moment_of(due_s) if due_s else None,
        created=moment_of(one["created"]),
    )


def payout_of(one: Mapping[str, Any]) -> Payout:
    """Read a payout."""
    currency = one["currency"].upper()
    return Payout(
        id=EntryId(one["id"]),
        amount_minor=from_stripe(one["amount"], currency),
        currency=currency,
        status=one["status"],
        arrives=moment_of(one["arrival_date"]),
        created=moment_of(one["created"]),
    )


def _link(
    one: Mapping[str, Any],
    *,
    status: str,
    url: str | None,
    customer: str | None,
    created_s: int | None,
) -> Link:
    currency = (one.get("currency") or "").upper()
    lines = _lines((one.get("line_items") or {}).get("data", []), currency)
    expires_s = one.get("expires_at")
    created = None if created_s is None else moment_of(created_s)
    return Link(
        id=EntryId(one["id"]),
        reference=one["id"],
        lines=lines,
        amount_minor=sum(line.amount_minor * line.quantity for line in lines),
        currency=currency,
        status=status,
        url=url,
        instructions="",
        customer=CustomerId(customer) if customer else None,
        expires=None if expires_s is None else moment_of(expires_s),
        created=created,
        history=(State(status="open", at=created),) if created else (),
    )


def _lines(rows: list[dict[str, Any]], currency: str) -> tuple[Line, ...]:
    return tuple(_line(row, currency) for row in rows)


def _line(row: Mapping[str, Any], currency: str) -> Line:
    """Read a line; one whose amount is no multiple of its quantity counts as one thing."""
    total = from_stripe(row.get("amount_total", row.get("amount", 0)), currency)
    quantity = row.get("quantity") or 1
    if total % quantity:
        quantity = 1
    price = _named_price(row)
    return Line(
        description=row.get("description") or "",
        amount_minor=total // quantity,
        quantity=quantity,
        price=EntryId(price) if price else None,
    )


def _named_price(row: Mapping[str, Any]) -> str | None:
    """Give the price of the catalog that a line names, None where it was made for the line."""
    price = row.get("price")
    is_inline = isinstance(price, Mapping) and not price.get("active", True)
    if is_inline or INLINE in (row.get("metadata") or {}):
        return None
    details = (row.get("pricing") or {}).get("price_details") or {}
    return _id(price) or _id(details.get("price"))


def _history(one: Mapping[str, Any]) -> tuple[State, ...]:
    times = one.get("status_transitions") or {}
    steps = [("draft", one["created"])]
    for status, name in (("open", "finalized_at"), ("paid", "paid_at"), ("void", "voided_at")):
        if times.get(name):
            steps.append((status, times[name]))
    return tuple(State(status=status, at=moment_of(at_s)) for status, at_s in steps)


def _every(recurring: Mapping[str, Any] | None) -> str | None:
    if not recurring:
        return None
    count = recurring.get("interval_count") or 1
    return str(recurring["interval"]) if count == 1 else f"{count} {recurring['interval']}s"


def _address(given: Mapping[str, Any]) -> str:
    parts = ("line1", "line2", "postal_code", "city", "state", "country")
    return ", ".join(str(given[part]) for part in parts if given.get(part))


def _customer(one: Mapping[str, Any]) -> CustomerId | None:
    charge = one.get("charge")
    of_charge = charge.get("customer") if isinstance(charge, Mapping) else None
    customer = _id(one.get("customer")) or _id(of_charge)
    return CustomerId(customer) if customer else None


def _id(reference: Any) -> str | None:
    """Give the id of what is an id or an object that was filled in."""
    found = reference.get("id") if isinstance(reference, Mapping) else reference
    return None if found is None else str(found)
