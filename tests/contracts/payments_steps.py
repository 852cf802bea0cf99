"""Steps that the contract suites of payments take, with what they do not care about filled in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.contracts.payments_rows import LINES

from aicore_tools.operations import Operation
from aicore_tools.payments import (
    Entry,
    Invoice,
    Ledger,
    Link,
    Payment,
    Product,
    Refund,
    Subscription,
)
from aicore_tools.payments.records import (
    Action,
    EntryId,
    FindQuery,
    Kind,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    Report,
    ReportKind,
    ReportQuery,
    SubscriptionStep,
)

DAY = timedelta(days=1)


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def request_payment(ledger: Ledger, **fields: Any) -> Link:
    new = NewLink(**{"lines": LINES, "currency": "EUR", **fields})
    return (await ledger.add_link(new, op())).result


async def draft(ledger: Ledger, **fields: Any) -> Invoice:
    values = {"lines": LINES, "currency": "EUR", "customer": "ann@example.com", "due_days": 14}
    return (await ledger.add_invoice(NewInvoice(**{**values, **fields}), op())).result


async def act(ledger: Ledger, entry: str, *actions: Action) -> Link | Invoice:
    for action in actions:
        effect = await ledger.act(EntryId(entry), action, by="staff:ann", operation=op())
    return effect.result


async def product(ledger: Ledger, **fields: Any) -> Product:
    given = {"name": "Gym", "amount_minor": 2000, "currency": "EUR", "every": "month", **fields}
    return (await ledger.save_product(ProductChange(**given), op())).result


async def subscribed(ledger: Ledger, **fields: Any) -> Subscription:
    price = (await product(ledger)).id
    new = NewSubscription(**{"customer": "ann@example.com", "price": price, **fields})
    return (await ledger.subscribe(new, op())).result


async def step(ledger: Ledger, entry: EntryId, action: Any, **fields: Any) -> Subscription:
    taken = SubscriptionStep(id=entry, action=action, **fields)
    return (await ledger.step_subscription(taken, op())).result


async def refund(ledger: Ledger, payment: Payment, amount_minor: int, **fields: Any) -> Refund:
    given = {"payment": payment.id, "amount_minor": amount_minor, "currency": "EUR", **fields}
    return (await ledger.refund(NewRefund(**given), op())).result


async def found(ledger: Ledger, kind: Kind, **query: Any) -> list[str]:
    return [entry.id for entry in (await ledger.find(FindQuery(kind=kind, **query))).entries]


async def report(ledger: Ledger, kind: ReportKind, like: Entry, **fields: Any) -> Report:
    """Report on the two days around an entry."""
    assert like.created is not None
    query = ReportQuery(
        kind=kind,
        after=like.created - DAY,
        before=like.created + DAY,
        now=like.created,
        zone=ZoneInfo("UTC"),
        **{"by": None, **fields},
    )
    return await ledger.report(query)
