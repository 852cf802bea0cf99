"""Against a real Stripe account in test mode. Runs only when it is asked for, with a key:

AICORE_LIVE_STRIPE_KEY=sk_test_… python -m pytest -m live tests/live/test_stripe_live.py

It makes a customer, a link, a draft, a product and a subscription, and takes back what can be
taken back. A live key is refused.
"""

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aicore_tools.connections import Connection
from aicore_tools.operations import Operation
from aicore_tools.payments import Invoice, Line
from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.records import (
    CustomerChange,
    FindQuery,
    NewInvoice,
    NewLink,
    NewSubscription,
    ProductChange,
    SubscriptionStep,
)

pytestmark = pytest.mark.live
LINES = (Line(description="Cut", amount_minor=3000, quantity=2),)
RUN = secrets.token_hex(6)


def op(name: str) -> Operation:
    return Operation.of("live", {"name": name}, f"live-{RUN}-{name}")


def ledger(folder: Path) -> StripeLedger:
    key = os.environ["AICORE_LIVE_STRIPE_KEY"]
    assert "_test_" in key, "only keys of test mode are used here"
    connection = Connection(vendor="stripe", account="live-test", fields={"api_key": key})
    return StripeLedger(
        connection, data_dir=folder, business="live", done_url="https://example.com/thanks"
    )


async def test_each_kind_of_effect_is_taken_by_stripe_once(tmp_path: Path) -> None:
    email = f"aicore-{RUN}@example.com"
    async with ledger(tmp_path) as shop:
        assert (await shop.probe()).is_test
        change = CustomerChange(email=email, name="Test", address="Main Street 1")
        customer = (await shop.save_customer(change, op("customer"))).result
        assert (customer.email, customer.name) == (email, "Test")
        new = NewInvoice(lines=LINES, currency="EUR", customer=email, due_days=14, memo="Hi")
        draft = (await shop.add_invoice(new, op("invoice"))).result
        assert (draft.lines, draft.amount_minor) == (LINES, 6000)
        assert (await shop.add_invoice(new, op("invoice"))).is_replay
        for action in ("finalize", "send", "void"):
            effect = await shop.act(draft.id, action, by=None, operation=op(action))  # type: ignore[arg-type] # they are actions
        assert isinstance(effect.result, Invoice)
        assert effect.result.status == "void"
        plain = (await shop.add_link(NewLink(lines=LINES, currency="EUR"), op("link"))).result
        assert plain.lines == LINES
        closed = await shop.act(plain.id, "void", by=None, operation=op("close"))
        assert closed.result.status == "void"
        expires = datetime.now(UTC) + timedelta(hours=1)
        session = NewLink(lines=LINES, currency="EUR", customer=customer.id, expires=expires)
        page = (await shop.add_link(session, op("session"))).result
        await shop.act(page.id, "void", by=None, operation=op("expire"))
        gym = ProductChange(name=f"Gym {RUN}", amount_minor=2000, currency="EUR", every="month")
        price = (await shop.save_product(gym, op("product"))).result
        begin = NewSubscription(customer=customer.id, price=price.id)
        made = (await shop.subscribe(begin, op("subscribe"))).result
        for action in ("change", "cancel"):
            step = SubscriptionStep(
                id=made.id,
                action=action,  # type: ignore[arg-type] # they are actions
                quantity=2 if action == "change" else None,
            )
            last = (await shop.step_subscription(step, op(action + " subscription"))).result
        assert last.status == "canceled"
        off = ProductChange(id=price.id, name=gym.name, is_active=False)
        assert not (await shop.save_product(off, op("off"))).result.is_active
        for kind in ("customer", "invoice", "payment", "refund", "subscription", "product"):
            await shop.find(FindQuery(kind=kind, limit=3))  # type: ignore[arg-type] # they are kinds
        for kind in ("dispute", "payout", "link"):
            await shop.find(FindQuery(kind=kind, limit=3))  # type: ignore[arg-type] # they are kinds
