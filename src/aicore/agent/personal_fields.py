"""Fields that hold personal values by their names: a log does not keep what servers label.

Names are told whatever their form is: `customer_name`, `customerName` and `Customer Name` are one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aicore.trust.labelled import labelled_values

__all__ = ["numbers_as_text", "personal_values", "read_json"]

_NAMES: Mapping[str, str] = {
    "NAME": "name fullname firstname lastname middlename surname givenname familyname maidenname "
    "nickname displayname customername clientname patientname guestname contactname username "
    "nachname vorname nom prenom nombre apellido apellidos",
    "EMAIL": "email mail emailaddress mailaddress customeremail contactemail",
    "PHONE": "phone phonenumber mobile mobilephone cell cellphone tel telephone telefon fax "
    "customerphone contactphone",
    "ADDRESS": "address street streetaddress addressline1 addressline2 line1 line2 city town "
    "postcode postalcode zip zipcode plz",
    "BIRTHDAY": "birthday birthdate dateofbirth dob",
    "ID": "ssn taxid iban accountnumber passportnumber insurancenumber policynumber",
    "PARTY": "from to cc bcc attendees participants organizer organiser",
}
_FIELDS: Mapping[str, str] = {
    name: kind for kind, names in _NAMES.items() for name in names.split()
}
_ROLES = frozenset(
    {"customer", "client", "patient", "guest", "contact", "person", "attendee", "recipient"}
)
"""What a text under one of these is; a record there has fields of its own."""

_WHOLE: frozenset[str] = frozenset({"NAME", "ADDRESS", "PARTY"})
"""Kinds that a record may spell out part by part: whatever it holds is of the kind."""

_FENCE = re.compile(r'\A<data from="[^"]*">\n(.*)\n</data>\Z', re.DOTALL)


def personal_values(value: Any, kind: str = "") -> Iterator[tuple[str, str]]:
    """Give (kind, value) of all that stands in such fields, at any depth of a JSON value."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from personal_values(one, _kind_of(str(key), one, kind))
    elif isinstance(value, str):
        if kind:
            yield from labelled_values({kind: value}, {kind: kind})
    elif isinstance(value, Sequence):
        for one in value:
            yield from personal_values(one, kind)
    elif kind and _is_number(value):
        yield kind, str(value)


def numbers_as_text(value: Any, kind: str = "") -> Any:
    """The same with the numbers of such fields as texts, which can be masked."""
    if isinstance(value, Mapping):
        return {
            key: numbers_as_text(one, _kind_of(str(key), one, kind)) for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [numbers_as_text(one, kind) for one in value]
    return str(value) if kind and _is_number(value) else value


def read_json(text: str) -> Any:
    """What a text is as JSON, fenced or not; None for other texts."""
    fenced = _FENCE.match(text)
    inner = fenced[1] if fenced else text
    if not inner.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(inner)
    except (ValueError, RecursionError):  # no JSON, or nested without end
        return None


def _kind_of(key: str, value: Any, around: str) -> str:
    plain = "".join(char for char in key.casefold() if char.isalnum())
    if plain in _FIELDS:
        return _FIELDS[plain]
    if plain in _ROLES and not isinstance(value, Mapping):
        return "NAME"
    return around if around in _WHOLE else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
