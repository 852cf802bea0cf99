"""Subscriptions in the local books: who pays what every period, and the drafts that follow.

Nothing is collected by itself. Each period that has begun gives one draft invoice, made the next
time the books are opened, read or written.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dateutil.relativedelta import relativedelta

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.payments.backends.local_books import Books, new_id, place_of
from aicore_tools.payments.cursors import bound_cursor
from aicore_tools.payments.entry_json import moment_of
from aicore_tools.payments.records import (
    EntryId,
    Every,
    FindQuery,
    Found,
    Line,
    NewInvoice,
    NewSubscription,
    Product,
    State,
    Subscription,
    SubscriptionStep,
)

__all__ = ["Subscriptions"]

BILLED_BY = "subscription"
DUE_DAYS = 14
_TERMS = ("status", "price_id", "description", "unit_minor", "quantity", "currency", "every")


@dataclass(frozen=True, slots=True)
class _Life:
    """The states of one subscription that still count, the first one first."""

    states: tuple[sqlite3.Row, ...]

    def at(self, moment_s: int) -> sqlite3.Row:
        """Give the state that holds then."""
        return [row for row in self.states if row["effective_s"] <= moment_s][-1]

    def after(self, moment_s: int) -> sqlite3.Row | None:
        """Give the state that is decided on for later."""
        later = [row for row in self.states if row["effective_s"] > moment_s]
        return later[-1] if later else None


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Reads and writes subscriptions inside the transaction of `books`."""

    books: Books

    def get(self, entry: str) -> Subscription | None:
        """Read one by its id, None if there is none."""
        row = self.books.connection.execute(
            "SELECT * FROM subscription WHERE business = ? AND id = ?", (self.books.business, entry)
        ).fetchone()
        return self._read(row) if row else None

    def find(self, query: FindQuery) -> Found:
        """Read a page of them.

        Raises:
            InvalidInput: the cursor is none of this query's.
        """
        rows = self.books.connection.execute(
            "SELECT * FROM subscription WHERE business = :business AND seq < :before_seq"
            " AND created_s >= :after_s AND created_s < :before_s"
            " AND (:customer IS NULL OR customer_id = :customer) ORDER BY seq DESC",
            {
                "business": self.books.business,
                "before_seq": place_of(query),
                "after_s": int(query.after.timestamp()) if query.after else 0,
                "before_s": int(query.before.timestamp()) if query.before else 2**62,
                "customer": query.customer,
            },
        )
        page: list[Subscription] = []
        last_seq = 0
        for row in rows:
            found = self._read(row)
            if not _fits(found, query):
                continue
            if len(page) == query.limit:
                return Found(entries=tuple(page), next_cursor=bound_cursor(query, str(last_seq)))
            page.append(found)
            last_seq = row["seq"]
        return Found(entries=tuple(page))

    def add(self, new: NewSubscription) -> EntryId:
        """Begin one, with the draft of its first period; give its id.

        Raises:
            NotFound: there is no such customer or price.
            InvalidInput: the price is not paid again and again.
        """
        product = self.books.product(new.price)
        customer = self.books.customer_for(new.customer)
        subscription = new_id("sub")
        self.books.connection.execute(
            "INSERT INTO subscription (business, id, customer_id, next_due_s, created_s)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                self.books.business,
                subscription,
                customer.id,
                self.books.now_s,
                self.books.now_s,
            ),
        )
        terms = {**_terms(product), "quantity": new.quantity}
        self._add_state(subscription, terms, effective_s=self.books.now_s, by=new.by)
        self.bill_due()
        return subscription

    def step(self, step: SubscriptionStep) -> EntryId:
        """Change, cancel or resume one; give its id.

        Raises:
            NotFound: there is no such subscription or price.
            Conflict: it has ended, or there is nothing to resume.
        """
        if self.get(step.id) is None:
            raise NotFound(f"There is no subscription {step.id[:80]!r}.")
        life = self._life(step.id)
        present = life.at(self.books.now_s)
        if present["status"] == "canceled":
            raise Conflict("The subscription has ended.", hint="Create a new one.")
        terms = {name: present[name] for name in _TERMS}
        effective_s = self.books.now_s if step.when == "now" else self._end_s(step.id)
        if step.action == "resume":
            if life.after(self.books.now_s) is None:
                raise Conflict("The subscription is active; there is nothing to resume.")
            effective_s = self.books.now_s
        elif step.action == "cancel":
            terms["status"] = "canceled"
        else:
            terms |= _terms(self.books.product(step.price)) if step.price else {}
            terms["quantity"] = step.quantity or terms["quantity"]
        self._add_state(step.id, terms, effective_s=effective_s, by=step.by)
        if terms["status"] == "canceled" and step.when == "now":
            self._set_due(step.id, None)
        return step.id

    def is_due(self) -> bool:
        """Tell whether a period has begun that has no draft yet."""
        row = self.books.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM subscription WHERE business = ? AND next_due_s <= ?)",
            (self.books.business, self.books.now_s),
        ).fetchone()
        return bool(row[0])

    def bill_due(self) -> None:
        """Draft an invoice for every period that has begun and has none."""
        while True:
            row = self.books.connection.execute(
                "SELECT * FROM subscription WHERE business = ? AND next_due_s <= ?"
                " ORDER BY next_due_s LIMIT 1",
                (self.books.business, self.books.now_s),
            ).fetchone()
            if row is None:
                return
            self._bill(row)

    def _bill(self, row: sqlite3.Row) -> None:
        start_s = row["next_due_s"]
        state = self._life(row["id"]).at(start_s)
        if state["status"] == "canceled":
            self._set_due(row["id"], None)
            return
        invoice = self.books.add_invoice(
            NewInvoice(
                lines=(_line(state),),
                currency=state["currency"],
                customer=row["customer_id"],
                due_days=DUE_DAYS,
                by=BILLED_BY,
            )
        )
        last = self._last_period(row["id"])
        goes_on = last is not None and last["every"] == state["every"]
        anchor_s = last["anchor_s"] if last is not None and goes_on else start_s
        number = last["number"] + 1 if last is not None and goes_on else 1
        end_s = self._later_s(anchor_s, state["every"], number)
        self.books.connection.execute(
            "INSERT INTO subscription_period (business, subscription_id, start_s, end_s, anchor_s,"
            " number, every, invoice_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.books.business,
                row["id"],
                start_s,
                end_s,
                anchor_s,
                number,
                state["every"],
                invoice,
            ),
        )
        self._set_due(row["id"], end_s)

    def _later_s(self, anchor_s: int, every: Every, number: int) -> int:
        """Count periods from the anchor, so that the 31st comes back after February."""
        zone = self.books.terms.zone
        gap = relativedelta(months=number) if every == "month" else relativedelta(years=number)
        local = datetime.fromtimestamp(anchor_s, zone).replace(tzinfo=None) + gap
        return int(local.replace(tzinfo=zone).astimezone(UTC).timestamp())

    def _read(self, row: sqlite3.Row) -> Subscription:
        now_s = self.books.now_s
        life = self._life(row["id"])
        present, later = life.at(now_s), life.after(now_s)
        ends = later is not None and later["status"] == "canceled"
        last = self._last_period(row["id"])
        has_ended = present["status"] == "canceled"
        return Subscription(
            id=row["id"],
            customer=row["customer_id"],
            price=present["price_id"],
            description=present["description"],
            quantity=present["quantity"],
            amount_minor=present["unit_minor"] * present["quantity"],
            currency=present["currency"],
            every=present["every"],
            status=present["status"],
            period_end=moment_of(last["end_s"]) if last is not None and not has_ended else None,
            cancel_at=moment_of(later["effective_s"]) if later is not None and ends else None,
            next_price=later["price_id"] if later is not None and not ends else None,
            created=moment_of(row["created_s"]),
            history=tuple(
                State(status=state["status"], at=moment_of(state["at_s"]), by=state["by"])
                for state in self._states(row["id"])
            ),
        )

    def _states(self, subscription: str) -> list[sqlite3.Row]:
        return self.books.connection.execute(
            "SELECT * FROM subscription_state WHERE business = ? AND subscription_id = ?"
            " ORDER BY step",
            (self.books.business, subscription),
        ).fetchall()

    def _life(self, subscription: str) -> _Life:
        """Leave out what was decided for later and then overtaken by another decision."""
        states: list[sqlite3.Row] = []
        for row in self._states(subscription):
            states = [one for one in states if one["effective_s"] <= row["at_s"]]
            states.append(row)
        return _Life(tuple(states))

    def _add_state(
        self, subscription: str, terms: dict[str, Any], *, effective_s: int, by: str | None
    ) -> None:
        self.books.connection.execute(
            "INSERT INTO subscription_state (business, subscription_id, step, status, price_id,"
            " description, unit_minor, quantity, currency, every, effective_s, at_s, by)"
            " SELECT :business, :id, coalesce(max(step), 0) + 1, :status, :price_id, :description,"
            " :unit_minor, :quantity, :currency, :every, :effective_s, :at_s, :by"
            " FROM subscription_state WHERE business = :business AND subscription_id = :id",
            {
                **terms,
                "business": self.books.business,
                "id": subscription,
                "effective_s": effective_s,
                "at_s": self.books.now_s,
                "by": by,
            },
        )

    def _last_period(self, subscription: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.books.connection.execute(
            "SELECT * FROM subscription_period WHERE business = ? AND subscription_id = ?"
            " ORDER BY start_s DESC LIMIT 1",
            (self.books.business, subscription),
        ).fetchone()
        return row

    def _end_s(self, subscription: str) -> int:
        last = self._last_period(subscription)
        return self.books.now_s if last is None else int(last["end_s"])

    def _set_due(self, subscription: str, due_s: int | None) -> None:
        self.books.connection.execute(
            "UPDATE subscription SET next_due_s = ? WHERE business = ? AND id = ?",
            (due_s, self.books.business, subscription),
        )


def _terms(product: Product) -> dict[str, Any]:
    if product.every is None or product.amount_minor is None:
        raise InvalidInput(
            f"{product.id} is not paid again and again.",
            hint="Name a product of the catalog that has every.",
        )
    return {
        "status": "active",
        "price_id": product.id,
        "description": product.name,
        "unit_minor": product.amount_minor,
        "currency": product.currency,
        "every": product.every,
    }


def _line(state: sqlite3.Row) -> Line:
    return Line(
        description=state["description"],
        amount_minor=state["unit_minor"],
        quantity=state["quantity"],
        price=EntryId(state["price_id"]),
    )


def _fits(found: Subscription, query: FindQuery) -> bool:
    text = query.text.casefold()
    words = f"{found.id}\n{found.description}\n{found.price}".casefold()
    return query.status in (None, found.status) and text in words
