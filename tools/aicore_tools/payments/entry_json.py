"""Entries as plain JSON and back: how a backend keeps what an effect gave."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aicore_tools.payments.records import (
    Customer,
    Dispute,
    Entry,
    EntryId,
    Invoice,
    Line,
    Link,
    Payment,
    Payout,
    Product,
    Refund,
    State,
    Subscription,
)

__all__ = [
    "entry_from_json",
    "entry_to_json",
    "lines_of",
    "lines_to_json",
    "moment_of",
    "state_of",
]

_KINDS: dict[str, type[Entry]] = {
    "customer": Customer,
    "product": Product,
    "link": Link,
    "invoice": Invoice,
    "payment": Payment,
    "refund": Refund,
    "subscription": Subscription,
    "dispute": Dispute,
    "payout": Payout,
}
_MOMENTS = ("created", "expires", "due", "period_end", "cancel_at", "arrives")


def lines_to_json(lines: tuple[Line, ...]) -> list[dict[str, Any]]:
    """Give lines as plain JSON."""
    return [
        {
            "description": line.description,
            "amount_minor": line.amount_minor,
            "quantity": line.quantity,
            "price": line.price,
        }
        for line in lines
    ]


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Give plain JSON for the result of an effect."""
    kind = next(name for name, record in _KINDS.items() if isinstance(entry, record))
    body: dict[str, Any] = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    for name in _MOMENTS:
        if body.get(name) is not None:
            body[name] = int(body[name].timestamp())
    if "lines" in body:
        body["lines"] = lines_to_json(body["lines"])
    if "history" in body:
        body["history"] = [
            {"status": state.status, "at_s": int(state.at.timestamp()), "by": state.by}
            for state in body["history"]
        ]
    return {"kind": kind, **body}


def entry_from_json(stored: Mapping[str, Any]) -> Entry:
    """Undo `entry_to_json`."""
    body = dict(stored)
    record = _KINDS[body.pop("kind")]
    for name in _MOMENTS:
        if body.get(name) is not None:
            body[name] = moment_of(body[name])
    if "lines" in body:
        body["lines"] = lines_of(body["lines"])
    if "more_prices" in body:
        body["more_prices"] = tuple(body["more_prices"])
    if "history" in body:
        body["history"] = tuple(state_of(state) for state in body["history"])
    return record(**body)


def lines_of(stored: list[dict[str, Any]]) -> tuple[Line, ...]:
    """Undo `lines_to_json`."""
    return tuple(
        Line(
            description=line["description"],
            amount_minor=line["amount_minor"],
            quantity=line["quantity"],
            price=EntryId(line["price"]) if line["price"] else None,
        )
        for line in stored
    )


def state_of(row: Mapping[str, Any] | sqlite3.Row) -> State:
    """Read a step from what has `status`, `at_s` and `by`."""
    return State(status=row["status"], at=moment_of(row["at_s"]), by=row["by"])


def moment_of(epoch_s: int) -> datetime:
    """Give the moment, in UTC."""
    return datetime.fromtimestamp(epoch_s, UTC)
