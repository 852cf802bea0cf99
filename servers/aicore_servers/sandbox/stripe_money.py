"""The Stripe stand-in's pay pages, payments, refunds, disputes and payouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore_servers.sandbox.stripe_account import Account, Params, Refused, StripeObject, rows_of
from aicore_servers.sandbox.stripe_billing import line_from, settle

__all__ = [
    "balance",
    "dispute",
    "expire_session",
    "new_link",
    "new_refund",
    "new_session",
    "pay",
    "payout",
    "session_now",
    "update_link",
]

_FEE_PERCENT = 2
_SHORTEST_S, _LONGEST_S = 30 * 60, 24 * 3600
_SECONDS_A_DAY = 86_400


def new_link(account: Account, params: Params) -> StripeObject:
    """POST /v1/payment_links."""
    lines = _lines(account, params)
    restrictions = params.get("restrictions")
    limit = int(restrictions["completed_sessions"]["limit"]) if restrictions else None
    made = account.add(
        "payment_link",
        {
            "active": True,
            "currency": lines[0]["currency"],
            "line_items": {"object": "list", "data": lines, "has_more": False},
            "restrictions": {"completed_sessions": {"count": 0, "limit": limit}} if limit else None,
            "metadata": dict(params.get("metadata", {})),
            "payment_intent_data": params.get("payment_intent_data"),
        },
    )
    del made["created"]  # Stripe's have none
    made["url"] = f"https://buy.stripe.example/{made['id']}"
    return made


def update_link(account: Account, params: Params, link: str) -> StripeObject:
    """POST /v1/payment_links/{payment_link}."""
    one = account.get("payment_link", link)
    if "active" in params:
        one["active"] = params["active"] == "true"
    account.metadata(one, params)
    return one


def new_session(account: Account, params: Params) -> StripeObject:
    """POST /v1/checkout/sessions."""
    now_s = account.clock()
    expires_at = int(params.get("expires_at", now_s + _LONGEST_S))
    if not now_s + _SHORTEST_S <= expires_at <= now_s + _LONGEST_S:
        raise Refused(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout"
            " Session creation.",
            param="expires_at",
        )
    if "customer" in params:
        account.get("customer", params["customer"], "customer")
    lines = _lines(account, params)
    made = account.add(
        "checkout.session",
        {
            "status": "open",
            "payment_status": "unpaid",
            "mode": params["mode"],
            "customer": params.get("customer"),
            "currency": lines[0]["currency"],
            "amount_total": sum(line["amount"] for line in lines),
            "expires_at": expires_at,
            "success_url": params["success_url"],
            "line_items": {"object": "list", "data": lines, "has_more": False},
            "metadata": dict(params.get("metadata", {})),
            "payment_intent": None,
            "payment_link": None,
            "payment_intent_data": params.get("payment_intent_data"),
        },
    )
    made["url"] = f"https://checkout.stripe.example/{made['id']}"
    return made


def session_now(account: Account, one: StripeObject) -> StripeObject:
    """Let a session expire whose time is over."""
    if one["status"] == "open" and one["expires_at"] <= account.clock():
        one["status"], one["url"] = "expired", None
    return one


def expire_session(account: Account, params: Params, session: str) -> StripeObject:
    """POST /v1/checkout/sessions/{session}/expire."""
    one = session_now(account, account.get("checkout.session", session))
    if one["status"] != "open":
        raise Refused(f"Only Checkout Sessions with a status in [open] can be expired: {session}")
    one["status"], one["url"] = "expired", None
    return one


def new_refund(account: Account, params: Params) -> StripeObject:
    """POST /v1/refunds: never more than what is left of the charge."""
    if ("payment_intent" in params) == ("charge" in params):
        raise Refused("Give either `payment_intent` or `charge`.")
    if "charge" in params:
        charge = account.get("charge", params["charge"], "charge")
    else:
        intent = account.get("payment_intent", params["payment_intent"], "payment_intent")
        if intent["latest_charge"] is None:
            raise Refused("This PaymentIntent does not have a successful charge to refund.")
        charge = account.get("charge", intent["latest_charge"])
    left = charge["amount"] - charge["amount_refunded"]
    amount = int(params.get("amount", left))
    if left == 0:
        raise Refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if not 0 < amount <= left:
        raise Refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    one = account.add(
        "refund",
        {
            "amount": amount,
            "currency": charge["currency"],
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "status": "succeeded",
            "reason": params.get("reason"),
            "metadata": dict(params.get("metadata", {})),
        },
    )
    _move(account, "refund", -amount, charge["currency"], one["id"])
    return one


def balance(account: Account) -> StripeObject:
    """GET /v1/balance: everything is available at once here."""
    totals: dict[str, int] = {}
    for one in account.all("balance_transaction"):
        totals[one["currency"]] = totals.get(one["currency"], 0) + one["net"]
    rows = [{"amount": amount, "currency": currency} for currency, amount in totals.items()]
    nothing = [{"amount": 0, "currency": row["currency"]} for row in rows]
    return {
        "object": "balance",
        "livemode": account.is_live,
        "available": rows,
        "pending": nothing,
    }


def pay(account: Account, object_id: str) -> StripeObject:
    """Be the customer who pays a link, a session or an invoice on its page."""
    if object_id in account.objects.get("invoice", {}):
        return _pay_invoice(account, account.get("invoice", object_id))
    if object_id in account.objects.get("payment_link", {}):
        link = account.get("payment_link", object_id)
        if not link["active"]:
            raise Refused("This link is no longer active.")
        amount = sum(line["amount"] for line in link["line_items"]["data"])
        intent = _intent(account, amount, link["currency"], None, _metadata(link))
        limits = (link["restrictions"] or {}).get("completed_sessions", {"count": 0, "limit": None})
        limits["count"] += 1
        link["active"] = limits["count"] != limits["limit"]
        body = {"status": "complete", "payment_status": "paid", "payment_link": link["id"]}
        body |= {"expires_at": account.clock() + _LONGEST_S, "metadata": {}, "customer": None}
        body |= {"currency": link["currency"], "amount_total": amount, "mode": "payment"}
        body |= {"line_items": link["line_items"], "url": None, "payment_intent": intent["id"]}
        account.add("checkout.session", body)
        return intent
    session = session_now(account, account.get("checkout.session", object_id))
    if session["status"] != "open":
        raise Refused("This page is no longer active.")
    amount, currency = session["amount_total"], session["currency"]
    intent = _intent(account, amount, currency, session["customer"], _metadata(session))
    session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
    return intent


def dispute(account: Account, intent_id: str) -> StripeObject:
    """Be the bank that takes a payment back."""
    intent = account.get("payment_intent", intent_id)
    now_s = account.clock()
    return account.add(
        "dispute",
        {
            "amount": intent["amount"],
            "currency": intent["currency"],
            "charge": intent["latest_charge"],
            "payment_intent": intent["id"],
            "reason": "fraudulent",
            "status": "needs_response",
            "evidence_details": {"due_by": now_s + 7 * _SECONDS_A_DAY},
            "metadata": {},
        },
    )


def payout(account: Account) -> StripeObject:
    """Be the day on which the balance goes to the bank."""
    (row,) = balance(account)["available"]
    one = account.add(
        "payout",
        {
            "amount": row["amount"],
            "currency": row["currency"],
            "status": "in_transit",
            "arrival_date": account.clock() + 2 * _SECONDS_A_DAY,
            "metadata": {},
        },
    )
    _move(account, "payout", -row["amount"], row["currency"], one["id"])
    return one


def _pay_invoice(account: Account, one: StripeObject) -> StripeObject:
    if one["status"] != "open":
        raise Refused("This invoice cannot be paid.")
    intent = _intent(account, one["total"], one["currency"], one["customer"], {})
    settle(account, one)
    account.add(
        "invoice_payment",
        {
            "invoice": one["id"],
            "status": "paid",
            "amount_paid": one["total"],
            "currency": one["currency"],
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        },
    )
    return intent


def _intent(
    account: Account, amount: int, currency: str, customer: str | None, metadata: Mapping[str, Any]
) -> StripeObject:
    intent = account.add(
        "payment_intent",
        {
            "amount": amount,
            "amount_received": amount,
            "currency": currency,
            "customer": customer,
            "status": "succeeded",
            "metadata": dict(metadata),
            "latest_charge": None,
            "description": None,
        },
    )
    charge = account.add(
        "charge",
        {
            "amount": amount,
            "amount_refunded": 0,
            "refunded": False,
            "currency": currency,
            "customer": customer,
            "payment_intent": intent["id"],
            "status": "succeeded",
            "paid": True,
            "metadata": dict(metadata),
        },
    )
    intent["latest_charge"] = charge["id"]
    _move(account, "charge", amount, currency, charge["id"])
    return intent


def _move(account: Account, kind: str, amount: int, currency: str, source: str) -> None:
    fee = amount * _FEE_PERCENT // 100 if kind == "charge" else 0
    account.add(
        "balance_transaction",
        {
            "type": kind,
            "amount": amount,
            "fee": fee,
            "net": amount - fee,
            "currency": currency,
            "source": source,
            "status": "available",
        },
    )


def _lines(account: Account, params: Params) -> list[StripeObject]:
    lines = [line_from(account, given) for given in rows_of(params["line_items"])]
    if len({line["currency"] for line in lines}) != 1:
        raise Refused("All prices must have the same currency.", param="line_items")
    return lines


def _metadata(one: StripeObject) -> Mapping[str, Any]:
    data: Mapping[str, Any] = (one["payment_intent_data"] or {}).get("metadata", {})
    return data
