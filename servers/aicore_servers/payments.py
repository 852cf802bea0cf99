"""Payments as an MCP server: `aicore-payments`."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, ConfigDict, Field

from aicore_servers._serve import Option, Program, ServeSettings, in_process, serve
from aicore_servers._tooling import BusinessServer, Toolbox, current_call
from aicore_tools.errors import BackendConfigError, InvalidInput
from aicore_tools.operations import Effect
from aicore_tools.payments import (
    BACKENDS,
    Bill,
    Customer,
    Entry,
    FindAsked,
    Invoice,
    LedgerSettings,
    LineGiven,
    Link,
    Payment,
    PaymentRules,
    PaymentService,
    Product,
    ProductGiven,
    amount_text,
    currency_code,
    ledger,
)
from aicore_tools.payments.records import Action, Every, Kind, State

__all__ = ["create", "main", "server"]

INSTRUCTIONS = (
    "The business's money: requests to pay, invoices, customers, prices. Amounts are whole minor"
    " units: 1250 with EUR is 12.50 EUR, 1250 with JPY is 1250 JPY. Nothing here takes money by"
    " itself: payments_link gives the customer a reference and instructions, and a person marks it"
    " paid."
)

CURRENCY = Option(
    name="currency", help="currency where none is given (default: EUR)", default="EUR"
)
MAX_AMOUNT = Option(
    name="max-amount-minor",
    help="most that one call may ask for, in minor units; 0 refuses all (default: 1000000)",
    default="1000000",
)
PAY_URL = Option(
    name="pay-url-template",
    help="https address of your own pay page, with {reference} in it (default: none)",
    default="",
)
PAY_INSTRUCTIONS = Option(
    name="pay-instructions",
    help="what customers are told about paying",
    default="Pay at the desk or by bank transfer, quoting the reference.",
)

_toolbox = Toolbox()
_Payments = Context[PaymentService]


class _Shown(Enum):
    """A value that is shown although it is null."""

    NULL = None


class LineArgument(BaseModel):
    """One line, as a caller gives it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    amount: int | None = None
    quantity: int = 1
    price: str | None = None


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
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Find customers, invoices, payments, products or links, newest first.

    `customer`: id or e-mail. `status`: of a link open, paid, expired or void; of an invoice draft,
    open, paid or void; of a product active or inactive. `query`: text in it, such as a reference
    or name. `after` (included), `before` (not): when it was created. `fields`: which to return. If
    next_cursor is returned there are more: repeat the call with it as cursor.
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
    rows = [_chosen(_row(entry, service.zone), fields) for entry in found.entries]
    return {"rows": rows, "next_cursor": found.next_cursor}


@_toolbox.read
async def payments_get(ctx: _Payments, id: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """Read one entry whole, with its lines and history.

    `id`: an id, the reference of a link (PR-2026-0001) or the number of an invoice.
    """
    service = _service(ctx)
    entry = await service.get(id)
    return {_KEYS[type(entry)]: _chosen(_whole(entry, service.zone), fields)}


@_toolbox.effect(idempotent=True)
async def payments_customer(
    ctx: _Payments, set: dict[str, Any], email: str | None = None, id: str | None = None
) -> Effect[dict[str, Any]]:
    """Create or change a customer, named by `email` or `id`; a new e-mail makes a new customer.

    `set`: name, phone, address, tax_id, metadata (an object of texts; null takes a key out).
    """
    effect = await _service(ctx).save_customer(
        set, email=email, customer=id, operation=current_call().operation
    )
    return _named(ctx, effect)


@_toolbox.effect()
async def payments_catalog(
    ctx: _Payments,
    name: str,
    amount: Annotated[int, Field(strict=True)] | None = None,
    currency: str | None = None,
    every: Every | None = None,
    id: str | None = None,
    active: bool | None = None,
) -> Effect[dict[str, Any]]:
    """Add a product to the catalog, or change the one with `id`.

    `amount`: in minor units. `every`: note that it is paid each month or year. `active`: false
    takes it off sale. The id is the price to name in lines.
    """
    given = ProductGiven(
        name=name, amount_minor=amount, currency=currency, every=every, id=id, is_active=active
    )
    effect = await _service(ctx).save_product(given, current_call().operation)
    return _named(ctx, effect)


@_toolbox.effect()
async def payments_link(
    ctx: _Payments,
    lines: Annotated[list[LineArgument], Field(min_length=1, max_length=100)],
    currency: str | None = None,
    customer: str | None = None,
    expires: str | None = None,
) -> Effect[dict[str, Any]]:
    """Request a payment: makes a reference to pay with, and a link if the business has a pay page.

    `lines`: each a description and an amount for one in minor units (1250 = 12.50 EUR), or a price
    id; quantity default 1. `customer`: id or e-mail. `expires`: RFC 3339 time or last date. Give
    the customer url if there is one, else reference and instructions.
    """
    call = current_call()
    bill = Bill(lines=_lines(lines), currency=currency, customer=customer, by=call.principal)
    effect = await _service(ctx).link(bill, expires=expires, operation=call.operation)
    return _named(ctx, effect)


@_toolbox.effect()
async def payments_invoice(
    ctx: _Payments,
    customer: str,
    lines: Annotated[list[LineArgument], Field(min_length=1, max_length=100)],
    currency: str | None = None,
    due_days: Annotated[int, Field(ge=0, le=365)] = 14,
    memo: str = "",
) -> Effect[dict[str, Any]]:
    """Draft an invoice with all its lines; payments_invoice_act finalizes it.

    `customer`: id or e-mail; a new e-mail makes a new customer. `lines`: each a description and an
    amount for one in minor units (1250 = 12.50 EUR), or a price id; quantity default 1.
    """
    call = current_call()
    bill = Bill(lines=_lines(lines), currency=currency, customer=customer, by=call.principal)
    effect = await _service(ctx).invoice(
        bill, due_days=due_days, memo=memo, operation=call.operation
    )
    return _named(ctx, effect)


@_toolbox.effect(destructive=True)
async def payments_invoice_act(ctx: _Payments, id: str, action: Action) -> Effect[dict[str, Any]]:
    """Take an invoice a step on, or a link (only mark_paid and void).

    finalize: gives a draft its number and makes it due. mark_paid: the money came in outside.
    void: it need not be paid. send and remind: where this business's system sends mail.
    """
    call = current_call()
    effect = await _service(ctx).act(id, action, by=call.principal, operation=call.operation)
    return _named(ctx, effect)


def _lines(given: Sequence[LineArgument]) -> list[LineGiven]:
    return [
        LineGiven(
            description=line.description,
            amount_minor=line.amount,
            quantity=line.quantity,
            price=line.price,
        )
        for line in given
    ]


_KEYS: Mapping[type[Entry], str] = {
    Customer: "customer",
    Product: "product",
    Link: "link",
    Invoice: "invoice",
    Payment: "payment",
}
_ONLY_WHOLE = ("lines", "history", "instructions", "metadata", "address", "memo")


def _named(ctx: _Payments, effect: Effect[Entry]) -> Effect[dict[str, Any]]:
    zone = _service(ctx).zone
    return effect.map(lambda entry: {_KEYS[type(entry)]: _whole(entry, zone)})


def _row(entry: Entry, zone: ZoneInfo) -> dict[str, Any]:
    shown = _whole(entry, zone)
    return {name: value for name, value in shown.items() if name not in _ONLY_WHOLE}


def _whole(entry: Entry, zone: ZoneInfo) -> dict[str, Any]:
    """Shape an entry: what is empty is left out, but for the url that a link may not have."""
    shown: dict[str, Any] = {}
    for field in dataclasses.fields(entry):
        value = getattr(entry, field.name)
        if value not in ("", None, {}):
            shown[field.name] = _local(value, zone)
        if field.name == "amount_minor":
            shown["amount_text"] = amount_text(value, getattr(entry, "currency", ""))
    if isinstance(entry, Link) and entry.url is None:
        shown["url"] = _Shown.NULL
    return shown


def _local(value: object, zone: ZoneInfo) -> object:
    """Show moments by the clock of the business."""
    if isinstance(value, datetime):
        return value.astimezone(zone)
    if isinstance(value, tuple):
        return [_local(item, zone) for item in value]
    if isinstance(value, State):
        return dataclasses.replace(value, at=value.at.astimezone(zone))
    return value


def _chosen(entry: Mapping[str, Any], fields: Sequence[str]) -> Mapping[str, Any]:
    """Keep the id and the asked-for fields; one that this entry leaves empty is no mistake."""
    known = {field.name for kind in _KEYS for field in dataclasses.fields(kind)} | {"amount_text"}
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise InvalidInput(
            f"fields: there is no field {', '.join(unknown)[:80]}.",
            hint=f"The fields are: {', '.join(sorted(known))}.",
        )
    if not fields:
        return entry
    return {name: value for name, value in entry.items() if name in ("id", *fields)}


def _rules(settings: ServeSettings) -> PaymentRules:
    try:
        currency = currency_code(CURRENCY.of(settings))
    except InvalidInput as error:
        raise BackendConfigError(f"--currency: {error.message}", hint=error.hint) from error
    most = MAX_AMOUNT.of(settings)
    if not (most.isascii() and most.isdigit() and len(most) <= 15):
        raise BackendConfigError(
            f"--max-amount-minor: {most!r} is no whole number.", hint="1000000 is 10000.00 EUR."
        )
    return PaymentRules(
        currency=currency, max_amount_minor=int(most), zone=ZoneInfo(settings.time_zone)
    )


def create(settings: ServeSettings) -> MCPServer[PaymentService]:
    """Make the server; its lifespan opens the backend.

    Raises:
        BackendConfigError: an option cannot be read.
    """
    rules = _rules(settings)
    backend = LedgerSettings(
        data_dir=settings.data_dir,
        business=settings.business,
        zone=rules.zone,
        instructions=PAY_INSTRUCTIONS.of(settings),
        url_template=PAY_URL.of(settings) or None,
    )

    @asynccontextmanager
    async def lifespan(_: MCPServer[PaymentService]) -> AsyncIterator[PaymentService]:
        async with ledger(settings.backend, backend) as opened:
            yield PaymentService(opened, rules=rules)

    return BusinessServer(
        "aicore-payments", instructions=INSTRUCTIONS, toolbox=_toolbox, lifespan=lifespan
    )


PROGRAM = Program(
    name="aicore-payments",
    description="Requests to pay, invoices, customers and prices.",
    create=create,
    backends=tuple(BACKENDS),
    options=(CURRENCY, MAX_AMOUNT, PAY_URL, PAY_INSTRUCTIONS),
)


def server(*args: str) -> MCPServer[Any]:
    """Make the server for use in this process; `args` as on the command line."""
    return in_process(PROGRAM, args)


def main() -> None:
    """Run `aicore-payments`."""
    serve(PROGRAM)


if __name__ == "__main__":
    main()
