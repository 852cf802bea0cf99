"""Effects at Stripe on customers, prices, links and invoices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, cast

from aicore_tools.errors import Conflict, NotFound, OutcomeUnknown, ToolsError
from aicore_tools.journal import Claim, Procedure
from aicore_tools.payments.backends.stripe_entries import (
    CREATED,
    CUSTOMER,
    INLINE,
    OP,
    TAX_ID,
    customer_of,
    product_of,
    to_stripe,
)
from aicore_tools.payments.backends.stripe_procedures import (
    Found,
    StripeProcedures,
    begun,
    done,
    key_of,
    nowhere,
)
from aicore_tools.payments.entry_json import entry_from_json, entry_to_json
from aicore_tools.payments.lifecycle import next_status
from aicore_tools.payments.records import Action, Document, Invoice, Link

__all__ = ["StripeBilling"]

_Json = dict[str, Any]


class StripeBilling:
    """How customers, prices, links and invoices are made and changed."""

    def __init__(self, shared: StripeProcedures) -> None:
        self._shared = shared
        self._calls = shared.calls
        self._reading = shared.reading

    def procedures(self) -> Sequence[Procedure]:
        """Give them all."""
        make = self._shared.procedure
        return (
            make("customer", self._save_customer, nowhere),
            make("product", self._add_product, nowhere),
            make("price", self._change_product, self._find_price),
            make("link", self._add_link, self._find_link),
            make("invoice", self._add_invoice, self._find_invoice),
            make("step", self._step, self._find_step),
        )

    async def _save_customer(self, claim: Claim) -> _Json:
        change = claim.request
        customer, is_new = change["id"], False
        if customer is None:
            known = await self._reading.customer(change["email"])
            is_new = known is None
            customer = known.id if known else await self._shared.new_customer(change["email"])
        params: _Json = {
            name: change[name] for name in ("name", "phone") if change[name] is not None
        }
        if change["address"] is not None:
            rest = dict.fromkeys(("line2", "postal_code", "city", "state", "country"), "")
            params["address"] = {"line1": change["address"], **rest} if change["address"] else ""
        metadata = {name: value or "" for name, value in change["metadata"].items()}
        if change["tax_id"] is not None:
            metadata[TAX_ID] = change["tax_id"]
        params["metadata"] = {**metadata, OP: claim.key}
        with begun(is_begun=is_new):
            saved = await self._calls.send(
                self._calls.v1.customers.update_async, customer, key=key_of(claim), params=params
            )
        return entry_to_json(customer_of(saved))

    async def _add_product(self, claim: Claim) -> _Json:
        """Make a product under an id of our own, with its price, in one request."""
        new = claim.request
        currency = new["currency"]
        price: _Json = {
            "currency": currency.lower(),
            "unit_amount": to_stripe(new["amount_minor"], currency),
        }
        if new["every"] is not None:
            price["recurring"] = {"interval": new["every"]}
        own_id = f"aicore_{claim.key[:32]}"
        params = {
            "id": own_id,
            "name": new["name"],
            "default_price_data": price,
            "metadata": {OP: claim.key},
        } | ({} if new["is_active"] is not False else {"active": False})
        products = self._calls.v1.products
        try:
            made = await self._calls.send(products.create_async, key=key_of(claim), params=params)
        except Conflict as error:
            if error.code != "resource_already_exists":
                raise
            made = await self._calls.read(products.retrieve_async, own_id)
        with done():
            return entry_to_json(product_of(await self._reading.price(made["default_price"])))

    async def _change_product(self, claim: Claim) -> _Json:
        """Change a price: amounts never change at Stripe, so another amount is a new price."""
        change, v1 = claim.request, self._calls.v1
        old = await self._reading.price(change["id"])
        product, price_id = old["product"]["id"], old["id"]
        if _has_other_terms(old, change):
            made = await self._calls.send(
                v1.prices.create_async,
                key=key_of(claim, "price"),
                params={**_terms(old, change), "product": product, "metadata": {OP: claim.key}},
            )
            price_id = made["id"]
        return await self._finish_price(claim, old, price_id)

    async def _finish_price(self, claim: Claim, old: _Json, price_id: str) -> _Json:
        """Put the price in the old one's place, where it is another, and change the product."""
        change, v1, product = claim.request, self._calls.v1, old["product"]["id"]
        params: _Json = {"name": change["name"], "metadata": {OP: claim.key}}
        is_default = old["product"].get("default_price") in (old["id"], price_id)
        if is_default and price_id != old["id"]:
            params["default_price"] = price_id
        if change["is_active"] is not None and (is_default or change["is_active"]):
            params["active"] = change["is_active"]
        with done() if price_id != old["id"] else nullcontext():
            await self._calls.send(
                v1.products.update_async, product, key=key_of(claim, "product"), params=params
            )
        with done():
            if price_id != old["id"]:
                await self._activate(claim, old["id"], is_active=False)
            if change["is_active"] is not None and not (is_default and not change["is_active"]):
                await self._activate(claim, price_id, is_active=change["is_active"])
            return entry_to_json(product_of(await self._reading.price(price_id)))

    async def _find_price(self, claim: Claim) -> Found:
        """Find a new price by its mark, and finish; all else may be sent again."""
        old = await self._reading.price(claim.request["id"])
        product = old["product"]["id"]
        row = await self._shared.marked(self._calls.v1.prices.list_async, claim, product=product)
        return await self._finish_price(claim, old, row["id"]) if row else None

    async def _activate(self, claim: Claim, price: str, *, is_active: bool) -> None:
        await self._calls.send(
            self._calls.v1.prices.update_async,
            price,
            key=key_of(claim, price),
            params={"active": is_active},
        )

    async def _add_link(self, claim: Claim) -> _Json:
        """Make a payment link for one payment; a checkout session where it is to expire."""
        new, v1 = claim.request, self._calls.v1
        customer = await self._shared.customer_id(new["customer"]) if new["customer"] else None
        params: _Json = {
            "line_items": [_item(line, new["currency"]) for line in new["lines"]],
            "metadata": {OP: claim.key, CREATED: str(new["asked_s"])},
            "payment_intent_data": {"metadata": {OP: claim.key}},
        }
        if new["expires_s"] is None:
            params["restrictions"] = {"completed_sessions": {"limit": 1}}
            if customer:
                params["metadata"][CUSTOMER] = customer
            made = await self._calls.send(
                v1.payment_links.create_async, key=key_of(claim, "create"), params=params
            )
        else:
            params |= {"mode": "payment", "success_url": new["done_url"]}
            params |= {"expires_at": new["expires_s"]} | (
                {"customer": customer} if customer else {}
            )
            made = await self._calls.send(
                v1.checkout.sessions.create_async, key=key_of(claim, "create"), params=params
            )
        with done():
            return entry_to_json(await self._reading.link(made["id"]))

    async def _find_link(self, claim: Claim) -> Found:
        v1 = self._calls.v1
        if claim.request["expires_s"] is None:
            row = await self._shared.marked(v1.payment_links.list_async, claim)
        else:
            row = await self._shared.marked(
                v1.checkout.sessions.list_async, claim, created=self._shared.since(claim)
            )
        return entry_to_json(await self._reading.link(row["id"])) if row else None

    async def _add_invoice(self, claim: Claim) -> _Json:
        """Make an empty draft, then add all its lines at once; without them it goes again."""
        new, v1 = claim.request, self._calls.v1
        customer = await self._shared.customer_id(new["customer"])
        params = {
            "customer": customer,
            "currency": new["currency"].lower(),
            "collection_method": "send_invoice",
            "days_until_due": new["due_days"],
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "metadata": {OP: claim.key},
        } | ({"description": new["memo"]} if new["memo"] else {})
        made = await self._calls.send(
            v1.invoices.create_async, key=key_of(claim, "create"), params=params
        )
        return await self._fill_invoice(claim, made["id"])

    async def _fill_invoice(self, claim: Claim, invoice: str) -> _Json:
        new = claim.request
        lines = [_invoice_line(line, new["currency"]) for line in new["lines"]]
        try:
            with begun():
                await self._calls.send(
                    self._calls.v1.invoices.add_lines_async,
                    invoice,
                    key=key_of(claim, "lines"),
                    params={"lines": lines},
                )
        except OutcomeUnknown:
            raise
        except ToolsError as refused:
            await self._take_back(claim, invoice, refused)
            raise
        with done():
            return entry_to_json(await self._reading.invoice(invoice))

    async def _take_back(self, claim: Claim, invoice: str, refused: ToolsError) -> None:
        try:
            await self._calls.send(
                self._calls.v1.invoices.delete_async, invoice, key=key_of(claim, "undo"), params={}
            )
        except NotFound:
            return
        except ToolsError as error:
            raise OutcomeUnknown(
                f"{refused.message} An empty draft may be left at Stripe: {invoice}.",
                hint="Repeat the call with the same operation key: it is taken back then.",
            ) from error

    async def _find_invoice(self, claim: Claim) -> Found:
        """Find the draft by its mark; one that still lacks its lines gets them."""
        row = await self._shared.marked(
            self._calls.v1.invoices.list_async, claim, created=self._shared.since(claim)
        )
        if row is None:
            return None
        if row["status"] == "draft" and not row["lines"]["data"]:
            return await self._fill_invoice(claim, row["id"])
        return entry_to_json(await self._reading.invoice(row["id"]))

    async def _step(self, claim: Claim) -> _Json:
        """Take an invoice or a link a step on, unless its status says that it was taken."""
        entry, action = claim.request["entry"], cast("Action", claim.request["action"])
        if "draft" in claim.notes:
            return await self._delete_draft(claim)
        if "sent" in claim.notes and not self._shared.is_late(claim):
            return await self._send_step(claim, entry, action)  # answered as the first time
        document = cast("Invoice | Link", await self._reading.get(entry))
        kind: Document = "link" if isinstance(document, Link) else "invoice"
        target = next_status(kind, document.status, action)
        if document.status == target and action not in ("send", "remind"):
            return entry_to_json(document)
        if document.status == "draft" and action == "void":
            await claim.note(draft=entry_to_json(document))
            return await self._delete_draft(claim)
        await claim.note(sent=True)
        return await self._send_step(claim, entry, action)

    async def _send_step(self, claim: Claim, entry: str, action: Action) -> _Json:
        v1, key = self._calls.v1, key_of(claim, action)
        if entry.startswith("plink_"):
            await self._calls.send(
                v1.payment_links.update_async, entry, key=key, params={"active": False}
            )
        elif entry.startswith("cs_"):
            await self._calls.send(v1.checkout.sessions.expire_async, entry, key=key, params={})
        else:
            await self._step_invoice(entry, action, key)
        with done():
            return entry_to_json(await self._reading.get(entry))

    async def _step_invoice(self, invoice: str, action: Action, key: str) -> None:
        invoices = self._calls.v1.invoices
        method, params = {
            "finalize": (invoices.finalize_invoice_async, {"auto_advance": False}),
            "send": (invoices.send_invoice_async, {}),
            "remind": (invoices.send_invoice_async, {}),
            "void": (invoices.void_invoice_async, {}),
            "mark_paid": (invoices.pay_async, {"paid_out_of_band": True}),
        }[action]
        await self._calls.send(method, invoice, key=key, params=params)

    async def _delete_draft(self, claim: Claim) -> _Json:
        """Void a draft: Stripe lets drafts only be deleted."""
        draft = cast("Invoice", entry_from_json(claim.notes["draft"]))
        with suppress(NotFound):  # it is gone, and the note says that it was there when we began
            await self._calls.send(
                self._calls.v1.invoices.delete_async, draft.id, key=key_of(claim, "void"), params={}
            )
        return entry_to_json(replace(draft, status="void"))

    async def _find_step(self, claim: Claim) -> Found:
        """Tell by its status; that a mail was sent, nobody can tell after a day."""
        if "draft" in claim.notes:
            return await self._find_deleted(claim)
        if claim.request["action"] not in ("send", "remind") or not self._shared.is_late(claim):
            return None  # `_step` looks at the status itself
        if (await self._reading.invoice(claim.request["entry"])).status == "draft":
            return None
        raise OutcomeUnknown(
            "Stripe does not tell whether that invoice was sent.",
            hint="Ask the customer, or look into Stripe's mail log.",
        )

    async def _find_deleted(self, claim: Claim) -> Found:
        draft = cast("Invoice", entry_from_json(claim.notes["draft"]))
        try:
            await self._reading.invoice(draft.id)
        except NotFound:
            return entry_to_json(replace(draft, status="void"))
        return None


def _has_other_terms(old: _Json, change: _Json) -> bool:
    before = product_of(old)
    return any(
        change[name] not in (None, getattr(before, name))
        for name in ("amount_minor", "currency", "every")
    )


def _terms(old: _Json, change: _Json) -> _Json:
    before = product_of(old)
    currency = change["currency"] or before.currency
    amount = before.amount_minor if change["amount_minor"] is None else change["amount_minor"]
    every = change["every"] or before.every
    if amount is None:
        raise Conflict(f"{before.id} has no fixed amount; change it at Stripe.")
    terms: _Json = {"currency": currency.lower(), "unit_amount": to_stripe(amount, currency)}
    return terms | ({"recurring": {"interval": every}} if every else {})


def _item(line: _Json, currency: str) -> _Json:
    if line["price"]:
        return {"price": line["price"], "quantity": line["quantity"]}
    return {"price_data": _inline_price(line, currency), "quantity": line["quantity"]}


def _invoice_line(line: _Json, currency: str) -> _Json:
    shared = {"description": line["description"], "quantity": line["quantity"]}
    if line["price"]:
        return {**shared, "pricing": {"price": line["price"]}}
    inline = {"price_data": _inline_price(line, currency), "metadata": {INLINE: "1"}}
    return {**shared, **inline}


def _inline_price(line: _Json, currency: str) -> _Json:
    return {
        "currency": currency.lower(),
        "unit_amount": to_stripe(line["amount_minor"], currency),
        "product_data": {"name": line["description"], "metadata": {INLINE: "1"}},
    }
