"""Requests to pay, invoices, customers and the catalog of a business."""

from aicore_tools.payments.money import amount_text, currency_code
from aicore_tools.payments.port import Ledger
from aicore_tools.payments.records import (
    Customer,
    Entry,
    Found,
    Invoice,
    Line,
    Link,
    Payment,
    Product,
)
from aicore_tools.payments.registry import BACKENDS, LedgerSettings, ledger
from aicore_tools.payments.service import (
    Bill,
    FindAsked,
    LineGiven,
    PaymentRules,
    PaymentService,
    ProductGiven,
)

__all__ = [
    "BACKENDS",
    "Bill",
    "Customer",
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
    "Product",
    "ProductGiven",
    "amount_text",
    "currency_code",
    "ledger",
]
