"""What every payment backend must do with money: give it back, ask for it again, once a key."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contracts.payments_rows import LINES, ROWS, Till, effect_of, sandboxes_kept
from tests.contracts.payments_steps import (
    act,
    draft,
    found,
    op,
    product,
    refund,
    report,
    request_payment,
    step,
    subscribed,
)

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.payments import Invoice, Ledger
from aicore_tools.payments.records import (
    EntryId,
    Kind,
    NewLink,
    NewSubscription,
)


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Callable[[], Any]]:
    with sandboxes_kept() as of_a_test:
        yield of_a_test


@pytest.fixture(params=ROWS)
def till(
    request: pytest.FixtureRequest, tmp_path: Path, sandboxes: Callable[[], Any]
) -> Iterator[Till]:
    made = ROWS[request.param](tmp_path, sandboxes())
    yield made
    made.check()


async def test_what_is_paid_is_one_payment_that_can_go_back_in_parts(till: Till) -> None:
    async with till.ledger() as ledger:
        link = await request_payment(ledger, customer="ann@example.com")
        with pytest.raises(Conflict):
            await ledger.payment(link.id)
        await till.pay(ledger, link.id)
        assert (await ledger.get(link.id)).status == "paid"  # type: ignore[union-attr] # a link
        payment = await ledger.payment(link.id)
        assert await found(ledger, "payment") == [payment.id]
        assert await ledger.payment(payment.id) == payment
        assert (payment.amount_minor, payment.refunded_minor, payment.currency) == (6001, 0, "EUR")
        part = await refund(ledger, payment, 1000, reason="Came late")
        assert (part.payment, part.amount_minor, part.reason) == (payment.id, 1000, "Came late")
        assert (part.status, part.currency) == ("succeeded", "EUR")
        assert await ledger.get(part.id) == part
        left = await ledger.payment(payment.id)
        assert left == replace(payment, refunded_minor=1000)
        with pytest.raises(Conflict) as over:
            await refund(ledger, payment, 5002)
        assert (over.value.code, over.value.outcome) == ("over_refund", "none")
        await refund(ledger, payment, 5001)
        with pytest.raises(Conflict):
            await refund(ledger, payment, 1)
        assert len(await found(ledger, "refund")) == 2
        with pytest.raises(NotFound):
            await refund(ledger, replace(payment, id=EntryId(till.missing["payment"])), 1)


async def test_of_many_refunds_at_once_no_more_goes_back_than_came_in(till: Till) -> None:
    async with till.ledger() as ledger:
        invoice = await act(ledger, (await draft(ledger)).id, "finalize")
        await till.pay(ledger, invoice.id)
        payment = await ledger.payment(invoice.id)
        refused = []

        async def attempt() -> None:
            try:
                await refund(ledger, payment, 2500)
            except Conflict as error:
                refused.append(error.code)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(attempt)
        assert refused == ["over_refund"] * 3
        assert (await ledger.payment(payment.id)).refunded_minor == 5000


async def test_a_subscription_begins_changes_ends_and_goes_on(till: Till) -> None:
    async with till.ledger() as ledger:
        made = await subscribed(ledger, quantity=2)
        assert (made.status, made.quantity, made.amount_minor) == ("active", 2, 4000)
        assert (made.currency, made.every, made.cancel_at) == ("EUR", "month", None)
        assert made.period_end is not None
        assert made.period_end > made.created
        assert await ledger.get(made.id) == made
        assert await found(ledger, "subscription", customer=made.customer) == [made.id]
        more = await step(ledger, made.id, "change", quantity=3)
        assert (more.quantity, more.amount_minor) == (3, 6000)
        dearer = await product(ledger, amount_minor=2500)
        assert (await step(ledger, made.id, "change", price=dearer.id)).amount_minor == 7500
        ends = await step(ledger, made.id, "cancel", when="period_end")
        assert (ends.status, ends.cancel_at) == ("active", made.period_end)
        again = await step(ledger, made.id, "resume")
        assert (again.status, again.cancel_at) == ("active", None)
        with pytest.raises(Conflict):
            await step(ledger, made.id, "resume")
        assert (await step(ledger, made.id, "cancel")).status == "canceled"
        assert await found(ledger, "subscription", status="canceled") == [made.id]
        assert await found(ledger, "subscription", status="active") == []
        with pytest.raises(Conflict):
            await step(ledger, made.id, "change", quantity=1)


async def test_a_subscription_begins_with_the_draft_of_its_first_invoice(till: Till) -> None:
    async with till.ledger() as ledger:
        made = await subscribed(ledger, quantity=2)
        (entry,) = await found(ledger, "invoice", status="draft")
        invoice = await ledger.get(EntryId(entry))
        assert isinstance(invoice, Invoice)
        assert (invoice.amount_minor, invoice.customer) == (4000, made.customer)


async def test_a_subscription_needs_a_price_that_is_paid_again(till: Till) -> None:
    async with till.ledger() as ledger:
        once = await product(ledger, every=None)
        for price, error in ((once.id, InvalidInput), (till.missing["product"], NotFound)):
            with pytest.raises(error):
                await subscribed_to(ledger, price)
        assert await found(ledger, "subscription") == []


async def subscribed_to(ledger: Ledger, price: str) -> None:
    new = NewSubscription(customer="ann@example.com", price=EntryId(price))
    await ledger.subscribe(new, op())


async def test_reports_add_up_what_happened(till: Till) -> None:
    async with till.ledger() as ledger:
        invoice = await act(ledger, (await draft(ledger)).id, "finalize")
        await act(ledger, (await draft(ledger, customer="bob@example.com")).id, "finalize")
        await till.pay(ledger, invoice.id)
        await refund(ledger, await ledger.payment(invoice.id), 1001)
        assert isinstance(invoice, Invoice)
        day = f"{invoice.created:%Y-%m-%d}"
        for by, label in (("day", day), ("month", day[:7]), ("customer", invoice.customer)):
            (row,) = (await report(ledger, "revenue", invoice, by=by)).rows
            assert (row.label, row.amount_minor, row.currency, row.count) == (label, 5000, "EUR", 1)
        by_product = (await report(ledger, "revenue", invoice, by="product")).rows
        assert [(row.label, row.amount_minor) for row in by_product][:2] == [
            ("Cut", 6000),
            ("Öl", 1),
        ]
        (late,) = (await report(ledger, "aging", invoice)).rows
        assert (late.amount_minor, late.count) == (6001, 1)
        moved = (await report(ledger, "ledger", invoice, by="day")).rows
        assert sorted(row.amount_minor for row in moved) == [-1001, 6001]
        balance = (await report(ledger, "balance", invoice)).rows
        assert sum(row.amount_minor for row in balance if row.label != "outstanding") in (
            4880,
            5000,
        )
        assert (await report(ledger, "payouts", invoice, by="month")).rows == ()


async def test_the_same_key_is_the_same_effect(till: Till) -> None:
    async with till.ledger() as ledger:
        new = NewLink(lines=LINES, currency="EUR", by="x")
        assert await ledger.earlier(op("k", a=1)) is None
        first = await ledger.add_link(new, op("k", a=1))
        again = await ledger.add_link(new, op("k", a=1))
        assert (again.result, again.is_replay) == (first.result, True)
        assert await ledger.earlier(op("k", a=1)) == again
        with pytest.raises(Conflict) as refused:
            await ledger.add_link(new, op("k", a=2))
        assert refused.value.code == "operation_key_reused"
        assert len(await found(ledger, "link")) == 1
        assert await ledger.earlier(op()) is None


@pytest.mark.parametrize(
    "what",
    [
        "link",
        "invoice",
        "act:finalize",
        "customer",
        "product",
        "price",
        "refund",
        "subscribe",
        "subscription:change",
    ],
)
@pytest.mark.parametrize("times", ["one after the other", "at once"])
async def test_every_effect_is_done_once_per_key(till: Till, what: str, times: str) -> None:
    async with till.ledger() as ledger:
        effect = await effect_of(till, ledger, what)
        results = [await effect("k")] if times != "at once" else []

        async def repeat() -> None:
            results.append(await effect("k"))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(repeat)
        assert all(one.result == results[0].result for one in results)
        assert sum(not one.is_replay for one in results) == 1
        kinds: tuple[Kind, ...] = ("link", "invoice", "customer", "product", "refund")
        counts = {kind: len(await found(ledger, kind)) for kind in (*kinds, "subscription")}
        counts["product"] -= what == "price" and counts["product"] == 2  # the old one, off sale
        assert max(counts.values()) <= 1, counts  # type: ignore[type-var] # whole numbers
