"""The rules of the CRM: what may be asked and written. Knows the port only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from aicore_tools.crm.fields import (
    KEY_FIELDS,
    SYSTEM_FIELDS,
    TYPES,
    Field,
    field_of,
    nearest,
    normalise,
)
from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.crm.records import (
    RECORD_TYPES,
    Entry,
    Filter,
    Logged,
    OnMatch,
    Page,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
    Search,
    Sort,
    Upsert,
    UpsertResult,
)
from aicore_tools.errors import InvalidInput
from aicore_tools.operations import Effect, Operation

__all__ = ["CrmService", "Found", "RecordInput"]

MAX_ROWS = 100
MAX_IDS = 100
MAX_RECORDS = 50
MAX_FILTERS = 20
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Records by id or key, in the order asked, and the ids that name none or several."""

    records: Sequence[Record]
    missing: Sequence[str] = ()
    ambiguous: Mapping[str, Sequence[str]] | None = None


class CrmService:
    """Checks and normalises what comes in, and asks the directory.

    `zone` is where a time without an offset is taken to be.
    """

    def __init__(self, directory: CustomerDirectory, *, zone: tzinfo = UTC) -> None:
        self._directory = directory
        self._zone = zone

    async def search(
        self, search: Search, *, sort: str | None = None, fields: Sequence[str] = ()
    ) -> Page:
        """Find records. `sort` is a field, or `-field` for descending; default newest first.

        `fields` are the ones to give; empty gives all that have a value.

        Raises:
            InvalidInput: a field, value, limit or cursor is wrong.
        """
        if not 1 <= search.limit <= MAX_ROWS:
            raise InvalidInput(f"limit: give 1 to {MAX_ROWS}, not {search.limit}.")
        if len(search.filters) > MAX_FILTERS:
            raise InvalidInput(f"filters: at most {MAX_FILTERS}, not {len(search.filters)}.")
        checked = replace(
            search,
            query=search.query.replace("\0", " ").encode(errors="replace").decode(),
            filters=[self._filter(search.type, condition) for condition in search.filters],
            sort=_sort(search.type, sort) if sort else search.sort,
        )
        _check_fields(search.type, fields)
        page = await self._directory.search(checked)
        return replace(page, rows=[_project(row, fields) for row in page.rows])

    async def get(
        self,
        record_type: RecordType,
        ids: Sequence[str],
        *,
        fields: Sequence[str] = (),
        include: Collection[Related] = (),
    ) -> Found:
        """Give records by id or by a value of a key field, such as an e-mail address.

        Raises:
            InvalidInput: none or too many ids, or a field is wrong.
        """
        if not 1 <= len(ids) <= MAX_IDS:
            raise InvalidInput(f"ids: give 1 to {MAX_IDS}, not {len(ids)}.")
        _check_fields(record_type, fields)
        wanted = [given.removeprefix(f"{record_type}:") for given in ids]
        direct = {
            record.id: record
            for record in await self._directory.get(
                record_type, [RecordId(given) for given in wanted], include
            )
        }
        found: dict[RecordId, Record] = {}
        missing: list[str] = []
        ambiguous: dict[str, Sequence[str]] = {}
        for given in wanted:
            if RecordId(given) in direct:
                found[RecordId(given)] = direct[RecordId(given)]
                continue
            matches = await self._find(record_type, given)
            if len(matches) > 1:
                ambiguous[given] = matches
            elif matches:
                for record in await self._directory.get(record_type, matches, include):
                    found[record.id] = record
            else:
                missing.append(given)
        return Found(
            records=[_project(record, fields) for record in found.values()],
            missing=missing,
            ambiguous=ambiguous or None,
        )

    async def upsert(
        self,
        operation: Operation,
        record_type: RecordType,
        records: Sequence[RecordInput],
        *,
        on_match: OnMatch = "update",
        by: str | None = None,
    ) -> Effect[Sequence[UpsertResult]]:
        """Create or change records.

        Raises:
            InvalidInput: a field or value is wrong; then nothing at all was written.
        """
        checked = self._records(record_type, records)
        return await self._directory.upsert(
            operation, record_type, checked, on_match=on_match, by=by
        )

    async def preview(
        self,
        record_type: RecordType,
        records: Sequence[RecordInput],
        *,
        on_match: OnMatch = "update",
    ) -> Sequence[UpsertResult]:
        """Say what `upsert` would do, and do nothing. Raises as `upsert`."""
        checked = self._records(record_type, records)
        return await self._directory.preview(record_type, checked, on_match=on_match)

    async def log(
        self,
        operation: Operation,
        entry: Entry,
        *,
        about: Sequence[str] = (),
        by: str | None = None,
    ) -> Effect[Logged]:
        """Log a note, call, meeting, mail or task; `about` names records, as `type:id`.

        Raises:
            InvalidInput: something is missing, or does not go with the kind.
            NotFound: a record of `about`, or the task, does not exist.
        """
        _refuse_mixed(entry)
        checked = replace(
            entry,
            about=_refs("about", about),
            text=self._text("text", entry.text),
            owner=self._text("owner", entry.owner),
            at=self._time("at", entry.at),
            due=self._time("due", entry.due),
        )
        if entry.task_id is None and checked.text is None:
            raise InvalidInput("text: say what there is to log.")
        return await self._directory.log(operation, checked, by=by)

    async def link(
        self, operation: Operation, a: str, b: str, *, label: str = "", remove: bool = False
    ) -> Effect[bool]:
        """Link two records, named `type:id`, or remove their link. Gives whether that changed it.

        Raises:
            InvalidInput: a name is malformed, or both are the same.
            NotFound: one of them does not exist.
        """
        first, second = _ref(a), _ref(b)
        if first == second:
            raise InvalidInput(f"{a} cannot be linked to itself.")
        label = normalise("label", _TEXT, label) or ""
        return await self._directory.link(operation, first, second, label=label, remove=remove)

    def describe(self, record_type: RecordType) -> Mapping[str, Field]:
        """Give the fields a type has, by name."""
        return TYPES[record_type]

    async def _find(self, record_type: RecordType, given: str) -> Sequence[RecordId]:
        """Find the records a caller's word is a key of, by the strongest key that fits."""
        for name in KEY_FIELDS[record_type]:
            value = _as_key(record_type, name, given)
            matches = await self._directory.find(record_type, name, value) if value else ()
            if matches:
                return matches
        return ()

    def _records(self, record_type: RecordType, records: Sequence[RecordInput]) -> list[Upsert]:
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
        fields = {
            name: normalise(name, field_of(record_type, name), value, zone=self._zone)
            for name, value in record.set.items()
        }
        record_id = record.id
        return Upsert(
            fields=fields,
            id=None if record_id is None else RecordId(record_id.removeprefix(f"{record_type}:")),
            key=None if record.key is None else _key(record_type, record.key),
            links=_refs("links", record.links),
        )

    def _filter(self, record_type: RecordType, condition: Filter) -> Filter:
        name, op, value = condition.field, condition.op, condition.value
        if name == LINKED_TO:
            if op != "eq" or not isinstance(value, str):
                raise InvalidInput("linked_to: give op eq and a value such as contact:12.")
            return replace(condition, value=_ref(value))
        field = field_of(record_type, name, with_system=True)
        if op == "exists":
            if value not in (None, True, False):
                raise InvalidInput(f"{name}: exists takes true or false, not {value!r}.")
            return replace(condition, value=value is not False)
        if op in ("in", "between"):
            if not isinstance(value, list) or not value or (op == "between" and len(value) != 2):
                wanted = "a list of two values" if op == "between" else "a list of values"
                raise InvalidInput(f"{name}: {op} takes {wanted}, not {value!r}.")
            if len(value) > MAX_IDS:
                raise InvalidInput(f"{name}: at most {MAX_IDS} values, not {len(value)}.")
            return replace(condition, value=[self._operand(name, field, item) for item in value])
        if op == "contains":
            # A part of an address or number need not be a whole one.
            return replace(condition, value=self._operand(name, _TEXT, value))
        return replace(condition, value=self._operand(name, field, value))

    def _operand(self, name: str, field: Field, value: Any) -> Any:
        normal = normalise(name, field, value, zone=self._zone)
        if normal is None:
            raise InvalidInput(f"{name}: there is nothing to compare with.", hint="Use exists.")
        return normal

    def _text(self, name: str, value: str | None) -> str | None:
        text: str | None = normalise(name, _TEXT, value)
        return text

    def _time(self, name: str, value: str | None) -> str | None:
        time: str | None = normalise(name, _TIME, value, zone=self._zone)
        return time


def _refuse_mixed(entry: Entry) -> None:
    """Refuse what only a task can have on anything else, rather than dropping it silently."""
    if entry.kind == "task":
        return
    for name, value in (("due", entry.due), ("task_id", entry.task_id), ("done", entry.is_done)):
        if value is not None:
            raise InvalidInput(f"{name} goes with kind task only, not {entry.kind}.")


def _check_fields(record_type: RecordType, names: Sequence[str]) -> None:
    for name in names:
        field_of(record_type, name, with_system=True)


def _project(record: Record, names: Sequence[str]) -> Record:
    if not names:
        return record
    fields = {name: record.fields[name] for name in names if name in record.fields}
    fields |= {name: getattr(record, name).isoformat() for name in names if name in SYSTEM_FIELDS}
    return replace(record, fields=fields)


def _sort(record_type: RecordType, sort: str) -> Sort:
    name = sort.removeprefix("-")
    field_of(record_type, name, with_system=True)
    return Sort(name, sort.startswith("-"))


def _refs(name: str, texts: Sequence[str]) -> list[Ref]:
    if len(texts) > MAX_REFS:
        raise InvalidInput(f"{name}: at most {MAX_REFS}, not {len(texts)}.")
    return [_ref(text) for text in texts]


def _ref(text: str) -> Ref:
    record_type, _, record_id = text.partition(":")
    for known in RECORD_TYPES:
        if known == record_type.strip() and record_id.strip():
            return Ref(known, RecordId(record_id.strip()))
    raise InvalidInput(
        f"{text!r} names no record.{nearest(record_type, RECORD_TYPES)}",
        hint=f"Write type:id, such as contact:12; types: {', '.join(RECORD_TYPES)}.",
    )


def _key(record_type: RecordType, given: str) -> tuple[str, str]:
    """Tell which key field a value is of: an e-mail, a phone number, a domain, else an own id."""
    for name in reversed(KEY_FIELDS[record_type]):
        value = _as_key(record_type, name, given)
        if value is not None:
            return name, value
    raise InvalidInput(
        f"{given!r} is no key of a {record_type}.",
        hint=f"Its key fields: {', '.join(KEY_FIELDS[record_type])}.",
    )


def _as_key(record_type: RecordType, name: str, given: str) -> str | None:
    try:
        value: str | None = normalise(name, field_of(record_type, name), given)
    except InvalidInput:
        return None
    return value
