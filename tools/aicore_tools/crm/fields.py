"""What fields each type has, and how their values are normalised."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, get_args

from aicore_tools.crm.records import RecordType
from aicore_tools.errors import InvalidInput

__all__ = [
    "KEY_FIELDS",
    "KINDS",
    "SYSTEM_FIELDS",
    "TYPES",
    "Field",
    "Kind",
    "nearest",
    "normal_email",
    "normal_phone",
    "normalise",
]

Kind = Literal[
    "text", "email", "phone", "domain", "integer", "number", "date", "time", "choice", "flag"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_TEXT_CHARS = 20_000
MAX_SHOWN_CHOICES = 40
_EMAIL = re.compile(r"[^\s@<>(),;:\"\\\[\]]+@[^\s@<>(),;:\"\\\[\].]+(\.[^\s@<>(),;:\"\\\[\].]+)+")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its kind, and the values it may have where the kind is `choice`.

    `source` and `source_type` are the vendor's name and type of it. A field that `is_read_only`
    can be read and looked for, not written.
    """

    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    source: str = ""
    source_type: str = ""
    is_read_only: bool = False


_TEXT = Field()
_CHOICE_CHANNEL = Field("choice", ("web", "phone", "mail", "whatsapp", "sms", "visit", "other"))
_SHARED: Mapping[str, Field] = {"owner": _TEXT, "external_id": _TEXT}
_PLACE: Mapping[str, Field] = {
    "address": _TEXT,
    "city": _TEXT,
    "postcode": _TEXT,
    "country": _TEXT,
}

TYPES: Mapping[RecordType, Mapping[str, Field]] = {
    "contact": {
        "name": _TEXT,
        "email": Field("email"),
        "phone": Field("phone"),
        "company": _TEXT,
        "title": _TEXT,
        "status": Field("choice", ("lead", "customer", "former", "other")),
        "source": _CHOICE_CHANNEL,
        "language": _TEXT,
        "birthday": Field("date"),
        "remarks": _TEXT,
        **_PLACE,
        **_SHARED,
    },
    "company": {
        "name": _TEXT,
        "domain": Field("domain"),
        "email": Field("email"),
        "phone": Field("phone"),
        "industry": _TEXT,
        "status": Field("choice", ("lead", "customer", "former", "supplier", "other")),
        "remarks": _TEXT,
        **_PLACE,
        **_SHARED,
    },
    "deal": {
        "name": _TEXT,
        "stage": Field("choice", ("new", "qualified", "proposal", "won", "lost")),
        "amount_minor": Field("integer"),
        "currency": _TEXT,
        "close_date": Field("date"),
        "source": _CHOICE_CHANNEL,
        "remarks": _TEXT,
        **_SHARED,
    },
    "ticket": {
        "subject": _TEXT,
        "description": _TEXT,
        "status": Field("choice", ("open", "waiting", "closed")),
        "priority": Field("choice", ("low", "normal", "high", "urgent")),
        "channel": _CHOICE_CHANNEL,
        "due": Field("time"),
        **_SHARED,
    },
    "product": {
        "name": _TEXT,
        "sku": _TEXT,
        "description": _TEXT,
        "price_minor": Field("integer"),
        "currency": _TEXT,
        "is_active": Field("flag"),
        "external_id": _TEXT,
    },
    "task": {
        "text": _TEXT,
        "due": Field("time"),
        "is_done": Field("flag"),
        "done_at": Field("time"),
        **_SHARED,
    },
    "note": {
        "text": _TEXT,
        "kind": Field("choice", ("note", "call", "meeting", "email")),
        "at": Field("time"),
        **_SHARED,
    },
}

KEY_FIELDS: Mapping[RecordType, tuple[str, ...]] = {
    "contact": ("external_id", "email", "phone"),
    "company": ("external_id", "domain", "email", "phone"),
    "deal": ("external_id",),
    "ticket": ("external_id",),
    "product": ("external_id", "sku"),
    "task": ("external_id",),
    "note": ("external_id",),
}
"""Which fields name a record, the strongest first. Families share a phone: it is the weakest."""

SYSTEM_FIELDS: Mapping[str, Field] = {"created": Field("time"), "updated": Field("time")}


def nearest(name: str, known: Iterable[str]) -> str:
    """Give ` Did you mean …?` with the closest known name, or nothing."""
    words = list(known)
    close = difflib.get_close_matches(name.lower(), words, n=1, cutoff=0.5)
    if not close:
        parts = set(name.lower().split("_"))
        close = [word for word in words if parts & set(word.split("_"))][:1]
    return f" Did you mean {close[0]!r}?" if close else ""


def normalise(name: str, field: Field, value: Any, *, zone: tzinfo = UTC) -> Any:
    """Turn a JSON value into the one form that is stored and compared; None clears.

    A time without an offset is taken in `zone`; all times come out in UTC.

    Raises:
        InvalidInput: the value does not fit the field.
    """
    if value is None or value == "":
        return None
    if field.kind in ("integer", "number", "flag"):
        return _normal_number(name, field.kind, value)
    if not isinstance(value, str):
        if field.kind != "text" or not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidInput(f"{name}: give a string, not {value!r}.")
        value = str(value)
    # Neither NUL nor half a surrogate pair can be stored or sent.
    text = value.replace("\0", "").encode(errors="replace").decode().strip()
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput(f"{name}: at most {MAX_TEXT_CHARS} characters, not {len(text)}.")
    return _normal_text(name, field, text, zone)


def _normal_text(name: str, field: Field, text: str, zone: tzinfo) -> str | None:
    if field.kind == "email":
        return normal_email(text)
    if field.kind == "phone":
        return normal_phone(text)
    if field.kind == "domain":
        domain = re.sub(r"^(https?://)?(www\.)?", "", text.lower()).split("/")[0]
        if not _DOMAIN.fullmatch(domain):
            raise InvalidInput(f"{name}: {text!r} is no domain, such as example.com.")
        return domain
    if field.kind == "choice":
        return _normal_choice(name, field, text)
    if field.kind in ("date", "time"):
        return _normal_time(name, field.kind, text, zone)
    if name == "currency":
        if not _CURRENCY.fullmatch(text.upper()):
            raise InvalidInput(f"{name}: {text!r} is no ISO 4217 code, such as EUR.")
        return text.upper()
    return text or None


def _normal_choice(name: str, field: Field, text: str) -> str:
    for choice in field.choices:
        if choice.casefold() == text.casefold():
            return choice
    shown = ", ".join(field.choices[:MAX_SHOWN_CHOICES])
    raise InvalidInput(
        f"{name}: {text!r} is none of its values.{nearest(text, field.choices)}",
        hint=f"Its values: {shown}{', …' if len(field.choices) > MAX_SHOWN_CHOICES else ''}.",
    )


def _normal_number(name: str, kind: Kind, value: Any) -> int | float | bool:
    if kind == "flag":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InvalidInput(f"{name}: give true or false, not {value!r}.")
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) < 1e15 or (kind == "integer" and not number.is_integer()):
        wanted = "a whole number" if kind == "integer" else "a number"
        raise InvalidInput(f"{name}: give {wanted}, not {value!r}.")
    return int(number) if number.is_integer() else number


def _normal_time(name: str, kind: Kind, text: str, zone: tzinfo) -> str:
    try:
        if kind == "date":
            return datetime.fromisoformat(text).date().isoformat()
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        example = "2026-03-01" if kind == "date" else "2026-03-01T09:00:00+01:00"
        raise InvalidInput(f"{name}: {text!r} is no {kind}, such as {example}.") from error


def normal_email(text: str) -> str:
    """Give the address in lower case, without a display name.

    Raises:
        InvalidInput: it is no address.
    """
    address = text.strip().lower().removeprefix("mailto:")
    if not _EMAIL.fullmatch(address) or len(address) > 254:
        raise InvalidInput(f"{text!r} is no e-mail address.")
    return address


def normal_phone(text: str) -> str:
    """Give digits only, with a leading + where the number is international (`00` counts as +).

    No country is guessed: a national number matches only itself.

    Raises:
        InvalidInput: it holds letters, or fewer than 5 or more than 15 digits.
    """
    compact = re.sub(r"[\s()./\-\u2010-\u2015\u00a0]", "", text.strip().removeprefix("tel:"))
    if compact.startswith("00"):
        compact = "+" + compact[2:]
    if not re.fullmatch(r"\+?[0-9]{5,15}", compact):
        raise InvalidInput(f"{text!r} is no phone number, such as +49 30 1234567.")
    return compact
