"""The CustomerDirectory port: what the CRM service needs of a backend."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from aicore_tools.connections import Probe
from aicore_tools.crm.catalogue import Catalogue
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
    ReportPage,
    Search,
    Upsert,
    UpsertResult,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["CustomerDirectory"]


class CustomerDirectory(Protocol):
    """Contacts, companies, deals and the like of one business.

    An async context manager: it is open inside its `async with`. Values arrive normalised (see
    `fields.normalise`). `by` is who asked for the change, for the history. Every effect happens
    once per operation key; a repeat gets the first result as a replay.

    Every method may raise:
        BackendUnavailable: nothing was done, later may work.
        BackendConfigError: the operator must act.
    Every effect may also raise:
        Conflict: the operation key was used with other arguments.
        OutcomeUnknown: it may have happened.
    """

    @property
    def catalogue(self) -> Catalogue:
        """The types, fields and keys there are; known once it is open."""
        ...

    async def __aenter__(self) -> Self:
        """Open the backend."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        ...

    async def probe(self) -> Probe:
        """Prove the connection by a read: whose it is and what it may do."""
        ...

    async def earlier(self, operation: Operation) -> Effect[Any] | None:
        """Give what an effect gave before under this operation, None if it did nothing yet.

        What began and did not end is looked up, never done again blindly.
        """
        ...

    async def search(self, search: Search) -> Page:
        """Give one page of live records. Paging misses and repeats none while others are added.

        Raises:
            InvalidInput: the cursor is damaged or of another search, or too much is asked.
        """
        ...

    async def get(
        self, record_type: RecordType, ids: Sequence[RecordId], include: Collection[Related] = ()
    ) -> Sequence[Record]:
        """Give the live records with these ids, in this order; unknown ids are left out.

        At most 50 links, 20 activities and 20 changes each, newest first.
        """
        ...

    async def find(self, record_type: RecordType, field: str, value: str) -> Sequence[RecordId]:
        """Give the ids of live records whose key field has this value, oldest first."""
        ...

    async def describe(self, record_type: RecordType) -> Description:
        """Give pipelines, owners, and the vendor's fields that are not mapped."""
        ...

    async def report(self, report: Report) -> ReportPage:
        """Give one page of a report.

        Raises:
            InvalidInput: the cursor is damaged or of another report.
        """
        ...

    async def upsert(
        self,
        operation: Operation,
        record_type: RecordType,
        records: Sequence[Upsert],
        *,
        on_match: OnMatch = "update",
        by: str | None = None,
    ) -> Effect[Sequence[UpsertResult]]:
        """Create or change records, in order; one that cannot be written does not stop the rest.

        A later record of the batch sees the earlier ones.
        """
        ...

    async def preview(
        self, record_type: RecordType, records: Sequence[Upsert], *, on_match: OnMatch = "update"
    ) -> Sequence[UpsertResult]:
        """Say what `upsert` would do now, with `changes`, and do nothing."""
        ...

    async def log(
        self, operation: Operation, entry: Entry, *, by: str | None = None
    ) -> Effect[Logged]:
        """Write a note or task and link it to what it is about, or change a task.

        Raises:
            NotFound: a record of `about`, or the task, does not exist.
        """
        ...

    async def link(
        self, operation: Operation, a: Ref, b: Ref, *, label: str = "", remove: bool = False
    ) -> Effect[bool]:
        """Link two records, or remove their link. Gives whether anything changed.

        Two records have one link at most; linking again sets its label.

        Raises:
            NotFound: one of them does not exist.
            InvalidInput: the backend cannot hold that link or label.
        """
        ...

    async def archive(
        self, operation: Operation, archive: Archive, *, by: str | None = None
    ) -> Effect[Archived]:
        """Take records out of sight: nothing finds them any more, their links are kept aside.

        With `merge_into` the one record takes over their links, activity, and the fields it has
        no value for itself. An id that is archived already counts as done.

        Raises:
            NotFound: a record never existed, or `merge_into` does not; nothing was done then.
            InvalidInput: the backend cannot merge records of this type.
        """
        ...
