"""Effects at Stripe on payments and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from aicore_tools.errors import Conflict, OutcomeUnknown
from aicore_tools.journal import Claim, Procedure
from aicore_tools.payments.backends.stripe_entries import (
    OP,
    REASON,
    refund_of,
    subscription_of,
    to_stripe,
)
from aicore_tools.payments.backends.stripe_procedures import (
    Found,
    StripeProcedures,
    done,
    key_of,
)
from aicore_tools.payments.entry_json import entry_to_json

__all__ = ["DUE_DAYS", "StripePaying"]

DUE_DAYS = 14
"""Days to pay the invoice of a subscription's period."""
_STRIPES_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_Json = dict[str, Any]


class StripePaying:
    """How refunds and subscriptions are made and changed."""

    def __init__(self, shared: StripeProcedures) -> None:
        self._shared = shared
        self._calls = shared.calls

    def procedures(self) -> Sequence[Procedure]:
        """Give them all."""
        make = self._shared.procedure
        return (
            make("refund", self._refund, self._find_refund),
            make("subscribe", self._subscribe, self._find_subscription),
            make("subscription", self._step, self._find_step),
        )

    async def _refund(self, claim: Claim) -> _Json:
        new = claim.request
        metadata = {OP: claim.key} | ({REASON: new["reason"]} if new["reason"] else {})
        params = {
            "payment_intent": new["payment"],
            "amount": to_stripe(new["amount_minor"], new["currency"]),
            "metadata": metadata,
            "expand": ["charge"],
        } | ({"reason": new["reason"]} if new["reason"] in _STRIPES_REASONS else {})
        made = await self._calls.send(
            self._calls.v1.refunds.create_async, key=key_of(claim), params=params
        )
        return entry_to_json(refund_of(made))

    async def _find_refund(self, claim: Claim) -> Found:
        row = await self._shared.marked(
            self._calls.v1.refunds.list_async,
            claim,
            payment_intent=claim.request["payment"],
            expand=["data.charge"],
        )
        return entry_to_json(refund_of(row)) if row else None

    async def _subscribe(self, claim: Claim) -> _Json:
        """Begin one whose invoices are sent: nobody's card is charged by itself."""
        new = claim.request
        customer = await self._shared.customer_id(new["customer"])
        params = {
            "customer": customer,
            "items": [{"price": new["price"], "quantity": new["quantity"]}],
            "collection_method": "send_invoice",
            "days_until_due": DUE_DAYS,
            "metadata": {OP: claim.key},
        }
        made = await self._calls.send(
            self._calls.v1.subscriptions.create_async, key=key_of(claim, "create"), params=params
        )
        return entry_to_json(subscription_of(made))

    async def _find_subscription(self, claim: Claim) -> Found:
        row = await self._shared.marked(
            self._calls.v1.subscriptions.list_async,
            claim,
            status="all",
            created=self._shared.since(claim),
        )
        return entry_to_json(subscription_of(row)) if row else None

    async def _step(self, claim: Claim) -> _Json:
        """Take a step; what it sends is noted first, and sent just so again."""
        step, subscriptions = claim.request, self._calls.v1.subscriptions
        if "params" not in claim.notes:
            present = await self._calls.read(subscriptions.retrieve_async, step["id"])
            if present["status"] == "canceled":
                raise Conflict("The subscription has ended.", hint="Create a new one.")
            changes = {} if _ends_now(step) else _changes(step, present)
            await claim.note(
                params={**changes, "metadata": {OP: claim.key}},
                before=_mark(present),
                is_paused=step["action"] == "resume" and present["status"] == "paused",
            )
        if _ends_now(step):
            changed = await self._calls.send(  # no key counts: what was lost is told by its end
                subscriptions.cancel_async, step["id"], key=key_of(claim), params={}
            )
            return entry_to_json(subscription_of(changed))
        is_paused = claim.notes["is_paused"]
        if is_paused:
            await self._calls.send(
                subscriptions.resume_async, step["id"], key=key_of(claim, "resume"), params={}
            )
        with done() if is_paused else nullcontext():
            changed = await self._calls.send(
                subscriptions.update_async,
                step["id"],
                key=key_of(claim),
                params=claim.notes["params"],
            )
        return entry_to_json(subscription_of(changed))

    async def _find_step(self, claim: Claim) -> Found:
        """Tell by the mark of the last change, or by the end that a cancelling brings."""
        if "params" not in claim.notes:
            return None
        present = await self._calls.read(
            self._calls.v1.subscriptions.retrieve_async, claim.request["id"]
        )
        has_ended = present["status"] == "canceled"
        if _mark(present) == claim.key or (has_ended and _ends_now(claim.request)):
            return entry_to_json(subscription_of(present))
        if self._shared.is_late(claim) and _mark(present) != claim.notes["before"]:
            raise OutcomeUnknown(
                "The subscription was changed since; whether by this call too, nobody can tell.",
                hint="Look at it, and decide anew.",
            )
        return None


def _mark(one: _Json) -> str | None:
    """Give the operation that changed an object last, as far as it was one of ours."""
    mark: str | None = (one.get("metadata") or {}).get(OP)
    return mark


def _ends_now(step: _Json) -> bool:
    return bool(step["action"] == "cancel" and step["when"] == "now")


def _changes(step: _Json, present: _Json) -> _Json:
    """Give what is to be sent of a step.

    Raises:
        Conflict: there is nothing to resume, or which item is to change is not said.
    """
    if step["action"] == "cancel":
        return {"cancel_at_period_end": True}
    if step["action"] == "resume":
        is_held = present.get("pause_collection") or present.get("cancel_at_period_end")
        if not is_held and present["status"] != "paused":
            raise Conflict("The subscription is active; there is nothing to resume.")
        held = {"pause_collection": ""} if present.get("pause_collection") else {}
        return {"cancel_at_period_end": False, **held}
    items = present["items"]["data"]
    if len(items) > 1:
        raise Conflict("The subscription has several items.", hint="Change it at Stripe.")
    item: _Json = {"id": items[0]["id"]}
    if step["price"] is not None:
        item["price"] = step["price"]
    if step["quantity"] is not None:
        item["quantity"] = step["quantity"]
    # From the period's end on: it counts at once, and what is left of this period costs nothing.
    behaviour = "create_prorations" if step["when"] == "now" else "none"
    return {"items": [item], "proration_behavior": behaviour}
