"""What only the Stripe ledger does: its errors, its keys, its pages, its amounts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from tests.contracts.payments_rows import LINES, QUICK, StripeTill, op

from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotFound,
    ToolsError,
)
from aicore_tools.operations import Effect
from aicore_tools.payments import (
    Customer,
    Invoice,
    Line,
    Link,
    Payment,
    PaymentRules,
    PaymentService,
    Subscription,
    SubscriptionGiven,
)
from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.backends.stripe_procedures import MOST_FORMER
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    EntryId,
    FindQuery,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    ReportQuery,
    SubscriptionStep,
)


@pytest.fixture
def till(tmp_path: Path, sandbox: Callable[[str], Any]) -> StripeTill:
    return StripeTill(tmp_path, sandbox("stripe"))


def with_key(till: StripeTill, key: str, folder: str = "other") -> StripeLedger:
    fields = {"api_key": key, "base_url": till.sandbox.url}
    connection = Connection(vendor="stripe", fields=fields)
    path = till.folder / folder
    return StripeLedger(connection, data_dir=path, business="main", patience=QUICK)


async def link(ledger: Any, **fields: Any) -> Link:
    new = NewLink(**{"lines": LINES, "currency": "EUR", **fields})
    made: Link = (await ledger.add_link(new, op())).result
    return made


async def invoice(ledger: Any, *actions: Action) -> Invoice:
    new = NewInvoice(lines=LINES, currency="EUR", customer="ann@example.com", due_days=14)
    made: Invoice = (await ledger.add_invoice(new, op())).result
    for action in actions:
        made = (await ledger.act(made.id, action, by=None, operation=op())).result
    return made


async def test_a_link_that_expires_is_a_checkout_session(till: StripeTill) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    async with till.ledger() as ledger:
        made = await link(ledger, expires=expires, customer="ann@example.com")
        assert made.id.startswith("cs_")
        assert (made.expires, made.status, made.lines) == (expires, "open", LINES)
        assert made.customer is not None
        other = await link(ledger)
        assert (await ledger.find(FindQuery(kind="link", status="open"))).entries == (other, made)
        assert (await ledger.find(FindQuery(kind="link", customer=made.customer))).entries == (
            made,
        )
        till.outside("clock", "7300")
        gone = await ledger.get(made.id)
        assert isinstance(gone, Link)
        assert (gone.status, gone.url) == ("expired", None)
    till.check()


@pytest.mark.parametrize("status", ["paid", "expired"])
async def test_a_checkout_session_is_paid_or_closed(till: StripeTill, status: str) -> None:
    async with till.ledger() as ledger:
        made = await link(ledger, expires=datetime.now(UTC) + timedelta(hours=2))
        if status == "paid":
            await till.pay(ledger, made.id)
            assert (await ledger.payment(made.id)).amount_minor == 6001
        else:
            await ledger.act(made.id, "void", by=None, operation=op())
        assert (await ledger.get(made.id)).status == status  # type: ignore[union-attr] # a link
    till.check()


@pytest.mark.parametrize("minutes", [5, 30, 24 * 60, 10_000])
async def test_stripe_keeps_a_page_open_for_so_long_only(till: StripeTill, minutes: int) -> None:
    async with till.ledger() as ledger:
        with pytest.raises(InvalidInput):
            await link(ledger, expires=datetime.now(UTC) + timedelta(minutes=minutes))
    async with till.ledger(done_url=None) as ledger:
        with pytest.raises(BackendConfigError):
            await link(ledger, expires=datetime.now(UTC) + timedelta(hours=2))
    assert till.sandbox.state["counts"] == {}


async def test_links_of_both_kinds_come_in_pages(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        ids = set()
        for number in range(3):
            ids.add((await link(ledger)).id)
            expires = datetime.now(UTC) + timedelta(hours=2 + number)
            ids.add((await link(ledger, expires=expires)).id)
        for size in (1, 2, 3, 4, 6):
            pages, cursor = [], None
            while True:
                page = await ledger.find(FindQuery(kind="link", limit=size, cursor=cursor))
                pages += [entry.id for entry in page.entries]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert (len(pages), set(pages)) == (6, ids), size


async def test_drafts_are_sent_and_reminded_by_stripe(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        sent = await invoice(ledger, "send", "remind")
        assert sent.status == "open"
        assert sent.url is not None
        assert till.sandbox.state["mails"] == [sent.id, sent.id]
        paid = await invoice(ledger, "finalize", "mark_paid")
        assert [state.status for state in paid.history] == ["draft", "open", "paid"]
        with pytest.raises(Conflict):
            await ledger.payment(paid.id)  # paid outside: nothing to give back at Stripe
        with pytest.raises(Conflict):
            await ledger.act(paid.id, "remind", by=None, operation=op())
        made = await link(ledger)
        with pytest.raises(InvalidInput):
            await ledger.act(made.id, "mark_paid", by=None, operation=op())
    till.check()


async def test_a_draft_holds_nothing_but_its_own_lines(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        made = await invoice(ledger)
    (stored,) = till.sandbox.state["objects"]["main"]["invoice"].values()
    assert (stored["id"], stored["auto_advance"]) == (made.id, False)
    assert stored["collection_method"] == "send_invoice"
    assert till.sandbox.state["requests"].count(f"POST /v1/invoices/{made.id}/add_lines") == 1


async def test_entries_are_read_by_any_of_their_ids(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        paid = await invoice(ledger, "finalize")
        await till.pay(ledger, paid.id)
        payment = await ledger.payment(EntryId(str(paid.number)))
        charge = next(iter(till.sandbox.state["objects"]["main"]["charge"]))
        assert await ledger.get(EntryId(charge)) == payment
        dispute = till.outside("dispute", payment.id)["id"]
        payout = till.outside("payout", "main")["id"]
        new = ProductChange(name="Gym", amount_minor=2000, currency="EUR", every="year")
        product = (await ledger.save_product(new, op())).result
        made = next(iter(till.sandbox.state["objects"]["main"]["product"]))
        for entry in (dispute, payout, product.id):
            kind = {"du": "dispute", "po": "payout"}.get(entry[:2], "product")
            found = (await ledger.find(FindQuery(kind=kind))).entries  # type: ignore[arg-type] # a kind
            assert found == (await ledger.get(EntryId(entry)),)
        products = till.sandbox.state["objects"]["main"]["product"]
        own = next(one for one in products if one.startswith("aicore_"))
        assert made in products
        assert products[own]["default_price"] == product.id
        for missing in ("INV-0", "prod_0", "sub_0", "re_0", "po_0", "du_0", "cs_0", "plink_0"):
            with pytest.raises(NotFound):
                await ledger.get(EntryId(missing))
    till.check()


async def test_two_customers_of_one_address_are_not_guessed(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        for name in ("one", "two"):
            made = await ledger._calls.send(  # type: ignore[attr-defined]
                ledger._calls.v1.customers.create_async,  # type: ignore[attr-defined]
                key=name,
                params={"email": "ann@example.com"},
            )
        with pytest.raises(Conflict) as several:
            await invoice(ledger)
        assert several.value.code == "ambiguous"
        assert made["id"] in str(several.value.hint)


async def test_a_customer_who_was_deleted_can_come_back(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        first = await invoice(ledger)
        till.outside("delete", first.customer)
        with pytest.raises(NotFound):
            await ledger.get(EntryId(first.customer))
        assert await ledger.customer("ann@example.com") is None
        second = await invoice(ledger)
        assert second.customer != first.customer
        assert (await invoice(ledger)).customer == second.customer
        till.outside("delete", second.customer)
        third = await invoice(ledger)
        assert third.customer not in (first.customer, second.customer)


async def test_whose_address_was_changed_is_not_taken_for_who_had_it(till: StripeTill) -> None:
    """Within a day Stripe answers a new customer's key with whom it made first."""
    async with till.ledger() as ledger:
        first = await invoice(ledger)
        moved = httpx2.post(
            f"{till.sandbox.url}/v1/customers/{first.customer}",
            data={"email": "bob@other.example"},
            headers={"Authorization": "Bearer sk_test_main"},
            timeout=5,
        )
        assert moved.status_code == 200
        second = await invoice(ledger)
        customer = await ledger.get(EntryId(second.customer))
        assert isinstance(customer, Customer)
        assert (customer.email, customer.id != first.customer) == ("ann@example.com", True)
        assert (await invoice(ledger)).customer == second.customer
    assert till.sandbox.state["counts"]["customer"] == 2


async def test_a_new_customer_whose_fields_are_refused_stays(till: StripeTill) -> None:
    """It may be another call's by then; the next call finds it by its address."""
    said = {"type": "invalid_request_error", "message": "That phone is too long."}
    till.sandbox.fail("^POST /v1/customers/", "status", status=400, body={"error": said})
    change = CustomerChange(email="new@b.de", phone="1")
    async with till.ledger() as ledger:
        with pytest.raises(InvalidInput):
            await ledger.save_customer(change, op("k"))
        known = await ledger.customer("new@b.de")
        assert known is not None
        saved = (await ledger.save_customer(change, op("k"))).result
        assert (saved.id, saved.phone) == (known.id, "1")
    assert till.sandbox.state["counts"]["customer"] == 1


async def test_who_was_made_and_deleted_too_often_is_refused(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        for _ in range(MOST_FORMER):
            till.outside("delete", (await invoice(ledger)).customer)
        with pytest.raises(Conflict) as refused:
            await invoice(ledger)
        assert refused.value.outcome == "none"


@pytest.mark.parametrize(
    ("currency", "amount_minor"), [("KWD", 1234), ("BHD", 5), ("MGA", 150), ("TND", 1001)]
)
async def test_an_amount_that_stripe_cannot_take_is_refused(
    till: StripeTill, currency: str, amount_minor: int
) -> None:
    line = Line(description="x", amount_minor=amount_minor)
    async with till.ledger() as ledger:
        for attempt in (
            link(ledger, lines=(line,), currency=currency),
            ledger.add_invoice(
                NewInvoice(lines=(line,), currency=currency, customer="a@b.de", due_days=1), op()
            ),
            ledger.save_product(
                ProductChange(name="x", amount_minor=amount_minor, currency=currency), op()
            ),
            ledger.refund(
                NewRefund(payment=EntryId("pi_1"), amount_minor=amount_minor, currency=currency),
                op(),
            ),
        ):
            with pytest.raises(InvalidInput):
                await attempt
    assert till.sandbox.state["counts"] == {}


@pytest.mark.parametrize(
    ("key", "is_test", "warnings", "can"),
    [
        ("sk_test_main", True, 1, ("everything in this account",)),
        ("sk_live_main", False, 2, ("everything in this account",)),
        ("rk_test_main-without-refunds", True, 1, ("read customers", "read invoices")),
        ("rk_live_main-readonly", False, 2, ("read customers", "read refunds")),
        ("rk_test_main-without-account", True, 1, ("read customers",)),
    ],
)
async def test_the_probe_tells_keys_apart(
    till: StripeTill, key: str, is_test: bool, warnings: int, can: tuple[str, ...]
) -> None:
    async with with_key(till, key) as ledger:
        probe = await ledger.probe()
        assert (probe.is_test, len(probe.warnings)) == (is_test, warnings)
        assert set(can) <= set(probe.can)
        assert ("read refunds" in probe.can) == ("refunds" not in key and key[0] == "r")
        assert key not in str(probe)


async def attempt_all(ledger: StripeLedger) -> list[ToolsError]:
    errors = []
    for attempt in (
        ledger.get(EntryId("cus_1")),
        ledger.find(FindQuery(kind="invoice")),
        link(ledger),
        invoice(ledger),
        ledger.save_customer(CustomerChange(email="a@b.de", name="x"), op("k")),
        ledger.refund(NewRefund(payment=EntryId("pi_1"), amount_minor=1, currency="EUR"), op("k2")),
        ledger.subscribe(NewSubscription(customer="cus_1", price=EntryId("price_1")), op("k3")),
    ):
        with pytest.raises(ToolsError) as refused:
            await attempt
        errors.append(refused.value)
    return errors


async def test_a_revoked_key_is_said_and_nothing_is_done(till: StripeTill) -> None:
    async with with_key(till, "sk_test_revoked") as ledger:
        with pytest.raises(BackendConfigError):
            await ledger.probe()
        for error in await attempt_all(ledger):
            assert isinstance(error, BackendConfigError)
            assert error.outcome == "none"
            assert "aicore connect stripe" in str(error.hint)
            assert "sk_" not in f"{error} {error.hint}"
    assert till.sandbox.state["counts"] == {}


async def test_a_missing_permission_is_named(till: StripeTill) -> None:
    async with with_key(till, "rk_test_main-without-refunds") as ledger:
        with pytest.raises(BackendConfigError) as missing:
            await ledger.find(FindQuery(kind="refund"))
        assert missing.value.code == "missing_scope"
        assert "rak_refunds_read" in missing.value.message
    async with with_key(till, "rk_test_main-readonly") as ledger:
        with pytest.raises(BackendConfigError) as missing:
            await link(ledger)
        assert (missing.value.code, missing.value.outcome) == ("missing_scope", "none")


async def test_nobody_at_the_address_is_a_failure_that_did_nothing(tmp_path: Path) -> None:
    fields = {"api_key": "sk_test_main", "base_url": "http://127.0.0.1:9"}
    connection = Connection(vendor="stripe", fields=fields)
    ledger = StripeLedger(connection, data_dir=tmp_path, business="main", patience=QUICK)
    async with ledger:
        for error in await attempt_all(ledger):
            assert isinstance(error, BackendUnavailable)
            assert error.outcome == "none"


async def test_without_a_key_it_does_not_open(tmp_path: Path) -> None:
    connection = Connection(vendor="stripe", fields={})
    with pytest.raises(BackendConfigError):
        async with StripeLedger(connection, data_dir=tmp_path, business="main"):
            pass


@pytest.mark.parametrize(
    ("status", "error"), [(500, BackendUnavailable), (429, BackendUnavailable)]
)
async def test_a_read_is_repeated_and_then_given_up(
    till: StripeTill, status: int, error: type[ToolsError]
) -> None:
    async with till.ledger() as ledger:
        made = await link(ledger)
        till.sandbox.fail("^GET ", "status", status=status)
        assert await ledger.get(made.id) == made
        till.sandbox.fail("^GET ", "status", status=status, times=2)
        with pytest.raises(BackendUnavailable):
            await ledger.get(made.id)
        till.sandbox.fail("^GET ", "drop_before", times=2)
        with pytest.raises(BackendUnavailable):
            await ledger.get(made.id)


async def test_a_subscription_is_billed_by_invoices_that_stripe_sends(till: StripeTill) -> None:
    async with till.ledger() as ledger:
        new = ProductChange(name="Gym", amount_minor=2000, currency="EUR", every="month")
        price = (await ledger.save_product(new, op())).result.id
        begin = NewSubscription(customer="ann@example.com", price=price)
        made = (await ledger.subscribe(begin, op())).result
        assert isinstance(made, Subscription)
    (stored,) = till.sandbox.state["objects"]["main"]["subscription"].values()
    assert (stored["collection_method"], stored["days_until_due"]) == ("send_invoice", 14)


async def test_a_subscription_of_several_prices_is_read_whole_and_not_changed(
    till: StripeTill,
) -> None:
    async with till.ledger() as ledger:
        gym, trainer = [
            (
                await ledger.save_product(
                    ProductChange(name=name, amount_minor=amount, currency="EUR", every="month"),
                    op(),
                )
            ).result.id
            for name, amount in (("Gym", 1000), ("Trainer", 50_000))
        ]
        customer = (await invoice(ledger)).customer
        made = httpx2.post(
            f"{till.sandbox.url}/v1/subscriptions",
            data={
                "customer": customer,
                "items[0][price]": gym,
                "items[0][quantity]": "3",
                "items[1][price]": trainer,
                "collection_method": "send_invoice",
                "days_until_due": "14",
            },
            headers={"Authorization": "Bearer sk_test_main"},
            timeout=5,
        ).json()["id"]
        service = PaymentService(ledger, rules=PaymentRules(zone=ZoneInfo("UTC")))
        for change in ({"price": trainer}, {"quantity": 2}):
            given = SubscriptionGiven(action="change", id=made, **change)
            with pytest.raises(Conflict) as refused:
                await service.plan_subscription(given, op())
            assert refused.value.hint is not None
        step = SubscriptionStep(id=made, action="change", quantity=2)
        with pytest.raises(Conflict):
            await ledger.step_subscription(step, op())
        for action, when in (("cancel", "period_end"), ("resume", "now"), ("cancel", "now")):
            given = SubscriptionGiven(action=action, id=made, when=when)  # type: ignore[arg-type] # as named
            plan = await service.plan_subscription(given, op())
            assert plan.amount_minor == 53_000
            step_op = op(f"{action} {when}")
            done = (await service.subscription(plan, step_op)).result
            assert isinstance(done, Subscription)
            assert (done.amount_minor, done.price, done.more_prices) == (53_000, gym, (trainer,))
            assert await ledger.earlier(step_op) == Effect(result=done, is_replay=True)


async def test_payouts_and_fees_are_reported(till: StripeTill) -> None:
    now = datetime.now(UTC)
    async with till.ledger() as ledger:
        made = await link(ledger)
        await till.pay(ledger, made.id)
        till.outside("payout", "main")
        shared: dict[str, Any] = {
            "after": now - timedelta(days=1),
            "before": now + timedelta(days=1),
            "now": now,
            "zone": ZoneInfo("UTC"),
        }
        paid_out = await ledger.report(ReportQuery(kind="payouts", by="month", **shared))
        assert [row.amount_minor for row in paid_out.rows] == [6001 - 120]
        revenue = await ledger.report(ReportQuery(kind="revenue", by="day", **shared))
        assert [(row.amount_minor, row.fee_minor) for row in revenue.rows] == [(6001, 120)]
        payment = await ledger.payment(made.id)
        assert isinstance(payment, Payment)
    till.check()


async def test_nobody_is_named_in_the_log(
    till: StripeTill, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with till.ledger() as ledger:
        await ledger.customer("ann@example.com")
        await invoice(ledger)
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("uvicorn")]
    assert [line for line in ours if "example.com" in line or "sk_test" in line] == []


async def test_keys_of_two_accounts_never_mix(till: StripeTill) -> None:
    """One folder, one operation key, two accounts: two effects, each in its own."""
    async with till.ledger("one") as one, till.ledger("two") as two:
        new = NewLink(lines=LINES, currency="EUR")
        first = await one.add_link(new, op("k"))
        second = await two.add_link(new, op("k"))
        assert first.result.id != second.result.id
        assert (first.is_replay, second.is_replay) == (False, False)
        with pytest.raises(NotFound):
            await two.get(first.result.id)
