"""The rules of payments: what may be asked for, and how much. Knows the port only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from aicore_tools.errors import InvalidInput, NotAllowed, NotFound
from aicore_tools.operations import Effect, Operation
from aicore_tools.payments.money import amount_text, currency_code
from aicore_tools.payments.port import Ledger
from aicore_tools.payments.records import (
    Action,
    CustomerChange,
    CustomerId,
    Entry,
    EntryId,
    Every,
    FindQuery,
    Found,
    Kind,
    Line,
    NewInvoice,
    NewLink,
    Product,
    ProductChange,
    total_minor,
)
from aicore_tools.times import last_moment, read_when

__all__ = ["Bill", "FindAsked", "LineGiven", "PaymentRules", "PaymentService", "ProductGiven"]

MAX_ROWS = 100
MAX_LINES = 100
MAX_QUANTITY = 10_000
MAX_UNIT_MINOR = 10**12
MAX_DUE_DAYS = 365
MAX_METADATA = 20
_EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\".]+(\.[^\s@,;<>\".]+)+\Z")
_STATUSES: Mapping[Kind, Sequence[str]] = {
    "customer": (),
    "invoice": ("draft", "open", "paid", "void"),
    "payment": ("succeeded",),
    "product": ("active", "inactive"),
    "link": ("open", "paid", "expired", "void"),
}
_CUSTOMER_FIELDS = ("name", "phone", "address", "tax_id", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRules:
    """What the business allows: `max_amount_minor` a call, 0 for no money at all."""

    zone: ZoneInfo
    currency: str = "EUR"
    max_amount_minor: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LineGiven:
    """A line as a caller gives it: a price of the catalog, or a description and an amount."""

    description: str = ""
    amount_minor: int | None = None
    quantity: int = 1
    price: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is to be paid, and by whom, as a caller gives it. `by` is who asks for it."""

    lines: Sequence[LineGiven]
    currency: str | None = None
    customer: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductGiven:
    """A product as a caller gives it."""

    name: str
    amount_minor: int | None = None
    currency: str | None = None
    every: Every | None = None
    id: str | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindAsked:
    """A search as a caller gives it."""

    kind: Kind
    customer: str | None = None
    status: str | None = None
    query: str = ""
    after: str | None = None
    before: str | None = None
    limit: int = 20
    cursor: str | None = None


class PaymentService:
    """Checks what comes in against the rules of the business, and asks the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        rules: PaymentRules,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._clock = clock

    @property
    def zone(self) -> ZoneInfo:
        """Where the business is."""
        return self._rules.zone

    async def get(self, entry: str) -> Entry:
        """Give one entry by id, reference or number.

        Raises:
            NotFound: there is none.
        """
        return await self._ledger.get(EntryId(entry.strip()))

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
            customer=await self._customer_id(asked.customer) if asked.customer else None,
            status=asked.status,
            text=_text(asked.query, "query", 200),
            after=self._start(asked.after, "after"),
            before=self._start(asked.before, "before"),
            limit=asked.limit,
            cursor=asked.cursor,
        )
        return await self._ledger.find(query)

    async def link(self, bill: Bill, *, expires: str | None, operation: Operation) -> Effect[Entry]:
        """Make a request to pay.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotAllowed: it asks for more than one call may.
            NotFound: there is no such price or customer.
        """
        earlier = await self._ledger.earlier(operation)
        if earlier is not None:
            return earlier
        lines, currency = await self._lines(bill)
        ends = self._end(expires)
        if ends is not None and ends <= self._clock():
            raise InvalidInput(f"expires: {expires} is past.")
        new = NewLink(
            lines=lines,
            currency=currency,
            customer=_customer(bill.customer) if bill.customer else None,
            expires=ends,
            by=bill.by,
        )
        return (await self._ledger.add_link(new, operation)).map(_entry)

    async def invoice(
        self, bill: Bill, *, due_days: int, memo: str, operation: Operation
    ) -> Effect[Entry]:
        """Draft an invoice.

        Raises:
            InvalidInput: an argument cannot be read or is out of range.
            NotAllowed: it asks for more than one call may.
            NotFound: there is no such price or customer.
        """
        earlier = await self._ledger.earlier(operation)
        if earlier is not None:
            return earlier
        if not 0 <= due_days <= MAX_DUE_DAYS:
            raise InvalidInput(f"due_days: give 0 to {MAX_DUE_DAYS}, not {due_days}.")
        if not bill.customer:
            raise InvalidInput("customer: an invoice needs an id or e-mail address.")
        lines, currency = await self._lines(bill)
        new = NewInvoice(
            lines=lines,
            currency=currency,
            customer=_customer(bill.customer),
            due_days=due_days,
            memo=_text(memo, "memo", 2000),
            by=bill.by,
        )
        return (await self._ledger.add_invoice(new, operation)).map(_entry)

    async def act(
        self, entry: str, action: Action, *, by: str | None, operation: Operation
    ) -> Effect[Entry]:
        """Take an invoice or a link a step on.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: there is no such step for it.
            Conflict: its status does not allow the step.
        """
        effect = await self._ledger.act(EntryId(entry.strip()), action, by=by, operation=operation)
        return effect.map(_entry)

    async def save_customer(
        self,
        given: Mapping[str, object],
        *,
        email: str | None,
        customer: str | None,
        operation: Operation,
    ) -> Effect[Entry]:
        """Change the customer of that id, or the one of that address, new or known.

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
        texts = {name: _text(given[name], name, 500) for name in given if name != "metadata"}
        change = CustomerChange(
            id=CustomerId(customer.strip()) if customer else None,
            email=_email(email) if email else None,
            name=texts.get("name"),
            phone=texts.get("phone"),
            address=texts.get("address"),
            tax_id=texts.get("tax_id"),
            metadata=_metadata(given.get("metadata", {})),
        )
        return (await self._ledger.save_customer(change, operation)).map(_entry)

    async def save_product(self, given: ProductGiven, operation: Operation) -> Effect[Entry]:
        """Add a product, or change the one of that id.

        Raises:
            InvalidInput: an argument is wrong, or a new one lacks its amount.
            NotAllowed: it costs more than one call may ask for.
            NotFound: there is none of that id.
        """
        if given.amount_minor is not None:
            self._check_total(_unit(given.amount_minor), given.currency or self._rules.currency)
        currency = currency_code(given.currency) if given.currency else None
        change = ProductChange(
            name=_text(given.name, "name", 200, required=True),
            id=EntryId(given.id.strip()) if given.id else None,
            amount_minor=given.amount_minor,
            currency=currency or (None if given.id else self._rules.currency),
            every=given.every,
            is_active=given.is_active,
        )
        return (await self._ledger.save_product(change, operation)).map(_entry)

    async def _lines(self, bill: Bill) -> tuple[tuple[Line, ...], str]:
        """Read the lines and their one currency, and hold the total against the limit."""
        if not 1 <= len(bill.lines) <= MAX_LINES:
            raise InvalidInput(f"lines: give 1 to {MAX_LINES}, not {len(bill.lines)}.")
        currency = currency_code(bill.currency) if bill.currency else None
        lines = []
        for given in bill.lines:
            if not 1 <= given.quantity <= MAX_QUANTITY:
                raise InvalidInput(f"quantity: give 1 to {MAX_QUANTITY}, not {given.quantity}.")
            if given.price is None:
                lines.append(_own_line(given))
                continue
            product = await self._product(given)
            if currency not in (None, product.currency):
                raise InvalidInput(f"{product.id} is in {product.currency}, not {currency}.")
            currency = product.currency
            lines.append(_product_line(product, given))
        currency = currency or self._rules.currency
        self._check_total(total_minor(tuple(lines)), currency)
        return tuple(lines), currency

    async def _product(self, given: LineGiven) -> Product:
        if given.amount_minor is not None:
            raise InvalidInput("A line has a price, or a description and an amount, not both.")
        product = await self._ledger.get(EntryId((given.price or "").strip()))
        if not isinstance(product, Product) or not product.is_active:
            raise NotFound(f"There is no active price {given.price}.")
        return product

    def _check_total(self, amount_minor: int, currency: str) -> None:
        if amount_minor < 1:
            raise InvalidInput("There is nothing to pay: the amount is 0.")
        most = self._rules.max_amount_minor
        if amount_minor > most:
            raise NotAllowed(
                f"{amount_text(amount_minor, currency)} is more than one call may ask for"
                f" ({amount_text(most, currency)}).",
                hint="A person of the business has to do this.",
                code="amount_too_high",
            )

    async def _customer_id(self, given: str) -> CustomerId:
        if "@" not in given:
            return CustomerId(given.strip())
        found = await self._ledger.customer(_email(given))
        if found is None:
            raise NotFound(f"There is no customer {given[:80]!r}.")
        return found.id

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
    if asked.kind == "product" and asked.customer:
        raise InvalidInput("A product has no customer.", hint="Leave customer out.")


def _own_line(given: LineGiven) -> Line:
    if given.amount_minor is None:
        raise InvalidInput("A line needs a price, or a description and an amount.")
    return Line(
        description=_text(given.description, "description", 500, required=True),
        amount_minor=_unit(given.amount_minor),
        quantity=given.quantity,
    )


def _product_line(product: Product, given: LineGiven) -> Line:
    return Line(
        description=_text(given.description, "description", 500) or product.name,
        amount_minor=product.amount_minor,
        quantity=given.quantity,
        price=product.id,
    )


def _unit(amount_minor: int) -> int:
    if not 0 <= amount_minor <= MAX_UNIT_MINOR:
        raise InvalidInput("amount: give a positive whole number of minor units, such as cents.")
    return amount_minor


def _customer(given: str) -> str:
    return _email(given) if "@" in given else given.strip()


def _email(given: str) -> str:
    email = given.strip().lower()
    if len(email) > 254 or not _EMAIL.match(email):
        raise InvalidInput(f"{given[:80]!r} is no e-mail address.")
    return _text(email, "email", 254)


def _text(given: object, name: str, most: int, *, required: bool = False) -> str:
    if not isinstance(given, str):
        raise InvalidInput(f"{name}: give text.")
    text = given.strip()
    if required and not text:
        raise InvalidInput(f"{name} is empty.")
    if len(text) > most:
        raise InvalidInput(f"{name} is longer than {most} characters.")
    if "\0" in text or not _is_encodable(text):
        raise InvalidInput(f"{name} holds characters that cannot be stored.")
    return text


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON may carry
        return False
    return True


def _metadata(given: object) -> dict[str, str | None]:
    if not isinstance(given, Mapping) or len(given) > MAX_METADATA:
        raise InvalidInput(f"metadata: give an object of {MAX_METADATA} texts at most.")
    return {
        _text(key, "metadata", 40, required=True): None
        if value is None
        else _text(value, f"metadata.{key}"[:60], 500)
        for key, value in given.items()
    }
