"""What every payment backend must do. A new backend is one more row of payments_rows.ROWS."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contracts.payments_rows import LINES, ROWS, Till, sandboxes_kept
from tests.contracts.payments_steps import (
    DAY,
    act,
    draft,
    found,
    op,
    product,
    request_payment,
)

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.payments import Customer, Invoice, Line, Product
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    CustomerId,
    EntryId,
    FindQuery,
    Kind,
    ProductChange,
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
