"""Plans of aicore-payments: whose money it is, and where a mail goes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2

from aicore_servers.payments import create
from aicore_tools.connections import Connection

Connect = Callable[..., AbstractAsyncContextManager[Any]]
DEPOSIT = {"lines": [{"description": "Deposit", "amount": 4500}]}
WHO = ("to", "customer", "customer_name", "customer_email")


async def confirmed(desk: Any, tool: str, **given: Any) -> Any:
    """Call, and call again with the confirmation of what was planned."""
    asked = await desk(tool, **given)
    return await desk(tool, **given, confirm=asked["confirm"])


def who(plan: Any) -> tuple[Any, ...]:
    """Give whom a plan names; what is missing is None."""
    return tuple(plan.get(name) for name in WHO)


async def test_a_plan_says_whose_money_it_is(in_process: Connect) -> None:
    async with in_process(create) as desk:
        gym = (await desk("payments_catalog", name="Gym", amount=2000, every="month"))["product"]
        link = (await desk("payments_link", **DEPOSIT, customer="ann@example.com"))["link"]
        await confirmed(desk, "payments_invoice_act", id=link["id"], action="mark_paid")
        draft = (await desk("payments_invoice", customer="ann@example.com", **DEPOSIT))["invoice"]
        begin = {"action": "create", "customer": "a@b.de", "price": gym["id"]}
        made = (await confirmed(desk, "payments_subscription", **begin))["subscription"]
        for email, name in (("ann@example.com", "Ann"), ("a@b.de", "Bo")):
            await desk("payments_customer", email=email, set={"name": name})
        ids = {row["email"]: row["id"] for row in await customers(desk)}
        ann = (None, ids["ann@example.com"], "Ann", "ann@example.com")
        bo = (None, ids["a@b.de"], "Bo", "a@b.de")
        cases: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
            ("payments_invoice_act", {"id": draft["id"], "action": "finalize"}, ann),
            ("payments_refund", {"payment": link["id"]}, ann),
        ]
        steps: list[dict[str, Any]] = [{"action": "change", "quantity": 2}, {"action": "cancel"}]
        for step in steps:
            cases.append(("payments_subscription", {**step, "id": made["id"]}, bo))
        cases.append(("payments_subscription", {**begin, "customer": ids["a@b.de"]}, bo))
        by_address = {**begin, "customer": "c@d.de"}
        cases.append(("payments_subscription", by_address, (None, "c@d.de", None, None)))
        for tool, given, named in cases:
            for more in ({}, {"dry_run": True}):
                assert who((await desk(tool, **given, **more))["plan"]) == named, (tool, given)
        nobodys = (await desk("payments_link", **DEPOSIT))["link"]
        plan = (await desk("payments_invoice_act", id=nobodys["id"], action="void"))["plan"]
        assert who(plan) == (None, None, None, None)


async def customers(desk: Any) -> Any:
    return (await desk("payments_search", kind="customer"))["rows"]


async def test_a_mail_is_planned_to_the_address_that_it_goes_to(
    in_process: Connect, sandbox: Callable[[str], Any]
) -> None:
    """An invoice that was finalized goes where it says, wherever its customer has moved."""
    stripe = sandbox("stripe")

    def connect(vendor: str) -> Connection:
        fields = {"api_key": "sk_test_main", "base_url": stripe.url}
        return Connection(vendor=vendor, fields=fields)

    def moved(customer: str, email: str) -> None:
        answer = httpx2.post(
            f"{stripe.url}/v1/customers/{customer}",
            data={"email": email, "name": "Ann"},
            headers={"Authorization": "Bearer sk_test_main"},
            timeout=5,
        )
        assert answer.status_code == 200

    async with in_process(create, backend="stripe", connect=connect) as desk:
        made = await desk("payments_invoice", customer="ann@shop.example", **DEPOSIT)
        invoice, customer = made["invoice"]["id"], made["invoice"]["customer"]

        async def planned(action: str) -> Any:
            return who((await desk("payments_invoice_act", id=invoice, action=action))["plan"])

        assert await planned("send") == ("ann@shop.example", customer, None, "ann@shop.example")
        moved(customer, "two@shop.example")
        two = ("two@shop.example", customer, "Ann", "two@shop.example")
        assert await planned("send") == two
        asked = await desk("payments_invoice_act", id=invoice, action="send")
        moved(customer, "three@shop.example")
        late = await desk(
            "payments_invoice_act", id=invoice, action="send", confirm=asked["confirm"]
        )
        assert late.is_error
        await confirmed(desk, "payments_invoice_act", id=invoice, action="send")
        moved(customer, "four@shop.example")
        four = (customer, "Ann", "four@shop.example")
        assert await planned("remind") == ("three@shop.example", *four)
        assert await planned("void") == (None, *four)
        assert (await desk("payments_get", id=invoice))["invoice"]["to"] == "three@shop.example"
        httpx2.post(f"{stripe.url}/outside/pay/{invoice}", timeout=5)
        asked = await desk("payments_refund", payment=invoice)
        assert who(asked["plan"]) == (None, *four)
        httpx2.post(f"{stripe.url}/outside/delete/{customer}", timeout=5)
        asked = await desk("payments_refund", payment=invoice)
        assert who(asked["plan"]) == (None, customer, None, None)
