"""How entries of payments, and plans about them, look to a caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from aicore_tools.errors import InvalidInput
from aicore_tools.payments import (
    Customer,
    CustomerPlan,
    Dispute,
    Entry,
    Invoice,
    Link,
    Payment,
    Payout,
    Product,
    ProductPlan,
    Refund,
    RefundPlan,
    ReportMade,
    StepPlan,
    Subscription,
    SubscriptionPlan,
    amount_text,
)
from aicore_tools.payments.records import NewInvoice, NewLink, ReportRow, State, total_minor

__all__ = ["Shown"]


class _Null(Enum):
    """A value that is shown although it is null."""

    NULL = None


_KEYS: Mapping[type[Entry], str] = {
    Customer: "customer",
    Product: "product",
    Link: "link",
    Invoice: "invoice",
    Payment: "payment",
    Refund: "refund",
    Subscription: "subscription",
    Dispute: "dispute",
    Payout: "payout",
}
_ONLY_WHOLE = ("lines", "history", "instructions", "metadata", "address", "memo")
_INTERNAL = ("id", "by", "email")


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """Shapes everything by the clock of the business."""

    zone: ZoneInfo

    def named(self, entry: Entry) -> dict[str, Any]:
        """Show an entry whole, under the name of its kind."""
        return {_KEYS[type(entry)]: self.whole(entry)}

    def row(self, entry: Entry, fields: Sequence[str]) -> Mapping[str, Any]:
        """Show an entry as one of many."""
        shown = self.whole(entry)
        return chosen(
            {n: v for n, v in shown.items() if n not in _ONLY_WHOLE or n in fields}, fields
        )

    def whole(self, entry: Any) -> dict[str, Any]:
        """Shape a record: what is empty is left out, but for the url that a link may not have."""
        shown: dict[str, Any] = {}
        for field in dataclasses.fields(entry):
            value = getattr(entry, field.name)
            if value not in ("", None, {}, ()):
                shown[field.name] = self._local(value)
            if field.name == "amount_minor" and value is not None:
                shown["amount_text"] = amount_text(value, getattr(entry, "currency", ""))
        if isinstance(entry, Link) and entry.url is None:
            shown["url"] = _Null.NULL
        return shown

    def asked(self, new: NewLink | NewInvoice) -> dict[str, Any]:
        """Show what would be asked for."""
        total = total_minor(new.lines)
        shown = self.whole(dataclasses.replace(new, by=None))
        return {**shown, "amount_minor": total, "amount_text": amount_text(total, new.currency)}

    def step(self, plan: StepPlan) -> dict[str, Any]:
        """Show an invoice or link, and what becomes of it."""
        present = plan.document
        name = present.reference if isinstance(present, Link) else present.number
        return {
            "action": plan.action,
            "id": present.id,
            "number": name or None,
            "to": plan.to,
            **_payer(present.customer, plan.customer),
            "amount_minor": present.amount_minor,
            "amount_text": amount_text(present.amount_minor, present.currency),
            "status": {"old": present.status, "new": plan.status},
        }

    def customer(self, plan: CustomerPlan) -> dict[str, Any]:
        """Show which fields of a customer would change."""
        changes = {
            field.name: getattr(plan.change, field.name)
            for field in dataclasses.fields(plan.change)
            if field.name not in _INTERNAL and getattr(plan.change, field.name) not in (None, {})
        }
        if plan.present is None:
            return {"new_customer": plan.change.email, "set": changes}
        return {"customer": plan.present.id, "set": _old_and_new(plan.present, changes)}

    def product(self, plan: ProductPlan) -> dict[str, Any]:
        """Show a new product, or which fields of one would change."""
        changes = {
            field.name: getattr(plan.change, field.name)
            for field in dataclasses.fields(plan.change)
            if field.name not in _INTERNAL and getattr(plan.change, field.name) is not None
        }
        if plan.present is None:
            return {"new_product": changes}
        return {"product": plan.present.id, "set": _old_and_new(plan.present, changes)}

    def refund(self, plan: RefundPlan) -> dict[str, Any]:
        """Show what would go back, and what would be left of the payment."""
        payment, new = plan.payment, plan.new
        left = payment.amount_minor - payment.refunded_minor - new.amount_minor
        return {
            "payment": payment.id,
            "paid_for": payment.paid_for,
            **_payer(payment.customer, plan.customer),
            "paid_text": amount_text(payment.amount_minor, payment.currency),
            "amount_minor": new.amount_minor,
            "amount_text": amount_text(new.amount_minor, new.currency),
            "left_text": amount_text(left, new.currency),
            "reason": new.reason or None,
        }

    def subscription(self, plan: SubscriptionPlan) -> dict[str, Any]:
        """Show what would be done, from what to what, and what it costs each period after."""
        product, present = plan.product, plan.present
        return {
            **_payer(present.customer if present else None, plan.customer),
            **self.whole(dataclasses.replace(plan.what, by=None)),
            "present": self.whole(dataclasses.replace(present, history=())) if present else None,
            "product": product.name if product else None,
            "every": product.every if product else None,
            "each_period_text": amount_text(plan.amount_minor, plan.currency),
        }

    def report(self, made: ReportMade) -> dict[str, Any]:
        """Show a report, and what it is of."""
        query = made.query
        shown: dict[str, Any] = {"kind": query.kind, "rows": [_figure(r) for r in made.report.rows]}
        if query.kind not in ("balance", "aging"):
            shown |= {"after": self._local(query.after), "before": self._local(query.before)}
        if made.is_cut:
            shown |= {"truncated": True, "more": "There are more rows: ask for a shorter time."}
        return {**shown, "note": made.report.note or None}

    def _local(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(self.zone)
        if isinstance(value, tuple):
            return [self._local(item) for item in value]
        if isinstance(value, State):
            return dataclasses.replace(value, at=value.at.astimezone(self.zone))
        return value


def chosen(entry: Mapping[str, Any], fields: Sequence[str]) -> Mapping[str, Any]:
    """Keep the id and the asked-for fields; one that this entry leaves empty is no mistake.

    Raises:
        InvalidInput: no kind of entry has such a field.
    """
    known = {field.name for kind in _KEYS for field in dataclasses.fields(kind)} | {"amount_text"}
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise InvalidInput(
            f"fields: there is no field {', '.join(unknown)[:80]}.",
            hint=f"The fields are: {', '.join(sorted(known))}.",
        )
    if not fields:
        return entry
    return {name: value for name, value in entry.items() if name in ("id", *fields)}


def _old_and_new(present: object, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"old": getattr(present, name), "new": value}
        for name, value in changes.items()
        if getattr(present, name) != value
    }


def _payer(named: str | None, customer: Customer | None) -> dict[str, Any]:
    """Show whose money it is: who confirms knows people by name and address, not by id."""
    return {
        "customer": named,
        "customer_name": customer.name or None if customer else None,
        "customer_email": customer.email or None if customer else None,
    }


def _figure(row: ReportRow) -> dict[str, Any]:
    shown = {
        "label": row.label,
        "amount_minor": row.amount_minor,
        "amount_text": amount_text(row.amount_minor, row.currency),
        "count": row.count,
    }
    return shown | ({"fee_minor": row.fee_minor} if row.fee_minor else {})
