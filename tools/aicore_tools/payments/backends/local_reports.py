"""Reports of the local books: what came in, what went back, what is still to come."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from aicore_tools.payments.backends.local_books import Books
from aicore_tools.payments.entry_json import moment_of
from aicore_tools.payments.records import Report, ReportQuery
from aicore_tools.payments.sums import Sums, age_label, period_label

__all__ = ["Reports"]

_PAYMENTS = """
SELECT created_s, amount_minor, currency, customer_id,
  json_extract(body_json, '$.paid_for') AS paid_for
FROM document WHERE business = :business AND kind = 'payment'
  AND created_s >= :after_s AND created_s < :before_s
"""
_REFUNDS = """
SELECT created_s, amount_minor, currency, customer_id FROM refund
WHERE business = :business AND created_s >= :after_s AND created_s < :before_s
"""
_OPEN = """
SELECT document.amount_minor, document.currency, document.customer_id,
  json_extract(document.body_json, '$.due_days') AS due_days,
  (SELECT min(at_s) FROM document_state WHERE business = document.business
    AND document_id = document.id AND status = 'open') AS opened_s
FROM document
JOIN document_state AS state ON state.business = document.business
  AND state.document_id = document.id
  AND state.step = (SELECT max(step) FROM document_state
                    WHERE business = document.business AND document_id = document.id)
WHERE document.business = :business AND document.kind = 'invoice' AND state.status = 'open'
"""
_ALL_S = 2**62
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Reports:
    """Adds up the books inside the transaction of `books`."""

    books: Books

    def report(self, query: ReportQuery) -> Report:
        """Make the report that is asked for."""
        sums = Sums()
        match query.kind:
            case "balance":
                self._balance(sums)
            case "revenue":
                self._revenue(query, sums)
            case "aging":
                self._aging(query, sums)
            case "ledger":
                self._ledger(query, sums)
            case "payouts":
                return Report(rows=(), note="This ledger pays nothing out.")
        return Report(rows=sums.rows(query.by))

    def _balance(self, sums: Sums) -> None:
        for row in self._rows(_PAYMENTS):
            sums.add("received", row["currency"], row["amount_minor"])
        for row in self._rows(_REFUNDS):
            sums.add("received", row["currency"], -row["amount_minor"], count=0)
        for row in self._rows(_OPEN):
            sums.add("outstanding", row["currency"], row["amount_minor"])

    def _revenue(self, query: ReportQuery, sums: Sums) -> None:
        for row in self._rows(_PAYMENTS, query):
            if query.by == "product":
                self._by_product(row, sums)
            else:
                sums.add(_label(row, query), row["currency"], row["amount_minor"])
        for row in self._rows(_REFUNDS, query):
            label = "refunds" if query.by == "product" else _label(row, query)
            sums.add(label, row["currency"], -row["amount_minor"], count=0)

    def _by_product(self, payment: sqlite3.Row, sums: Sums) -> None:
        """Lines without a price of the catalog count by their description."""
        body = self.books.connection.execute(
            "SELECT json_extract(body_json, '$.lines') AS lines FROM document"
            " WHERE business = ? AND id = ?",
            (self.books.business, payment["paid_for"]),
        ).fetchone()
        for line in json.loads(body["lines"]):
            sums.add(
                line["price"] or line["description"],
                payment["currency"],
                line["amount_minor"] * line["quantity"],
                count=line["quantity"],
            )

    def _aging(self, query: ReportQuery, sums: Sums) -> None:
        for row in self._rows(_OPEN):
            due = moment_of(row["opened_s"] + row["due_days"] * _SECONDS_A_DAY)
            label = row["customer_id"] if query.by == "customer" else age_label(due, query.now)
            sums.add(label, row["currency"], row["amount_minor"])

    def _ledger(self, query: ReportQuery, sums: Sums) -> None:
        for kind, statement, sign in (("payment", _PAYMENTS, 1), ("refund", _REFUNDS, -1)):
            for row in self._rows(statement, query):
                sums.add(
                    f"{_label(row, query)} {kind}", row["currency"], sign * row["amount_minor"]
                )

    def _rows(self, statement: str, query: ReportQuery | None = None) -> sqlite3.Cursor:
        bound = {
            "business": self.books.business,
            "after_s": int(query.after.timestamp()) if query else 0,
            "before_s": int(query.before.timestamp()) if query else _ALL_S,
        }
        return self.books.connection.execute(statement, bound)


def _label(row: sqlite3.Row, query: ReportQuery) -> str:
    if query.by == "customer":
        return row["customer_id"] or "nobody known"
    return period_label(moment_of(row["created_s"]), query.by, query.zone)
