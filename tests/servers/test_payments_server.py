"""aicore-payments as a client sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx2
import pytest

from aicore_servers._tooling import HONOURS_KEY, Rules
from aicore_servers.payments import create, server
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

Connect = Callable[..., AbstractAsyncContextManager[Any]]
CONFIRMED = {"payments_invoice_act", "payments_refund", "payments_subscription"}
DEPOSIT = {"lines": [{"description": "Deposit", "amount": 4500}]}


async def confirmed(desk: Any, tool: str, **given: Any) -> Any:
    """Call, look at the plan, and call again with its confirmation."""
    asked = await desk(tool, **given)
    assert asked["needs_confirmation"] is True, asked.body
    return await desk(tool, **given, confirm=asked["confirm"])


async def test_the_tools_are_the_promised_ones(
    in_process: Connect, matches_snapshot: Callable[..., None]
) -> None:
    async with in_process(create) as desk:
        tools = (await desk.client.list_tools()).tools
        matches_snapshot("payments", tools)
        hints = {tool.name: tool.annotations for tool in tools}
        for name in ("payments_search", "payments_get", "payments_report"):
            assert hints[name].read_only_hint is True
        for name in ("payments_link", "payments_invoice"):
            assert (hints[name].read_only_hint, hints[name].idempotent_hint) == (False, False)
        destructive = {name for name, hint in hints.items() if hint.destructive_hint}
        confirmed = {tool.name for tool in tools if "confirm" in tool.input_schema["properties"]}
        assert destructive == confirmed == CONFIRMED
        assert {tool.name for tool in tools if HONOURS_KEY not in (tool.meta or {})} == {
            "payments_search",
            "payments_get",
            "payments_report",
        }
        assert desk.client.instructions


async def test_a_payment_is_requested_found_and_marked_paid(over_the_wire: Connect) -> None:
    async with over_the_wire("payments") as desk:
        given = {**DEPOSIT, "customer": "Ann@Example.com", "currency": "eur"}
        made = await desk("payments_link", key="k1", **given)
        link = made["link"]
        year = link["created"][:4]
        assert link["reference"] == f"PR-{year}-0001"
        assert (link["amount_minor"], link["amount_text"]) == (4500, "45.00 EUR")
        assert (link["currency"], link["status"], link["url"]) == ("EUR", "open", None)
        assert link["instructions"].startswith("Pay at the desk")
        again = await desk("payments_link", key="k1", **given)
        assert (again["link"], again["replayed"]) == (link, True)
        assert (await desk("payments_get", id=link["reference"]))["link"] == link
        paid = await confirmed(
            desk, "payments_invoice_act", key="k2", id=link["id"], action="mark_paid"
        )
        assert paid["link"]["status"] == "paid"
        assert [state["by"] for state in paid["link"]["history"]] == ["staff:ann", "staff:ann"]
        found = await desk("payments_search", kind="payment", customer="ann@example.com")
        (row,) = found["rows"]
        assert (row["paid_for"], row["amount_minor"]) == (link["id"], 4500)


async def test_an_invoice_is_drafted_finalized_and_paid(in_process: Connect) -> None:
    async with in_process(create, time_zone="Europe/Berlin") as desk:
        product = (await desk("payments_catalog", name="Haircut", amount=3050))["product"]
        drafted = await desk(
            "payments_invoice",
            customer="ann@example.com",
            lines=[
                {"price": product["id"], "quantity": 2},
                {"description": "Shampoo", "amount": 999},
            ],
            memo="Thank you",
        )
        invoice = drafted["invoice"]
        assert (invoice["status"], invoice["amount_text"]) == ("draft", "70.99 EUR")
        assert "number" not in invoice
        early = await desk("payments_invoice_act", id=invoice["id"], action="mark_paid")
        assert (early["code"], early["outcome"]) == ("conflict", "none")
        final = await confirmed(desk, "payments_invoice_act", id=invoice["id"], action="finalize")
        assert final["invoice"]["number"].endswith("-0001")
        assert final["invoice"]["due"] > final["invoice"]["created"]
        for action, status in [("mark_paid", "paid"), ("mark_paid", "paid")]:
            done = await confirmed(desk, "payments_invoice_act", id=invoice["id"], action=action)
            assert done["invoice"]["status"] == status
        assert len((await desk("payments_search", kind="payment"))["rows"]) == 1


async def test_a_business_with_a_pay_page_gives_its_address(in_process: Connect) -> None:
    options = {
        "pay-url-template": "https://pay.example/?r={reference}",
        "pay-instructions": "Card only.",
        "currency": "JPY",
    }
    async with in_process(create, options=options) as desk:
        link = (await desk("payments_link", **DEPOSIT))["link"]
        assert link["url"] == f"https://pay.example/?r={link['reference']}"
        assert (link["instructions"], link["amount_text"]) == ("Card only.", "4500 JPY")


async def test_more_than_the_limit_is_refused_in_the_server(in_process: Connect) -> None:
    async with in_process(create, options={"max-amount-minor": "9000"}) as desk:
        most = {"lines": [{"description": "x", "amount": 4500, "quantity": 2}]}
        assert not (await desk("payments_link", **most)).is_error
        over = {"lines": [*most["lines"], {"description": "y", "amount": 1}]}
        for tool, given in [
            ("payments_link", over),
            ("payments_invoice", {**over, "customer": "a@b.de"}),
            ("payments_catalog", {"name": "x", "amount": 9001}),
        ]:
            refused = await desk(tool, key=f"k{tool}", **given)
            assert (refused["code"], refused["outcome"]) == ("amount_too_high", "none")
        assert len((await desk("payments_search", kind="link"))["rows"]) == 1
    async with in_process(create, options={"max-amount-minor": "0"}) as desk:
        assert (await desk("payments_link", **DEPOSIT))["code"] == "amount_too_high"


@pytest.mark.parametrize("amount", [12.5, 45.0, "4500", True, -1, None, 10**30])
async def test_an_amount_is_a_whole_number(in_process: Connect, amount: object) -> None:
    async with in_process(create) as desk:
        lines = [{"description": "x", "amount": amount}]
        assert (await desk("payments_link", lines=lines))["code"] == "invalid_input"
        if amount is not None:
            assert (await desk("payments_catalog", name="x", amount=amount)).is_error
        assert (await desk("payments_search", kind="link"))["rows"] == []


async def test_rows_carry_the_asked_fields(in_process: Connect) -> None:
    async with in_process(create) as desk:
        for _ in range(3):
            await desk("payments_link", **DEPOSIT)
        fields = ["reference", "amount_text", "expires"]
        page = await desk("payments_search", kind="link", limit=2, fields=fields)
        assert [set(row) for row in page["rows"]] == [{"id", "reference", "amount_text"}] * 2
        assert page["truncated"] is True
        rest = await desk("payments_search", kind="link", cursor=page["next_cursor"])
        assert (len(rest["rows"]), "next_cursor" in rest.body) == (1, False)
        assert "lines" not in rest["rows"][0]
        assert rest["rows"][0]["url"] is None
        wrong = await desk("payments_search", kind="link", fields=["total"])
        assert "amount_minor" in wrong["hint"]


async def test_references_have_no_gaps_when_calls_come_at_once(in_process: Connect) -> None:
    references = []
    async with in_process(create) as desk:

        async def attempt(number: int) -> None:
            wrong = {"customer": "cus_nobody"} if number % 3 == 0 else {}
            answer = await desk("payments_link", key=f"k{number}", **DEPOSIT, **wrong)
            if not answer.is_error:
                references.append(int(answer["link"]["reference"][-4:]))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(attempt, number)
    assert sorted(references) == list(range(1, 9))


async def test_errors_have_one_shape(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("payments_link", key="used", **DEPOSIT)
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("invalid_input", "payments_search", {"kind": "charge"}),
            ("invalid_input", "payments_search", {"kind": "link", "status": "refunded"}),
            ("invalid_input", "payments_search", {"kind": "customer", "status": "open"}),
            ("invalid_input", "payments_search", {"kind": "product", "customer": "a@b.de"}),
            ("invalid_input", "payments_search", {"kind": "link", "cursor": "x"}),
            ("invalid_input", "payments_search", {"kind": "link", "after": "x"}),
            ("not_found", "payments_search", {"kind": "link", "customer": "a@b.de"}),
            ("not_found", "payments_get", {"id": "link_0"}),
            ("invalid_input", "payments_link", {"lines": []}),
            ("invalid_input", "payments_link", {"lines": [{"amount": 1}]}),
            ("invalid_input", "payments_link", {"lines": [{"description": "x"}]}),
            ("invalid_input", "payments_link", {"lines": [{"description": "x", "amount": 0}]}),
            ("invalid_input", "payments_link", {"lines": [{"unit": 1}]}),
            ("invalid_input", "payments_link", {**DEPOSIT, "currency": "XXX"}),
            ("invalid_input", "payments_link", {**DEPOSIT, "customer": "a@b"}),
            ("invalid_input", "payments_link", {**DEPOSIT, "expires": "2020-01-01"}),
            ("not_found", "payments_link", {**DEPOSIT, "customer": "cus_0"}),
            ("not_found", "payments_link", {"lines": [{"price": "price_0"}]}),
            ("operation_key_reused", "payments_link", {**DEPOSIT, "currency": "USD"}),
            ("invalid_input", "payments_customer", {"set": {}}),
            ("invalid_input", "payments_customer", {"email": "a@b.de", "set": {"vip": "x"}}),
            ("not_found", "payments_invoice_act", {"id": "x", "action": "void"}),
            ("unknown_tool", "payments_charge", {}),
        ]
        for code, tool, arguments in cases:
            key = "used" if code == "operation_key_reused" else None
            answer = await desk(tool, key=key, **arguments)
            assert answer.is_error, (tool, arguments)
            assert answer["code"] == code, (tool, arguments, answer.body)
            assert (answer["retryable"], answer["outcome"]) == (False, "none")
            assert answer["message"]


@pytest.mark.parametrize(
    "option",
    [
        ["--currency", "EURO"],
        ["--max-amount-minor", "12.50"],
        ["--max-amount-minor", "-1"],
        ["--max-day-minor", "much"],
        ["--currencies", "EUR,EURO"],
        ["--currencies", "USD"],
        ["--currencies", ""],
        ["--pay-done-url", "http://shop.example/thanks"],
        ["--pay-url-template", "http://pay.example/{reference}"],
        ["--pay-url-template", "https://pay.example/"],
    ],
)
def test_an_option_that_cannot_be_is_refused(option: list[str]) -> None:
    with pytest.raises(BackendConfigError):
        server(*option)


async def prepared(desk: Any) -> dict[str, str]:
    """Make one of everything that the tools can name."""
    product = (await desk("payments_catalog", name="Gym", amount=2000, every="month"))["product"]
    link = (await desk("payments_link", **DEPOSIT, customer="ann@example.com"))["link"]
    await confirmed(desk, "payments_invoice_act", id=link["id"], action="mark_paid")
    draft = (await desk("payments_invoice", customer="ann@example.com", **DEPOSIT))["invoice"]
    made = await confirmed(
        desk, "payments_subscription", action="create", customer="a@b.de", price=product["id"]
    )
    return {
        "product": product["id"],
        "link": link["id"],
        "draft": draft["id"],
        "subscription": made["subscription"]["id"],
    }


async def test_money_goes_back_only_after_its_plan_was_confirmed(in_process: Connect) -> None:
    async with in_process(create) as desk:
        link = (await prepared(desk))["link"]
        asked = await desk("payments_refund", payment=link, amount=1500, reason="Late")
        plan = asked["plan"]
        assert (plan["amount_text"], plan["left_text"]) == ("15.00 EUR", "30.00 EUR")
        assert (plan["paid_text"], plan["reason"]) == ("45.00 EUR", "Late")
        assert (await desk("payments_search", kind="refund"))["rows"] == []
        done = await desk(
            "payments_refund", payment=link, amount=1500, reason="Late", confirm=asked["confirm"]
        )
        assert (done["refund"]["amount_minor"], done["refund"]["reason"]) == (1500, "Late")
        used = await desk(
            "payments_refund", payment=link, amount=1500, reason="Late", confirm=asked["confirm"]
        )
        assert used.is_error
        over = await desk("payments_refund", payment=link, amount=3001)
        assert (over["code"], over["outcome"]) == ("over_refund", "none")
        rest = await confirmed(desk, "payments_refund", payment=link)
        assert rest["refund"]["amount_minor"] == 3000
        again = await desk("payments_refund", payment=link)
        assert again["code"] == "over_refund"
        (payment,) = (await desk("payments_search", kind="payment"))["rows"]
        assert (payment["amount_minor"], payment["refunded_minor"]) == (4500, 4500)


async def test_a_dry_run_of_every_effect_changes_nothing(in_process: Connect) -> None:
    async with in_process(create) as desk:
        known = await prepared(desk)
        kinds = ("customer", "invoice", "payment", "refund", "subscription", "product", "link")
        before = [(await desk("payments_search", kind=kind)).body for kind in kinds]
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("payments_customer", {"email": "new@b.de", "set": {"name": "x"}}, "new_customer"),
            ("payments_customer", {"email": "a@b.de", "set": {"name": "x"}}, "customer"),
            ("payments_catalog", {"name": "New", "amount": 5}, "new_product"),
            ("payments_catalog", {"id": known["product"], "name": "New"}, "product"),
            ("payments_invoice", {**DEPOSIT, "customer": "c@d.de"}, "amount_text"),
            ("payments_link", DEPOSIT, "amount_text"),
            ("payments_invoice_act", {"id": known["draft"], "action": "finalize"}, "status"),
            ("payments_refund", {"payment": known["link"]}, "left_text"),
            (
                "payments_subscription",
                {"action": "cancel", "id": known["subscription"]},
                "each_period_text",
            ),
        ]
        for tool, given, shown in cases:
            answer = await desk(tool, key="k", dry_run=True, **given)
            assert answer["dry_run"] is True, answer.body
            assert shown in answer["plan"], answer.body
        assert [(await desk("payments_search", kind=kind)).body for kind in kinds] == before


async def test_a_change_shows_what_was_and_what_will_be(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("payments_customer", email="a@b.de", set={"name": "Ann", "phone": "1"})
        change = {"email": "a@b.de", "set": {"name": "Anna", "phone": "1"}}
        plan = (await desk("payments_customer", dry_run=True, **change))["plan"]
        assert plan["set"] == {"name": {"old": "Ann", "new": "Anna"}}


async def test_a_subscription_lives_through_its_tool(in_process: Connect) -> None:
    async with in_process(create) as desk:
        known = await prepared(desk)
        entry = known["subscription"]

        async def step(action: str, **given: Any) -> Any:
            done = await confirmed(desk, "payments_subscription", action=action, id=entry, **given)
            return done["subscription"]

        assert (await step("change", quantity=3))["amount_text"] == "60.00 EUR"
        ends = await step("cancel", when="period_end")
        assert ends["cancel_at"] == ends["period_end"]
        assert "cancel_at" not in await step("resume")
        assert (await step("cancel"))["status"] == "canceled"
        assert (await desk("payments_subscription", action="resume", id=entry))[
            "code"
        ] == "conflict"


async def test_reports_are_grouped_and_say_what_they_are_of(in_process: Connect) -> None:
    async with in_process(create, time_zone="Europe/Berlin") as desk:
        await prepared(desk)
        revenue = await desk("payments_report", kind="revenue", group_by="customer")
        assert [row["amount_text"] for row in revenue["rows"]] == ["45.00 EUR"]
        assert revenue["after"] < revenue["before"]
        balance = await desk("payments_report", kind="balance")
        assert {row["label"] for row in balance["rows"]} == {"received"}
        assert "after" not in balance.body
        old = await desk("payments_report", kind="ledger", before="2020-01-01")
        assert old["rows"] == []
        assert (await desk("payments_report", kind="payouts"))["note"]


async def test_the_day_has_a_limit_over_all_tools_and_restarts(in_process: Connect) -> None:
    options = {"max-day-minor": "12000"}
    async with in_process(create, options=options) as desk:
        await prepared(desk)  # a link and an invoice of 4500 each, and 2000 a month
    async with in_process(create, options=options) as desk:
        for tool, given in (
            ("payments_link", DEPOSIT),
            ("payments_invoice", {**DEPOSIT, "customer": "a@b.de"}),
        ):
            refused = await desk(tool, key="k", **given)
            assert (refused["code"], refused["outcome"]) == ("day_limit_reached", "none")
            dry = await desk(tool, dry_run=True, **given)
            assert dry["code"] == "day_limit_reached"
        small = {"lines": [{"description": "x", "amount": 1000}]}
        assert not (await desk("payments_link", key="s", **small)).is_error
        assert (await desk("payments_link", key="s", **small))["replayed"] is True
        assert (await desk("payments_link", **small))["code"] == "day_limit_reached"
    async with in_process(create, options={"max-day-minor": "0"}, business="new") as desk:
        assert (await desk("payments_link", **DEPOSIT))["code"] == "day_limit_reached"


async def test_only_the_allowed_currencies_are_used(in_process: Connect) -> None:
    async with in_process(create, options={"currencies": "EUR,chf"}) as desk:
        assert not (await desk("payments_link", **DEPOSIT, currency="CHF")).is_error
        for tool, given in (
            ("payments_link", {**DEPOSIT, "currency": "USD"}),
            ("payments_catalog", {"name": "x", "amount": 1, "currency": "USD"}),
        ):
            assert (await desk(tool, **given))["code"] == "currency_not_allowed"


async def test_bad_input_is_refused_and_nothing_is_half_done(in_process: Connect) -> None:
    async with in_process(create) as desk:
        known = await prepared(desk)
        link, sub, product = known["link"], known["subscription"], known["product"]
        once = (await desk("payments_catalog", name="Cut", amount=100))["product"]["id"]
        dollars = (
            await desk("payments_catalog", name="Gym", amount=9, currency="USD", every="month")
        )["product"]["id"]
        yearly = (await desk("payments_catalog", name="Gym", amount=9, every="year"))["product"][
            "id"
        ]
        page = await desk("payments_search", kind="customer", limit=1)
        cursor = page["next_cursor"]
        refund, subscription = "payments_refund", "payments_subscription"
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("invalid_input", refund, {"payment": link, "amount": 0}),
            ("invalid_input", refund, {"payment": link, "amount": -5}),
            ("invalid_input", refund, {"payment": link, "amount": 12.5}),
            ("invalid_input", refund, {"payment": link, "amount": "5"}),
            ("invalid_input", refund, {"payment": link, "reason": "x" * 401}),
            ("over_refund", refund, {"payment": link, "amount": 4501}),
            ("not_found", refund, {"payment": "pay_0"}),
            ("conflict", refund, {"payment": known["draft"]}),
            ("invalid_input", subscription, {"action": "create"}),
            ("invalid_input", subscription, {"action": "create", "customer": "a@b.de"}),
            ("invalid_input", subscription, {"action": "create", "id": sub, "price": product}),
            ("invalid_input", subscription, {"action": "pause", "id": sub}),
            ("invalid_input", subscription, {"action": "change", "id": sub}),
            ("invalid_input", subscription, {"action": "cancel", "id": sub, "quantity": 1}),
            ("invalid_input", subscription, {"action": "cancel", "id": sub, "when": "soon"}),
            ("invalid_input", subscription, {"action": "change", "id": sub, "quantity": 0}),
            ("invalid_input", subscription, {"action": "change", "id": sub, "quantity": 1.5}),
            ("invalid_input", subscription, {"action": "change", "id": sub, "price": once}),
            ("invalid_input", subscription, {"action": "change", "id": sub, "price": dollars}),
            (
                "invalid_input",
                subscription,
                {"action": "change", "id": sub, "price": yearly, "when": "period_end"},
            ),
            ("conflict", subscription, {"action": "resume", "id": sub}),
            ("not_found", subscription, {"action": "cancel", "id": "sub_0"}),
            ("not_found", subscription, {"action": "cancel", "id": link}),
            (
                "invalid_input",
                subscription,
                {"action": "create", "customer": "a@b", "price": product},
            ),
            (
                "invalid_input",
                subscription,
                {"action": "create", "customer": "a@b.de", "price": once},
            ),
            (
                "not_found",
                subscription,
                {"action": "create", "customer": "cus_0", "price": product},
            ),
            ("invalid_input", "payments_report", {"kind": "taxes"}),
            ("invalid_input", "payments_report", {"kind": "balance", "group_by": "day"}),
            ("invalid_input", "payments_report", {"kind": "aging", "group_by": "product"}),
            ("invalid_input", "payments_report", {"kind": "revenue", "after": "soon"}),
            (
                "invalid_input",
                "payments_report",
                {"kind": "revenue", "after": "2026-02-01", "before": "2026-01-01"},
            ),
            ("invalid_input", "payments_search", {"kind": "link", "cursor": cursor}),
            ("invalid_input", "payments_search", {"kind": "payout", "customer": "a@b.de"}),
            ("invalid_input", "payments_search", {"kind": "refund", "status": "open"}),
            ("invalid_input", "payments_search", {"kind": "link", "limit": 0}),
            ("invalid_input", "payments_search", {"kind": "link", "limit": 101}),
            ("invalid_input", "payments_catalog", {"name": "x"}),
            ("invalid_input", "payments_catalog", {"name": "x", "amount": 5, "every": "week"}),
            ("not_found", "payments_catalog", {"name": "x", "id": "price_0"}),
            ("not_found", "payments_customer", {"id": "cus_0", "set": {}}),
            ("invalid_input", "payments_link", {"lines": "x"}),
            ("invalid_input", "payments_link", {"lines": [5]}),
            ("invalid_input", "payments_link", {"lines": [{"price": yearly, "amount": 1}]}),
            ("invalid_input", "payments_link", {**DEPOSIT, "dry_run": "yes"}),
        ]
        kinds = ("customer", "invoice", "payment", "refund", "subscription", "product", "link")
        before = [(await desk("payments_search", kind=kind)).body for kind in kinds]
        for code, tool, arguments in cases:
            answer = await desk(tool, key="once", **arguments)
            assert answer.is_error, (tool, arguments, answer.body)
            assert answer["code"] == code, (tool, arguments, answer.body)
            assert (answer["retryable"], answer["outcome"]) == (False, "none")
        assert [(await desk("payments_search", kind=kind)).body for kind in kinds] == before


async def test_profiles_take_tools_away(in_process: Connect) -> None:
    reads = {"payments_search", "payments_get", "payments_report"}
    writes = {"payments_customer", "payments_catalog"}
    expected: dict[Any, set[str]] = {
        "read": reads,
        "draft": reads | {"payments_invoice"},
        "write": reads | {"payments_invoice"} | writes,
        "money": reads | {"payments_invoice", "payments_link"} | writes | CONFIRMED,
    }
    for profile, names in expected.items():
        async with in_process(create, rules=Rules(profile=profile)) as desk:
            assert {tool.name for tool in (await desk.client.list_tools()).tools} == names


async def test_the_same_tools_work_on_stripe(
    in_process: Connect, sandbox: Callable[[str], Any]
) -> None:
    stripe = sandbox("stripe")

    def connect(vendor: str) -> Connection:
        fields = {"api_key": "sk_test_main", "base_url": stripe.url}
        return Connection(vendor=vendor, fields=fields)

    async with in_process(create, backend="stripe", connect=connect) as desk:
        drafted = await desk("payments_invoice", key="i", customer="Ann@example.com", **DEPOSIT)
        invoice = drafted["invoice"]
        sent = await confirmed(
            desk, "payments_invoice_act", key="s", id=invoice["id"], action="send"
        )
        assert (sent["invoice"]["status"], sent["invoice"]["amount_text"]) == ("open", "45.00 EUR")
        again = await desk("payments_invoice_act", key="s", id=invoice["id"], action="send")
        assert again["replayed"] is True
        paid = httpx2.post(f"{stripe.url}/outside/pay/{invoice['id']}", timeout=5)
        assert paid.status_code == 200
        back = await confirmed(desk, "payments_refund", key="r", payment=invoice["id"], amount=500)
        assert (back["refund"]["status"], back["refund"]["amount_minor"]) == ("succeeded", 500)
        over = await desk("payments_refund", payment=invoice["id"], amount=4001)
        assert (over["code"], over["outcome"]) == ("over_refund", "none")
        for given in (
            {**DEPOSIT, "expires": "2100-01-01"},
            {"lines": [{"description": "x", "amount": 1234}], "currency": "KWD"},
        ):
            for dry_run in (True, False):
                refused = await desk("payments_link", **given, dry_run=dry_run)
                assert (refused["code"], refused["outcome"]) == ("invalid_input", "none")
        found = await desk("payments_search", kind="refund")
        assert [row["id"] for row in found["rows"]] == [back["refund"]["id"]]
    assert stripe.state["mails"] == [invoice["id"]]
    assert stripe.state["violations"] == []


async def test_without_a_connection_stripe_says_how_to_make_one(in_process: Connect) -> None:
    with pytest.raises(BaseException) as failed:
        async with in_process(create, backend="stripe"):
            pass
    error = failed.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, BackendConfigError)
    assert "aicore connect stripe" in str(error.hint)
