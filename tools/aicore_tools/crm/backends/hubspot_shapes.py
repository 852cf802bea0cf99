"""The map between our types and HubSpot's objects, checked against the account's schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aicore_tools.crm.backends.hubspot_defaults import FULL_NAME, Default
from aicore_tools.crm.catalogue import STANDARD, Catalogue
from aicore_tools.crm.fields import Field, Kind, nearest
from aicore_tools.crm.mapping import FieldRule, TypeRule
from aicore_tools.crm.records import LogKind, RecordId, RecordType
from aicore_tools.errors import BackendConfigError

__all__ = ["Bound", "Coding", "Shape", "Shapes", "bind"]

Coding = Literal[
    "plain", "person", "minor", "html", "task", "date", "time", "flag", "done", "owner", "choice"
]

_KIND_OF: Mapping[str, Kind] = {
    "string": "text",
    "number": "number",
    "date": "date",
    "datetime": "time",
    "bool": "flag",
    "phone_number": "phone",
    "enumeration": "choice",
}
_FITS: Mapping[Kind, tuple[str, ...]] = {
    "integer": ("number", "string"),
    "number": ("number", "string"),
    "date": ("date", "datetime", "string"),
    "time": ("datetime", "string"),
    "flag": ("bool", "enumeration"),
    "choice": ("enumeration", "string", "bool"),
    "email": ("string",),
    "phone": ("string", "phone_number"),
    "domain": ("string",),
}
MAX_ID_DIGITS = 19  # what fits 64 bits
_DECLARABLE = (None, "note", "task")
_KEY_NAMES = ("external_id", "email", "domain", "phone", "sku")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One field of ours and the properties it is in.

    `search` is the property to look for and sort by, empty where there is none. `choices` are
    our values and the vendor's. `decimals` is where minor units end.
    """

    name: str
    field: Field
    properties: tuple[str, ...]
    search: str
    coding: Coding
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    decimals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One HubSpot object as one type of ours. Ids of calls, meetings and mails say so: `call-7`.

    `group` is where a property of ours would be filed. `unique` are properties without two alike.
    """

    type: RecordType
    object: str
    fields: Mapping[str, Bound]
    title: tuple[str, ...]
    created: str
    updated: str
    kind: LogKind | None = None
    written: Mapping[str, str] = dataclasses.field(default_factory=dict)
    group: str = ""
    unique: frozenset[str] = frozenset()
    unmapped: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What an id of this shape begins with."""
        return f"{self.kind}-" if self.kind in ("call", "meeting", "email") else ""

    def our_id(self, vendor_id: str) -> RecordId:
        """Give our id of a HubSpot id."""
        return RecordId(self.prefix + str(vendor_id))

    def properties(self) -> list[str]:
        """Give every property a record of ours is read from."""
        names = [name for bound in self.fields.values() for name in bound.properties]
        names += [*self.title, self.created, self.updated, "hs_object_id"]
        if self.type == "task":
            names.append("hs_task_body")
        return list(dict.fromkeys(names))


class Shapes:
    """Every shape of an account, and the catalogue they make."""

    def __init__(self, shapes: Sequence[Shape], keys: Mapping[RecordType, Sequence[str]]) -> None:
        self._by_type: dict[RecordType, list[Shape]] = {}
        for shape in shapes:
            self._by_type.setdefault(shape.type, []).append(shape)
        types = {name: _fields(each) for name, each in self._by_type.items()}
        self.catalogue = Catalogue(
            types=types,
            keys={
                name: tuple(key for key in keys.get(name, _KEY_NAMES) if key in types[name])
                for name in types
            },
        )

    def __iter__(self) -> Iterator[Shape]:
        for shapes in self._by_type.values():
            yield from shapes

    def of(self, record_type: RecordType) -> Sequence[Shape]:
        """Give the shapes of a type: one, but for notes.

        Raises:
            BackendConfigError: the account or its token lacks that type.
        """
        found = self._by_type.get(record_type)
        if not found:
            raise BackendConfigError(
                f"This HubSpot connection has no {record_type} records.",
                hint="Add the scope for them to the app in HubSpot.",
            )
        return found

    def place(self, record_type: RecordType, record_id: str) -> tuple[Shape, str] | None:
        """Give the shape and HubSpot's id, or None where it cannot be an id of ours."""
        for shape in reversed(self._by_type.get(record_type, ())):
            bare = record_id.removeprefix(shape.prefix)
            is_number = bare.isascii() and bare.isdigit() and len(bare) < MAX_ID_DIGITS
            if record_id.startswith(shape.prefix) and is_number:
                return shape, bare
        return None

    def of_kind(self, kind: LogKind) -> Shape:
        """Give the shape that a kind of log entry is kept in."""
        for shape in self:
            if shape.kind == kind:
                return shape
        raise BackendConfigError(
            f"This HubSpot connection cannot log: {kind}.",
            hint="Add the scope for it to the app in HubSpot.",
        )

    def activities(self) -> list[Shape]:
        """Give the shapes of notes and tasks."""
        return [shape for shape in self if shape.kind is not None]

    def linked(self) -> list[Shape]:
        """Give the shapes that records are linked to."""
        return [shape for shape in self if shape.kind is None and shape.type != "product"]


def _fields(shapes: Sequence[Shape]) -> dict[str, Field]:
    fields = {name: bound.field for shape in shapes for name, bound in shape.fields.items()}
    if shapes[0].type == "note":
        kinds = tuple(str(shape.kind) for shape in shapes)
        fields["kind"] = Field("choice", kinds, is_read_only=True)
    return fields


def bind(
    default: Default, schema: Sequence[Any], rule: TypeRule | None, problems: list[str]
) -> Shape:
    """Bind the fields of a type to the properties its object has; adds what does not fit.

    `schema` holds the SDK's `ModelProperty` of the object. A default property that the account
    lacks is left out; one that the mapping names must be there.
    """
    known = {each.name: each for each in schema}
    rules = dict(default.fields)
    declared = rule.fields if rule is not None and default.kind in _DECLARABLE else {}
    fields: dict[str, Bound] = {}
    for name, each in {**rules, **declared}.items():
        if not each.is_used:
            continue
        if name in declared and name in rules and not each.property:
            each = each.model_copy(update={"property": rules[name].property})
        bound = _bind(default, name, each, known, problems if name in declared else None)
        if bound is not None:
            fields[name] = bound
    used = {name for bound in fields.values() for name in bound.properties}
    title = tuple(name for name in default.title if name in known) or tuple(sorted(used))[:1]
    return Shape(
        type=default.type,
        object=default.object,
        kind=default.kind,
        fields=fields,
        title=title,
        created=default.created,
        updated=default.updated,
        written=default.written,
        group=next((known[name].group_name for name in title), ""),
        unique=frozenset(name for name, each in known.items() if each.has_unique_value),
        unmapped=tuple(
            sorted(name for name, each in known.items() if name not in used and not each.hidden)
        ),
    )


def _bind(
    default: Default,
    name: str,
    rule: FieldRule,
    known: Mapping[str, Any],
    problems: list[str] | None,
) -> Bound | None:
    """Bind one field. `problems` is None for a default, which may simply not be there."""
    place = f"[{default.type}.fields] {name}"
    properties = tuple(rule.property.split("+"))
    missing = [each for each in properties if each not in known]
    if missing:
        if problems is not None:
            problems.append(
                f"{place}: HubSpot's {default.object} have no property"
                f" {missing[0]!r}.{nearest(missing[0], known)}"
            )
        return None
    vendor = known[properties[0]]
    kind = _kind(default.type, name, rule, vendor)
    is_read_only = rule.read_only or _is_read_only(vendor)
    if problems is not None:
        problems += _misfits(place, rule, vendor, kind)
    choices = _choices(rule, vendor) if kind == "choice" else {}
    if kind == "choice" and not choices:
        kind = "text"
    search = properties[0] if len(properties) == 1 else FULL_NAME if FULL_NAME in known else ""
    return Bound(
        name=name,
        field=Field(
            kind,
            tuple(choices),
            source="+".join(properties),
            source_type=str(vendor.type),
            is_read_only=is_read_only,
        ),
        properties=properties,
        search=search,
        coding=_coding(default, name, rule, vendor, kind),
        choices=choices,
        decimals=rule.decimals or 0,
    )


def _kind(record_type: RecordType, name: str, rule: FieldRule, vendor: Any) -> Kind:
    if rule.choices:
        return "choice"
    if rule.kind is not None:
        return rule.kind
    by_vendor = _KIND_OF.get(vendor.type, "text")
    standard = STANDARD.types.get(record_type, {}).get(name)
    if standard is None or standard.kind in ("choice", "text") or by_vendor == "choice":
        return by_vendor
    return standard.kind if vendor.type in _FITS.get(standard.kind, ()) else by_vendor


def _is_read_only(vendor: Any) -> bool:
    modification = vendor.modification_metadata
    return bool(vendor.calculated or (modification and modification.read_only_value))


def _misfits(place: str, rule: FieldRule, vendor: Any, kind: Kind) -> list[str]:
    problems = []
    if vendor.type not in _FITS.get(kind, (vendor.type,)):
        problems.append(
            f"{place}: {vendor.name!r} is of type {vendor.type} in HubSpot, which cannot hold"
            f" {kind}; it can hold {_KIND_OF.get(vendor.type, 'text')}"
        )
    if _is_read_only(vendor) and not rule.read_only:
        problems.append(
            f"{place}: {vendor.name!r} is read-only in HubSpot; say read_only = true to read it"
        )
    options = [option.value for option in vendor.options or ()]
    return problems + [
        f"{place}: {vendor.name!r} has no option {value!r}.{nearest(value, options)}"
        for value in rule.choices.values()
        if options and value not in options
    ]


def _choices(rule: FieldRule, vendor: Any) -> Mapping[str, str]:
    if rule.choices:
        return rule.choices
    if vendor.external_options:
        return {}
    return {option.value: option.value for option in vendor.options or () if not option.hidden}


def _coding(default: Default, name: str, rule: FieldRule, vendor: Any, kind: Kind) -> Coding:
    if "+" in rule.property:
        return "person"
    if vendor.name == "hubspot_owner_id":
        return "owner"
    if default.type == "task" and vendor.name == "hs_task_subject":
        return "task"
    if vendor.name == "hs_task_status" and kind == "flag":
        return "done"
    if rule.decimals is not None:
        return "minor"
    if vendor.field_type == "html":
        return "html"
    by_kind: Mapping[Kind, Coding] = {"time": "time", "flag": "flag", "choice": "choice"}
    if kind == "date":
        return "date" if vendor.type == "datetime" else "plain"
    return by_kind.get(kind, "plain")
