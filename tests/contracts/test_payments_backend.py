"""What every payment backend must do. A new backend is one more row of BACKENDS."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.operations import Operation
from aicore_tools.payments import Customer, Invoice, Ledger, Line, Link, Payment, Product
from aicore_tools.payments.backends.local import LocalLedger, PayTerms
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    CustomerId,
    EntryId,
    FindQuery,
    Kind,
    NewInvoice,
    NewLink,
    ProductChange,
)

Open = Callable[..., Ledger]
Clock = Callable[[], datetime]
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PAGE = PayTerms(
    instructions="Pay at the desk.",
    url_template="https://pay.example/{reference}",
    zone=ZoneInfo("Europe/Berlin"),
)


def local(folder: Path, business: str, clock: Clock) -> Ledger:
    return LocalLedger(folder / "payments.db", business=business, terms=PAGE, clock=clock)


BACKENDS: dict[str, Callable[[Path, str, Clock], Ledger]] = {"local": local}
LINES = (
    Line(description="Cut", amount_minor=3000, quantity=2),
    Line(description="Öl", amount_minor=1),
)


@pytest.fixture(params=BACKENDS)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    make = BACKENDS[request.param]
    return lambda business="main", now=NOW: make(tmp_path, business, lambda: now)


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def request_payment(ledger: Ledger, **fields: Any) -> Link:
    new = NewLink(**{"lines": LINES, "currency": "EUR", **fields})
    return (await ledger.add_link(new, op())).result


async def draft(ledger: Ledger, **fields: Any) -> Invoice:
    values = {"lines": LINES, "currency": "EUR", "customer": "ann@example.com", "due_days": 14}
    return (await ledger.add_invoice(NewInvoice(**{**values, **fields}), op())).result


async def act(ledger: Ledger, entry: EntryId, *actions: Action) -> Link | Invoice:
    for action in actions:
        effect = await ledger.act(entry, action, by="staff:ann", operation=op())
    return effect.result


async def found(ledger: Ledger, kind: Kind, **query: Any) -> list[str]:
    return [entry.id for entry in (await ledger.find(FindQuery(kind=kind, **query))).entries]


async def test_a_request_to_pay_is_read_back(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, customer="ann@example.com", by="customer:web:42")
        assert (link.amount_minor, link.currency, link.status) == (6001, "EUR", "open")
        assert (link.reference, link.url) == (
            "PR-2026-0001",
            "https://pay.example/PR-2026-0001",
        )
        assert (link.lines, link.instructions, link.created) == (LINES, "Pay at the desk.", NOW)
        assert [(state.status, state.by) for state in link.history] == [("open", "customer:web:42")]
    async with opening() as ledger:
        assert await ledger.get(link.id) == link
        assert await ledger.get(EntryId("pr-2026-0001")) == link
        customer = await ledger.customer("ann@example.com")
        assert customer is not None
        assert customer.id == link.customer


async def test_a_business_sees_only_its_own(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, customer="ann@example.com")
        await ledger.save_product(ProductChange(name="x", amount_minor=1, currency="EUR"), op())
    async with opening("other") as other:
        for kind in ("link", "customer", "product", "payment", "invoice"):
            assert await found(other, kind) == []
        for entry in (link.id, link.reference, link.customer):
            with pytest.raises(NotFound):
                await other.get(EntryId(str(entry)))
        assert await other.customer("ann@example.com") is None
        with pytest.raises(NotFound):
            await act(other, link.id, "void")
        assert (await request_payment(other)).reference == "PR-2026-0001"


async def test_references_count_up_without_gaps_and_anew_each_year(opening: Open) -> None:
    new_year = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # 2027 in Berlin already
    async with opening() as ledger:
        first = await request_payment(ledger)
        with pytest.raises(NotFound):
            await request_payment(ledger, customer="cus_nobody")
        second = await request_payment(ledger)
        assert (first.reference, second.reference) == ("PR-2026-0001", "PR-2026-0002")
    async with opening(now=new_year) as ledger:
        assert (await request_payment(ledger)).reference == "PR-2027-0001"


async def test_an_unknown_address_becomes_one_customer(opening: Open) -> None:
    async with opening() as ledger:
        ids = {(await request_payment(ledger, customer="ann@example.com")).customer for _ in "ab"}
        ids.add((await draft(ledger)).customer)
        assert len(ids) == 1
        assert await found(ledger, "customer") == list(ids)
        by_id = await request_payment(ledger, customer=next(iter(ids)))
        assert by_id.customer in ids


async def test_a_refused_draft_leaves_no_customer_behind(tmp_path: Path) -> None:
    async with local(tmp_path, "main", lambda: NOW) as ledger:
        await draft(ledger)
        broken = NewInvoice(lines=(), currency="EUR", customer="bob@example.com", due_days=1)
        with pytest.raises(sqlite3.IntegrityError):  # the service never lets it come to this
            await ledger.add_invoice(broken, op())
        assert await ledger.customer("bob@example.com") is None


async def test_an_invoice_gets_its_number_and_due_time_when_finalized(opening: Open) -> None:
    async with opening() as ledger:
        invoice = await draft(ledger, memo="Thanks", by="staff:ann")
        assert (invoice.status, invoice.number, invoice.due) == ("draft", None, None)
        void = await draft(ledger)
        assert (await act(ledger, void.id, "void")).status == "void"
        done = await act(ledger, invoice.id, "finalize")
        assert isinstance(done, Invoice)
        assert (done.status, done.number, done.due) == (
            "open",
            "INV-2026-0001",
            NOW + timedelta(days=14),
        )
        assert (done.lines, done.memo) == (LINES, "Thanks")
        again = await act(ledger, invoice.id, "finalize")
        assert again == done
        assert await ledger.get(EntryId("INV-2026-0001")) == done


async def test_marking_paid_records_one_payment(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, customer="ann@example.com")
        paid = await act(ledger, link.id, "mark_paid", "mark_paid")
        assert [state.status for state in paid.history] == ["open", "paid"]
        (payment,) = (await ledger.find(FindQuery(kind="payment"))).entries
        assert isinstance(payment, Payment)
        assert (payment.paid_for, payment.amount_minor, payment.currency, payment.customer) == (
            link.id,
            6001,
            "EUR",
            link.customer,
        )
        assert await found(ledger, "payment", text=link.reference.lower()) == [payment.id]


@pytest.mark.parametrize(
    ("kind", "before", "action"),
    [
        ("invoice", [], "mark_paid"),
        ("invoice", ["finalize", "mark_paid"], "void"),
        ("invoice", ["finalize", "mark_paid"], "finalize"),
        ("invoice", ["void"], "finalize"),
        ("invoice", ["void"], "mark_paid"),
        ("link", ["mark_paid"], "void"),
        ("link", ["void"], "mark_paid"),
    ],
)
async def test_a_step_that_the_status_forbids_is_refused(
    opening: Open, kind: Kind, before: list[Action], action: Action
) -> None:
    async with opening() as ledger:
        entry = await (draft(ledger) if kind == "invoice" else request_payment(ledger))
        await act(ledger, entry.id, *before) if before else None
        present = await ledger.get(entry.id)
        with pytest.raises(Conflict):
            await act(ledger, entry.id, action)
        assert await ledger.get(entry.id) == present


async def test_steps_that_there_are_not_are_refused(opening: Open) -> None:
    async with opening() as ledger:
        link, invoice = await request_payment(ledger), await draft(ledger)
        with pytest.raises(InvalidInput):
            await act(ledger, link.id, "finalize")
        with pytest.raises(InvalidInput):
            await act(ledger, EntryId(invoice.customer), "void")
        with pytest.raises(NotFound):
            await act(ledger, EntryId("inv_0"), "void")


async def test_a_request_expires_and_late_money_still_counts(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, expires=NOW + timedelta(hours=1))
        other = await request_payment(ledger)
        assert await found(ledger, "link", status="expired") == []
    async with opening(now=NOW + timedelta(hours=1)) as ledger:
        (expired,) = (await ledger.find(FindQuery(kind="link", status="expired"))).entries
        assert isinstance(expired, Link)
        assert (expired.id, expired.status) == (link.id, "expired")
        assert await ledger.get(link.id) == expired
        assert await found(ledger, "link", status="open") == [other.id]
        assert (await act(ledger, link.id, "mark_paid")).status == "paid"


async def test_entries_are_found_by_every_condition(opening: Open) -> None:
    async with opening() as ledger:
        old = await request_payment(ledger, customer="ann@example.com")
    async with opening(now=NOW + timedelta(days=1)) as ledger:
        new = await request_payment(ledger, customer="bob@example.com")
        await act(ledger, new.id, "void")
        assert await found(ledger, "link") == [new.id, old.id]
        assert await found(ledger, "link", customer=old.customer) == [old.id]
        assert await found(ledger, "link", status="void") == [new.id]
        assert await found(ledger, "link", text="ÖL") == [new.id, old.id]
        assert await found(ledger, "link", text="BOB@") == [new.id]
        assert await found(ledger, "link", text="%") == []
        assert await found(ledger, "link", after=NOW + timedelta(days=1)) == [new.id]
        assert await found(ledger, "link", before=NOW + timedelta(days=1)) == [old.id]
        assert await found(ledger, "customer", customer=old.customer) == [old.customer]
        assert await found(ledger, "customer", text="ann") == [old.customer]


@pytest.mark.parametrize("kind", ["link", "customer", "product"])
async def test_pages_give_every_entry_once(opening: Open, kind: Kind) -> None:
    async with opening() as ledger:
        for number in range(7):
            await request_payment(ledger, customer=f"{number}@example.com")
            product = ProductChange(name=str(number), amount_minor=1, currency="EUR")
            await ledger.save_product(product, op())
        ids: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            page = await ledger.find(FindQuery(kind=kind, limit=3, cursor=cursor))
            ids += [entry.id for entry in page.entries]
            cursor = page.next_cursor
        assert cursor is None
        assert len(ids) == len(set(ids)) == 7


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "\u0663"])
async def test_a_foreign_cursor_is_refused(opening: Open, cursor: str) -> None:
    async with opening() as ledger:
        with pytest.raises(InvalidInput):
            await ledger.find(FindQuery(kind="link", cursor=cursor))


async def test_a_customer_is_changed_field_by_field(opening: Open) -> None:
    async with opening() as ledger:

        async def save(**fields: Any) -> Customer:
            return (await ledger.save_customer(CustomerChange(**fields), op())).result

        made = await save(email="ann@example.com", name="Ann", metadata={"a": "1", "b": "2"})
        changed = await save(id=made.id, phone="+49301", metadata={"a": None, "c": "3"})
        assert (changed.id, changed.name, changed.phone) == (made.id, "Ann", "+49301")
        assert changed.metadata == {"b": "2", "c": "3"}
        cleared = await save(email="ann@example.com", name="")
        assert (cleared.name, cleared.phone) == ("", "+49301")
        assert await ledger.get(EntryId(made.id)) == cleared
        assert await found(ledger, "customer", text="+4930") == [made.id]
        with pytest.raises(NotFound):
            await save(id=CustomerId("cus_0"), name="x")


async def test_a_product_is_added_changed_and_taken_off(opening: Open) -> None:
    async with opening() as ledger:

        async def save(**fields: Any) -> Product:
            return (await ledger.save_product(ProductChange(**fields), op())).result

        made = await save(name="Cut", amount_minor=3000, currency="EUR", every="month")
        changed = await save(id=made.id, name="Haircut", is_active=False)
        assert (changed.id, changed.name, changed.amount_minor) == (made.id, "Haircut", 3000)
        assert (changed.every, changed.is_active) == ("month", False)
        assert await found(ledger, "product", status="active") == []
        assert await found(ledger, "product", status="inactive") == [made.id]
        with pytest.raises(InvalidInput):
            await save(name="x", currency="EUR")
        with pytest.raises(NotFound):
            await save(id=EntryId("price_0"), name="x")


async def test_the_same_key_is_the_same_effect(opening: Open) -> None:
    async with opening() as ledger:
        new = NewLink(lines=LINES, currency="EUR", expires=NOW + timedelta(days=1), by="x")
        first = await ledger.add_link(new, op("k", a=1))
        again = await ledger.add_link(new, op("k", a=1))
        assert (again.result, again.is_replay) == (first.result, True)
        assert await ledger.earlier(op("k", a=1)) == again
        with pytest.raises(Conflict) as refused:
            await ledger.add_link(new, op("k", a=2))
        assert refused.value.code == "operation_key_reused"
        assert len(await found(ledger, "link")) == 1
        assert (await request_payment(ledger)).reference == "PR-2026-0002"


@pytest.mark.parametrize("what", ["invoice", "act", "customer", "product"])
async def test_every_effect_is_done_once_per_key(opening: Open, what: str) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger)
        invoice = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
        product = ProductChange(name="x", amount_minor=1, currency="EUR")
        effects: dict[str, Callable[[], Any]] = {
            "invoice": lambda: ledger.add_invoice(invoice, op("k")),
            "act": lambda: ledger.act(link.id, "mark_paid", by=None, operation=op("k")),
            "customer": lambda: ledger.save_customer(CustomerChange(email="a@b.de"), op("k")),
            "product": lambda: ledger.save_product(product, op("k")),
        }
        first, again = await effects[what](), await effects[what]()
        assert (again.result, again.is_replay) == (first.result, True)
        for kind in ("invoice", "payment", "customer", "product"):
            assert len(await found(ledger, kind)) <= 1


async def test_of_many_who_mark_it_paid_at_once_one_pays(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(act, ledger, link.id, "mark_paid")
        assert len(await found(ledger, "payment")) == 1


async def test_what_was_written_cannot_be_changed_behind_the_ledger(tmp_path: Path) -> None:
    async with local(tmp_path, "main", lambda: NOW) as ledger:
        await request_payment(ledger)
    connection = sqlite3.connect(tmp_path / "payments.db")
    for table in ("document", "document_state"):
        for statement in (f"UPDATE {table} SET business = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    connection.close()


CHILD = Path(__file__).parents[1] / "tools" / "payments" / "ledger_child.py"


def child(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_two_processes_give_every_reference_once(tmp_path: Path) -> None:
    processes = [child(tmp_path, "race", name, "10") for name in ("a", "b")]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = "".join(process.communicate(timeout=10)[0] for process in processes).split()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert sorted(int(reference[-4:]) for reference in said) == list(range(1, 21))
    async with local(tmp_path, "main", lambda: NOW) as ledger:
        assert len(await found(ledger, "customer")) == 1


async def test_killed_after_the_request_and_asked_again_it_is_one(tmp_path: Path) -> None:
    process = child(tmp_path, "stop", "k")
    try:
        assert process.stdout is not None
        reference = process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
    assert reference.startswith("PR-")
    again = child(tmp_path, "race", "k", "1")
    answer, _ = again.communicate("go\n", timeout=10)
    assert answer == f"ready\n{reference}"
    async with local(tmp_path, "main", lambda: NOW) as ledger:
        assert len(await found(ledger, "link")) == 1
