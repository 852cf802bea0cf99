"""What only the local ledger does: references, its clock, its file, and drafts each period."""

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

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.operations import Operation
from aicore_tools.payments import Invoice, Line, Link, Payment
from aicore_tools.payments.backends.local import LocalLedger, PayTerms
from aicore_tools.payments.records import (
    Action,
    EntryId,
    FindQuery,
    Kind,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    SubscriptionStep,
)

Open = Callable[..., LocalLedger]
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PAGE = PayTerms(
    instructions="Pay at the desk.",
    url_template="https://pay.example/{reference}",
    zone=ZoneInfo("Europe/Berlin"),
)
LINES = (
    Line(description="Cut", amount_minor=3000, quantity=2),
    Line(description="Öl", amount_minor=1),
)


@pytest.fixture
def opening(tmp_path: Path) -> Open:
    def open_at(now: datetime = NOW) -> LocalLedger:
        path = tmp_path / "payments.db"
        return LocalLedger(path, business="main", terms=PAGE, clock=lambda: now)

    return open_at


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


async def request_payment(ledger: LocalLedger, **fields: Any) -> Link:
    new = NewLink(**{"lines": LINES, "currency": "EUR", **fields})
    return (await ledger.add_link(new, op())).result


async def draft(ledger: LocalLedger, **fields: Any) -> Invoice:
    values = {"lines": LINES, "currency": "EUR", "customer": "ann@example.com", "due_days": 14}
    return (await ledger.add_invoice(NewInvoice(**{**values, **fields}), op())).result


async def act(ledger: LocalLedger, entry: EntryId, *actions: Action) -> Link | Invoice:
    for action in actions:
        effect = await ledger.act(entry, action, by="staff:ann", operation=op())
    return effect.result


async def found(ledger: LocalLedger, kind: Kind, **query: Any) -> list[str]:
    return [entry.id for entry in (await ledger.find(FindQuery(kind=kind, **query))).entries]


async def test_a_request_has_a_reference_a_page_and_a_history(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, by="customer:web:42")
        assert (link.reference, link.url) == (
            "PR-2026-0001",
            "https://pay.example/PR-2026-0001",
        )
        assert (link.instructions, link.created) == ("Pay at the desk.", NOW)
        assert [(state.status, state.by) for state in link.history] == [("open", "customer:web:42")]
        assert await ledger.get(EntryId("pr-2026-0001")) == link


async def test_references_count_up_without_gaps_and_anew_each_year(opening: Open) -> None:
    new_year = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # 2027 in Berlin already
    async with opening() as ledger:
        first = await request_payment(ledger)
        with pytest.raises(NotFound):
            await request_payment(ledger, customer="cus_nobody")
        second = await request_payment(ledger)
        assert (first.reference, second.reference) == ("PR-2026-0001", "PR-2026-0002")
    async with opening(new_year) as ledger:
        assert (await request_payment(ledger)).reference == "PR-2027-0001"


async def test_a_refused_draft_leaves_no_customer_behind(tmp_path: Path) -> None:
    async with LocalLedger(tmp_path / "payments.db", business="main", terms=PAGE) as ledger:
        await draft(ledger)
        broken = NewInvoice(lines=(), currency="EUR", customer="bob@example.com", due_days=1)
        with pytest.raises(sqlite3.IntegrityError):  # the service never lets it come to this
            await ledger.add_invoice(broken, op())
        assert await ledger.customer("bob@example.com") is None


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


async def test_a_request_expires_and_late_money_still_counts(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, expires=NOW + timedelta(hours=1))
        other = await request_payment(ledger)
        assert await found(ledger, "link", status="expired") == []
    async with opening(NOW + timedelta(hours=1)) as ledger:
        (expired,) = (await ledger.find(FindQuery(kind="link", status="expired"))).entries
        assert isinstance(expired, Link)
        assert (expired.id, expired.status) == (link.id, "expired")
        assert await ledger.get(link.id) == expired
        assert await found(ledger, "link", status="open") == [other.id]
        assert (await act(ledger, link.id, "mark_paid")).status == "paid"


async def test_of_many_who_mark_it_paid_at_once_one_pays(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(act, ledger, link.id, "mark_paid")
        assert len(await found(ledger, "payment")) == 1


async def test_what_was_written_cannot_be_changed_behind_the_ledger(tmp_path: Path) -> None:
    async with LocalLedger(tmp_path / "payments.db", business="main", terms=PAGE) as ledger:
        await request_payment(ledger)
    connection = sqlite3.connect(tmp_path / "payments.db")
    for table in ("document", "document_state"):
        for statement in (f"UPDATE {table} SET business = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    connection.close()


async def gym(ledger: LocalLedger, **fields: Any) -> EntryId:
    given = {"name": "Gym", "amount_minor": 2000, "currency": "EUR", "every": "month", **fields}
    return (await ledger.save_product(ProductChange(**given), op())).result.id


async def test_each_period_that_has_begun_gives_one_draft(opening: Open) -> None:
    start = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
    async with opening(start) as ledger:
        begin = NewSubscription(customer="ann@example.com", price=await gym(ledger), quantity=2)
        made = (await ledger.subscribe(begin, op())).result
        assert made.period_end == datetime(2026, 2, 28, 8, 0, tzinfo=UTC)
        assert len(await found(ledger, "invoice")) == 1
    for moment, count, period_end in (
        (datetime(2026, 2, 28, 7, 59, tzinfo=UTC), 1, datetime(2026, 2, 28, 8, 0, tzinfo=UTC)),
        (datetime(2026, 2, 28, 8, 0, tzinfo=UTC), 2, datetime(2026, 3, 31, 7, 0, tzinfo=UTC)),
        (datetime(2026, 5, 1, 0, 0, tzinfo=UTC), 4, datetime(2026, 5, 31, 7, 0, tzinfo=UTC)),
    ):
        async with opening(moment) as ledger:
            for _ in range(2):
                assert len(await found(ledger, "invoice", status="draft")) == count
            present = await ledger.get(made.id)
            assert present.period_end == period_end  # type: ignore[union-attr] # a subscription


async def test_a_subscription_that_ends_gives_no_more_drafts(opening: Open) -> None:
    async with opening() as ledger:
        begin = NewSubscription(customer="ann@example.com", price=await gym(ledger))
        made = (await ledger.subscribe(begin, op())).result
        ends = SubscriptionStep(id=made.id, action="cancel", when="period_end", by="staff:ann")
        await ledger.step_subscription(ends, op())
    async with opening(NOW + timedelta(days=90)) as ledger:
        assert len(await found(ledger, "invoice")) == 1
        assert await found(ledger, "subscription", status="canceled") == [made.id]
        (present,) = (await ledger.find(FindQuery(kind="subscription"))).entries
        assert present.period_end is None  # type: ignore[union-attr] # a subscription
        assert [state.by for state in present.history] == [None, "staff:ann"]  # type: ignore[union-attr]


async def test_a_change_for_the_next_period_waits_for_it(opening: Open) -> None:
    async with opening() as ledger:
        begin = NewSubscription(customer="ann@example.com", price=await gym(ledger))
        made = (await ledger.subscribe(begin, op())).result
        dearer = await gym(ledger, name="Gym plus", amount_minor=3000)
        change = SubscriptionStep(id=made.id, action="change", price=dearer, when="period_end")
        changed = (await ledger.step_subscription(change, op())).result
        assert (changed.amount_minor, changed.next_price) == (2000, dearer)
    async with opening(NOW + timedelta(days=40)) as ledger:
        present = await ledger.get(made.id)
        assert (present.amount_minor, present.next_price) == (3000, None)  # type: ignore[union-attr]
        newest, oldest = (await ledger.find(FindQuery(kind="invoice"))).entries
        assert isinstance(newest, Invoice)
        assert isinstance(oldest, Invoice)
        assert (newest.amount_minor, oldest.amount_minor) == (3000, 2000)


async def test_a_refund_names_who_paid_and_is_found(opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger, customer="ann@example.com")
        await act(ledger, link.id, "mark_paid")
        payment = await ledger.payment(EntryId(link.reference))
        new = NewRefund(payment=payment.id, amount_minor=1, currency="EUR", reason="Torn")
        back = (await ledger.refund(new, op())).result
        assert back.customer == link.customer
        for text in ("torn", "ANN@", payment.id):
            assert await found(ledger, "refund", text=text) == [back.id]
        assert await found(ledger, "refund", customer=link.customer) == [back.id]
        assert await found(ledger, "refund", status="failed") == []


async def test_mail_is_refused(opening: Open) -> None:
    async with opening() as ledger:
        invoice = await draft(ledger)
        for action in ("send", "remind"):
            with pytest.raises(InvalidInput):
                await act(ledger, invoice.id, action)  # type: ignore[arg-type] # they are actions


async def test_a_file_of_the_first_version_is_taken_on(tmp_path: Path, opening: Open) -> None:
    async with opening() as ledger:
        link = await request_payment(ledger)
        await act(ledger, link.id, "mark_paid")
    connection = sqlite3.connect(tmp_path / "payments.db")
    for table in ("subscription_period", "subscription_state", "subscription", "refund"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP INDEX payment_by_what")
    connection.execute("PRAGMA user_version = 2")  # the operations, and the first schema
    connection.commit()
    connection.close()
    async with opening() as ledger:
        payment = await ledger.payment(link.id)
        assert (payment.amount_minor, payment.refunded_minor) == (6001, 0)


CHILD = Path(__file__).with_name("ledger_child.py")


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
    async with LocalLedger(tmp_path / "payments.db", business="main", terms=PAGE) as ledger:
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
    async with LocalLedger(tmp_path / "payments.db", business="main", terms=PAGE) as ledger:
        assert len(await found(ledger, "link")) == 1
