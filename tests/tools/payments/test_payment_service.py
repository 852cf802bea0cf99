"""The rules of payments, on a fixed clock: 21 November 2026, 9:00 in Berlin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aicore_tools.errors import InvalidInput, NotAllowed, NotFound
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments import (
    Bill,
    Customer,
    Entry,
    FindAsked,
    Invoice,
    LineGiven,
    Link,
    PaymentRules,
    PaymentService,
    Product,
    ProductGiven,
)
from aicore_tools.payments.backends.local import LocalLedger, PayTerms
from aicore_tools.payments.records import Action

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
DEPOSIT = LineGiven(description="Deposit", amount_minor=4500)


@asynccontextmanager
async def opened(folder: Path, now: datetime = NOW, **rules: Any) -> AsyncIterator[PaymentService]:
    ledger = LocalLedger(
        folder / "payments.db",
        business="main",
        terms=PayTerms(instructions="Pay at the desk.", zone=BERLIN),
        clock=lambda: now,
    )
    async with ledger:
        rule = PaymentRules(**{"zone": BERLIN, "max_amount_minor": 10_000, **rules})
        yield PaymentService(ledger, rules=rule, clock=lambda: now)


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def link(
    service: PaymentService,
    *lines: LineGiven,
    expires: str | None = None,
    key: str | None = None,
    **bill: Any,
) -> Link:
    operation = op(key)
    effect = await service.earlier(operation)
    if effect is None:
        plan = await service.plan_link(
            Bill(lines=lines or (DEPOSIT,), **bill), expires=expires, operation=operation
        )
        effect = await service.link(plan, operation)
    assert isinstance(effect.result, Link)
    return effect.result


async def invoice(
    service: PaymentService, bill: Bill, *, due_days: int = 14, memo: str = "", key: str | None
) -> Effect[Entry]:
    operation = op(key)
    effect = await service.earlier(operation)
    if effect is None:
        plan = await service.plan_invoice(bill, due_days=due_days, memo=memo, operation=operation)
        effect = await service.invoice(plan, operation)
    assert isinstance(effect.result, Invoice)
    return effect


async def act(service: PaymentService, entry: str, action: Action) -> Invoice | Link:
    plan = await service.plan_act(entry, action, by="staff:ann")
    effect = await service.act(plan, op())
    assert isinstance(effect.result, Invoice | Link)
    assert effect.result.status == plan.status
    return effect.result


async def customer(service: PaymentService, given: dict[str, object], **who: str) -> Customer:
    named = {"email": None, "customer": None, **who}
    effect = await service.save_customer(await service.plan_customer(given, **named), op())
    assert isinstance(effect.result, Customer)
    return effect.result


async def product(service: PaymentService, **given: Any) -> Product:
    values = {"name": "Cut", "amount_minor": 3000, **given}
    effect = await service.save_product(await service.plan_product(ProductGiven(**values)), op())
    assert isinstance(effect.result, Product)
    return effect.result


async def test_without_a_currency_it_is_that_of_the_business(tmp_path: Path) -> None:
    async with opened(tmp_path, currency="CHF") as service:
        assert (await link(service)).currency == "CHF"
        assert (await link(service, currency="usd")).currency == "USD"
        assert (await product(service)).currency == "CHF"


async def test_a_price_brings_its_amount_name_and_currency(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        price = await product(service, currency="USD")
        made = await link(service, LineGiven(price=price.id, quantity=3))
        assert (made.amount_minor, made.currency) == (9000, "USD")
        (line,) = made.lines
        assert (line.description, line.price) == ("Cut", price.id)
        await product(service, id=price.id, amount_minor=10)
        assert (await service.get(made.id)) == made
        with pytest.raises(InvalidInput):
            await link(service, LineGiven(price=price.id), currency="EUR")
        with pytest.raises(InvalidInput):
            await link(service, LineGiven(price=price.id, amount_minor=1))
        other = await product(service, currency="EUR")
        with pytest.raises(InvalidInput):
            await link(service, LineGiven(price=price.id), LineGiven(price=other.id))
        await product(service, id=price.id, is_active=False)
        with pytest.raises(NotFound):
            await link(service, LineGiven(price=price.id))


async def test_another_currency_needs_another_amount(tmp_path: Path) -> None:
    async with opened(tmp_path, currencies=frozenset({"EUR", "JPY"})) as service:
        made = await product(service, amount_minor=1000, currency="EUR")
        for given in ({"currency": "JPY"}, {"currency": "jpy", "is_active": False}):
            with pytest.raises(InvalidInput):
                await product(service, id=made.id, amount_minor=None, **given)
        for amount_minor in (None, 1):
            with pytest.raises(NotAllowed) as refused:
                await product(service, id=made.id, amount_minor=amount_minor, currency="USD")
            assert refused.value.code == "currency_not_allowed"
        assert await service.get(made.id) == made
        same = await product(service, id=made.id, amount_minor=None, currency="EUR", name="Cut 2")
        assert (same.amount_minor, same.currency, same.name) == (1000, "EUR", "Cut 2")
        yen = await product(service, id=made.id, amount_minor=1500, currency="JPY")
        assert (yen.amount_minor, yen.currency) == (1500, "JPY")


async def test_the_limit_holds_for_the_whole_of_a_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        half = LineGiven(description="x", amount_minor=5000)
        assert (await link(service, half, half)).amount_minor == 10_000
        for lines in (
            (half, half, LineGiven(description="y", amount_minor=1)),
            (LineGiven(description="x", amount_minor=2, quantity=5001),),
        ):
            with pytest.raises(NotAllowed):
                await link(service, *lines)
            with pytest.raises(NotAllowed):
                await invoice(service, Bill(lines=lines, customer="a@b.de"), key=None)
        with pytest.raises(NotAllowed):
            await product(service, amount_minor=10_001)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [DEPOSIT] * 101,
        [LineGiven(description="x")],
        [LineGiven(amount_minor=1)],
        [LineGiven(description=" ", amount_minor=1)],
        [LineGiven(description="x", amount_minor=-1)],
        [LineGiven(description="x", amount_minor=0)],
        [LineGiven(description="x", amount_minor=1, quantity=0)],
        [LineGiven(description="x", amount_minor=1, quantity=-1)],
        [LineGiven(description="x", amount_minor=1, quantity=10_001)],
        [LineGiven(description="x", amount_minor=10**19)],
        [LineGiven(description="a\0b", amount_minor=1)],
        [LineGiven(description="\udfff", amount_minor=1)],
        [LineGiven(description="x" * 501, amount_minor=1)],
    ],
)
async def test_wrong_lines_are_refused_and_nothing_is_kept(
    tmp_path: Path, lines: list[LineGiven]
) -> None:
    async with opened(tmp_path) as service:
        bill = Bill(lines=lines, customer="ann@example.com")
        with pytest.raises(InvalidInput):
            await service.plan_link(bill, expires=None, operation=op())
        with pytest.raises(InvalidInput):
            await service.plan_invoice(bill, due_days=14, memo="", operation=op())
        assert (await service.find(FindAsked(kind="customer"))).entries == ()


@pytest.mark.parametrize(
    "customer", ["a@b", "@b.de", "a b@c.de", "a@b..de", "a,b@c.de", "x" * 260 + "@b.de", "a\0@b.de"]
)
async def test_what_is_no_address_is_refused(tmp_path: Path, customer: str) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await link(service, customer=customer)


async def test_an_address_is_one_customer_in_any_case(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        one = await link(service, customer="Ann@Example.COM ")
        other = await link(service, customer="ann@example.com")
        assert one.customer == other.customer
        found = await service.find(FindAsked(kind="link", customer="ANN@example.com"))
        assert len(found.entries) == 2


async def test_a_last_date_counts_to_its_end_in_the_zone_of_the_business(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        made = await link(service, expires="2026-11-21")
        assert made.expires == datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
        for past in ("2026-11-20", "2026-11-21T08:59", "2026-11-21T09:00"):
            with pytest.raises(InvalidInput):
                await link(service, expires=past)


async def test_a_repeat_is_not_judged_by_what_has_changed_since(tmp_path: Path) -> None:
    async def drafted(service: PaymentService) -> Effect[Entry]:
        return await invoice(service, Bill(lines=[DEPOSIT], customer="a@b.de"), key="i")

    async with opened(tmp_path) as service:
        first = await link(service, expires="2026-11-22", key="k")
        draft = await drafted(service)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    async with opened(tmp_path, later, max_amount_minor=0) as service:
        assert await link(service, expires="2026-11-22", key="k") == first
        again = await drafted(service)
        assert (again.is_replay, again.result) == (True, draft.result)


@pytest.mark.parametrize(
    "wrong",
    [
        {"due_days": -1},
        {"due_days": 366},
        {"customer": ""},
        {"customer": None},
        {"memo": "x" * 2001},
        {"currency": "EURO"},
    ],
)
async def test_a_wrong_invoice_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with opened(tmp_path) as service:
        given = {"due_days": 14, "memo": "", "customer": "a@b.de", "currency": None, **wrong}
        due_days, memo = given.pop("due_days"), given.pop("memo")
        bill = Bill(lines=[DEPOSIT], **given)
        with pytest.raises(InvalidInput):
            await service.plan_invoice(bill, due_days=due_days, memo=memo, operation=op())
        assert (await service.find(FindAsked(kind="invoice"))).entries == ()


async def test_an_invoice_is_taken_through_its_life(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        made = await invoice(
            service, Bill(lines=[DEPOSIT], customer="a@b.de"), due_days=7, memo=" Hi ", key=None
        )
        assert isinstance(made.result, Invoice)
        assert made.result.memo == "Hi"
        for action, status in (("finalize", "open"), ("mark_paid", "paid")):
            assert (await act(service, f" {made.result.id} ", action)).status == status
        for action in ("send", "remind"):
            with pytest.raises(InvalidInput):
                await service.plan_act(made.result.id, action, by=None)


@pytest.mark.parametrize(
    ("given", "who"),
    [
        ({}, {"email": None, "customer": None}),
        ({}, {"email": "a@b.de", "customer": "cus_1"}),
        ({"vip": "yes"}, {"email": "a@b.de", "customer": None}),
        ({"name": 5}, {"email": "a@b.de", "customer": None}),
        ({"name": None}, {"email": "a@b.de", "customer": None}),
        ({"metadata": []}, {"email": "a@b.de", "customer": None}),
        ({"metadata": {"a": 1}}, {"email": "a@b.de", "customer": None}),
        ({"metadata": {"": "x"}}, {"email": "a@b.de", "customer": None}),
        ({"metadata": dict.fromkeys(map(str, range(21)), "x")}, {"email": "a@b.de"}),
    ],
)
async def test_a_wrong_customer_is_refused(
    tmp_path: Path, given: dict[str, object], who: dict[str, str | None]
) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.plan_customer(given, **{"customer": None, **who})


async def test_a_customer_is_saved_and_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        given: dict[str, object] = {"name": " Ann ", "metadata": {"table": "4"}}
        made = await customer(service, given, email="Ann@example.com")
        assert (made.name, made.metadata) == ("Ann", {"table": "4"})
        by_id = await customer(service, {"tax_id": "DE1"}, customer=made.id)
        assert (by_id.name, by_id.tax_id) == ("Ann", "DE1")
        with pytest.raises(NotFound):
            await customer(service, {}, customer="cus_0")


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": 101},
        {"after": "soon"},
        {"status": "lost"},
        {"kind": "product", "customer": "a@b.de"},
        {"query": "x" * 201},
    ],
)
async def test_a_wrong_search_is_refused(tmp_path: Path, asked: dict[str, Any]) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.find(FindAsked(**{"kind": "link", **asked}))


async def test_dates_of_a_search_are_days_of_the_business(tmp_path: Path) -> None:
    async with opened(tmp_path, datetime(2026, 11, 20, 23, 30, tzinfo=UTC)) as service:
        made = await link(service)
        for after, before, count in [
            ("2026-11-21", None, 1),
            (None, "2026-11-21", 0),
            ("2026-11-21", "2026-11-22", 1),
            ("2026-11-22", None, 0),
        ]:
            found = await service.find(FindAsked(kind="link", after=after, before=before))
            assert len(found.entries) == count
        assert made.reference == "PR-2026-0001"
