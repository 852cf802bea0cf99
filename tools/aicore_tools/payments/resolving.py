"""Reads what callers name: products, customers, subscriptions, and the lines of a bill."""

from __future__ import annotations

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.payments.costs import (
    check_change,
    check_goes_on,
    check_held,
    cost_after,
    each_period,
    fixed_amount,
)
from aicore_tools.payments.given import (
    Bill,
    LineGiven,
    SubscriptionGiven,
    checked_customer,
    checked_email,
    checked_quantity,
    checked_text,
    checked_unit,
)
from aicore_tools.payments.limits import PaymentRules
from aicore_tools.payments.money import currency_of
from aicore_tools.payments.plans import SubscriptionPlan
from aicore_tools.payments.port import Ledger
from aicore_tools.payments.records import (
    Customer,
    CustomerId,
    EntryId,
    Line,
    NewSubscription,
    Product,
    Subscription,
    SubscriptionStep,
    total_minor,
)

__all__ = ["Resolver", "id_of"]

MAX_LINES = 100


class Resolver:
    """Turns ids and addresses into what they name, within the rules of the business."""

    def __init__(self, ledger: Ledger, rules: PaymentRules) -> None:
        self._ledger = ledger
        self._rules = rules

    async def new_subscription(self, given: SubscriptionGiven) -> SubscriptionPlan:
        """Read a subscription that is to begin.

        Raises:
            InvalidInput: an argument is missing, wrong, or not of this action.
            NotFound: there is no such customer or price.
        """
        if given.id or not (given.customer and given.price):
            raise InvalidInput("create needs customer and price, and no id.")
        product = await self.active(given.price)
        quantity = checked_quantity(1 if given.quantity is None else given.quantity)
        new = NewSubscription(
            customer=await self.known_customer(given.customer),
            price=product.id,
            quantity=quantity,
            by=given.by,
        )
        return SubscriptionPlan(
            what=new,
            present=None,
            customer=None if "@" in new.customer else await self.payer(CustomerId(new.customer)),
            product=product,
            amount_minor=each_period(product) * quantity,
            currency=product.currency,
        )

    async def subscription_step(self, given: SubscriptionGiven) -> SubscriptionPlan:
        """Read what is to become of a subscription.

        Raises:
            InvalidInput: an argument is missing, wrong, or not of this action.
            NotFound: there is no such subscription or price.
            Conflict: it has ended, or is of several prices.
        """
        if not given.id or given.customer:
            raise InvalidInput(f"{given.action} needs the id of a subscription, and no customer.")
        changes = given.price is not None or given.quantity is not None
        if given.action == "create" or changes != (given.action == "change"):
            raise InvalidInput("Only change takes price or quantity, and it needs one of them.")
        present = await self._ledger.get(id_of(given.id))
        if not isinstance(present, Subscription):
            raise NotFound(f"There is no subscription {given.id[:80]!r}.")
        check_goes_on(present)
        if given.action == "resume":
            check_held(present)
        product = await self.active(given.price) if given.price else None
        quantity = None if given.quantity is None else checked_quantity(given.quantity)
        if given.action == "change":
            check_change(present, product, given.when)
        return SubscriptionPlan(
            what=SubscriptionStep(
                id=present.id,
                action=given.action,
                price=product.id if product else None,
                quantity=quantity,
                when=given.when,
                by=given.by,
            ),
            present=present,
            customer=await self.payer(present.customer),
            product=product,
            amount_minor=cost_after(present, product, quantity),
            currency=product.currency if product else present.currency,
        )

    async def lines(self, bill: Bill) -> tuple[tuple[Line, ...], str]:
        """Read the lines and their one currency, and hold the total against the limit."""
        if not 1 <= len(bill.lines) <= MAX_LINES:
            raise InvalidInput(f"lines: give 1 to {MAX_LINES}, not {len(bill.lines)}.")
        currency = currency_of(bill.currency)
        lines = []
        for given in bill.lines:
            checked_quantity(given.quantity)
            if given.price is None:
                lines.append(_own_line(given))
                continue
            if given.amount_minor is not None:
                raise InvalidInput("A line has a price, or a description and an amount, not both.")
            product = await self.active(given.price)
            if currency not in (None, product.currency):
                raise InvalidInput(f"{product.id} is in {product.currency}, not {currency}.")
            currency = product.currency
            lines.append(_product_line(product, given))
        currency = currency or self._rules.currency
        self.check_total(total_minor(tuple(lines)), currency)
        return tuple(lines), currency

    async def product(self, price: str) -> Product:
        """Read a product.

        Raises:
            NotFound: there is none of that id.
        """
        product = await self._ledger.get(id_of(price))
        if not isinstance(product, Product):
            raise NotFound(f"There is no product {price[:80]!r}.", hint="Leave id out to add one.")
        return product

    async def active(self, price: str) -> Product:
        """Read a product on sale.

        Raises:
            NotFound: there is none of that id, or it was taken off.
        """
        product = await self._ledger.get(id_of(price))
        if not isinstance(product, Product) or not product.is_active:
            raise NotFound(f"There is no active price {price[:80]!r}.")
        return product

    def check_total(self, amount_minor: int, currency: str) -> None:
        """Hold an amount against the rules.

        Raises:
            InvalidInput: it is nothing.
            NotAllowed: it is too high, or of a currency that is not allowed.
        """
        if amount_minor < 1:
            raise InvalidInput("There is nothing to pay: the amount is 0.")
        self._rules.check(amount_minor, currency)

    async def known_customer(self, given: str) -> str:
        """Give the id of a customer that there is, or an e-mail address that may be new."""
        customer = checked_customer(given)
        return customer if "@" in customer else (await self.customer(customer)).id

    async def customer(self, customer: str) -> Customer:
        """Read a customer.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self._ledger.get(id_of(customer))
        if not isinstance(found, Customer):
            raise NotFound(f"There is no customer {customer[:80]!r}.", hint="Give id or e-mail.")
        return found

    async def payer(self, customer: CustomerId | None) -> Customer | None:
        """Read whose something is, None where nobody is named or the customer is gone."""
        if not customer:
            return None
        try:
            return await self.customer(customer)
        except NotFound:
            return None

    async def customer_id(self, given: str) -> CustomerId:
        """Give the id of a customer named by it or by e-mail.

        Raises:
            NotFound: nobody has that address.
        """
        if "@" not in given:
            return CustomerId(given.strip())
        found = await self._ledger.customer(checked_email(given))
        if found is None:
            raise NotFound(f"There is no customer {given[:80]!r}.")
        return found.id


def id_of(text: str) -> EntryId:
    """Give the id that a text may be.

    Raises:
        NotFound: it can be none.
    """
    entry = text.strip()
    if not entry or len(entry) > 255:
        raise NotFound(f"There is nothing with the id {entry[:80]!r}.")
    return EntryId(entry)


def _own_line(given: LineGiven) -> Line:
    if given.amount_minor is None:
        raise InvalidInput("A line needs a price, or a description and an amount.")
    return Line(
        description=checked_text(given.description, "description", 500, required=True),
        amount_minor=checked_unit(given.amount_minor),
        quantity=given.quantity,
    )


def _product_line(product: Product, given: LineGiven) -> Line:
    return Line(
        description=checked_text(given.description, "description", 500) or product.name,
        amount_minor=fixed_amount(product),
        quantity=given.quantity,
        price=product.id,
    )
