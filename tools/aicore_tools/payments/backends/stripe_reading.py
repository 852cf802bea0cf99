"""Reading from Stripe: one entry by any of its names, and pages of entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.payments.backends.stripe_calls import PAGE_ROWS, StripeCalls
from aicore_tools.payments.backends.stripe_entries import (
    INLINE,
    OP,
    customer_of,
    dispute_of,
    invoice_of,
    link_of,
    payment_of,
    payout_of,
    product_of,
    refund_of,
    session_of,
    subscription_of,
)
from aicore_tools.payments.cursors import bound_cursor, position_of
from aicore_tools.payments.records import (
    Customer,
    Entry,
    FindQuery,
    Found,
    Invoice,
    Link,
    Payment,
)

__all__ = ["StripeReading"]

MOST_SCANNED = 1000
SHORTEST_SEARCH = 3  # Stripe's own limit for parts of words
_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Source:
    """A list at Stripe: its service, how its rows read, and what it filters by itself."""

    service: str
    read: Callable[[_Row], Entry]
    params: Mapping[str, Any] = field(default_factory=dict)
    customer: str | None = None
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keeps_time: bool = True
    counts: Callable[[_Row], bool] = lambda row: True


def _same(*statuses: str) -> dict[str, Mapping[str, Any]]:
    return {status: {"status": status} for status in statuses}


def _is_ours(session: _Row) -> bool:
    """Leave out the sessions behind payment links, and what other programs sell."""
    return not session.get("payment_link") and OP in (session.get("metadata") or {})


def _is_sold(price: _Row) -> bool:
    """Leave out what was made for one line of one bill."""
    return INLINE not in (price["product"].get("metadata") or {})


_SOURCES: Mapping[str, tuple[_Source, ...]] = {
    "customer": (_Source("customers", customer_of),),
    "invoice": (
        _Source(
            "invoices",
            invoice_of,
            customer="customer",
            statuses=_same("draft", "open", "paid", "void", "uncollectible"),
        ),
    ),
    "payment": (
        _Source(
            "payment_intents",
            payment_of,
            params={"expand": ["data.latest_charge"]},
            customer="customer",
        ),
    ),
    "refund": (_Source("refunds", refund_of, params={"expand": ["data.charge"]}),),
    "subscription": (
        _Source(
            "subscriptions",
            subscription_of,
            params={"status": "all"},
            customer="customer",
            statuses=_same("trialing", "past_due", "unpaid", "incomplete", "canceled"),
        ),
    ),
    "product": (
        _Source("prices", product_of, params={"expand": ["data.product"]}, counts=_is_sold),
    ),
    "dispute": (_Source("disputes", dispute_of),),
    "payout": (
        _Source(
            "payouts",
            payout_of,
            statuses=_same("pending", "in_transit", "paid", "failed", "canceled"),
        ),
    ),
    "link": (
        _Source(
            "payment_links",
            link_of,
            params={"expand": ["data.line_items"]},
            statuses={"open": {"active": True}, "paid": {"active": False}},
            keeps_time=False,
        ),
        _Source(
            "checkout.sessions",
            session_of,
            params={"expand": ["data.line_items"]},
            customer="customer",
            counts=_is_ours,
        ),
    ),
}


class StripeReading:
    """Reads one account."""

    def __init__(self, calls: StripeCalls) -> None:
        self._calls = calls

    async def get(self, entry: str) -> Entry:
        """Read one entry by id, an invoice also by its number.

        Raises:
            NotFound: there is none.
        """
        v1 = self._calls.v1
        match entry.partition("_")[0]:
            case "cus":
                return customer_of(
                    _there(await self._calls.read(v1.customers.retrieve_async, entry))
                )
            case "price":
                return product_of(await self.price(entry))
            case "prod":
                return await self._default_price(entry)
            case "in":
                return await self.invoice(entry)
            case "plink" | "cs":
                return await self.link(entry)
            case "pi" | "ch" | "py":
                return await self.payment(entry)
            case _:
                return await self._other(entry)

    async def _other(self, entry: str) -> Entry:
        v1 = self._calls.v1
        read = self._calls.read
        match entry.partition("_")[0]:
            case "re" | "pyr":
                return refund_of(await read(v1.refunds.retrieve_async, entry, expand=["charge"]))
            case "sub":
                return subscription_of(await read(v1.subscriptions.retrieve_async, entry))
            case "du" | "dp":
                return dispute_of(await read(v1.disputes.retrieve_async, entry))
            case "po":
                return payout_of(await read(v1.payouts.retrieve_async, entry))
            case _:
                return await self._numbered(entry)

    async def price(self, entry: str) -> _Row:
        """Read a price with its product."""
        return await self._calls.read(
            self._calls.v1.prices.retrieve_async, entry, expand=["product"]
        )

    async def _default_price(self, product: str) -> Entry:
        found = await self._calls.read(self._calls.v1.products.retrieve_async, product)
        if not found.get("default_price"):
            raise NotFound(
                f"The product {product} has no default price.",
                hint="Look for its prices with payments_search, kind product.",
            )
        return product_of(await self.price(found["default_price"]))

    async def _numbered(self, number: str) -> Invoice:
        quoted = number.replace("\\", "").replace('"', "")
        found = await self._calls.read(
            self._calls.v1.invoices.search_async, query=f'number:"{quoted}"', limit=1
        )
        if not found["data"]:
            raise NotFound(
                f"There is nothing with the id {number[:80]!r}.",
                hint="Look for it with payments_search.",
            )
        return await self.invoice(found["data"][0]["id"])

    async def invoice(self, entry: str) -> Invoice:
        """Read an invoice with all its lines."""
        v1 = self._calls.v1
        found = _there(await self._calls.read(v1.invoices.retrieve_async, entry))
        await self.fill(found, "lines", v1.invoices.line_items.list_async)
        return invoice_of(found)

    async def link(self, entry: str) -> Link:
        """Read a payment link or a checkout session with all its lines."""
        v1 = self._calls.v1
        service = v1.payment_links if entry.startswith("plink_") else v1.checkout.sessions
        found = await self._calls.read(service.retrieve_async, entry, expand=["line_items"])
        await self.fill(found, "line_items", service.line_items.list_async)
        return link_of(found) if entry.startswith("plink_") else session_of(found)

    async def fill(self, found: _Row, name: str, method: Any) -> None:
        """Read the rest of a list inside an object, which holds the first few only."""
        inside = found[name]
        if inside["has_more"]:
            inside["data"] = [row async for row in self._calls.rows(method, found["id"])]

    async def payment(self, entry: str) -> Payment:
        """Read a payment, or the one that paid a link or an invoice.

        Raises:
            NotFound: there is none of that id.
            Conflict: it was not paid, not through Stripe, or by several payments.
        """
        v1, read = self._calls.v1, self._calls.read
        intent: str | None
        match entry.partition("_")[0]:
            case "pi":
                intent = entry
            case "ch" | "py":
                intent = (await read(v1.charges.retrieve_async, entry)).get("payment_intent")
            case "plink":
                params = {"payment_link": entry, "status": "complete"}
                rows = self._calls.rows(v1.checkout.sessions.list_async, **params)
                intent = _one([row["payment_intent"] async for row in rows], entry)
            case "cs":
                session = await read(v1.checkout.sessions.retrieve_async, entry)
                intent = _one([session["payment_intent"]], entry)
            case _:
                intent = await self._of_invoice(entry)
        if not intent:
            raise Conflict(f"{entry} is of a kind that this tool does not refund.")
        found = await read(v1.payment_intents.retrieve_async, intent, expand=["latest_charge"])
        payment = payment_of(found)
        if payment.status != "succeeded":
            raise _not_paid(entry)
        return payment

    async def _of_invoice(self, entry: str) -> str:
        invoice = await self.invoice(entry) if entry.startswith("in_") else None
        invoice_id = invoice.id if invoice else (await self._numbered(entry)).id
        params = {"invoice": invoice_id, "status": "paid"}
        rows = self._calls.rows(self._calls.v1.invoice_payments.list_async, **params)
        return _one([row["payment"].get("payment_intent") async for row in rows], entry)

    async def customer(self, email: str) -> Customer | None:
        """Read the customer with that address.

        Raises:
            Conflict: there are several (code `ambiguous`).
        """
        found = await self._calls.read(self._calls.v1.customers.list_async, email=email, limit=10)
        rows = found["data"]
        if len(rows) > 1:
            raise Conflict(
                "Several customers have that e-mail address.",
                hint=f"Name one by id: {', '.join(row['id'] for row in rows)}.",
                code="ambiguous",
            )
        return customer_of(rows[0]) if rows else None

    async def find(self, query: FindQuery) -> Found:
        """Read a page of entries.

        Raises:
            InvalidInput: the cursor is none of this query's.
        """
        place = position_of(query)
        if query.kind == "customer" and query.customer is not None:
            return await self._that_customer(query)
        if query.kind == "customer" and len(query.text) >= SHORTEST_SEARCH:
            return await self._search_customers(query, place)
        number, _, after = (place or "0:").partition(":")
        sources = _SOURCES[query.kind]
        if not (number.isascii() and number.isdigit() and int(number) < len(sources)):
            raise InvalidInput("cursor: that is none of ours.", hint="Leave it out to start anew.")
        entries: list[Entry] = []
        for index in range(int(number), len(sources)):
            last = await self._scan(sources[index], query, after or None, entries)
            if last is not None:
                return Found(
                    entries=tuple(entries), next_cursor=bound_cursor(query, f"{index}:{last}")
                )
            after = ""
            if len(entries) == query.limit and index + 1 < len(sources):
                return Found(
                    entries=tuple(entries), next_cursor=bound_cursor(query, f"{index + 1}:")
                )
        return Found(entries=tuple(entries))

    async def _scan(
        self, source: _Source, query: FindQuery, after: str | None, entries: list[Entry]
    ) -> str | None:
        """Add what fits; give the last row that was looked at, None at the list's end."""
        params = _params(source, query)
        scanned = 0
        last = after
        service = self._calls.v1
        for name in source.service.split("."):
            service = getattr(service, name)
        async for page in self._calls.pages(service.list_async, after=after, **params):
            for row in page["data"]:
                if len(entries) == query.limit:
                    return last
                last = row["id"]
                entry = source.read(row)
                if source.counts(row) and _fits(entry, row, query):
                    entries.append(entry)
            scanned += len(page["data"])
            is_enough = len(entries) == query.limit or scanned >= MOST_SCANNED
            if page["has_more"] and is_enough:
                return last
        return None

    async def _that_customer(self, query: FindQuery) -> Found:
        entry = await self.get(str(query.customer))
        row = {"id": entry.id}
        return Found(entries=(entry,) if _fits(entry, row, query) else ())

    async def _search_customers(self, query: FindQuery, page: str | None) -> Found:
        """Search by Stripe's index, which may lag a minute behind."""
        text = query.text.replace("\\", "\\\\").replace('"', '\\"')
        clauses = " OR ".join(f'{name}~"{text}"' for name in ("name", "email", "phone"))
        params = {"query": clauses, "limit": query.limit} | ({"page": page} if page else {})
        found = await self._calls.read(self._calls.v1.customers.search_async, **params)
        entries = [customer_of(row) for row in found["data"]]
        within = [entry for entry in entries if _is_in_time(entry, query)]
        more = found.get("next_page") if found["has_more"] else None
        return Found(entries=tuple(within), next_cursor=bound_cursor(query, more) if more else None)


def _params(source: _Source, query: FindQuery) -> dict[str, Any]:
    params = dict(source.params)
    if query.customer is not None and source.customer is not None:
        params[source.customer] = query.customer
    params |= source.statuses.get(query.status or "", {})
    created: dict[str, int] = {}
    if query.after is not None:
        created["gte"] = int(query.after.timestamp())
    if query.before is not None:
        created["lt"] = int(query.before.timestamp())
    if created and source.keeps_time:
        params["created"] = created
    is_whole = not query.text and query.status is None and query.customer is None
    return params | {"limit": query.limit if is_whole else PAGE_ROWS}


def _fits(entry: Entry, row: _Row, query: FindQuery) -> bool:
    customer = entry.id if isinstance(entry, Customer) else getattr(entry, "customer", None)
    status = getattr(entry, "status", None)
    if status is None and hasattr(entry, "is_active"):
        status = "active" if entry.is_active else "inactive"
    return (
        query.customer in (None, customer)
        and query.status in (None, status)
        and _is_in_time(entry, query)
        and query.text.casefold() in "\n".join(_words(row)).casefold()
    )


def _is_in_time(entry: Entry, query: FindQuery) -> bool:
    if entry.created is None:
        return query.after is None and query.before is None
    return (query.after is None or entry.created >= query.after) and (
        query.before is None or entry.created < query.before
    )


def _words(value: Any) -> list[str]:
    """Give all texts in an object, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [word for item in value.values() for word in _words(item)]
    return [word for item in value for word in _words(item)] if isinstance(value, list) else []


def _there(found: _Row) -> _Row:
    if found.get("deleted"):
        raise NotFound(f"{found['id']} was deleted.")
    return found


def _one(intents: list[str | None], entry: str) -> str:
    """Give the one payment.

    Raises:
        Conflict: there is none, or more than one.
    """
    paid = [intent for intent in intents if intent]
    if not paid:
        raise _not_paid(entry)
    if len(paid) > 1:
        raise Conflict(
            f"{entry} was paid by several payments.",
            hint=f"Name one: {', '.join(paid[:10])}.",
            code="ambiguous",
        )
    return paid[0]


def _not_paid(entry: str) -> Conflict:
    return Conflict(
        f"{entry} was not paid through Stripe; there is nothing to give back there.",
        hint="What was paid outside goes back outside.",
    )
