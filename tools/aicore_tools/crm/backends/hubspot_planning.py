"""What an upsert would do in HubSpot: every record is matched before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_money import amounts, in_currency, misfit
from aicore_tools.crm.backends.hubspot_reading import associated, get, read_batch
from aicore_tools.crm.backends.hubspot_search import matching
from aicore_tools.crm.backends.hubspot_shapes import Shape
from aicore_tools.crm.backends.hubspot_values import encoded, record_of
from aicore_tools.crm.records import OnMatch, RecordId, RecordType, Ref, Status, Upsert

__all__ = ["Plan", "Planner", "Row", "Write", "missing_refs"]

_SHARED_KEYS = ("phone", "domain")


class Write(TypedDict):
    """One record to write, as plain JSON. `id` is HubSpot's, None for one to create.

    `unique` names the property by which a creation is recognised. `updated` is when the record
    last changed before, by HubSpot's clock. `links` are names of records, `type:id`.
    """

    type: str
    object: str
    id: str | None
    unique: str
    properties: dict[str, str]
    updated: str | None
    links: list[list[str]]


class Row(TypedDict):
    """What becomes of one record of the call; `write` is its place in the plan's writes."""

    status: Status
    id: str | None
    write: int | None
    changed: list[str] | None
    error: str | None
    changes: dict[str, tuple[Any, Any]] | None


class Plan(TypedDict):
    """Every write, and a row for each record of the call."""

    writes: list[Write]
    rows: list[Row]


class _Refused(Exception):
    """One record cannot be written; the sentence says why."""


@dataclass(slots=True)
class _Known:
    """A record as it will be, there already or not yet."""

    shape: Shape
    fields: dict[str, Any]
    vendor_id: str | None = None
    updated: str | None = None
    write: int | None = None

    @property
    def ref(self) -> str:
        if self.vendor_id is None:
            return f"{self.shape.type} that this call creates"
        return f"{self.shape.type}:{self.shape.our_id(self.vendor_id)}"


@dataclass(slots=True)
class Planner:
    """Plans one upsert of records of one type."""

    account: Account
    record_type: RecordType
    on_match: OnMatch
    operation_property: str
    _by_id: dict[str, _Known] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], list[_Known]] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set)
    _plan: Plan = field(default_factory=lambda: Plan(writes=[], rows=[]))

    async def plan(self, records: Sequence[Upsert]) -> Plan:
        """Read what the records may mean, and decide."""
        await self._read(records)
        refs = {ref for item in records for ref in item.links}
        self._missing = {str(ref) for ref in await missing_refs(self.account, list(refs))}
        for item in records:
            try:
                row = await self._row(item)
            except _Refused as refusal:
                row = _row("error", error=str(refusal))
            self._plan["rows"].append(row)
        return self._plan

    @property
    def _keys(self) -> tuple[str, ...]:
        return self.account.shapes.catalogue.keys[self.record_type]

    async def _read(self, records: Sequence[Upsert]) -> None:
        for shape, vendor_ids in self._named(records):
            for each in await read_batch(self.account, shape, vendor_ids):
                self._know(shape, each)
        (shape, *_) = self.account.shapes.of(self.record_type)
        for key in self._keys:
            if key not in shape.fields:
                continue
            given = [item.key[1] for item in records if item.key and item.key[0] == key]
            given += [str(item.fields[key]) for item in records if item.fields.get(key)]
            values = list(dict.fromkeys(given))
            name = shape.fields[key].properties[0]
            found: list[Any] = []
            if values and name in shape.unique:
                found = await read_batch(self.account, shape, values, id_property=name)
            elif values:
                found = await matching(self.account, shape, key, values)
            for each in sorted(found, key=lambda each: int(each.id)):
                self._know(shape, each)

    def _named(self, records: Sequence[Upsert]) -> list[tuple[Shape, list[str]]]:
        named: dict[str, tuple[Shape, list[str]]] = {}
        for item in records:
            place = item.id and self.account.shapes.place(self.record_type, item.id)
            if place:
                named.setdefault(place[0].object, (place[0], []))[1].append(place[1])
        return [(shape, list(dict.fromkeys(ids))) for shape, ids in named.values()]

    def _know(self, shape: Shape, found: Any) -> None:
        record = record_of(shape, found, self.account.owners)
        if str(record.id) in self._by_id:
            return
        known = _Known(shape, dict(record.fields), str(found.id), record.updated.isoformat())
        self._by_id[str(record.id)] = known
        self._index(known, known.fields)

    def _index(self, known: _Known, fields: Mapping[str, Any]) -> None:
        for key in self._keys:
            if fields.get(key) is not None:
                place = (key, str(fields[key]).casefold())
                same = self._by_key.setdefault(place, [])
                if known not in same:
                    same.append(known)

    def _having(self, key: str, value: Any) -> list[_Known]:
        place = (key, str(value).casefold())
        return [
            known
            for known in self._by_key.get(place, ())
            if str(known.fields.get(key)).casefold() == place[1]
        ]

    async def _row(self, item: Upsert) -> Row:
        for ref in item.links:
            if str(ref) in self._missing:
                raise _Refused(f"There is no {ref}.")
        known = self._match(item)
        if known is None:
            return self._create(item)
        if self.on_match == "error":
            raise _Refused(f"{known.ref} has this key already.")
        if self.on_match == "skip":
            return _row("skipped", known=known)
        return await self._change(known, item)

    def _match(self, item: Upsert) -> _Known | None:
        if item.id is not None:
            known = self._by_id.get(str(item.id))
            if known is None:
                raise _Refused(f"There is no {self.record_type}:{item.id}.")
            return known
        if item.key is not None:
            return _only(self._having(*item.key), item.key[0])
        for key in self._keys:
            value = item.fields.get(key)
            if value is None:
                continue
            same = [each for each in self._having(key, value) if self._is_same(each, item, key)]
            if same:
                return _only(same, key)
        return None

    def _is_same(self, known: _Known, item: Upsert, matched: str) -> bool:
        """Say whether the stronger keys agree: two people may share a phone, not an e-mail.

        By a phone alone somebody of another name is another person, not to be overwritten.
        """
        names = {
            str(text).casefold()
            for text in (item.fields.get("name"), known.fields.get("name"))
            if text
        }
        if matched == "phone" and len(names) > 1:
            return False
        return all(
            item.fields.get(key) is None
            or known.fields.get(key) is None
            or item.fields[key] == known.fields[key]
            for key in self._keys[: self._keys.index(matched)]
        )

    def _create(self, item: Upsert) -> Row:
        (shape, *_) = self.account.shapes.of(self.record_type)
        fields = {name: value for name, value in item.fields.items() if value is not None}
        if item.key is not None:
            fields.setdefault(*item.key)
        if not fields:
            raise _Refused("There is nothing to store: give at least one field in set.")
        self._refuse_taken(None, fields)
        _refuse_misfit(shape, fields, fields)
        properties = dict(shape.written)
        for name, value in fields.items():
            properties |= self._encoded(shape, name, value)
        by_email = "email" in fields and "email" in shape.unique and self.on_match == "update"
        known = _Known(shape, fields, write=len(self._plan["writes"]))
        self._plan["writes"].append(
            Write(
                type=self.record_type,
                object=shape.object,
                id=None,
                unique="email" if by_email else self.operation_property,
                properties=properties,
                updated=None,
                links=[[ref.type, ref.id] for ref in item.links],
            )
        )
        self._index(known, fields)
        row = _row("created", known=known)
        row["changes"] = {name: (None, value) for name, value in fields.items()}
        return row

    async def _change(self, known: _Known, item: Upsert) -> Row:
        changes = {
            name: (known.fields.get(name), value)
            for name, value in item.fields.items()
            if known.fields.get(name) != value
        }
        given = {name: after for name, (_, after) in changes.items()}
        self._refuse_taken(known, given)
        _refuse_misfit(known.shape, given, known.fields | given)
        links = [ref for ref in item.links if not await self._is_linked(known, ref)]
        if not changes and not links:
            return _row("unchanged", known=known)
        properties = self._changed(known, given)
        write = self._write_of(known)
        write["properties"] |= properties
        known.fields |= given
        write["links"] += [[ref.type, ref.id] for ref in links]
        self._index(known, known.fields)
        row = _row("updated", known=known)
        row["changed"] = list(changes) or None
        row["changes"] = changes or None
        return row

    def _changed(self, known: _Known, given: dict[str, Any]) -> dict[str, str]:
        """Give the properties of a change; in another currency an amount is another number."""
        fields = known.fields | given
        names = list(given)
        if "currency" in given:
            kept_in = in_currency(known.shape, known.fields.get("currency"))
            names += [
                each.name
                for each in amounts(kept_in)
                if each != known.shape.fields[each.name] and fields.get(each.name) is not None
            ]
        properties: dict[str, str] = {}
        for name in names:
            properties |= self._encoded(known.shape, name, fields[name])
        return properties

    def _write_of(self, known: _Known) -> Write:
        if known.write is None:
            known.write = len(self._plan["writes"])
            self._plan["writes"].append(
                Write(
                    type=self.record_type,
                    object=known.shape.object,
                    id=known.vendor_id,
                    unique="",
                    properties={},
                    updated=known.updated,
                    links=[],
                )
            )
        return self._plan["writes"][known.write]

    async def _is_linked(self, known: _Known, ref: Ref) -> bool:
        place = self.account.shapes.place(ref.type, ref.id)
        if known.vendor_id is None or place is None:
            return False
        ends = await associated(self.account, known.shape, [known.vendor_id], place[0])
        return place[1] in {str(end.to_object_id) for end in ends.get(known.vendor_id, ())}

    def _encoded(self, shape: Shape, name: str, value: Any) -> dict[str, str]:
        bound = shape.fields.get(name)
        if bound is None:
            raise _Refused(f"HubSpot's {shape.object} have no field {name}.")
        return encoded(bound, value, self.account.owners)

    def _refuse_taken(self, known: _Known | None, fields: Mapping[str, Any]) -> None:
        """Keep keys unique, but for those that families and offices share."""
        for key in self._keys:
            if fields.get(key) is None or key in _SHARED_KEYS:
                continue
            taken = [other for other in self._having(key, fields[key]) if other is not known]
            if taken:
                raise _Refused(f"{taken[0].ref} has this {key} already.")


async def missing_refs(account: Account, refs: Sequence[Ref]) -> list[Ref]:
    """Give those of the records that are not there."""
    missing = []
    for record_type in dict.fromkeys(ref.type for ref in refs):
        ids = [ref.id for ref in refs if ref.type == record_type]
        live = {record.id for record in await get(account, record_type, ids)}
        missing += [Ref(record_type, each) for each in ids if each not in live]
    return missing


def _refuse_misfit(shape: Shape, given: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Refuse an amount, or a currency, that the mapping would store wrong by a factor."""
    touched = {"currency", *(bound.name for bound in amounts(shape))} & set(given)
    why = misfit(shape, fields) if touched else None
    if why is not None:
        raise _Refused(why)


def _only(same: Sequence[_Known], key: str) -> _Known | None:
    if len(same) > 1:
        named = ", ".join(each.ref for each in same[:5])
        raise _Refused(f"Several records have this {key}: {named}. Give an id.")
    return same[0] if same else None


def _row(status: Status, *, known: _Known | None = None, error: str | None = None) -> Row:
    there = known is not None and known.vendor_id is not None
    return Row(
        status=status,
        id=RecordId(known.shape.our_id(known.vendor_id or "")) if known and there else None,
        write=None if known is None else known.write,
        changed=None,
        error=error,
        changes=None,
    )
