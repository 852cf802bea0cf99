"""aicore-payments as a client sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from aicore_servers.payments import create, server
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
        assert {tool.name for tool in tools if not tool.meta} == {
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
        ["--pay-url-template", "http://pay.example/{reference}"],
        ["--pay-url-template", "https://pay.example/"],
    ],
)
def test_an_option_that_cannot_be_is_refused(option: list[str]) -> None:
    with pytest.raises(BackendConfigError):
        server(*option)
