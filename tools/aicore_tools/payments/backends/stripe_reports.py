"""Reports from Stripe: added up by us from whole lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aicore_tools.errors import InvalidInput
from aicore_tools.payments.backends.stripe_calls import StripeCalls
from aicore_tools.payments.backends.stripe_entries import from_stripe, invoice_of, payment_of
from aicore_tools.payments.entry_json import moment_of
from aicore_tools.payments.records import Report, ReportQuery
from aicore_tools.payments.sums import Sums, age_label, period_label

__all__ = ["StripeReports"]

MOST_ROWS = 10_000
_REVENUE = ("charge", "payment", "refund", "payment_refund", "payment_failure_refund")
_SETTLED = "In the currency of the balance; money that came in outside Stripe is not in it."
_PAID_INVOICES = "Of paid invoices only, by when they were made; refunds are not taken off."
_PAYMENTS = "Of payments by when they were made, less all that was refunded of them since."


class StripeReports:
    """Adds up one account."""

    def __init__(self, calls: StripeCalls) -> None:
        self._calls = calls

    async def report(self, query: ReportQuery) -> Report:
        """Make the report that is asked for.

        Raises:
            InvalidInput: it would take more than 10,000 rows.
        """
        sums = Sums()
        match query.kind:
            case "balance":
                await self._balance(sums)
                note = ""
            case "aging":
                await self._aging(query, sums)
                note = ""
            case "payouts":
                await self._payouts(query, sums)
                note = ""
            case "ledger":
                await self._movements(query, sums)
                note = _SETTLED
            case "revenue":
                note = await self._revenue(query, sums)
        return Report(rows=sums.rows(query.by), note=note)

    async def _balance(self, sums: Sums) -> None:
        found = await self._calls.read(self._calls.v1.balance.retrieve_async)
        for label in ("available", "pending"):
            for row in found[label]:
                currency = row["currency"].upper()
                sums.add(label, currency, from_stripe(row["amount"], currency))

    async def _aging(self, query: ReportQuery, sums: Sums) -> None:
        async for row in self._rows(self._calls.v1.invoices.list_async, status="open"):
            invoice = invoice_of(row)
            late = age_label(invoice.due, query.now)
            sums.add(
                invoice.customer if query.by == "customer" else late,
                invoice.currency,
                from_stripe(row["amount_remaining"], invoice.currency),
            )

    async def _payouts(self, query: ReportQuery, sums: Sums) -> None:
        async for row in self._rows(self._calls.v1.payouts.list_async, created=_within(query)):
            currency = row["currency"].upper()
            label = f"{_period(row, query)} {row['status']}"
            sums.add(label, currency, from_stripe(row["amount"], currency))

    async def _movements(self, query: ReportQuery, sums: Sums) -> None:
        method = self._calls.v1.balance_transactions.list_async
        async for row in self._rows(method, created=_within(query)):
            _add_movement(sums, f"{_period(row, query)} {row['type']}", row)

    async def _revenue(self, query: ReportQuery, sums: Sums) -> str:
        if query.by == "customer":
            await self._by_customer(query, sums)
            return _PAYMENTS
        if query.by == "product":
            await self._by_product(query, sums)
            return _PAID_INVOICES
        method = self._calls.v1.balance_transactions.list_async
        async for row in self._rows(method, created=_within(query)):
            if row["type"] in _REVENUE:
                _add_movement(sums, _period(row, query), row)
        return _SETTLED

    async def _by_customer(self, query: ReportQuery, sums: Sums) -> None:
        rows = self._rows(
            self._calls.v1.payment_intents.list_async,
            created=_within(query),
            expand=["data.latest_charge"],
        )
        async for row in rows:
            payment = payment_of(row)
            if payment.status == "succeeded":
                amount = payment.amount_minor - payment.refunded_minor
                sums.add(payment.customer or "nobody known", payment.currency, amount)

    async def _by_product(self, query: ReportQuery, sums: Sums) -> None:
        method = self._calls.v1.invoices.list_async
        async for row in self._rows(method, status="paid", created=_within(query)):
            lines = row["lines"]["data"]
            if row["lines"]["has_more"]:
                more = self._calls.v1.invoices.line_items.list_async
                lines = [line async for line in self._calls.rows(more, row["id"])]
            currency = row["currency"].upper()
            for line in lines:
                amount = from_stripe(line["amount"], currency)
                label = line.get("description") or "without a description"
                sums.add(label, currency, amount, count=line.get("quantity") or 1)

    async def _rows(self, method: Any, **params: Any) -> AsyncIterator[dict[str, Any]]:
        count = 0
        async for row in self._calls.rows(method, **params):
            count += 1
            if count > MOST_ROWS:
                raise InvalidInput(
                    f"That is more than {MOST_ROWS} rows.", hint="Ask for a shorter time."
                )
            yield row


def _add_movement(sums: Sums, label: str, row: dict[str, Any]) -> None:
    currency = row["currency"].upper()
    fee = from_stripe(row["fee"], currency)
    is_refund = "refund" in row["type"]
    count = 0 if is_refund and row["type"] not in label else 1
    sums.add(label, currency, from_stripe(row["amount"], currency), fee_minor=fee, count=count)


def _within(query: ReportQuery) -> dict[str, int]:
    return {"gte": int(query.after.timestamp()), "lt": int(query.before.timestamp())}


def _period(row: dict[str, Any], query: ReportQuery) -> str:
    return period_label(moment_of(row["created"]), query.by, query.zone)
