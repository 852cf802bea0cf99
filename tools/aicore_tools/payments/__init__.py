"""Requests to pay, invoices, refunds, subscriptions, customers and the catalog of a business."""

from aicore_tools.payments.given import (
    Bill,
    FindAsked,
    LineGiven,
    ProductGiven,
    RefundGiven,
    ReportAsked,
    SubscriptionGiven,
)
from aicore_tools.payments.limits import DayLimit, PaymentRules
from aicore_tools.payments.money import amount_text, currency_code
from aicore_tools.payments.plans import (
    CustomerPlan,
    ProductPlan,
    RefundPlan,
    ReportMade,
    StepPlan,
    SubscriptionPlan,
)
from aicore_tools.payments.port import Ledger
from aicore_tools.payments.records import (
    Customer,
    Dispute,
    Entry,
    Found,
    Invoice,
    Line,
    Link,
    Payment,
    Payout,
    Product,
    Refund,
    Subscription,
)
from aicore_tools.payments.registry import BACKENDS, LedgerSettings, ledger
from aicore_tools.payments.service import PaymentService

__all__ = [
    "BACKENDS",
    "Bill",
    "Customer",
    "CustomerPlan",
    "DayLimit",
    "Dispute",
    "Entry",
    "FindAsked",
    "Found",
    "Invoice",
    "Ledger",
    "LedgerSettings",
    "Line",
    "LineGiven",
    "Link",
    "Payment",
    "PaymentRules",
    "PaymentService",
    "Payout",
    "Product",
    "ProductGiven",
    "ProductPlan",
    "Refund",
    "RefundGiven",
    "RefundPlan",
    "ReportAsked",
    "ReportMade",
    "StepPlan",
    "Subscription",
    "SubscriptionGiven",
    "SubscriptionPlan",
    "amount_text",
    "currency_code",
    "ledger",
]
