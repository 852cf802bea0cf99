"""What the HubSpot sandbox holds, and the rules by which it changes. Made by us."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aicore_servers.sandbox.hubspot_schema import (
    ALIASES,
    LABEL_TYPES,
    OBJECTS,
    OWNERS,
    PIPELINES,
    SCHEMAS,
)

__all__ = ["Refused", "Store", "Stored", "stamp"]


class Refused(Exception):
    """The sandbox answers with an error: `status`, and a body as HubSpot words them."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        context: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {
            "status": "error",
            "message": message,
            "correlationId": "00000000-0000-4000-8000-000000000000",
            "category": category,
        }
        if errors:
            self.body["errors"] = list(errors)
        if context:
            self.body["context"] = dict(context)


@dataclass(slots=True)
class Stored:
    """One object. `merged_into` is the id of the one that took it in."""

    id: str
    object_type: str
    created: str
    updated: str
    properties: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    archived_at: str | None = None
    merged_into: str | None = None


def stamp(moment: datetime) -> str:
    """Give a time as the wire has it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_UPDATED = {"contacts": "lastmodifieddate"}
_CREATED = ("contacts", "companies", "deals", "tickets", "products")


class Store:
    """All objects, properties, labels and associations of the one account."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.objects: dict[str, dict[str, Stored]] = {name: {} for name in OBJECTS}
        self.properties = {
            name: {each: copy.deepcopy(spec) for each, spec in specs.items()}
            for name, specs in OBJECTS.items()
        }
        self.labels: dict[tuple[str, str], list[dict[str, Any]]] = {
            pair: [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": None}]
            for pair, number in LABEL_TYPES.items()
        }
        self.associations: dict[tuple[str, str], dict[tuple[str, str], set[int]]] = {}
        self.pipelines = copy.deepcopy(dict(PIPELINES))
        self.owners = copy.deepcopy(OWNERS)
        self.schemas = copy.deepcopy(SCHEMAS)
        self.requests: dict[str, int] = {}
        self._next_id = 1000
        self._next_label = 9000
        self._unique: dict[tuple[str, str, str], str] = {}
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Give the present time; never the same twice."""
        self._clock = max(datetime.now(UTC), self._clock + timedelta(milliseconds=1))
        return self._clock

    def object_type(self, name: str) -> str:
        """Give the object of a name, plural, singular or type id."""
        found = ALIASES.get(name)
        if found is None:
            raise Refused(400, "VALIDATION_ERROR", f"Unable to infer object type from: {name}")
        return found

    def live(self, object_type: str) -> list[Stored]:
        """Give the objects that are not archived."""
        return [each for each in self.objects[object_type].values() if each.archived_at is None]

    def find(self, object_type: str, wanted: str, id_property: str | None = None) -> Stored | None:
        """Give a live object by its id, or by a property with unique values."""
        if id_property in (None, "hs_object_id"):
            found = self.objects[object_type].get(wanted)
        else:
            known = self.properties[object_type].get(str(id_property))
            if known is None or not known["hasUniqueValue"]:
                raise Refused(400, "VALIDATION_ERROR", f"{id_property} is not a unique property.")
            owner = self._unique.get((object_type, str(id_property), wanted.strip().lower()))
            found = None if owner is None else self.objects[object_type].get(owner)
        return found if found is not None and found.archived_at is None else None

    def survivor(self, object_type: str, wanted: str) -> Stored | None:
        """Give a live object by its id or by one that was merged into it."""
        found = self.objects[object_type].get(wanted)
        while found is not None and found.merged_into is not None:
            found = self.objects[object_type].get(found.merged_into)
        return found if found is not None and found.archived_at is None else None

    def create(self, object_type: str, properties: Mapping[str, str]) -> Stored:
        """Create an object.

        Raises:
            Refused: 400 for a bad property, 409 where a unique value is taken.
        """
        checked = self.checked(object_type, properties)
        self._refuse_taken(object_type, checked, None)
        self._next_id += 1
        at = stamp(self.now())
        made = Stored(str(self._next_id), object_type, at, at)
        self.objects[object_type][made.id] = made
        created = "createdate" if object_type in _CREATED else "hs_createdate"
        self._set(made, {"hs_object_id": made.id, created: at})
        self._change(made, checked, at)
        return made

    def update(self, stored: Stored, properties: Mapping[str, str]) -> None:
        """Set properties; an empty text clears one."""
        checked = self.checked(stored.object_type, properties)
        self._refuse_taken(stored.object_type, checked, stored)
        self._change(stored, checked, stamp(self.now()))

    def archive(self, stored: Stored) -> None:
        """Take an object out of sight; its unique values are free again."""
        stored.archived_at = stamp(self.now())
        for name, value in stored.properties.items():
            if self._owner_of(stored.object_type, name, value) == stored.id:
                del self._unique[(stored.object_type, name, value.lower())]
        for other in self.associations.pop((stored.object_type, stored.id), {}):
            self.associations[other].pop((stored.object_type, stored.id), None)

    def merge(self, object_type: str, primary: Stored, other: Stored) -> Stored:
        """Merge two into a third with an id of its own, as HubSpot does."""
        values = {
            name: value
            for name, value in {**other.properties, **primary.properties}.items()
            if value and not self._is_read_only(object_type, name)
        }
        ends = [
            (end, kinds)
            for each in (other, primary)
            for end, kinds in self.associations.get((object_type, each.id), {}).items()
        ]
        for each in (primary, other):
            self.archive(each)
        made = self.create(object_type, values)
        merged = [
            part
            for each in (primary, other)
            for part in (*each.properties.get("hs_merged_object_ids", "").split(";"), each.id)
            if part
        ]
        self._set(made, {"hs_merged_object_ids": ";".join(merged)})
        for each in (primary, other):
            each.merged_into = made.id
        for end, kinds in ends:
            if end[1] not in (primary.id, other.id):
                self.associate((object_type, made.id), end, kinds)
        return made

    def associate(self, a: tuple[str, str], b: tuple[str, str], kinds: set[int]) -> None:
        """Associate two objects, both ways, by the unlabelled type and `kinds`."""
        for one, two in ((a, b), (b, a)):
            default = self.labels[(one[0], two[0])][0]["typeId"]
            known = {each["typeId"] for each in self.labels[(one[0], two[0])]}
            here = {kind for kind in kinds if kind in known}
            self.associations.setdefault(one, {})[two] = {default, *here}

    def dissociate(self, a: tuple[str, str], b: tuple[str, str]) -> None:
        """Take an association away, if it is there."""
        self.associations.get(a, {}).pop(b, None)
        self.associations.get(b, {}).pop(a, None)

    def add_label(self, a: str, b: str, label: str) -> list[dict[str, Any]]:
        """Define a label between two objects."""
        self._next_label += 1
        made = {"category": "USER_DEFINED", "typeId": self._next_label, "label": label}
        for pair in dict.fromkeys(((a, b), (b, a))):
            self.labels[pair].append(made)
        return [made]

    def checked(self, object_type: str, properties: Mapping[str, str]) -> dict[str, str]:
        """Give the properties as they are stored, or refuse them all."""
        errors: list[dict[str, Any]] = []
        checked: dict[str, str] = {}
        for name, value in properties.items():
            spec = self.properties[object_type].get(name)
            if spec is None:
                errors.append(_invalid(name, "PROPERTY_DOESNT_EXIST"))
            elif spec["modificationMetadata"]["readOnlyValue"]:
                errors.append(_invalid(name, "READ_ONLY_VALUE"))
            else:
                try:
                    checked[name] = _stored_value(spec, str(value or ""))
                except ValueError:
                    errors.append(_invalid(name, f"INVALID_{spec['type'].upper()}"))
        if errors:
            raise Refused(
                400,
                "VALIDATION_ERROR",
                f"Property values were not valid: {[each['message'] for each in errors]}",
                errors=errors,
            )
        return checked

    def _refuse_taken(
        self, object_type: str, properties: Mapping[str, str], stored: Stored | None
    ) -> None:
        for name, value in properties.items():
            owner = self._owner_of(object_type, name, value)
            if owner is not None and (stored is None or owner != stored.id):
                what = "Contact" if object_type == "contacts" else "Object"
                raise Refused(
                    409,
                    "CONFLICT",
                    f"{what} already exists. Existing ID: {owner}",
                    context={"existingId": [owner]},
                )

    def _owner_of(self, object_type: str, name: str, value: str) -> str | None:
        spec = self.properties[object_type].get(name)
        if not value or spec is None or not spec["hasUniqueValue"]:
            return None
        return self._unique.get((object_type, name, value.lower()))

    def _is_read_only(self, object_type: str, name: str) -> bool:
        spec = self.properties[object_type].get(name)
        return spec is None or bool(spec["modificationMetadata"]["readOnlyValue"])

    def _change(self, stored: Stored, checked: Mapping[str, str], at: str) -> None:
        for name in checked:
            spec = self.properties[stored.object_type][name]
            if spec["hasUniqueValue"]:
                before = stored.properties.get(name, "")
                self._unique.pop((stored.object_type, name, before.lower()), None)
                if checked[name]:
                    self._unique[(stored.object_type, name, checked[name].lower())] = stored.id
        stored.updated = at
        self._set(stored, checked)
        done = {}
        if stored.object_type == "contacts":
            named = (stored.properties.get(name, "") for name in ("firstname", "lastname"))
            full = " ".join(part for part in named if part)
            done["hs_full_name_or_email"] = full or stored.properties.get("email", "")
        if checked.get("hs_task_status") == "COMPLETED":
            done["hs_task_completion_date"] = at
        self._set(stored, {**done, _UPDATED.get(stored.object_type, "hs_lastmodifieddate"): at})

    def _set(self, stored: Stored, properties: Mapping[str, str]) -> None:
        for name, value in properties.items():
            if stored.properties.get(name, "") != value:
                version = {
                    "value": value,
                    "timestamp": stored.updated,
                    "sourceType": "INTEGRATION",
                    "sourceId": "1",
                }
                stored.history.setdefault(name, []).insert(0, version)
            stored.properties[name] = value


def _invalid(name: str, code: str) -> dict[str, Any]:
    return {"message": f"{name}: {code}", "code": code, "context": {"propertyName": [name]}}


def _stored_value(spec: Mapping[str, Any], value: str) -> str:
    """Give a value as it is stored; ValueError where it does not fit the property's type."""
    if value == "":
        return ""
    if spec["name"] == "email":
        return value.strip().lower()
    if spec["type"] == "datetime":
        return _stored_time(value)
    if spec["type"] == "number":
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    if spec["type"] == "date":
        return datetime.fromisoformat(value).date().isoformat()
    known = [each["value"] for each in spec["options"]]
    if spec["type"] == "bool":
        known = ["true", "false"]
    if known and value not in known:
        raise ValueError(value)
    return value


def _stored_time(value: str) -> str:
    if value.lstrip("-").isdigit():
        return stamp(datetime.fromtimestamp(int(value) / 1000, UTC))
    moment = datetime.fromisoformat(value)
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
