"""What callers give, and what of it can be read: everything here is checked before it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aicore_tools.errors import InvalidInput
from aicore_tools.payments.records import Every, GroupBy, Kind, ReportKind, When

__all__ = [
    "MAX_QUANTITY",
    "Bill",
    "FindAsked",
    "LineGiven",
    "ProductGiven",
    "RefundGiven",
    "ReportAsked",
    "SubscriptionAction",
    "SubscriptionGiven",
    "checked_customer",
    "checked_email",
    "checked_metadata",
    "checked_quantity",
    "checked_text",
    "checked_unit",
]

MAX_QUANTITY = 10_000
MAX_UNIT_MINOR = 10**12
MAX_METADATA = 20
_EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\".]+(\.[^\s@,;<>\".]+)+\Z")

SubscriptionAction = Literal["create", "change", "cancel", "resume"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundGiven:
    """A refund as a caller gives it: of a payment, or of the invoice or link that it paid.

    Without an amount all that is left goes back.
    """

    payment: str
    amount_minor: int | None = None
    reason: str = ""
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionGiven:
    """What is to be done with a subscription, as a caller gives it."""

    action: SubscriptionAction
    id: str | None = None
    customer: str | None = None
    price: str | None = None
    quantity: int | None = None
    when: When = "now"
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAsked:
    """A report as a caller asks for it."""

    kind: ReportKind
    after: str | None = None
    before: str | None = None
    group_by: GroupBy | None = None


def checked_quantity(quantity: int) -> int:
    """Give the quantity.

    Raises:
        InvalidInput: it is none or too many.
    """
    if not 1 <= quantity <= MAX_QUANTITY:
        raise InvalidInput(f"quantity: give 1 to {MAX_QUANTITY}, not {quantity}.")
    return quantity


def checked_unit(amount_minor: int) -> int:
    """Give the amount of one thing.

    Raises:
        InvalidInput: it is negative or beyond all sense.
    """
    if not 0 <= amount_minor <= MAX_UNIT_MINOR:
        raise InvalidInput("amount: give a positive whole number of minor units, such as cents.")
    return amount_minor


def checked_customer(given: str) -> str:
    """Give an id, or an e-mail address in lower case.

    Raises:
        InvalidInput: it is no address.
    """
    return checked_email(given) if "@" in given else given.strip()


def checked_email(given: str) -> str:
    """Give an e-mail address in lower case.

    Raises:
        InvalidInput: it is none.
    """
    email = given.strip().lower()
    if len(email) > 254 or not _EMAIL.match(email):
        raise InvalidInput(f"{given[:80]!r} is no e-mail address.")
    return checked_text(email, "email", 254)


def checked_text(given: object, name: str, most: int, *, required: bool = False) -> str:
    """Give a text without the space around it.

    Raises:
        InvalidInput: it is no text, too long, cannot be stored, or empty where it is required.
    """
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


def checked_metadata(given: object) -> dict[str, str | None]:
    """Give texts by name; None takes one out.

    Raises:
        InvalidInput: it is no such object, or too much.
    """
    if not isinstance(given, Mapping) or len(given) > MAX_METADATA:
        raise InvalidInput(f"metadata: give an object of {MAX_METADATA} texts at most.")
    return {
        checked_text(key, "metadata", 40, required=True): None
        if value is None
        else checked_text(value, f"metadata.{key}"[:60], 500)
        for key, value in given.items()
    }
