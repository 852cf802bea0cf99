"""What every payment backend must do. A new backend is one more row of payments_rows.ROWS."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from tests.contracts.payments_rows import LINES, ROWS, Till, effect_of, sandboxes_kept

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.operations import Operation
from aicore_tools.payments import (
    Customer,
    Entry,
    Invoice,
    Ledger,
    Line,
    Link,
    Payment,
    Product,
    Refund,
    Subscription,
)
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    CustomerId,
    EntryId,
    FindQuery,
    Kind,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    Report,
    ReportKind,
    ReportQuery,
    SubscriptionStep,
)

DAY = timedelta(days=1)


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


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def request_payment(ledger: Ledger, **fields: Any) -> Link:
    new = NewLink(**{"lines": LINES, "currency": "EUR", **fields})
    return (await ledger.add_link(new, op())).result


async def draft(ledger: Ledger, **fields: Any) -> Invoice:
    values = {"lines": LINES, "currency": "EUR", "customer": "ann@example.com", "due_days": 14}
    return (await ledger.add_invoice(NewInvoice(**{**values, **fields}), op())).result


async def act(ledger: Ledger, entry: str, *actions: Action) -> Link | Invoice:
    for action in actions:
        effect = await ledger.act(EntryId(entry), action, by="staff:ann", operation=op())
    return effect.result


async def product(ledger: Ledger, **fields: Any) -> Product:
    given = {"name": "Gym", "amount_minor": 2000, "currency": "EUR", "every": "month", **fields}
    return (await ledger.save_product(ProductChange(**given), op())).result


async def subscribed(ledger: Ledger, **fields: Any) -> Subscription:
    price = (await product(ledger)).id
    new = NewSubscription(**{"customer": "ann@example.com", "price": price, **fields})
    return (await ledger.subscribe(new, op())).result


async def step(ledger: Ledger, entry: EntryId, action: Any, **fields: Any) -> Subscription:
    taken = SubscriptionStep(id=entry, action=action, **fields)
    return (await ledger.step_subscription(taken, op())).result


async def refund(ledger: Ledger, payment: Payment, amount_minor: int, **fields: Any) -> Refund:
    given = {"payment": payment.id, "amount_minor": amount_minor, "currency": "EUR", **fields}
    return (await ledger.refund(NewRefund(**given), op())).result


async def found(ledger: Ledger, kind: Kind, **query: Any) -> list[str]:
    return [entry.id for entry in (await ledger.find(FindQuery(kind=kind, **query))).entries]


async def report(ledger: Ledger, kind: ReportKind, like: Entry, **fields: Any) -> Report:
    """Report on the two days around an entry."""
    assert like.created is not None
    query = ReportQuery(
        kind=kind,
        after=like.created - DAY,
        before=like.created + DAY,
        now=like.created,
        zone=ZoneInfo("UTC"),
        **{"by": None, **fields},
    )
    return await ledger.report(query)


async def test_a_request_to_pay_is_read_back(till: Till) -> None:
    async with till.ledger() as ledger:
        link = await request_payment(ledger, customer="ann@example.com", by="customer:web:42")
        assert (link.amount_minor, link.currency, link.status) == (6001, "EUR", "open")
        assert link.lines == LINES
        assert link.url is not None
        assert link.url.startswith("https://")
    async with till.ledger() as ledger:
        assert await ledger.get(link.id) == link
        assert await ledger.get(EntryId(link.reference)) == link
        customer = await ledger.customer("ann@example.com")
        assert customer is not None
        assert customer.id == link.customer


async def test_a_business_sees_only_its_own(till: Till) -> None:
    async with till.ledger() as ledger:
        link = await request_payment(ledger, customer="ann@example.com")
        await product(ledger)
        invoice = await draft(ledger)
    async with till.ledger("other") as other:
        kinds: tuple[Kind, ...] = ("link", "customer", "product", "payment", "invoice", "refund")
        for kind in kinds:
            assert await found(other, kind) == []
        for entry in (link.id, link.reference, link.customer, invoice.id):
            with pytest.raises(NotFound):
                await other.get(EntryId(str(entry)))
        assert await other.customer("ann@example.com") is None
        with pytest.raises(NotFound):
            await act(other, link.id, "void")


async def test_an_unknown_address_becomes_one_customer(till: Till) -> None:
    async with till.ledger() as ledger:
        ids = {(await request_payment(ledger, customer="ann@example.com")).customer for _ in "ab"}
        ids.add((await draft(ledger)).customer)
        assert len(ids) == 1
        assert await found(ledger, "customer") == list(ids)
        by_id = await request_payment(ledger, customer=next(iter(ids)))
        assert by_id.customer in ids


async def test_of_many_at_once_with_one_new_address_there_is_one_customer(till: Till) -> None:
    async with till.ledger() as ledger:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(draft, ledger)
        assert len(await found(ledger, "customer")) == 1
        assert len(await found(ledger, "invoice")) == 4


async def test_an_invoice_gets_its_number_and_due_time_when_finalized(till: Till) -> None:
    async with till.ledger() as ledger:
        invoice = await draft(ledger, memo="Thanks", by="staff:ann")
        assert (invoice.status, invoice.number, invoice.due) == ("draft", None, None)
        assert (invoice.lines, invoice.memo, invoice.amount_minor) == (LINES, "Thanks", 6001)
        done = await act(ledger, invoice.id, "finalize")
        assert isinstance(done, Invoice)
        assert (done.status, done.lines, done.memo) == ("open", LINES, "Thanks")
        assert done.number
        assert done.due is not None
        assert timedelta(days=14) <= done.due - invoice.created < timedelta(days=14, minutes=1)
        assert await act(ledger, invoice.id, "finalize") == done
        assert await ledger.get(EntryId(done.number)) == done


@pytest.mark.parametrize("before", [[], ["finalize"]])
async def test_an_invoice_is_voided(till: Till, before: list[Action]) -> None:
    async with till.ledger() as ledger:
        invoice = await draft(ledger)
        voided = await act(ledger, invoice.id, *before, "void")
        assert (voided.id, voided.status, voided.amount_minor) == (invoice.id, "void", 6001)
        assert await found(ledger, "invoice", status="open") == []
        assert await found(ledger, "invoice", status="draft") == []


async def test_an_invoice_has_all_its_lines(till: Till) -> None:
    lines = tuple(Line(description=f"n{n}", amount_minor=n + 1) for n in range(25))
    async with till.ledger() as ledger:
        invoice = await draft(ledger, lines=lines)
        assert (invoice.lines, invoice.amount_minor) == (lines, 325)
        link = await request_payment(ledger, lines=lines[:12])
        assert await ledger.get(link.id) == link
        assert link.lines == lines[:12]


async def test_a_price_of_the_catalog_is_named_in_lines(till: Till) -> None:
    async with till.ledger() as ledger:
        price = await product(ledger, every=None)
        line = Line(description="Gym", amount_minor=2000, quantity=3, price=price.id)
        assert (await draft(ledger, lines=(line,))).lines == (line,)
        assert (await request_payment(ledger, lines=(line,))).lines == (line,)


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


@pytest.mark.parametrize(
    ("kind", "before", "action"),
    [
        ("invoice", [], "mark_paid"),
        ("invoice", ["finalize", "mark_paid"], "void"),
        ("invoice", ["finalize", "mark_paid"], "finalize"),
        ("invoice", ["finalize", "void"], "finalize"),
        ("invoice", ["finalize", "void"], "mark_paid"),
        ("link", ["paid"], "void"),
    ],
)
async def test_a_step_that_the_status_forbids_is_refused(
    till: Till, kind: Kind, before: list[Any], action: Action
) -> None:
    async with till.ledger() as ledger:
        entry = await (draft(ledger) if kind == "invoice" else request_payment(ledger))
        for done in before:
            await (till.pay(ledger, entry.id) if done == "paid" else act(ledger, entry.id, done))
        present = await ledger.get(entry.id)
        with pytest.raises(Conflict) as refused:
            await act(ledger, entry.id, action)
        assert refused.value.outcome == "none"
        assert await ledger.get(entry.id) == present


async def test_steps_that_there_are_not_are_refused(till: Till) -> None:
    async with till.ledger() as ledger:
        link, invoice = await request_payment(ledger), await draft(ledger)
        with pytest.raises(InvalidInput):
            await act(ledger, link.id, "finalize")
        with pytest.raises(InvalidInput):
            await act(ledger, invoice.customer, "void")
        for missing in till.missing.values():
            with pytest.raises(NotFound):
                await act(ledger, missing, "void")
            with pytest.raises(NotFound):
                await ledger.get(EntryId(missing))


async def test_a_link_is_voided_and_has_no_page_anymore(till: Till) -> None:
    async with till.ledger() as ledger:
        link = await request_payment(ledger)
        assert (await act(ledger, link.id, "void")).status == "void"
        assert (await act(ledger, link.id, "void")).status == "void"
        assert await found(ledger, "link", status="void") == [link.id]
        assert await found(ledger, "link", status="open") == []


async def test_entries_are_found_by_every_condition(till: Till) -> None:
    async with till.ledger() as ledger:
        old = await draft(ledger, customer="ann@example.com", memo="Hand")
        new = await draft(ledger, customer="bob@example.com", memo="Foot")
        await act(ledger, new.id, "finalize")
        assert await found(ledger, "invoice") == [new.id, old.id]
        assert await found(ledger, "invoice", customer=old.customer) == [old.id]
        assert await found(ledger, "invoice", status="open") == [new.id]
        assert await found(ledger, "invoice", text="ÖL") == [new.id, old.id]
        assert await found(ledger, "invoice", text="foot") == [new.id]
        assert await found(ledger, "invoice", text="BOB@") == [new.id]
        assert await found(ledger, "invoice", text="%") == []
        assert await found(ledger, "invoice", after=new.created + DAY) == []
        assert await found(ledger, "invoice", before=old.created) == []
        assert len(await found(ledger, "invoice", after=old.created)) == 2
        assert await found(ledger, "customer", customer=old.customer) == [old.customer]
        for text in ("an", "ann@", "ANN"):
            assert await found(ledger, "customer", text=text) == [old.customer]
        assert await found(ledger, "customer", text='"') == []
        for kind in ("dispute", "payout", "refund", "subscription", "payment"):
            assert await found(ledger, kind) == []  # type: ignore[arg-type] # they are kinds


@pytest.mark.parametrize("kind", ["link", "customer", "product", "invoice"])
async def test_pages_give_every_entry_once(till: Till, kind: Kind) -> None:
    async with till.ledger() as ledger:
        for number in range(7):
            if kind == "product":
                await product(ledger, name=str(number))
            elif kind == "link":
                await request_payment(ledger)
            else:
                await draft(ledger, customer=f"{number}@example.com")
        ids: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            page = await ledger.find(FindQuery(kind=kind, limit=3, cursor=cursor))
            ids += [entry.id for entry in page.entries]
            cursor = page.next_cursor
        assert cursor is None
        assert len(ids) == len(set(ids)) == 7


async def test_pages_of_a_search_give_every_entry_once(till: Till) -> None:
    async with till.ledger() as ledger:
        for number in range(6):
            await draft(ledger, customer=f"{number}@example.com", memo="odd" if number % 2 else "")
        for query in (
            FindQuery(kind="invoice", text="odd", limit=2),
            FindQuery(kind="customer", text="example.com", limit=4),
        ):
            first = await ledger.find(query)
            rest = await ledger.find(replace(query, cursor=first.next_cursor))
            ids = {entry.id for entry in (*first.entries, *rest.entries)}
            assert (
                len(ids)
                == len(first.entries) + len(rest.entries)
                == (3 if query.kind == "invoice" else 6)
            )
            assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "\u0663", "", "."])
async def test_a_foreign_cursor_is_refused(till: Till, cursor: str) -> None:
    async with till.ledger() as ledger:
        with pytest.raises(InvalidInput):
            await ledger.find(FindQuery(kind="link", cursor=cursor))


async def test_a_cursor_fits_only_its_own_query(till: Till) -> None:
    async with till.ledger() as ledger:
        for _ in range(3):
            await request_payment(ledger)
        query = FindQuery(kind="link", limit=1)
        cursor = (await ledger.find(query)).next_cursor
        assert cursor is not None
        assert (await ledger.find(replace(query, cursor=cursor, limit=2))).entries
        for other in (
            FindQuery(kind="invoice", cursor=cursor),
            FindQuery(kind="link", status="open", cursor=cursor),
            FindQuery(kind="link", text="x", cursor=cursor),
            FindQuery(kind="link", cursor=f"{cursor.partition('.')[0]}.zzz"),
        ):
            with pytest.raises((InvalidInput, NotFound)):
                await ledger.find(other)


async def test_a_customer_is_changed_field_by_field(till: Till) -> None:
    async with till.ledger() as ledger:

        async def save(**fields: Any) -> Customer:
            return (await ledger.save_customer(CustomerChange(**fields), op())).result

        made = await save(email="ann@example.com", name="Ann", metadata={"a": "1", "b": "2"})
        changed = await save(id=made.id, phone="+49301", metadata={"a": None, "c": "3"})
        assert (changed.id, changed.name, changed.phone) == (made.id, "Ann", "+49301")
        assert changed.metadata == {"b": "2", "c": "3"}
        more = await save(id=made.id, address="Main Street 1, Berlin", tax_id="DE1")
        assert (more.address, more.tax_id) == ("Main Street 1, Berlin", "DE1")
        cleared = await save(email="ann@example.com", name="", address="", tax_id="")
        assert (cleared.name, cleared.phone, cleared.address) == ("", "+49301", "")
        assert (cleared.tax_id, cleared.metadata) == ("", {"b": "2", "c": "3"})
        assert await ledger.get(EntryId(made.id)) == cleared
        assert await found(ledger, "customer", text="+4930") == [made.id]
        with pytest.raises(NotFound):
            await save(id=CustomerId(till.missing["customer"]), name="x")


async def test_a_product_is_added_changed_and_taken_off(till: Till) -> None:
    async with till.ledger() as ledger:
        made = await product(ledger, name="Cut", amount_minor=3000)

        async def save(**fields: Any) -> Product:
            given = {"id": made.id, "name": "Haircut", **fields}
            return (await ledger.save_product(ProductChange(**given), op())).result

        renamed = await save()
        assert renamed == replace(made, name="Haircut")
        dearer = await save(amount_minor=3500)
        assert (dearer.name, dearer.amount_minor, dearer.every) == ("Haircut", 3500, "month")
        assert await found(ledger, "product", status="active") == [dearer.id]
        gone = await save(id=dearer.id, is_active=False)
        assert (gone.id, gone.is_active) == (dearer.id, False)
        assert await found(ledger, "product", status="active") == []
        assert dearer.id in await found(ledger, "product", status="inactive")
        assert (await save(id=dearer.id, is_active=True)).is_active
        with pytest.raises(InvalidInput):
            await ledger.save_product(ProductChange(name="x", currency="EUR"), op())
        with pytest.raises(NotFound):
            await save(id=EntryId(till.missing["product"]))


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


async def test_the_probe_says_whose_it_is_and_what_it_can(till: Till) -> None:
    async with till.ledger() as ledger:
        probe = await ledger.probe()
        assert probe.name
        assert probe.can


@pytest.mark.parametrize(
    ("currency", "amount_minor"), [("JPY", 1250), ("KWD", 1250), ("ISK", 7), ("MGA", 1200)]
)
async def test_amounts_come_back_as_they_were(till: Till, currency: str, amount_minor: int) -> None:
    async with till.ledger() as ledger:
        line = Line(description="x", amount_minor=amount_minor, quantity=2)
        for made in (
            await draft(ledger, lines=(line,), currency=currency),
            await request_payment(ledger, lines=(line,), currency=currency),
        ):
            assert (made.amount_minor, made.currency) == (2 * amount_minor, currency)
            assert made.lines == (line,)


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
