"""Payments as an MCP server: `aicore-payments`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, ConfigDict, Field

from aicore_servers._payments_shown import Shown, chosen
from aicore_servers._serve import Option, Program, ServeSettings, in_process, serve
from aicore_servers._tooling import BusinessServer, Planned, Toolbox, current_call, listing
from aicore_tools.errors import BackendConfigError, InvalidInput
from aicore_tools.payments import (
    BACKENDS,
    Bill,
    DayLimit,
    FindAsked,
    LedgerSettings,
    LineGiven,
    PaymentRules,
    PaymentService,
    ProductGiven,
    RefundGiven,
    ReportAsked,
    SubscriptionGiven,
    currency_code,
    ledger,
)
from aicore_tools.payments.given import SubscriptionAction
from aicore_tools.payments.records import Action, Every, GroupBy, Kind, ReportKind, When

__all__ = ["create", "main", "server"]

INSTRUCTIONS = (
    "The business's money: requests to pay, invoices, refunds, subscriptions, customers, prices."
    " Amounts are whole minor units: 1250 with EUR is 12.50 EUR, 1250 with JPY is 1250 JPY. To"
    " bill somebody: payments_invoice drafts, payments_invoice_act finalizes and sends. To be paid"
    " at once: payments_link. What moves money answers needs_confirmation with its plan: show it,"
    " then repeat the call with confirm. On the local ledger nobody is charged: a person marks paid"
    " what came in."
)

CURRENCY = Option(
    name="currency", help="currency where none is given (default: EUR)", default="EUR"
)
CURRENCIES = Option(
    name="currencies", help="currencies that may be used, or any (default: any)", default="any"
)
MAX_AMOUNT = Option(
    name="max-amount-minor",
    help="most that one call may ask for or give back, in minor units; 0 refuses all"
    " (default: 1000000)",
    default="1000000",
)
MAX_DAY = Option(
    name="max-day-minor",
    help="most that all calls of a day may ask for and give back, in minor units of any currency;"
    " 0 refuses all (default: 5000000)",
    default="5000000",
)
PAY_URL = Option(
    name="pay-url-template",
    help="https address of your own pay page, with {reference} in it (default: none)",
    default="",
)
PAY_DONE_URL = Option(
    name="pay-done-url",
    help="https address that customers see after paying; links that expire need it where a vendor"
    " has the pay page (default: none)",
    default="",
)
PAY_INSTRUCTIONS = Option(
    name="pay-instructions",
    help="what customers are told about paying",
    default="Pay at the desk or by bank transfer, quoting the reference.",
)

_toolbox = Toolbox(
    {
        "customer_name": "NAME",
        "customer_email": "EMAIL",
        "email": "EMAIL",
        "phone": "PHONE",
        "tax_id": "TAXID",
    }
)
_Payments = Context[PaymentService]
_Amount = Annotated[int, Field(strict=True)]


class LineArgument(BaseModel):
    """One line, as a caller gives it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    amount: int | None = None
    quantity: int = 1
    price: str | None = None


class _LinesArgument(BaseModel):
    """The lines of one call. Read here, as their schema costs more tokens than it says."""

    lines: list[LineArgument]


_Lines = list[dict[str, Any]]


def _service(ctx: _Payments) -> PaymentService:
    return ctx.request_context.lifespan_context


@_toolbox.read
async def payments_search(
    ctx: _Payments,
    kind: Kind,
    customer: str | None = None,
    status: str | None = None,
    query: str = "",
    after: str | None = None,
    before: str | None = None,
    fields: Sequence[str] = (),
    limit: int = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Find entries, newest first.

    `customer`: id or e-mail. `query`: text in it. `after`, `before`: when created.
    """
    service = _service(ctx)
    found = await service.find(
        FindAsked(
            kind=kind,
            customer=customer,
            status=status,
            query=query,
            after=after,
            before=before,
            limit=limit,
            cursor=cursor,
        )
    )
    shown = Shown(service.zone)
    return listing([shown.row(entry, fields) for entry in found.entries], found.next_cursor)


@_toolbox.read
async def payments_get(ctx: _Payments, id: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """Read one entry whole, by id, reference or invoice number."""
    service = _service(ctx)
    (kind, entry), *_ = Shown(service.zone).named(await service.get(id)).items()
    return {kind: chosen(entry, fields)}


@_toolbox.read
async def payments_report(
    ctx: _Payments,
    kind: ReportKind,
    after: str | None = None,
    before: str | None = None,
    group_by: GroupBy | None = None,
) -> dict[str, Any]:
    """Add up, by default the last 30 days.

    aging: open invoices by days late. ledger: all movements.
    """
    service = _service(ctx)
    made = await service.report(
        ReportAsked(kind=kind, after=after, before=before, group_by=group_by)
    )
    return Shown(service.zone).report(made)


@_toolbox.effect(idempotent=True)
async def payments_customer(
    ctx: _Payments, set: dict[str, Any], email: str | None = None, id: str | None = None
) -> Planned[Any, Any]:
    """Create or change a customer, by `email` or `id`.

    `set`: name, phone, address, tax_id, metadata.
    """
    service, operation = _service(ctx), current_call().operation
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_customer(set, email=email, customer=id),
        show=shown.customer,
        perform=lambda plan: service.save_customer(plan, operation),
        answer=shown.named,
    )


@_toolbox.effect()
async def payments_catalog(
    ctx: _Payments,
    name: str,
    amount: _Amount | None = None,
    currency: str | None = None,
    every: Every | None = None,
    id: str | None = None,
    active: bool | None = None,
) -> Planned[Any, Any]:
    """Add a product, or change `id`. Its id is the `price` of lines and subscriptions."""
    given = ProductGiven(
        name=name, amount_minor=amount, currency=currency, every=every, id=id, is_active=active
    )
    service, operation = _service(ctx), current_call().operation
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_product(given),
        show=shown.product,
        perform=lambda plan: service.save_product(plan, operation),
        answer=shown.named,
    )


@_toolbox.effect(profile="draft")
async def payments_invoice(
    ctx: _Payments,
    customer: str,
    lines: _Lines,
    currency: str | None = None,
    due_days: int = 14,
    memo: str = "",
) -> Planned[Any, Any]:
    """Draft an invoice; payments_invoice_act sends it.

    `lines`: {description, amount, quantity=1} or {price, quantity=1}.
    """
    service, call = _service(ctx), current_call()
    bill = Bill(lines=_lines(lines), currency=currency, customer=customer, by=call.principal)
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_invoice(
            bill, due_days=due_days, memo=memo, operation=call.operation
        ),
        show=shown.asked,
        perform=lambda plan: service.invoice(plan, call.operation),
        answer=shown.named,
    )


@_toolbox.effect(profile="money", destructive=True, confirm=True)
async def payments_invoice_act(ctx: _Payments, id: str, action: Action) -> Planned[Any, Any]:
    """Take an invoice a step on; a link only void or mark_paid (paid outside).

    finalize: number it, make it due.
    """
    service, call = _service(ctx), current_call()
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_act(id, action, by=call.principal),
        show=shown.step,
        perform=lambda plan: service.act(plan, call.operation),
        answer=shown.named,
    )


@_toolbox.effect(profile="money")
async def payments_link(
    ctx: _Payments,
    lines: _Lines,
    currency: str | None = None,
    customer: str | None = None,
    expires: str | None = None,
) -> Planned[Any, Any]:
    """Request a payment; give the customer url, else reference and instructions.

    `lines`: as in payments_invoice.
    """
    service, call = _service(ctx), current_call()
    bill = Bill(lines=_lines(lines), currency=currency, customer=customer, by=call.principal)
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_link(bill, expires=expires, operation=call.operation),
        show=shown.asked,
        perform=lambda plan: service.link(plan, call.operation),
        answer=shown.named,
    )


@_toolbox.effect(profile="money", destructive=True, confirm=True)
async def payments_refund(
    ctx: _Payments, payment: str, amount: _Amount | None = None, reason: str = ""
) -> Planned[Any, Any]:
    """Give money back. `payment`: or its invoice or link. `amount`: default all left."""
    service, call = _service(ctx), current_call()
    given = RefundGiven(payment=payment, amount_minor=amount, reason=reason, by=call.principal)
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_refund(given, call.operation),
        show=shown.refund,
        perform=lambda plan: service.refund(plan, call.operation),
        answer=shown.named,
    )


@_toolbox.effect(profile="money", destructive=True, confirm=True)
async def payments_subscription(
    ctx: _Payments,
    action: SubscriptionAction,
    id: str | None = None,
    customer: str | None = None,
    price: str | None = None,
    quantity: _Amount | None = None,
    when: When = "now",
) -> Planned[Any, Any]:
    """Create (customer, price), change (price, quantity), cancel or resume a subscription."""
    service, call = _service(ctx), current_call()
    given = SubscriptionGiven(
        action=action,
        id=id,
        customer=customer,
        price=price,
        quantity=quantity,
        when=when,
        by=call.principal,
    )
    shown = Shown(service.zone)
    return Planned(
        prepare=lambda: service.plan_subscription(given, call.operation),
        show=shown.subscription,
        perform=lambda plan: service.subscription(plan, call.operation),
        answer=shown.named,
    )


def _lines(given: _Lines) -> list[LineGiven]:
    return [
        LineGiven(
            description=line.description,
            amount_minor=line.amount,
            quantity=line.quantity,
            price=line.price,
        )
        for line in _LinesArgument.model_validate({"lines": given}).lines
    ]


def _whole_number(option: Option, settings: ServeSettings) -> int:
    text = option.of(settings)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BackendConfigError(
            f"--{option.name}: {text!r} is no whole number.", hint="1000000 is 10000.00 EUR."
        )
    return int(text)


def _currency(option: Option, text: str) -> str:
    try:
        return currency_code(text)
    except InvalidInput as error:
        raise BackendConfigError(f"--{option.name}: {error.message}", hint=error.hint) from error


def _rules(settings: ServeSettings) -> PaymentRules:
    usual = _currency(CURRENCY, CURRENCY.of(settings))
    named = CURRENCIES.of(settings)
    allowed = None
    if named.strip().lower() != "any":
        allowed = frozenset(_currency(CURRENCIES, one) for one in named.split(","))
        if usual not in allowed:
            raise BackendConfigError(f"--currencies: {usual}, the usual one, is not among them.")
    return PaymentRules(
        currency=usual,
        currencies=allowed,
        max_amount_minor=_whole_number(MAX_AMOUNT, settings),
        zone=ZoneInfo(settings.time_zone),
    )


def create(settings: ServeSettings) -> MCPServer[PaymentService]:
    """Make the server; its lifespan opens the backend.

    Raises:
        BackendConfigError: an option cannot be read.
    """
    rules = _rules(settings)
    day_limit_minor = _whole_number(MAX_DAY, settings)
    backend = LedgerSettings(
        data_dir=settings.data_dir,
        business=settings.business,
        zone=rules.zone,
        instructions=PAY_INSTRUCTIONS.of(settings),
        url_template=PAY_URL.of(settings) or None,
        done_url=PAY_DONE_URL.of(settings) or None,
        connect=settings.connect,
        account=settings.account,
    )

    @asynccontextmanager
    async def lifespan(_: MCPServer[PaymentService]) -> AsyncIterator[PaymentService]:
        async with AsyncExitStack() as stack:
            # In a thread: a keyring may ask a person, and a passphrase takes its time.
            made = await to_thread.run_sync(ledger, settings.backend, backend)
            opened = await stack.enter_async_context(made)
            day_limit = DayLimit(
                settings.data_dir / "payments-limits.db",
                business=settings.business,
                most_minor=day_limit_minor,
                zone=rules.zone,
            )
            await stack.enter_async_context(day_limit)
            yield PaymentService(opened, rules=rules, day_limit=day_limit)

    return BusinessServer(
        "aicore-payments",
        instructions=INSTRUCTIONS,
        toolbox=_toolbox,
        lifespan=lifespan,
        rules=settings.rules,
    )


PROGRAM = Program(
    name="aicore-payments",
    description="Requests to pay, invoices, refunds, subscriptions, customers and prices.",
    create=create,
    backends=tuple(BACKENDS),
    options=(
        CURRENCY,
        CURRENCIES,
        MAX_AMOUNT,
        MAX_DAY,
        PAY_URL,
        PAY_DONE_URL,
        PAY_INSTRUCTIONS,
    ),
)


def server(*args: str) -> MCPServer[Any]:
    """Make the server for use in this process; `args` as on the command line."""
    return in_process(PROGRAM, args)


def main() -> None:
    """Run `aicore-payments`."""
    serve(PROGRAM)


if __name__ == "__main__":
    main()
