"""The records of a CRM. No I/O, no vendor word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NewType, TypeAlias, get_args

__all__ = [
    "LOG_KINDS",
    "OPERATORS",
    "RECORD_TYPES",
    "REPORT_KINDS",
    "Activity",
    "Archive",
    "Archived",
    "Change",
    "Description",
    "Entry",
    "Filter",
    "Link",
    "LogKind",
    "Logged",
    "OnMatch",
    "Operator",
    "Owner",
    "Page",
    "Pipeline",
    "Record",
    "RecordId",
    "RecordType",
    "Ref",
    "Related",
    "Report",
    "ReportKind",
    "ReportPage",
    "Search",
    "Sort",
    "Status",
    "Upsert",
    "UpsertResult",
]

RecordId = NewType("RecordId", str)
RecordType: TypeAlias = str
"""One of RECORD_TYPES, or a type of the business's own; the catalogue knows which there are."""
Operator = Literal["eq", "neq", "lt", "lte", "gt", "gte", "in", "contains", "exists", "between"]
OnMatch = Literal["update", "skip", "error"]
Status = Literal["created", "updated", "unchanged", "skipped", "error"]
LogKind = Literal["note", "call", "meeting", "email", "task"]
Related = Literal["links", "activity", "history"]
ReportKind = Literal["pipeline", "stale_deals", "overdue_tasks", "new_records", "duplicates"]

STALE_AFTER_DAYS = 30
NEW_WITHIN_DAYS = 7
RECORD_TYPES = ("contact", "company", "deal", "ticket", "product", "task", "note")
OPERATORS: tuple[Operator, ...] = get_args(Operator)
LOG_KINDS: tuple[LogKind, ...] = get_args(LogKind)
REPORT_KINDS: tuple[ReportKind, ...] = get_args(ReportKind)


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one record, written `contact:12`."""

    type: RecordType
    id: RecordId

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A record at the other end of a link. `name` is how it is called, or empty."""

    ref: Ref
    label: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A note or task about a record. `at` is when it took place or is due, else when written."""

    id: RecordId
    kind: LogKind
    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a record: field → (before, after), None where there was or is no value."""

    at: datetime
    fields: Mapping[str, tuple[Any, Any]]
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record. `fields` holds only fields that have a value, as JSON values.

    Dates are `YYYY-MM-DD`, times RFC 3339 in UTC, money integers in minor units. `links`,
    `activity` and `history` (newest first) are None where they were not asked for.
    """

    id: RecordId
    type: RecordType
    fields: Mapping[str, Any]
    created: datetime
    updated: datetime
    links: Sequence[Link] | None = None
    activity: Sequence[Activity] | None = None
    history: Sequence[Change] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A condition on one field.

    `value` is normalised as the field is; a list for `in`, two values for `between` (both
    included), a bool for `exists`, a `Ref` for the field `linked_to`. `neq` is also true of
    records without the field.
    """

    field: str
    op: Operator
    value: Any = None


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of rows. Records without the field come last, both ways."""

    field: str = "created"
    descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to find: every filter and every word of `query` (each the start of a word) must match.

    `cursor` is an earlier page's `next_cursor`; it fits the same search only.
    """

    type: RecordType
    query: str = ""
    filters: Sequence[Filter] = ()
    sort: Sort = Sort()
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of a search. `next_cursor` is None on the last page."""

    rows: Sequence[Record]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """One record to create or change.

    `id` names a record that must exist. `key` is a value of one of the type's key fields. Without
    both, the key fields in `fields` decide which record is meant. A None in `fields` clears.
    """

    fields: Mapping[str, Any]
    id: RecordId | None = None
    key: tuple[str, str] | None = None
    links: Sequence[Ref] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertResult:
    """What became of one record, in the order given.

    `changed` names the fields that changed. `id` is None on an error and in a plan's `created`.
    `changes` is given in plans: field → (before, after).
    """

    status: Status
    id: RecordId | None = None
    changed: Sequence[str] | None = None
    error: str | None = None
    changes: Mapping[str, tuple[Any, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something to log: a note, call, meeting, mail or task.

    `task_id` names a task to change instead: then None leaves a field as it is.
    """

    kind: LogKind
    about: Sequence[Ref] = ()
    text: str | None = None
    at: str | None = None
    due: str | None = None
    owner: str | None = None
    task_id: RecordId | None = None
    is_done: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What was logged. `id` is a note's, or a task's where `kind` is task."""

    id: RecordId
    kind: LogKind
    status: Status
    about: Sequence[str] = ()
    due: str | None = None
    is_done: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Records to take out of sight; with `merge_into`, into which other record they go first."""

    type: RecordType
    ids: Sequence[RecordId]
    merge_into: RecordId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What became of an archive: the ids that are gone, and the record that took them in.

    A vendor may give the merged record an id of its own: `merged_into` is the one that lives.
    """

    type: RecordType
    ids: Sequence[RecordId]
    merged_into: RecordId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A question about many records.

    `pipeline`: open and closed deals by stage, summed by currency. `stale_deals`: open deals not
    changed since `since`, oldest first. `overdue_tasks`: open tasks due before `now`, most overdue
    first. `new_records`: contacts, companies, deals and tickets created since `since`, newest
    first. `duplicates`: contacts and companies that share an e-mail, a phone or a name.

    `since` and `now` are RFC 3339 in UTC, to the second. `cursor` fits the same report only.
    """

    kind: ReportKind
    since: str | None
    now: str
    owner: str | None = None
    limit: int = 20
    cursor: str | None = None

    @property
    def start(self) -> str:
        """From when on: `since`, else 30 days before `now` for stale deals, else 7."""
        if self.since is not None:
            return self.since
        days = STALE_AFTER_DAYS if self.kind == "stale_deals" else NEW_WITHIN_DAYS
        return (datetime.fromisoformat(self.now) - timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """Rows of a report, as JSON. `note` says what was not looked at, or None."""

    rows: Sequence[Mapping[str, Any]]
    next_cursor: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Somebody a record can belong to. `id` or `email` may be given as an `owner`."""

    id: str
    email: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A way that deals or tickets go: stage id → its name, in order."""

    id: str
    name: str
    stages: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a backend knows of a type beside its fields."""

    pipelines: Sequence[Pipeline] = ()
    owners: Sequence[Owner] = ()
    unmapped: Sequence[str] = ()
    vendor_object: str = ""
