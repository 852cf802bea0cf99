"""What callers give, checked against the catalogue and normalised. Asks no backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from aicore_tools.crm.catalogue import Catalogue
from aicore_tools.crm.fields import Field, nearest, normalise
from aicore_tools.crm.records import Filter, RecordId, RecordType, Ref, Sort, Upsert
from aicore_tools.errors import InvalidInput

__all__ = ["Checker", "RecordInput"]

MAX_RECORDS = 50
MAX_VALUES = 100
MAX_REFS = 50
LINKED_TO = "linked_to"
_TEXT = Field()
_TIME = Field("time")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordInput:
    """One record as a caller gives it: nothing in it is checked yet."""

    set: Mapping[str, Any]
    id: str | None = None
    key: str | None = None
    links: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks by one catalogue. `zone` is where a time without an offset is taken to be.

    Every method raises InvalidInput for what is wrong, naming the argument.
    """

    catalogue: Catalogue
    zone: tzinfo

    def names(self, record_type: RecordType, names: Sequence[str]) -> None:
        """Refuse a type or field that is not there."""
        self.catalogue.fields(record_type)
        for name in names:
            self.catalogue.field(record_type, name, with_system=True)

    def sort(self, record_type: RecordType, sort: str) -> Sort:
        """Read `field` or `-field`."""
        name = sort.removeprefix("-")
        self.catalogue.field(record_type, name, with_system=True)
        return Sort(name, sort.startswith("-"))

    def condition(self, record_type: RecordType, given: Filter) -> Filter:
        """Check a filter and normalise its value."""
        name, op, value = given.field, given.op, given.value
        if name == LINKED_TO:
            if op != "eq" or not isinstance(value, str):
                raise InvalidInput("linked_to: give op eq and a value such as contact:12.")
            return replace(given, value=self.ref(value))
        field = self.catalogue.field(record_type, name, with_system=True)
        if op == "exists":
            if value not in (None, True, False):
                raise InvalidInput(f"{name}: exists takes true or false, not {value!r}.")
            return replace(given, value=value is not False)
        if op in ("in", "between"):
            return replace(given, value=self._operands(given, field))
        # A part of an address or number need not be a whole one.
        return replace(
            given, value=self._operand(name, _TEXT if op == "contains" else field, value)
        )

    def _operands(self, given: Filter, field: Field) -> list[Any]:
        name, op, value = given.field, given.op, given.value
        if not isinstance(value, list) or not value or (op == "between" and len(value) != 2):
            wanted = "a list of two values" if op == "between" else "a list of values"
            raise InvalidInput(f"{name}: {op} takes {wanted}, not {value!r}.")
        if len(value) > MAX_VALUES:
            raise InvalidInput(f"{name}: at most {MAX_VALUES} values, not {len(value)}.")
        return [self._operand(name, field, item) for item in value]

    def _operand(self, name: str, field: Field, value: Any) -> Any:
        normal = normalise(name, field, value, zone=self.zone)
        if normal is None:
            raise InvalidInput(f"{name}: there is nothing to compare with.", hint="Use exists.")
        return normal

    def records(self, record_type: RecordType, records: Sequence[RecordInput]) -> list[Upsert]:
        """Check records to write; says which of them is wrong."""
        self.catalogue.fields(record_type)
        if not 1 <= len(records) <= MAX_RECORDS:
            raise InvalidInput(f"records: give 1 to {MAX_RECORDS}, not {len(records)}.")
        checked = []
        for index, record in enumerate(records):
            try:
                checked.append(self._record(record_type, record))
            except InvalidInput as error:
                raise InvalidInput(
                    f"records[{index}]: {error.message}", hint=error.hint, code=error.code
                ) from error
        return checked

    def _record(self, record_type: RecordType, record: RecordInput) -> Upsert:
        if record.id is not None and record.key is not None:
            raise InvalidInput("Give id or key, not both.")
        fields = {}
        for name, value in record.set.items():
            field = self.catalogue.field(record_type, name)
            if field.is_read_only:
                raise InvalidInput(f"{name} of a {record_type} can be read, not written.")
            fields[name] = normalise(name, field, value, zone=self.zone)
        return Upsert(
            fields=fields,
            id=None if record.id is None else self.record_id(record_type, record.id),
            key=None if record.key is None else self.key(record_type, record.key),
            links=self.refs("links", record.links),
        )

    def record_id(self, record_type: RecordType, given: str) -> RecordId:
        """Take an id with or without its type before it."""
        return RecordId(given.strip().removeprefix(f"{record_type}:"))

    def refs(self, name: str, texts: Sequence[str]) -> list[Ref]:
        """Read names of records, `type:id`."""
        if len(texts) > MAX_REFS:
            raise InvalidInput(f"{name}: at most {MAX_REFS}, not {len(texts)}.")
        return [self.ref(text) for text in texts]

    def ref(self, text: str) -> Ref:
        """Read the name of a record, `type:id`."""
        record_type, _, record_id = (part.strip() for part in text.partition(":"))
        if record_type in self.catalogue.types and record_id:
            return Ref(record_type, RecordId(record_id))
        known = self.catalogue.types
        raise InvalidInput(
            f"{text!r} names no record.{nearest(record_type, known)}",
            hint=f"Write type:id, such as contact:12; types: {', '.join(known)}.",
        )

    def key(self, record_type: RecordType, given: str) -> tuple[str, str]:
        """Tell which key field a value is of: an e-mail, a phone, a domain, else an own id."""
        keys = self.catalogue.keys[record_type]
        for name in reversed(keys):
            value = self.as_key(record_type, name, given)
            if value is not None:
                return name, value
        raise InvalidInput(
            f"{given!r} is no key of a {record_type}.",
            hint=f"Its key fields: {', '.join(keys)}." if keys else "It has none: give an id.",
        )

    def as_key(self, record_type: RecordType, name: str, given: str) -> str | None:
        """Give the value as a value of that key field, or None where it cannot be one."""
        try:
            value = normalise(name, self.catalogue.field(record_type, name), given)
        except InvalidInput:
            return None
        return None if value is None else str(value)

    def text(self, name: str, value: str | None) -> str | None:
        """Normalise a text."""
        text: str | None = normalise(name, _TEXT, value)
        return text

    def time(self, name: str, value: str | None) -> str | None:
        """Normalise a time."""
        time: str | None = normalise(name, _TIME, value, zone=self.zone)
        return time
