"""The rules of the CRM: what may be asked and written. Knows the port only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any

from aicore_tools.connections import Probe
from aicore_tools.crm.catalogue import Catalogue
from aicore_tools.crm.checking import Checker, RecordInput
from aicore_tools.crm.fields import SYSTEM_FIELDS
from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.crm.records import (
    Archive,
    Archived,
    Description,
    Entry,
    Logged,
    OnMatch,
    Page,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
    Report,
    ReportKind,
    ReportPage,
    Search,
    Upsert,
    UpsertResult,
)
from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.operations import Effect, Operation

__all__ = ["ArchivePlan", "CrmService", "Found", "LinkPlan", "LogPlan", "RecordInput", "UpsertPlan"]

MAX_ROWS = 100
MAX_IDS = 100
MAX_FILTERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Records by id or key, in the order asked, and the ids that name none or several."""

    records: Sequence[Record]
    missing: Sequence[str] = ()
    ambiguous: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertPlan:
    """Checked records, and what would become of each."""

    type: RecordType
    records: Sequence[Upsert]
    on_match: OnMatch
    results: Sequence[UpsertResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlan:
    """A checked entry, and how what it is about is called."""

    entry: Entry
    about: Mapping[str, str]
    task: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlan:
    """A link to make or take away, and how both ends are called."""

    a: Ref
    b: Ref
    label: str
    remove: bool
    names: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePlan:
    """The records that would go, and the one that would take them in."""

    archive: Archive
    records: Sequence[Record]
    target: Record | None = None


class CrmService:
    """Checks and normalises what comes in, and asks the directory.

    `zone` is where a time without an offset is taken to be. Each `plan_…` reads and checks, and
    changes nothing; the effect of that name does what was planned.
    """

    def __init__(
        self,
        directory: CustomerDirectory,
        *,
        zone: tzinfo = UTC,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._directory = directory
        self._check = Checker(directory.catalogue, zone)
        self._now = now

    @property
    def catalogue(self) -> Catalogue:
        """The types and fields there are."""
        return self._directory.catalogue

    async def probe(self) -> Probe:
        """Prove the connection by a read."""
        return await self._directory.probe()

    async def earlier(self, operation: Operation) -> Effect[Any] | None:
        """Give what an effect gave before under this operation, or None."""
        return await self._directory.earlier(operation)

    async def search(
        self, search: Search, *, sort: str | None = None, fields: Sequence[str] = ()
    ) -> Page:
        """Find records. `sort` is a field, or `-field` for descending; default newest first.

        `fields` are the ones to give; empty gives all that have a value.

        Raises:
            InvalidInput: a type, field, value, limit or cursor is wrong.
        """
        _check_limit(search.limit)
        if len(search.filters) > MAX_FILTERS:
            raise InvalidInput(f"filters: at most {MAX_FILTERS}, not {len(search.filters)}.")
        self._check.names(search.type, fields)
        checked = replace(
            search,
            query=search.query.replace("\0", " ").encode(errors="replace").decode(),
            filters=[self._check.condition(search.type, each) for each in search.filters],
            sort=self._check.sort(search.type, sort) if sort else search.sort,
        )
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
            InvalidInput: none or too many ids, or a type or field is wrong.
        """
        if not 1 <= len(ids) <= MAX_IDS:
            raise InvalidInput(f"ids: give 1 to {MAX_IDS}, not {len(ids)}.")
        self._check.names(record_type, fields)
        wanted = [self._check.record_id(record_type, given) for given in ids]
        direct = {
            record.id: record for record in await self._directory.get(record_type, wanted, include)
        }
        found: dict[RecordId, Record] = {}
        missing: list[str] = []
        ambiguous: dict[str, Sequence[str]] = {}
        for given in wanted:
            if given in direct:
                found[given] = direct[given]
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

    async def describe(self, record_type: RecordType) -> Description:
        """Give what the backend knows of a type beside its fields.

        Raises:
            InvalidInput: there is no such type.
        """
        self.catalogue.fields(record_type)
        return await self._directory.describe(record_type)

    async def report(
        self,
        kind: ReportKind,
        *,
        since: str | None = None,
        owner: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> ReportPage:
        """Give a page of a report.

        Raises:
            InvalidInput: an argument is wrong, or does not go with the kind.
        """
        _check_limit(limit)
        start = self._check.time("since", since)
        if start is not None and kind in ("overdue_tasks", "duplicates"):
            raise InvalidInput(f"since does not go with {kind}.")
        if owner is not None and kind == "duplicates":
            raise InvalidInput("owner does not go with duplicates.")
        now = self._now().astimezone(UTC).isoformat(timespec="seconds")
        who = self._check.text("owner", owner)
        return await self._directory.report(
            Report(kind=kind, since=start, now=now, owner=who, limit=limit, cursor=cursor)
        )

    async def plan_upsert(
        self, record_type: RecordType, records: Sequence[RecordInput], *, on_match: OnMatch
    ) -> UpsertPlan:
        """Check records and say what would become of each.

        Raises:
            InvalidInput: a type, field or value is wrong.
        """
        checked = self._check.records(record_type, records)
        results = await self._directory.preview(record_type, checked, on_match=on_match)
        return UpsertPlan(type=record_type, records=checked, on_match=on_match, results=results)

    async def upsert(
        self, plan: UpsertPlan, operation: Operation, *, by: str | None = None
    ) -> Effect[Sequence[UpsertResult]]:
        """Create or change records, as planned."""
        return await self._directory.upsert(
            operation, plan.type, plan.records, on_match=plan.on_match, by=by
        )

    async def plan_log(self, entry: Entry, *, about: Sequence[str] = ()) -> LogPlan:
        """Check a note, call, meeting, mail or task; `about` names records, as `type:id`.

        Raises:
            InvalidInput: something is missing, or does not go with the kind.
            NotFound: a record of `about`, or the task, does not exist.
        """
        _refuse_mixed(entry)
        checked = replace(
            entry,
            about=self._check.refs("about", about),
            text=self._check.text("text", entry.text),
            owner=self._check.text("owner", entry.owner),
            at=self._check.time("at", entry.at),
            due=self._check.time("due", entry.due),
        )
        if entry.task_id is None and checked.text is None:
            raise InvalidInput("text: say what there is to log.")
        task = None
        if entry.task_id is not None:
            task = await self._live(Ref("task", entry.task_id))
        names = {str(ref): _name(await self._live(ref)) for ref in checked.about}
        return LogPlan(entry=checked, about=names, task=task)

    async def log(
        self, plan: LogPlan, operation: Operation, *, by: str | None = None
    ) -> Effect[Logged]:
        """Log what was planned."""
        return await self._directory.log(operation, plan.entry, by=by)

    async def plan_link(self, a: str, b: str, *, label: str = "", remove: bool = False) -> LinkPlan:
        """Check two records, named `type:id`, and a link between them.

        Raises:
            InvalidInput: a name is malformed, or both are the same.
            NotFound: one of them does not exist.
        """
        first, second = self._check.ref(a), self._check.ref(b)
        if first == second:
            raise InvalidInput(f"{a} cannot be linked to itself.")
        names = (_name(await self._live(first)), _name(await self._live(second)))
        text = self._check.text("label", label) or ""
        return LinkPlan(a=first, b=second, label=text, remove=remove, names=names)

    async def link(self, plan: LinkPlan, operation: Operation) -> Effect[bool]:
        """Link two records, or remove their link. Gives whether that changed anything."""
        return await self._directory.link(
            operation, plan.a, plan.b, label=plan.label, remove=plan.remove
        )

    async def plan_archive(
        self, record_type: RecordType, ids: Sequence[str], *, merge_into: str | None = None
    ) -> ArchivePlan:
        """Find the records that would go, by id or key, and the one that would take them in.

        Raises:
            InvalidInput: none or too many ids, one that names several, or into itself.
            NotFound: one of them does not exist.
        """
        records = await self._each(record_type, ids)
        target = None
        if merge_into is not None:
            (target,) = await self._each(record_type, [merge_into])
            if target.id in [record.id for record in records]:
                raise InvalidInput("merge_into: a record cannot be merged into itself.")
        archive = Archive(
            type=record_type,
            ids=[record.id for record in records],
            merge_into=None if target is None else target.id,
        )
        return ArchivePlan(archive=archive, records=records, target=target)

    async def archive(
        self, plan: ArchivePlan, operation: Operation, *, by: str | None = None
    ) -> Effect[Archived]:
        """Take the planned records out of sight."""
        return await self._directory.archive(operation, plan.archive, by=by)

    async def _each(self, record_type: RecordType, ids: Sequence[str]) -> Sequence[Record]:
        found = await self.get(record_type, ids)
        if found.ambiguous:
            given, matches = next(iter(found.ambiguous.items()))
            raise InvalidInput(f"{given!r} names several: {', '.join(matches)}. Give an id.")
        if found.missing:
            raise NotFound(
                f"There is no {record_type} {found.missing[0]!r}.",
                hint="Find its id with crm_search.",
            )
        return found.records

    async def _live(self, ref: Ref) -> Record:
        for record in await self._directory.get(ref.type, [ref.id]):
            return record
        raise NotFound(f"There is no {ref}.", hint="Find its id with crm_search.")

    async def _find(self, record_type: RecordType, given: str) -> Sequence[RecordId]:
        """Find the records a caller's word is a key of, by the strongest key that fits."""
        for name in self.catalogue.keys[record_type]:
            value = self._check.as_key(record_type, name, given)
            matches = await self._directory.find(record_type, name, value) if value else ()
            if matches:
                return matches
        return ()


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_ROWS:
        raise InvalidInput(f"limit: give 1 to {MAX_ROWS}, not {limit}.")


def _refuse_mixed(entry: Entry) -> None:
    """Refuse what only a task can have on anything else, rather than dropping it silently."""
    if entry.kind == "task":
        return
    for name, value in (("due", entry.due), ("task_id", entry.task_id), ("done", entry.is_done)):
        if value is not None:
            raise InvalidInput(f"{name} goes with kind task only, not {entry.kind}.")


def _project(record: Record, names: Sequence[str]) -> Record:
    if not names:
        return record
    fields = {name: record.fields[name] for name in names if name in record.fields}
    fields |= {name: getattr(record, name).isoformat() for name in names if name in SYSTEM_FIELDS}
    return replace(record, fields=fields)


def _name(record: Record) -> str:
    for name in ("name", "subject", "text"):
        if record.fields.get(name):
            return str(record.fields[name])[:80]
    return ""
