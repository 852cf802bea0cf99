"""Effects as they are planned: checked, read up on, and not yet done."""

from __future__ import annotations

from dataclasses import dataclass

from aicore_tools.payments.records import (
    Action,
    Customer,
    CustomerChange,
    Invoice,
    Link,
    NewRefund,
    NewSubscription,
    Payment,
    Product,
    ProductChange,
    Report,
    ReportQuery,
    Subscription,
    SubscriptionStep,
)

__all__ = [
    "CustomerPlan",
    "ProductPlan",
    "RefundPlan",
    "ReportMade",
    "StepPlan",
    "SubscriptionPlan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """A link or invoice as it is, and its status after the step.

    `customer` is whose it is, here as in every plan: None where nobody knows. `to` is the address
    that a mail of this step goes to, None where it sends none.
    """

    document: Link | Invoice
    action: Action
    status: str
    customer: Customer | None
    to: str | None
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPlan:
    """A customer as it is, None for a new one, and what is to be different."""

    present: Customer | None
    change: CustomerChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPlan:
    """A product as it is, None for a new one, and what is to be different."""

    present: Product | None
    change: ProductChange


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPlan:
    """What goes back, and of which payment."""

    payment: Payment
    customer: Customer | None
    new: NewRefund


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPlan:
    """What is to be done, with the subscription as it is and what it costs each period after.

    `present` is None for a new one, `product` for one whose price stays.
    """

    what: NewSubscription | SubscriptionStep
    present: Subscription | None
    customer: Customer | None
    product: Product | None
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMade:
    """A report and what it is of. `is_cut`: there are more rows than these."""

    query: ReportQuery
    report: Report
    is_cut: bool
