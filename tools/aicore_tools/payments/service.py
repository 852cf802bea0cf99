"""The rules of payments: what may be asked for, and how much. Knows the port only.

Every effect has a plan (`plan_x`: reads and checks, changes nothing) and a performance (`x`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from aicore_tools.connections import Probe
from aicore_tools.errors import InvalidInput
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.given import (
    Bill,
    FindAsked,
    ProductGiven,
    RefundGiven,
    ReportAsked,
    SubscriptionGiven,
    checked_email,
    checked_metadata,
    checked_text,
    checked_unit,
)
from aicore_tools.payments.lifecycle import next_status
from aicore_tools.payments.limits import DayLimit, PaymentRules
from aicore_tools.payments.money import currency_of
from aicore_tools.payments.periods import report_query
from aicore_tools.payments.plans import (
    CustomerPlan,
    ProductPlan,
    RefundPlan,
    ReportMade,
    StepPlan,
    SubscriptionPlan,
)
from aicore_tools.payments.port import Ledger
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    CustomerId,
    Document,
    Entry,
    FindQuery,
    Found,
    Invoice,
    Kind,
    Link,
    NewInvoice,
    NewLink,
    NewRefund,
    NewSubscription,
    ProductChange,
    total_minor,
)
from aicore_tools.payments.remainders import over_refund
from aicore_tools.payments.resolving import Resolver, id_of
from aicore_tools.times import last_moment, read_when

__all__ = ["PaymentService"]

T = TypeVar("T")

MAX_ROWS = 100
MAX_REPORT_ROWS = 200
MAX_DUE_DAYS = 365
_STATUSES: Mapping[Kind, tuple[str, ...]] = {
    "customer": (),
    "invoice": ("draft", "open", "paid", "void", "uncollectible"),
    "payment": ("succeeded", "processing", "open", "canceled"),
    "refund": ("succeeded", "pending", "failed", "canceled"),
    "subscription": (
        "active",
        "trialing",
        "past_due",
        "unpaid",
        "incomplete",
        "paused",
        "canceled",
    ),
    "product": ("active", "inactive"),
    "dispute": ("needs_response", "under_review", "won", "lost", "closed"),
    "payout": ("pending", "in_transit", "paid", "failed", "canceled"),
    "link": ("open", "paid", "expired", "void"),
}
_WITHOUT_CUSTOMER: tuple[Kind, ...] = ("product", "dispute", "payout")
_CUSTOMER_FIELDS = ("name", "phone", "address", "tax_id", "metadata")
_MAILING: tuple[Action, ...] = ("send", "remind")
_ASKING: tuple[Action, ...] = ("finalize", *_MAILING)


class PaymentService:
    """Checks what comes in against the rules of the business, and asks the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        rules: PaymentRules,
        day_limit: DayLimit | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._resolver = Resolver(ledger, rules)
        self._day_limit = day_limit
        self._clock = clock

    @property
    def zone(self) -> ZoneInfo:
        """Where the business is."""
        return self._rules.zone

    async def probe(self) -> Probe:
        """Prove that the backend can be used."""
        return await self._ledger.probe()

    async def earlier(self, operation: Operation) -> Effect[Entry] | None:
        """Give what `operation` did before, None if it did nothing yet."""
        return await self._ledger.earlier(operation)

    async def get(self, entry: str) -> Entry:
        """Give one entry by id, reference or number.

        Raises:
            NotFound: there is none.
        """
        return await self._ledger.get(id_of(entry))

    async def find(self, asked: FindAsked) -> Found:
        """Find entries of one kind, newest first.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotFound: there is no such customer.
        """
        if not 1 <= asked.limit <= MAX_ROWS:
            raise InvalidInput(f"limit: give 1 to {MAX_ROWS}, not {asked.limit}.")
        _check_status(asked)
        query = FindQuery(
            kind=asked.kind,
            customer=await self._resolver.customer_id(asked.customer) if asked.customer else None,
            status=asked.status,
            text=checked_text(asked.query, "query", 200),
            after=self._start(asked.after, "after"),
            before=self._start(asked.before, "before"),
            limit=asked.limit,
            cursor=asked.cursor,
        )
        return await self._ledger.find(query)

    async def report(self, asked: ReportAsked) -> ReportMade:
        """Add up what happened, the last 30 days where nothing else is said.

        Raises:
            InvalidInput: a time cannot be read, ends before it begins, or such a report is not
                grouped so.
        """
        query = report_query(asked, zone=self._rules.zone, now=self._clock())
        report = await self._ledger.report(query)
        rows = report.rows[:MAX_REPORT_ROWS]
        return ReportMade(
            query=query, report=replace(report, rows=rows), is_cut=len(rows) < len(report.rows)
        )

    async def plan_link(self, bill: Bill, *, expires: str | None, operation: Operation) -> NewLink:
        """Read a request to pay.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotAllowed: it asks for more than one call, or the day, may.
            NotFound: there is no such price or customer.
        """
        lines, currency = await self._resolver.lines(bill)
        ends = self._end(expires)
        if ends is not None and ends <= self._clock():
            raise InvalidInput(f"expires: {expires} is past.")
        new = NewLink(
            lines=lines,
            currency=currency,
            customer=await self._resolver.known_customer(bill.customer) if bill.customer else None,
            expires=ends,
            by=bill.by,
        )
        self._ledger.check_new(new)
        await self._check_day(total_minor(lines), operation)
        return new

    async def link(self, new: NewLink, operation: Operation) -> Effect[Entry]:
        """Make a request to pay.

        Raises:
            NotAllowed: the day has no room for it.
        """
        return await self._spend(
            total_minor(new.lines), operation, lambda: self._ledger.add_link(new, operation)
        )

    async def plan_invoice(
        self, bill: Bill, *, due_days: int, memo: str, operation: Operation
    ) -> NewInvoice:
        """Read an invoice that is to be drafted.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotAllowed: it asks for more than one call, or the day, may.
            NotFound: there is no such price or customer.
        """
        if not 0 <= due_days <= MAX_DUE_DAYS:
            raise InvalidInput(f"due_days: give 0 to {MAX_DUE_DAYS}, not {due_days}.")
        if not bill.customer:
            raise InvalidInput("customer: an invoice needs an id or e-mail address.")
        lines, currency = await self._resolver.lines(bill)
        new = NewInvoice(
            lines=lines,
            currency=currency,
            customer=await self._resolver.known_customer(bill.customer),
            due_days=due_days,
            memo=checked_text(memo, "memo", 1500),
            by=bill.by,
        )
        self._ledger.check_new(new)
        await self._check_day(total_minor(lines), operation)
        return new

    async def invoice(self, new: NewInvoice, operation: Operation) -> Effect[Entry]:
        """Draft an invoice.

        Raises:
            NotAllowed: the day has no room for it.
        """
        return await self._spend(
            total_minor(new.lines), operation, lambda: self._ledger.add_invoice(new, operation)
        )

    async def plan_act(self, entry: str, action: Action, *, by: str | None) -> StepPlan:
        """Read what an invoice or a link is, and what a step makes of it.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: there is no such step for it.
            Conflict: its status does not allow the step.
            NotAllowed: it asks for more than one call may.
        """
        document = await self._ledger.get(id_of(entry))
        if not isinstance(document, Link | Invoice):
            raise InvalidInput(f"{entry[:80]} is neither an invoice nor a link.")
        kind: Document = "link" if isinstance(document, Link) else "invoice"
        self._ledger.check_step(kind, action)
        status = next_status(kind, document.status, action)
        if action in _ASKING:
            self._rules.check(document.amount_minor, document.currency)
        customer = await self._resolver.payer(document.customer)
        to = None
        if action in _MAILING:
            kept = document.to if isinstance(document, Invoice) else ""
            to = kept or (customer.email if customer else "") or None
        return StepPlan(
            document=document, action=action, status=status, customer=customer, to=to, by=by
        )

    async def act(self, plan: StepPlan, operation: Operation) -> Effect[Entry]:
        """Take an invoice or a link a step on."""
        effect = await self._ledger.act(
            plan.document.id, plan.action, by=plan.by, operation=operation
        )
        return effect.map(_entry)

    async def plan_customer(
        self, given: Mapping[str, object], *, email: str | None, customer: str | None
    ) -> CustomerPlan:
        """Read a change of the customer of that id, or of that address, new or known.

        Raises:
            InvalidInput: both or none name the customer, or a field is wrong.
            NotFound: there is none of that id.
        """
        if bool(email) == bool(customer):
            raise InvalidInput("Give either email or id.")
        unknown = [name for name in given if name not in _CUSTOMER_FIELDS]
        if unknown:
            raise InvalidInput(
                f"set: there is no field {', '.join(unknown)[:80]}.",
                hint=f"The fields are: {', '.join(_CUSTOMER_FIELDS)}.",
            )
        texts = {name: checked_text(given[name], name, 500) for name in given if name != "metadata"}
        change = CustomerChange(
            id=CustomerId(customer.strip()) if customer else None,
            email=checked_email(email) if email else None,
            name=texts.get("name"),
            phone=texts.get("phone"),
            address=texts.get("address"),
            tax_id=texts.get("tax_id"),
            metadata=checked_metadata(given.get("metadata", {})),
        )
        if change.email is not None:
            return CustomerPlan(present=await self._ledger.customer(change.email), change=change)
        present = await self._resolver.customer(str(change.id))
        return CustomerPlan(present=present, change=change)

    async def save_customer(self, plan: CustomerPlan, operation: Operation) -> Effect[Entry]:
        """Create or change a customer."""
        return (await self._ledger.save_customer(plan.change, operation)).map(_entry)

    async def plan_product(self, given: ProductGiven) -> ProductPlan:
        """Read a product to add, or a change of the one of that id.

        Raises:
            InvalidInput: an argument is wrong, or a new one, or a new currency, lacks its amount.
            NotAllowed: it costs more than one call may ask for, or its currency is not used here.
            NotFound: there is none of that id.
        """
        currency = currency_of(given.currency)
        present = None if given.id is None else await self._resolver.product(given.id)
        known = present.currency if present else self._rules.currency
        if currency is not None:
            self._rules.check(0, currency)
        if given.amount_minor is not None:
            self._resolver.check_total(checked_unit(given.amount_minor), currency or known)
        elif present is None:
            raise InvalidInput("A new product needs an amount.")
        elif currency not in (None, known):
            raise InvalidInput(
                f"An amount in {known} is another in {currency}.",
                hint="Give the amount in the new currency too.",
            )
        change = ProductChange(
            name=checked_text(given.name, "name", 200, required=True),
            id=present.id if present else None,
            amount_minor=given.amount_minor,
            currency=currency or (None if present else self._rules.currency),
            every=given.every,
            is_active=given.is_active,
        )
        self._ledger.check_new(change)
        return ProductPlan(present=present, change=change)

    async def save_product(self, plan: ProductPlan, operation: Operation) -> Effect[Entry]:
        """Add or change a product."""
        return (await self._ledger.save_product(plan.change, operation)).map(_entry)

    async def plan_refund(self, given: RefundGiven, operation: Operation) -> RefundPlan:
        """Read what goes back, and hold it against what is left of the payment.

        Raises:
            InvalidInput: the amount is no positive number.
            NotFound: there is no such payment, invoice or link.
            Conflict: it was not paid, or less than that is left (code `over_refund`).
            NotAllowed: it is more than one call, or the day, may give back.
        """
        payment = await self._ledger.payment(id_of(given.payment))
        left_minor = payment.amount_minor - payment.refunded_minor
        amount_minor = left_minor if given.amount_minor is None else given.amount_minor
        if given.amount_minor is not None and given.amount_minor < 1:
            raise InvalidInput("amount: give a positive whole number of minor units.")
        if not 1 <= amount_minor <= left_minor:
            raise over_refund(left_minor, payment.currency)
        self._rules.check(amount_minor, payment.currency)
        await self._check_day(amount_minor, operation)
        new = NewRefund(
            payment=payment.id,
            amount_minor=amount_minor,
            currency=payment.currency,
            reason=checked_text(given.reason, "reason", 400),
            by=given.by,
        )
        self._ledger.check_new(new)
        customer = await self._resolver.payer(payment.customer)
        return RefundPlan(payment=payment, customer=customer, new=new)

    async def refund(self, plan: RefundPlan, operation: Operation) -> Effect[Entry]:
        """Give money of a payment back.

        Raises:
            Conflict: less than that is left of it by now.
            NotAllowed: the day has no room for it.
        """
        return await self._spend(
            plan.new.amount_minor, operation, lambda: self._ledger.refund(plan.new, operation)
        )

    async def plan_subscription(
        self, given: SubscriptionGiven, operation: Operation
    ) -> SubscriptionPlan:
        """Read what is to be done with a subscription, and what it will cost.

        Raises:
            InvalidInput: an argument is missing, wrong, or not of this action.
            NotFound: there is no such subscription, customer or price.
            NotAllowed: it asks for more than one call, or the day, may.
        """
        plan = await (
            self._resolver.new_subscription(given)
            if given.action == "create"
            else self._resolver.subscription_step(given)
        )
        if given.action != "cancel":
            self._rules.check(plan.amount_minor, plan.currency)
            await self._check_day(plan.amount_minor, operation)
        return plan

    async def subscription(self, plan: SubscriptionPlan, operation: Operation) -> Effect[Entry]:
        """Begin, change, cancel or resume a subscription.

        Raises:
            Conflict: its status does not allow the step.
            NotAllowed: the day has no room for it.
        """
        what = plan.what
        if isinstance(what, NewSubscription):
            new = what
            return await self._spend(
                plan.amount_minor, operation, lambda: self._ledger.subscribe(new, operation)
            )
        step = what
        if step.action == "cancel":
            return (await self._ledger.step_subscription(step, operation)).map(_entry)
        return await self._spend(
            plan.amount_minor, operation, lambda: self._ledger.step_subscription(step, operation)
        )

    async def _check_day(self, amount_minor: int, operation: Operation) -> None:
        if self._day_limit is not None:
            await self._day_limit.check(amount_minor, operation)

    async def _spend(
        self, amount_minor: int, operation: Operation, perform: Callable[[], Any]
    ) -> Effect[Entry]:
        if self._day_limit is None:
            effect: Effect[Entry] = await perform()
            return effect
        return await self._day_limit.within(amount_minor, operation, perform)

    def _start(self, text: str | None, name: str) -> datetime | None:
        return read_when(text, self._rules.zone, name=name).moment if text else None

    def _end(self, text: str | None) -> datetime | None:
        zone = self._rules.zone
        return last_moment(read_when(text, zone, name="expires"), zone) if text else None


def _entry(entry: Entry) -> Entry:
    """Widen the type: an Effect of a Link is no Effect of an Entry to the type checker."""
    return entry


def _check_status(asked: FindAsked) -> None:
    known = _STATUSES[asked.kind]
    if asked.status is not None and asked.status not in known:
        raise InvalidInput(
            f"status: a {asked.kind} is never {asked.status[:40]!r}.",
            hint=f"Give one of: {', '.join(known)}." if known else "Leave status out.",
        )
    if asked.kind in _WITHOUT_CUSTOMER and asked.customer:
        raise InvalidInput(f"A {asked.kind} has no customer.", hint="Leave customer out.")
