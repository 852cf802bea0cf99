"""The payment backends that the contract suite runs over: a new one is one more row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast
from zoneinfo import ZoneInfo

import httpx2

from aicore_servers.sandbox._running import running
from aicore_tools.connections import Connection
from aicore_tools.operations import Operation
from aicore_tools.payments import Ledger, Line
from aicore_tools.payments.backends.local import LocalLedger, PayTerms
from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    SubscriptionStep,
)
from aicore_tools.retries import Patience

Effect = Callable[[Ledger, str], Any]
LINES = (
    Line(description="Cut", amount_minor=3000, quantity=2),
    Line(description="Öl", amount_minor=1),
)
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
QUICK = Patience(attempts=2, first_pause_s=0.01)
PAGE = PayTerms(
    instructions="Pay at the desk.",
    url_template="https://pay.example/{reference}",
    zone=ZoneInfo("Europe/Berlin"),
)


class Till(Protocol):
    """One backend, as the suite needs it."""

    missing: ClassVar[dict[str, str]]

    def ledger(self, business: str = "main") -> Ledger:
        """Give the ledger of a business; several are over one and the same store."""
        ...

    async def pay(self, ledger: Ledger, entry: str) -> None:
        """Be the customer who pays a link or an open invoice."""
        ...

    def check(self) -> None:
        """Look at the peer after the test, where there is one."""
        ...


@dataclass
class LocalTill:
    """One SQLite file."""

    folder: Path
    missing: ClassVar[dict[str, str]] = {
        "invoice": "inv_0",
        "customer": "cus_0",
        "product": "price_0",
        "payment": "pay_0",
    }

    def ledger(self, business: str = "main") -> Ledger:
        return LocalLedger(
            self.folder / "payments.db", business=business, terms=PAGE, clock=lambda: NOW
        )

    async def pay(self, ledger: Ledger, entry: Any) -> None:
        operation = Operation.of("pay", {"entry": entry})
        await ledger.act(entry, "mark_paid", by=None, operation=operation)

    def check(self) -> None:
        pass


@dataclass(frozen=True)
class Peer:
    """A stand-in for a vendor, as the `sandbox` of every test has it."""

    url: str

    def fail(self, on: str, kind: str, **more: Any) -> None:
        fault = {"on": on, "kind": kind, **more}
        answer = httpx2.post(f"{self.url}/_sandbox/faults", json=fault, timeout=5)
        assert answer.status_code == 200, answer.text

    @property
    def state(self) -> dict[str, Any]:
        shown: dict[str, Any] = httpx2.get(f"{self.url}/_sandbox/state", timeout=5).json()
        return shown


@contextmanager
def sandboxes_kept() -> Iterator[Callable[[], Callable[[str], Peer]]]:
    """Keep sandboxes running from test to test, each emptied before it is used again.

    Starting and stopping one takes a fifth of a second, most of what a test takes.
    """
    with ExitStack() as stack:
        kept: list[Peer] = []

        def of_a_test() -> Callable[[str], Peer]:
            used = iter(range(100))

            def start(vendor: str) -> Peer:
                number = next(used)
                if number == len(kept):
                    kept.append(Peer(stack.enter_context(running(vendor))))
                httpx2.post(f"{kept[number].url}/_sandbox/reset", timeout=5)
                return kept[number]

            return start

        yield of_a_test


@dataclass
class StripeTill:
    """The Stripe stand-in, one account a business."""

    folder: Path
    sandbox: Any
    missing: ClassVar[dict[str, str]] = {
        "invoice": "in_0",
        "customer": "cus_0",
        "product": "price_0",
        "payment": "pi_0",
    }

    def ledger(self, business: str = "main", **more: Any) -> Ledger:
        fields = {"api_key": f"sk_test_{business}", "base_url": self.sandbox.url}
        return StripeLedger(
            Connection(vendor="stripe", account=business, fields=fields),
            data_dir=self.folder,
            business=business,
            **{"done_url": "https://shop.example/thanks", "patience": QUICK, **more},
        )

    async def pay(self, ledger: Ledger, entry: str) -> None:
        self.outside("pay", entry)

    def outside(self, what: str, target: str) -> Any:
        """Let something happen at Stripe that the business does not do."""
        answer = httpx2.post(f"{self.sandbox.url}/outside/{what}/{target}", timeout=5)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def check(self) -> None:
        """Hold every request of the test against Stripe's own schemas."""
        assert self.sandbox.state["violations"] == []


ROWS: dict[str, Callable[[Path, Callable[[str], Any]], Till]] = {
    "local": lambda folder, _: LocalTill(folder),
    "stripe": lambda folder, sandbox: StripeTill(folder, sandbox("stripe")),
}


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key or None)


async def effect_of(till: Till, ledger: Ledger, what: str) -> Callable[..., Any]:
    """Prepare for an effect; give what does it under a key, on this ledger or another one."""
    kind, _, detail = what.partition(":")
    do = await PREPARE[kind](till, ledger, detail)
    return lambda key, on=ledger: do(on, key)


async def _link(till: Till, ledger: Ledger, detail: str) -> Effect:
    expires = datetime.now(UTC) + timedelta(hours=2) if detail == "expires" else None
    new = NewLink(lines=LINES, currency="EUR", customer="a@b.de", expires=expires)
    return lambda on, key: on.add_link(new, op(key))


async def _invoice(till: Till, ledger: Ledger, detail: str) -> Effect:
    new = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
    return lambda on, key: on.add_invoice(new, op(key))


async def _customer(till: Till, ledger: Ledger, detail: str) -> Effect:
    change = CustomerChange(email="a@b.de", name="Ann")
    return lambda on, key: on.save_customer(change, op(key))


async def _product(till: Till, ledger: Ledger, detail: str) -> Effect:
    new = ProductChange(name="x", amount_minor=1, currency="EUR")
    return lambda on, key: on.save_product(new, op(key))


async def _price(till: Till, ledger: Ledger, detail: str) -> Effect:
    old = await (await _product(till, ledger, ""))(ledger, "")
    change = ProductChange(id=old.result.id, name="y", amount_minor=2)
    return lambda on, key: on.save_product(change, op(key))


async def _act(till: Till, ledger: Ledger, detail: str) -> Effect:
    """`act:open.void` is to void an invoice that was finalized."""
    before, _, action = detail.rpartition(".")
    if before == "link":
        entry = (await ledger.add_link(NewLink(lines=LINES, currency="EUR"), op())).result.id
    else:
        new = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
        entry = (await ledger.add_invoice(new, op())).result.id
    if before == "open":
        await ledger.act(entry, "finalize", by=None, operation=op())
    chosen = cast("Action", action)
    return lambda on, key: on.act(entry, chosen, by=None, operation=op(key))


async def _refund(till: Till, ledger: Ledger, detail: str) -> Effect:
    link = (await ledger.add_link(NewLink(lines=LINES, currency="EUR"), op())).result
    await till.pay(ledger, link.id)
    payment = (await ledger.payment(link.id)).id
    new = NewRefund(payment=payment, amount_minor=1000, currency="EUR")
    return lambda on, key: on.refund(new, op(key))


async def _subscribe(till: Till, ledger: Ledger, detail: str) -> Effect:
    new = ProductChange(name="Gym", amount_minor=2000, currency="EUR", every="month")
    price = (await ledger.save_product(new, op())).result.id
    begin = NewSubscription(customer="a@b.de", price=price)
    return lambda on, key: on.subscribe(begin, op(key))


async def _subscription(till: Till, ledger: Ledger, detail: str) -> Effect:
    """`subscription:period_end.cancel` is to cancel one at the end of its period."""
    when, _, action = detail.rpartition(".")
    made = (await (await _subscribe(till, ledger, ""))(ledger, "")).result
    if action == "resume":
        ends = SubscriptionStep(id=made.id, action="cancel", when="period_end")
        await ledger.step_subscription(ends, op())
    step = SubscriptionStep(
        id=made.id,
        action=cast("Any", action),
        quantity=5 if action == "change" else None,
        when="period_end" if when else "now",
    )
    return lambda on, key: on.step_subscription(step, op(key))


PREPARE: dict[str, Callable[[Till, Ledger, str], Any]] = {
    "link": _link,
    "invoice": _invoice,
    "customer": _customer,
    "product": _product,
    "price": _price,
    "act": _act,
    "refund": _refund,
    "subscribe": _subscribe,
    "subscription": _subscription,
}
