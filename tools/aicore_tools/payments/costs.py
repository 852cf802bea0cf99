"""What a product costs, once or each period, and what a subscription costs after a change."""

from __future__ import annotations

from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.payments.records import Product, Subscription, When

__all__ = [
    "check_change",
    "check_goes_on",
    "check_held",
    "cost_after",
    "each_period",
    "fixed_amount",
]

_ENDED = ("canceled", "incomplete_expired")


def fixed_amount(product: Product) -> int:
    """Give what one of it costs, in minor units.

    Raises:
        InvalidInput: that depends on how much is bought.
    """
    if product.amount_minor is None:
        raise InvalidInput(f"{product.id} has no fixed amount.", hint="Give the amount yourself.")
    return product.amount_minor


def each_period(product: Product) -> int:
    """Give what one of it costs each period, in minor units.

    Raises:
        InvalidInput: it is not paid again and again, or has no fixed amount.
    """
    if product.every is None:
        raise InvalidInput(
            f"{product.id} is not paid again and again.",
            hint="Name a product of the catalog that has every.",
        )
    return fixed_amount(product)


def check_goes_on(present: Subscription) -> None:
    """Refuse to touch what has ended.

    Raises:
        Conflict: it has.
    """
    if present.status in _ENDED:
        raise Conflict("The subscription has ended.", hint="Create a new one.")


def check_held(present: Subscription) -> None:
    """Refuse to resume what goes on as it is.

    Raises:
        Conflict: it is neither paused nor about to end or change.
    """
    if present.status != "paused" and present.cancel_at is None and present.next_price is None:
        raise Conflict("The subscription is active; there is nothing to resume.")


def check_change(present: Subscription, product: Product | None, when: When) -> None:
    """Hold the new price of a subscription, None where it stays, against the old one.

    Raises:
        Conflict: it is of several prices: which one is meant, nobody said.
        InvalidInput: the currency differs, or the period does and it is to change at its end.
    """
    if present.more_prices:
        raise Conflict(
            "The subscription is of several prices; it cannot be changed here.",
            hint="Change it at the payment provider.",
        )
    if product is None:
        return
    each_period(product)
    if product.currency != present.currency:
        raise InvalidInput(f"{product.id} is in {product.currency}, not {present.currency}.")
    if when == "period_end" and product.every != present.every:
        raise InvalidInput(
            "Another period cannot begin at the end of this one.",
            hint="Change it now, or cancel at the period's end and create a new one.",
        )


def cost_after(present: Subscription, product: Product | None, quantity: int | None) -> int:
    """Give what a subscription costs each period with that price and quantity, in minor units.

    None leaves them; of several prices all are counted.
    """
    if product is None and quantity is None:
        return present.amount_minor
    count = present.quantity if quantity is None else quantity
    if product is None:
        return present.amount_minor // max(1, present.quantity) * count
    return each_period(product) * count
