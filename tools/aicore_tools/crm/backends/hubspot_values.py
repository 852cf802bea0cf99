"""Values of ours as HubSpot's properties, which are all strings, and back."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from aicore_tools.crm.backends.hubspot_money import in_currency
from aicore_tools.crm.backends.hubspot_shapes import Bound, Shape
from aicore_tools.crm.records import Owner, Record

__all__ = [
    "Owners",
    "decoded",
    "encoded",
    "instant",
    "is_same",
    "milliseconds",
    "read_as",
    "record_of",
    "sought",
    "title_of",
]

MAX_SUBJECT_CHARS = 200
_BREAK = re.compile(r"<br\s*/?>|</p>\s*<p[^>]*>|</div>\s*<div[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")


class Owners:
    """The people of an account: HubSpot names them by id, we by e-mail where there is one."""

    def __init__(self, owners: tuple[Owner, ...] = ()) -> None:
        self.all = owners
        self._by_email = {owner.email.casefold(): owner.id for owner in owners if owner.email}
        self._by_id = {owner.id: owner.email for owner in owners if owner.email}

    def id_of(self, text: str) -> str:
        """Give the id of somebody named by e-mail or id."""
        return self._by_email.get(text.casefold(), text)

    def name_of(self, owner_id: str) -> str:
        """Give the e-mail of an id, or the id."""
        return self._by_id.get(owner_id, owner_id)


def encoded(bound: Bound, value: Any, owners: Owners) -> dict[str, str]:
    """Give the properties of one value; None clears them."""
    first = bound.properties[0]
    if bound.coding == "person":
        given, _, family = str(value or "").rpartition(" ")
        return dict(zip(bound.properties, (given or family, family if given else ""), strict=False))
    if bound.coding == "task":
        text = str(value or "")
        subject = text.split("\n", 1)[0][:MAX_SUBJECT_CHARS]
        return {first: subject, "hs_task_body": "" if subject == text else _as_html(text)}
    return {first: "" if value is None else sought(bound, value, owners)}


def sought(bound: Bound, value: Any, owners: Owners) -> str:
    """Give one value as HubSpot compares and stores it."""
    match bound.coding:
        case "minor":
            return str(Decimal(int(value)).scaleb(-bound.decimals))
        case "html":
            return _as_html(str(value))
        case "date":
            return f"{value}T00:00:00Z"
        case "time":
            return str(value).replace("+00:00", "Z")
        case "flag":
            return "true" if value else "false"
        case "done":
            return "COMPLETED" if value else "NOT_STARTED"
        case "owner":
            return owners.id_of(str(value))
        case "choice":
            return bound.choices.get(str(value), str(value))
    return str(value)


def decoded(bound: Bound, properties: Mapping[str, str | None], owners: Owners) -> Any:
    """Give the value that a field has, or None."""
    if bound.coding == "person":
        parts = [properties.get(name) or "" for name in bound.properties]
        return " ".join(part for part in parts if part) or None
    if bound.coding == "task" and properties.get("hs_task_body"):
        return _as_text(str(properties["hs_task_body"]))
    raw = properties.get(bound.properties[0])
    if raw is None or raw == "":
        return None
    return _decoded(bound, raw, owners)


def _decoded(bound: Bound, raw: str, owners: Owners) -> Any:
    match bound.coding:
        case "minor":
            return _number(str(_decimal(raw).scaleb(bound.decimals)))
        case "html":
            return _as_text(raw) or None
        case "date":
            return instant(raw).date().isoformat()
        case "time":
            return instant(raw).isoformat(timespec="seconds")
        case "flag":
            return raw.lower() == "true"
        case "done":
            return raw == "COMPLETED"
        case "owner":
            return owners.name_of(raw)
        case "choice":
            return next((ours for ours, theirs in bound.choices.items() if theirs == raw), raw)
    if bound.field.kind in ("integer", "number"):
        return _number(raw)
    return raw


def is_same(shape: Shape, name: str, a: str | None, b: str | None) -> bool:
    """Say whether a property means the same twice; HubSpot writes some values its own way."""
    if (a or "") == (b or ""):
        return True
    for bound in shape.fields.values():
        if bound.properties == (name,) and bound.coding != "task":
            return bool(decoded(bound, {name: a}, Owners()) == decoded(bound, {name: b}, Owners()))
    return False


def read_as(shape: Shape, properties: Mapping[str, str | None]) -> Shape:
    """Give the shape that one record is read by: its amounts are in its currency."""
    bound = shape.fields.get("currency")
    return shape if bound is None else in_currency(shape, decoded(bound, properties, Owners()))


def record_of(shape: Shape, found: Any, owners: Owners, **related: Any) -> Record:
    """Read one of the SDK's objects."""
    fields = {}
    for name, bound in read_as(shape, found.properties).fields.items():
        value = decoded(bound, found.properties, owners)
        if value is not None:
            fields[name] = value
    if shape.type == "note":
        fields["kind"] = shape.kind
    if not fields.get("is_done"):
        fields.pop("done_at", None)  # HubSpot may keep it when a task is opened again
    return Record(
        id=shape.our_id(found.id),
        type=shape.type,
        fields=fields,
        created=found.created_at.astimezone(UTC),
        updated=found.updated_at.astimezone(UTC),
        **related,
    )


def title_of(shape: Shape, properties: Mapping[str, str | None]) -> str:
    """Give how a record is called."""
    if shape.type == "contact":
        name = " ".join(properties.get(each) or "" for each in ("firstname", "lastname")).strip()
        return name or str(properties.get("email") or "")
    return next((str(properties[name]) for name in shape.title if properties.get(name)), "")


def instant(raw: str) -> datetime:
    """Read a time as HubSpot gives it: RFC 3339, a date, or milliseconds since 1970."""
    if raw.lstrip("-").isdigit():
        return datetime.fromtimestamp(int(raw) / 1000, UTC)
    moment = datetime.fromisoformat(raw)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds(value: str) -> str:
    """Give a date or time of ours as HubSpot's search compares it."""
    if len(value) == len("2026-03-01"):
        day = date.fromisoformat(value)
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    else:
        moment = instant(value)
    return str(round(moment.timestamp() * 1000))


def _decimal(raw: str) -> Decimal:
    try:
        return Decimal(raw)
    except InvalidOperation:
        return Decimal(0)


def _number(raw: str) -> int | float | str:
    try:
        number = float(raw)
    except ValueError:
        return raw
    return int(number) if number.is_integer() else number


def _as_html(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")


def _as_text(markup: str) -> str:
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", markup))).strip()
