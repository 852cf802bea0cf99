"""The Stripe stand-in's customers, prices, invoices and subscriptions."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from dateutil.relativedelta import relativedelta

from aicore_servers.sandbox.stripe_account import Account, Params, Refused, StripeObject, rows_of

__all__ = [
    "add_lines",
    "cancel_subscription",
    "delete_customer",
    "delete_invoice",
    "finalize",
    "line_from",
    "new_customer",
    "new_invoice",
    "new_price",
    "new_product",
    "new_subscription",
    "pay_invoice",
    "resume_subscription",
    "send",
    "update_customer",
    "update_price",
    "update_product",
    "update_subscription",
    "void",
]

_SECONDS_A_DAY = 86_400
_CUSTOMER = ("email", "name", "phone", "description")


def new_customer(account: Account, params: Params) -> StripeObject:
    """POST /v1/customers."""
    made = account.add("customer", dict.fromkeys((*_CUSTOMER, "address")) | {"metadata": {}})
    return update_customer(account, params, made["id"])


def update_customer(account: Account, params: Params, customer: str) -> StripeObject:
    """POST /v1/customers/{customer}."""
    one = account.get("customer", customer)
    for name in _CUSTOMER:
        if name in params:
            one[name] = params[name] or None
    if "address" in params:
        one["address"] = params["address"] or None
    account.metadata(one, params)
    for invoice in account.all("invoice"):
        if invoice["customer"] == customer and invoice["status"] == "draft":
            _address(invoice, one)
    return one


def _address(invoice: StripeObject, customer: StripeObject) -> None:
    """Let an invoice name its customer as it is; what was finalized keeps what it says.

    https://docs.stripe.com/api/invoices/object, `customer_email`.
    """
    invoice["customer_email"], invoice["customer_name"] = customer["email"], customer["name"]


def delete_customer(account: Account, customer: str) -> StripeObject:
    """Be somebody who deletes a customer: what is left says so."""
    account.objects["customer"][customer] = {"id": customer, "object": "customer", "deleted": True}
    return account.objects["customer"][customer]


def living_customer(account: Account, customer: str) -> StripeObject:
    """Give a customer that was not deleted."""
    one = account.get("customer", customer, "customer")
    if one.get("deleted"):
        raise Refused(f"No such customer: '{customer}'", code="resource_missing", param="customer")
    return one


def new_product(account: Account, params: Params) -> StripeObject:
    """POST /v1/products, with a price if there is `default_price_data`."""
    own_id = params.get("id")
    if own_id is not None and own_id in account.objects.get("product", {}):
        raise Refused("Product already exists.", code="resource_already_exists", param="id")
    body = {
        "name": params["name"],
        "active": params.get("active", "true") == "true",
        "metadata": dict(params.get("metadata", {})),
        "default_price": None,
    }
    product = account.add("product", body, own_id)
    data = params.get("default_price_data")
    if data:
        product["default_price"] = new_price(account, {**data, "product": product["id"]})["id"]
    return product


def update_product(account: Account, params: Params, product: str) -> StripeObject:
    """POST /v1/products/{id}."""
    one = account.get("product", product)
    if "name" in params:
        one["name"] = params["name"]
    if "active" in params:
        one["active"] = params["active"] == "true"
    if "default_price" in params:
        one["default_price"] = account.get("price", params["default_price"])["id"]
    account.metadata(one, params)
    return one


def new_price(account: Account, params: Params) -> StripeObject:
    """POST /v1/prices."""
    product = params.get("product")
    if product is None:
        data = params["product_data"]
        product = new_product(account, {**data, "active": "false"})["id"]
    account.get("product", product, "product")
    if "unit_amount" not in params:
        raise Refused("You must specify either `unit_amount` or `unit_amount_decimal`.")
    if int(params["unit_amount"]) < 0:
        raise Refused("Invalid non-negative integer", param="unit_amount")
    recurring = params.get("recurring")
    return account.add(
        "price",
        {
            "product": product,
            "active": params.get("active", "true") == "true",
            "currency": params["currency"],
            "unit_amount": int(params["unit_amount"]),
            "billing_scheme": "per_unit",
            "recurring": {"interval": recurring["interval"], "interval_count": 1}
            if recurring
            else None,
            "type": "recurring" if recurring else "one_time",
            "metadata": dict(params.get("metadata", {})),
        },
    )


def update_price(account: Account, params: Params, price: str) -> StripeObject:
    """POST /v1/prices/{price}: a default price cannot be archived."""
    one = account.get("price", price)
    if params.get("active") == "false":
        if account.get("product", one["product"])["default_price"] == price:
            raise Refused(
                "This price cannot be archived because it is the default price of its product."
            )
        one["active"] = False
    elif "active" in params:
        one["active"] = True
    account.metadata(one, params)
    return one


def line_from(account: Account, given: Params) -> StripeObject:
    """Make a line of an invoice, a link or a session, with its amount."""
    quantity = int(given.get("quantity", 1))
    named = given.get("price") or given.get("pricing", {}).get("price")
    if named is not None:
        price = account.get("price", named, "price")
        if not price["active"]:
            raise Refused(f"The price specified is inactive: {named}", param="price")
    elif "price_data" in given:
        price = new_price(account, {"active": "false", **given["price_data"]})
    elif "amount" in given:
        price = {"id": None, "unit_amount": int(given["amount"]), "currency": None, "product": None}
        quantity = 1
    else:
        raise Refused("You must specify `price`, `price_data` or `amount` of a line.")
    product = account.objects.get("product", {}).get(str(price["product"]), {})
    amount = price["unit_amount"] * quantity
    return {
        "id": f"il_{secrets.token_hex(8)}",
        "object": "line_item",
        "amount": amount,
        "amount_total": amount,
        "currency": price["currency"],
        "description": given.get("description") or product.get("name"),
        "quantity": quantity,
        "metadata": dict(given.get("metadata", {})),
        "price": price,
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": str(price["unit_amount"]),
        },
    }


def new_invoice(account: Account, params: Params) -> StripeObject:
    """POST /v1/invoices: an empty draft."""
    customer = living_customer(account, params["customer"])
    method = params.get("collection_method", "charge_automatically")
    if method == "send_invoice" and not ("days_until_due" in params or "due_date" in params):
        raise Refused(
            "If invoices will be sent, you must specify `days_until_due` or `due_date`.",
            param="days_until_due",
        )
    days = int(params.get("days_until_due", 0))
    return account.add(
        "invoice",
        {
            "status": "draft",
            "customer": customer["id"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "currency": params.get("currency", "eur"),
            "collection_method": method,
            "days_until_due": days,
            "auto_advance": params.get("auto_advance", "false") == "true",
            "description": params.get("description"),
            "number": None,
            "due_date": None,
            "hosted_invoice_url": None,
            "total": 0,
            "amount_due": 0,
            "amount_paid": 0,
            "amount_remaining": 0,
            "lines": {"object": "list", "data": [], "has_more": False},
            "status_transitions": dict.fromkeys(
                ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
            ),
            "metadata": dict(params.get("metadata", {})),
            "billing_reason": "manual",
        },
    )


def add_lines(account: Account, params: Params, invoice: str) -> StripeObject:
    """POST /v1/invoices/{invoice}/add_lines."""
    one = account.get("invoice", invoice)
    _must_be(one, "draft")
    lines = [line_from(account, given) for given in rows_of(params["lines"])]
    for line in lines:
        if line["currency"] not in (None, one["currency"]):
            raise Refused(f"The currency of a line must be that of the invoice, {one['currency']}.")
        one["lines"]["data"].append(line)
        one["total"] += line["amount"]
    one["amount_due"] = one["amount_remaining"] = one["total"]
    return one


def finalize(account: Account, params: Params, invoice: str) -> StripeObject:
    """POST /v1/invoices/{invoice}/finalize."""
    one = account.get("invoice", invoice)
    if one["status"] != "draft":
        raise Refused(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    account.invoice_count += 1
    now_s = account.clock()
    one["number"] = f"{account.name.upper()[:8]}-{account.invoice_count:04d}"
    one["due_date"] = now_s + one["days_until_due"] * _SECONDS_A_DAY
    one["hosted_invoice_url"] = f"https://invoice.stripe.example/{one['id']}"
    one["status"] = "open" if one["total"] else "paid"
    one["status_transitions"]["finalized_at"] = now_s
    return one


def send(account: Account, params: Params, invoice: str) -> StripeObject:
    """POST /v1/invoices/{invoice}/send: a mail each time; a draft is finalized first."""
    one = account.get("invoice", invoice)
    if one["collection_method"] != "send_invoice":
        raise Refused("You can only manually send an invoice if it is to be sent.")
    if one["status"] == "draft":
        finalize(account, {}, invoice)
    _must_be(one, "open")
    account.mails.append(one["id"])
    return one


def void(account: Account, params: Params, invoice: str) -> StripeObject:
    """POST /v1/invoices/{invoice}/void."""
    one = account.get("invoice", invoice)
    _must_be(one, "open", "uncollectible")
    one["status"] = "void"
    one["status_transitions"]["voided_at"] = account.clock()
    return one


def delete_invoice(account: Account, params: Params, invoice: str) -> StripeObject:
    """DELETE /v1/invoices/{invoice}: drafts only."""
    _must_be(account.get("invoice", invoice), "draft")
    del account.objects["invoice"][invoice]
    return {"id": invoice, "object": "invoice", "deleted": True}


def pay_invoice(account: Account, params: Params, invoice: str) -> StripeObject:
    """POST /v1/invoices/{invoice}/pay: only what was paid outside; nobody here has a card."""
    one = account.get("invoice", invoice)
    if one["status"] == "paid":
        raise Refused("Invoice is already paid", code="invoice_already_paid")
    _must_be(one, "open", "uncollectible")
    if params.get("paid_out_of_band") != "true":
        raise Refused("There is no default_payment_method set on this Customer or Invoice.")
    settle(account, one)
    return one


def settle(account: Account, one: StripeObject) -> None:
    """Take an invoice as paid in full."""
    one["status"] = "paid"
    one["amount_paid"], one["amount_remaining"] = one["total"], 0
    one["status_transitions"]["paid_at"] = account.clock()


def new_subscription(account: Account, params: Params) -> StripeObject:
    """POST /v1/subscriptions, with the draft of its first invoice."""
    customer = living_customer(account, params["customer"])
    if params.get("collection_method") != "send_invoice":
        raise Refused(
            "This customer has no attached payment source or default payment method.",
            code="resource_missing",
        )
    now_s = account.clock()
    items = [_item(account, given, now_s) for given in rows_of(params["items"])]
    one = account.add(
        "subscription",
        {
            "status": "active",
            "customer": customer["id"],
            "currency": items[0]["price"]["currency"],
            "collection_method": "send_invoice",
            "days_until_due": int(params["days_until_due"]),
            "cancel_at_period_end": False,
            "cancel_at": None,
            "canceled_at": None,
            "pause_collection": None,
            "items": {"object": "list", "data": items, "has_more": False},
            "metadata": dict(params.get("metadata", {})),
            "latest_invoice": None,
        },
    )
    bill = {
        "customer": customer["id"],
        "currency": one["currency"],
        "collection_method": "send_invoice",
        "days_until_due": params["days_until_due"],
    }
    invoice = new_invoice(account, bill)
    invoice["billing_reason"] = "subscription_create"
    lines = [{"price": item["price"]["id"], "quantity": item["quantity"]} for item in items]
    add_lines(account, {"lines": {str(n): line for n, line in enumerate(lines)}}, invoice["id"])
    one["latest_invoice"] = invoice["id"]
    return one


def update_subscription(account: Account, params: Params, subscription: str) -> StripeObject:
    """POST /v1/subscriptions/{subscription_exposed_id}."""
    one = account.get("subscription", subscription)
    if one["status"] == "canceled":
        raise Refused("A canceled subscription can only update its cancellation_details.")
    for given in rows_of(params.get("items")):
        _change_item(account, one, given)
    if "cancel_at_period_end" in params:
        ends = params["cancel_at_period_end"] == "true"
        one["cancel_at_period_end"] = ends
        one["cancel_at"] = one["items"]["data"][0]["current_period_end"] if ends else None
    if "pause_collection" in params:
        one["pause_collection"] = params["pause_collection"] or None
    account.metadata(one, params)
    return one


def cancel_subscription(account: Account, params: Params, subscription: str) -> StripeObject:
    """DELETE /v1/subscriptions/{subscription_exposed_id}."""
    one = account.get("subscription", subscription)
    if one["status"] == "canceled":
        raise Refused(f"No such subscription: {subscription}", status=404, code="resource_missing")
    one["status"] = "canceled"
    one["canceled_at"] = account.clock()
    return one


def resume_subscription(account: Account, params: Params, subscription: str) -> StripeObject:
    """POST /v1/subscriptions/{subscription}/resume."""
    one = account.get("subscription", subscription)
    if one["status"] != "paused":
        raise Refused("The subscription is not paused.")
    one["status"] = "active"
    return one


def _item(account: Account, given: Params, now_s: int) -> StripeObject:
    price = account.get("price", given["price"], "items[0][price]")
    if not price["recurring"]:
        raise Refused(
            "The price specified is set to `type=one_time` but this field only accepts prices"
            " with `type=recurring`.",
            param="items[0][price]",
        )
    return {
        "id": f"si_{price['id']}",
        "object": "subscription_item",
        "price": price,
        "quantity": int(given.get("quantity", 1)),
        "current_period_start": now_s,
        "current_period_end": _period_end(now_s, price["recurring"]["interval"]),
    }


def _change_item(account: Account, one: StripeObject, given: Params) -> None:
    items = one["items"]["data"]
    item = next((each for each in items if each["id"] == given.get("id")), None)
    if item is None:
        raise Refused(f"No such subscription item: '{given.get('id')}'", param="items[0][id]")
    if "price" in given:
        fresh = _item(account, given, account.clock())
        item["price"] = fresh["price"]
    if "quantity" in given:
        item["quantity"] = int(given["quantity"])


def _period_end(start_s: int, interval: str) -> int:
    gaps: dict[str, Any] = {"day": {"days": 1}, "week": {"weeks": 1}, "month": {"months": 1}}
    gap = relativedelta(**gaps.get(interval, {"years": 1}))
    return int((datetime.fromtimestamp(start_s, UTC) + gap).timestamp())


def _must_be(one: StripeObject, *statuses: str) -> None:
    if one["status"] not in statuses:
        raise Refused(
            f"This invoice is {one['status']}; it must be {' or '.join(statuses)}.",
            code="invoice_not_editable" if "draft" in statuses else None,
        )
