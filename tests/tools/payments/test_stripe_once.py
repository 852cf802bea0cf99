"""Whatever breaks on the way to Stripe or back: each effect is there once."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.contracts.payments_rows import LINES, StripeTill, effect_of, op

from aicore_tools.errors import BackendUnavailable, NotFound, OutcomeUnknown
from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.records import (
    EntryId,
    FindQuery,
    NewInvoice,
    NewRefund,
    SubscriptionStep,
)
from aicore_tools.retries import Patience

Sandboxes = Callable[[str], Any]
WRITES: dict[str, list[str]] = {
    "link": ["customers", "payment_links"],
    "link:expires": ["customers", "checkout/sessions"],
    "invoice": ["customers", "invoices", "invoices/[^/]+/add_lines"],
    "customer": ["customers", "customers/[^/]+"],
    "product": ["products"],
    "price": ["prices", "products/[^/]+", "prices/[^/]+"],
    "act:finalize": ["invoices/[^/]+/finalize"],
    "act:open.send": ["invoices/[^/]+/send"],
    "act:open.remind": ["invoices/[^/]+/send"],
    "act:send": ["invoices/[^/]+/send"],
    "act:open.void": ["invoices/[^/]+/void"],
    "act:void": ["invoices/[^/]+"],
    "act:open.mark_paid": ["invoices/[^/]+/pay"],
    "act:link.void": ["payment_links/[^/]+"],
    "refund": ["refunds"],
    "subscribe": ["customers", "subscriptions"],
    "subscription:change": ["subscriptions/[^/]+"],
    "subscription:cancel": ["subscriptions/[^/]+"],
    "subscription:period_end.cancel": ["subscriptions/[^/]+"],
    "subscription:resume": ["subscriptions/[^/]+"],
}
"""Each effect, and the requests that write, in their order."""

CUTS = [
    pytest.param(what, path, kind, id=f"{what} {kind} {path}")
    for what, paths in WRITES.items()
    for path in paths
    for kind in ("drop_before", "drop_after")
]
SHAPE = ("status", "amount", "total", "active", "amount_refunded", "cancel_at_period_end", "name")


def shape(state: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    """Count what is there, by what can be seen of it."""
    counted: Counter[tuple[Any, ...]] = Counter({("mail",): len(state["mails"])})
    for kinds in state["objects"].values():
        for kind, objects in kinds.items():
            for one in objects.values():
                seen = [one.get(name) for name in SHAPE]
                lines = len((one.get("lines") or {"data": []})["data"])
                counted[(kind, lines, *map(str, seen))] += 1
    return counted


async def prepared(till: StripeTill, what: str) -> Callable[..., Any]:
    async with till.ledger() as ledger:
        return await effect_of(till, ledger, what)


_undisturbed: dict[str, Counter[tuple[Any, ...]]] = {}


async def undisturbed(folder: Path, sandbox: Sandboxes, what: str) -> Counter[tuple[Any, ...]]:
    """Do the same where nothing breaks, and look what is there then."""
    if what in _undisturbed:
        return _undisturbed[what]
    till = StripeTill(folder / "undisturbed", sandbox("stripe"))
    do = await prepared(till, what)
    async with till.ledger() as ledger:
        await do("k", ledger)
    _undisturbed[what] = shape(till.sandbox.state)
    return _undisturbed[what]


async def insist(till: StripeTill, do: Callable[..., Any], **more: Any) -> tuple[Any, int]:
    """Repeat with the same key, each time as a fresh program, until it answers."""
    for failures in range(6):
        async with till.ledger(**more) as ledger:
            try:
                return await do("k", ledger), failures
            except (OutcomeUnknown, BackendUnavailable):
                continue
    raise AssertionError("it never answered")


def attempts(till: StripeTill, path: str) -> int:
    pattern = re.compile(f"^(POST|DELETE) /v1/{path}$")
    return sum(1 for request in till.sandbox.state["requests"] if pattern.match(request))


@pytest.mark.parametrize(("what", "path", "kind"), CUTS)
async def test_cut_anywhere_and_repeated_it_is_there_once(
    tmp_path: Path, sandbox: Sandboxes, what: str, path: str, kind: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    till.sandbox.fail(f"^(POST|DELETE) /v1/{path}$", kind, times=4)
    effect, failures = await insist(till, do)
    assert failures >= 1 or attempts(till, path) > 1, "the fault was never seen"
    async with till.ledger() as ledger:
        again = await do("k", ledger)
    assert (again.result, again.is_replay) == (effect.result, True)
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)
    till.check()


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize("what", WRITES)
async def test_a_short_break_is_not_noticed(
    tmp_path: Path, sandbox: Sandboxes, what: str, kind: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    till.sandbox.fail("^(POST|DELETE) ", kind)
    _, failures = await insist(till, do)
    assert failures == 0
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"Retry-After": "0.02"}), (409, {}), (500, {}), (503, {})]
)
@pytest.mark.parametrize("what", ["invoice", "refund"])
async def test_a_busy_stripe_is_asked_again(
    tmp_path: Path, sandbox: Sandboxes, what: str, status: int, headers: dict[str, str]
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    till.sandbox.fail("^POST ", "status", status=status, headers=headers)
    _, failures = await insist(till, do)
    assert failures == 0
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


BUSY: dict[str, Any] = {"times": 2, "body": {"error": {"type": "invalid_request_error"}}}


async def test_too_many_requests_for_long_is_a_failure_that_did_nothing(
    tmp_path: Path, sandbox: Sandboxes
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, "refund")
    till.sandbox.fail("^POST ", "status", status=429, headers={"Retry-After": "0.02"}, **BUSY)
    async with till.ledger() as ledger:
        with pytest.raises(BackendUnavailable) as busy:
            await do("k", ledger)
        assert (busy.value.outcome, busy.value.retry_after_s) == ("none", 0.02)
        assert not (await do("k", ledger)).is_replay
    assert till.sandbox.state["counts"]["refund"] == 1


async def test_a_step_that_is_held_up_halfway_goes_on(tmp_path: Path, sandbox: Sandboxes) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, "invoice")
    till.sandbox.fail("add_lines", "status", status=429, headers={"Retry-After": "0.02"}, times=6)
    async with till.ledger() as ledger:
        with pytest.raises(OutcomeUnknown):
            await do("k", ledger)
    await insist(till, do)
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, "invoice")


async def test_refused_lines_leave_no_draft_behind(tmp_path: Path, sandbox: Sandboxes) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    async with till.ledger() as ledger:
        lines = (LINES[0].__class__(description="x", amount_minor=1, price="price_0"),)
        new = NewInvoice(lines=lines, currency="EUR", customer="a@b.de", due_days=0)  # type: ignore[arg-type] # no such price
        with pytest.raises(NotFound):
            await ledger.add_invoice(new, op("k"))
        assert (await ledger.find(FindQuery(kind="invoice"))).entries == ()
        better = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
        assert not (await ledger.add_invoice(better, op("k"))).is_replay
    assert till.sandbox.state["counts"]["invoice"] == 1


async def test_a_draft_that_cannot_be_taken_back_is_not_denied(
    tmp_path: Path, sandbox: Sandboxes
) -> None:
    """Stripe refuses the lines, and then to delete the empty draft."""
    till = StripeTill(tmp_path, sandbox("stripe"))
    said = {"type": "invalid_request_error", "message": "That line is wrong."}
    till.sandbox.fail("add_lines$", "status", status=400, body={"error": said}, times=2)
    said = {"type": "invalid_request_error", "message": "Not now."}
    till.sandbox.fail("^DELETE ", "status", status=400, body={"error": said}, times=2)
    new = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
    async with till.ledger() as ledger:
        with pytest.raises(OutcomeUnknown) as left:
            await ledger.add_invoice(new, op("k"))
        (draft,) = till.sandbox.state["objects"]["main"]["invoice"]
        assert draft in left.value.message
        assert "That line is wrong." in left.value.message
    effect, _ = await insist(till, lambda key, on: on.add_invoice(new, op(key)))
    assert len(effect.result.lines) == len(LINES)
    assert till.sandbox.state["counts"]["invoice"] == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_a_draft_whose_taking_back_was_lost_is_not_there_twice(
    tmp_path: Path, sandbox: Sandboxes, kind: str
) -> None:
    """Stripe keeps no keys of DELETE: asked again, it says that there is no such draft."""
    till = StripeTill(tmp_path, sandbox("stripe"))
    said = {"type": "invalid_request_error", "message": "That line is wrong."}
    till.sandbox.fail("add_lines$", "status", status=400, body={"error": said})
    till.sandbox.fail("^DELETE ", kind, times=2)
    new = NewInvoice(lines=LINES, currency="EUR", customer="a@b.de", due_days=0)
    effect, _ = await insist(till, lambda key, on: on.add_invoice(new, op(key)))
    assert len(effect.result.lines) == len(LINES)
    assert till.sandbox.state["counts"]["invoice"] == 1


LATE = timedelta(hours=25)
SLOW = Patience(attempts=2, deadline_s=600, first_pause_s=300)
LATER = [what for what in WRITES if what != "link:expires" and not what.endswith(("send", "mind"))]


async def cut_short(till: StripeTill, do: Callable[..., Any], path: str) -> None:
    """Leave while it waits for Stripe, which has acted and could not say so."""
    before = attempts(till, path)
    till.sandbox.fail(f"^(POST|DELETE) /v1/{path}$", "drop_after")
    async with till.ledger(patience=SLOW) as ledger:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(do, "k", ledger)
                while await to_thread.run_sync(attempts, till, path) == before:
                    pass
                group.cancel_scope.cancel()


@pytest.mark.parametrize("what", LATER)
async def test_left_alone_and_asked_a_day_later_it_is_found(
    tmp_path: Path, sandbox: Sandboxes, what: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    await cut_short(till, do, WRITES[what][-1])
    till.outside("clock", str(int(LATE.total_seconds())))
    await insist(till, do, clock=lambda: datetime.now(UTC) + LATE)
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


@pytest.mark.parametrize("what", [*LATER, "act:send"])
async def test_what_never_arrived_is_done_a_day_later_once(
    tmp_path: Path, sandbox: Sandboxes, what: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    till.sandbox.fail(f"^(POST|DELETE) /v1/{WRITES[what][-1]}$", "drop_before", times=4)
    async with till.ledger() as ledger:
        with pytest.raises(OutcomeUnknown):
            await do("k", ledger)
    till.outside("clock", str(int(LATE.total_seconds())))
    await insist(till, do, clock=lambda: datetime.now(UTC) + LATE)
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


@pytest.mark.parametrize("hours", [0, 25])
async def test_an_old_change_never_overtakes_a_newer_one(
    tmp_path: Path, sandbox: Sandboxes, hours: int
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, "subscription:change")  # to five
    await cut_short(till, do, "subscriptions/[^/]+")
    (entry,) = till.sandbox.state["objects"]["main"]["subscription"]
    async with till.ledger() as ledger:
        seven = SubscriptionStep(id=EntryId(entry), action="change", quantity=7)
        await ledger.step_subscription(seven, op("newer"))
    till.outside("clock", str(hours * 3600))
    later = datetime.now(UTC) + timedelta(hours=hours)
    async with till.ledger(clock=lambda: later) as ledger:
        if hours:
            with pytest.raises(OutcomeUnknown):
                await do("k", ledger)
        else:
            assert (await do("k", ledger)).is_replay
        present = await ledger.get(EntryId(entry))
    assert present.quantity == 7  # type: ignore[union-attr] # a subscription


async def never_told(till: StripeTill, do: Callable[..., Any]) -> None:
    async with till.ledger(clock=lambda: datetime.now(UTC) + LATE) as ledger:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown) as unknown:
                await do("k", ledger)
            assert unknown.value.outcome == "unknown"


@pytest.mark.parametrize("what", ["act:open.send", "act:open.remind", "act:send"])
async def test_whether_a_mail_went_out_is_not_guessed(
    tmp_path: Path, sandbox: Sandboxes, what: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    await cut_short(till, do, WRITES[what][-1])
    till.outside("clock", str(int(LATE.total_seconds())))
    await never_told(till, do)
    assert len(till.sandbox.state["mails"]) == 1


@pytest.mark.parametrize("what", ["link", "invoice", "refund", "subscribe", "act:open.send"])
async def test_two_programs_with_one_key_at_once_do_it_once(
    tmp_path: Path, sandbox: Sandboxes, what: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    results: list[Any] = []

    async def attempt(ledger: Any) -> None:
        with suppress(OutcomeUnknown):  # the other one is at it
            results.append(await do("k", ledger))

    async with till.ledger() as one, till.ledger() as other:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for ledger in (one, other, one, other):
                    group.start_soon(attempt, ledger)
        assert sum(not effect.is_replay for effect in results) == 1
        assert (await do("k", other)).result == results[0].result
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


@pytest.mark.parametrize("status", [404, 403, 400])
@pytest.mark.parametrize(
    ("what", "path"),
    [
        ("link", "payment_links/[^/]+"),
        ("link:expires", "checkout/sessions/[^/]+"),
        ("invoice", "invoices/[^/]+"),
        ("product", "prices/[^/]+"),
    ],
)
async def test_no_failure_after_it_was_done_says_that_nothing_was(
    tmp_path: Path, sandbox: Sandboxes, what: str, path: str, status: int
) -> None:
    """What was made cannot be read back at once, as may be for a moment or by a weak key."""
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, what)
    body = {
        "error": {"type": "invalid_request_error", "message": "No.", "code": "resource_missing"}
    }
    till.sandbox.fail(f"^GET /v1/{path}$", "status", status=status, body=body, times=2)
    async with till.ledger() as ledger:
        with pytest.raises(OutcomeUnknown):
            await do("k", ledger)
    effect, _ = await insist(till, do)
    assert effect.is_replay
    assert shape(till.sandbox.state) == await undisturbed(tmp_path, sandbox, what)


@pytest.mark.parametrize("status", [429, 403, 401])
async def test_what_cannot_be_looked_up_now_is_not_taken_for_undone(
    tmp_path: Path, sandbox: Sandboxes, status: int
) -> None:
    """The mail went out; Stripe is too busy, or the key too weak, to say so the next time."""
    till = StripeTill(tmp_path, sandbox("stripe"))
    do = await prepared(till, "act:open.send")
    await cut_short(till, do, WRITES["act:open.send"][-1])
    body = {"error": {"type": "invalid_request_error", "message": "Not now."}}
    till.sandbox.fail("/send$", "status", status=status, body=body, times=2 if status == 429 else 1)
    async with till.ledger() as ledger:
        with pytest.raises(OutcomeUnknown):
            await do("k", ledger)
    effect, failures = await insist(till, do)
    assert (effect.is_replay, failures) == (True, 0)
    assert len(till.sandbox.state["mails"]) == 1


async def test_what_was_refused_in_the_end_can_be_decided_anew(
    tmp_path: Path, sandbox: Sandboxes
) -> None:
    """The request is lost; when it is sent again, another refund has taken its share."""
    till = StripeTill(tmp_path, sandbox("stripe"))
    await prepared(till, "refund")
    payment = next(iter(till.sandbox.state["objects"]["main"]["payment_intent"]))

    async def back(ledger: Any, amount_minor: int, key: str) -> Any:
        new = NewRefund(payment=payment, amount_minor=amount_minor, currency="EUR")  # type: ignore[arg-type] # an id
        return (await ledger.refund(new, op(key))).result

    till.sandbox.fail("^POST /v1/refunds$", "drop_before")
    async with connected(till, patience=SLOW) as ledger:
        with anyio.move_on_after(0.5):
            await back(ledger, 6001, "k")
    async with connected(till) as ledger:
        await back(ledger, 1000, "other")
        assert await ledger.earlier(op("k")) is None
        assert (await back(ledger, 5001, "k")).amount_minor == 5001
    assert till.sandbox.state["counts"]["refund"] == 2


@asynccontextmanager
async def connected(till: StripeTill, **more: Any) -> Any:
    async with till.ledger(**more) as ledger:
        assert isinstance(ledger, StripeLedger)
        yield ledger


CHILD = Path(__file__).with_name("stripe_child.py")


def child(*words: object) -> subprocess.Popen[str]:
    given = [sys.executable, str(CHILD), *map(str, words)]
    return subprocess.Popen(given, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_killed_while_it_waits_and_started_again_it_is_there_once(
    tmp_path: Path, sandbox: Sandboxes, kind: str
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    await prepared(till, "refund")
    payment = next(iter(till.sandbox.state["objects"]["main"]["payment_intent"]))
    till.sandbox.fail("^POST /v1/refunds$", kind)
    process = child(tmp_path, till.sandbox.url, payment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 20
        while "POST /v1/refunds" not in till.sandbox.state["requests"]:
            if kind == "drop_before" or time.monotonic() > deadline:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    new = NewRefund(payment=payment, amount_minor=1000, currency="EUR")  # type: ignore[arg-type] # an id
    for is_replay in (kind == "drop_after", True):
        async with connected(till) as ledger:
            effect = await ledger.refund(new, op("k"))
            assert effect.is_replay in (is_replay, True)
    assert till.sandbox.state["counts"]["refund"] == 1
