"""The CRM in HubSpot, through its own SDK."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aicore_tools.connections import Connection, Probe
from aicore_tools.crm import answers
from aicore_tools.crm.backends import hubspot_reading as reading
from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_defaults import OPERATION
from aicore_tools.crm.backends.hubspot_effects import (
    Effects,
    archive_request,
    entry_request,
    upsert_request,
)
from aicore_tools.crm.backends.hubspot_planning import Planner
from aicore_tools.crm.backends.hubspot_reports import report as reported
from aicore_tools.crm.backends.hubspot_search import search as searched
from aicore_tools.crm.backends.hubspot_wire import HubSpotWire
from aicore_tools.crm.catalogue import Catalogue
from aicore_tools.crm.mapping import TypeRule
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
from aicore_tools.journal import EffectJournal
from aicore_tools.operations import Effect, Operation
from aicore_tools.retries import Patience

__all__ = ["HubSpotDirectory"]

_NO_MAPPING: Mapping[str, TypeRule] = {}
_PATIENCE = Patience()


class HubSpotDirectory:
    """A CustomerDirectory in one HubSpot account.

    `journal` is the SQLite file that says what was begun; it belongs to this account alone.
    `patience` bounds how long a call waits for HubSpot.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        journal: Path,
        business: str,
        mapping: Mapping[str, TypeRule] = _NO_MAPPING,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._connection = connection
        self._wire = HubSpotWire(connection, patience=patience)
        self._account = Account(self._wire, mapping)
        self._journal = EffectJournal(
            journal, business=business, procedures=Effects(self._account).procedures()
        )
        self._opened = AsyncExitStack()

    @property
    def catalogue(self) -> Catalogue:
        """The types and fields that the account has and the mapping names."""
        return self._account.shapes.catalogue

    async def __aenter__(self) -> Self:
        await self._wire.open()
        await self._account.load()
        await self._opened.enter_async_context(self._journal)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    async def probe(self) -> Probe:
        """Say which objects the token may read, and which of them can be created in once."""
        shapes = list(self._account.shapes)
        readable = [shape.object for shape in shapes]
        ready = [shape.object for shape in shapes if OPERATION in shape.unique]
        warnings = [
            f"cannot read {name}: {error.message}" for name, error in self._account.denied.items()
        ]
        lacking = [name for name in readable if name not in ready]
        if lacking:
            warnings.append(
                f"the property {OPERATION} is not there yet in {', '.join(lacking)}; it is made"
                " before the first creation, which needs the scopes crm.schemas.*.write"
            )
        base = self._connection.get("base_url")
        return Probe(
            name=f"HubSpot, connection {self._connection.account}",
            can=(
                f"read {', '.join(readable)}",
                *((f"create exactly once in {', '.join(ready)}",) if ready else ()),
            ),
            warnings=tuple(warnings),
            is_test=bool(base),
        )

    async def earlier(self, operation: Operation) -> Effect[Any] | None:
        """Give what was done before; what broke off is looked up and finished."""
        effect = await self._journal.earlier(operation)
        return None if effect is None else effect.map(answers.read)

    async def search(self, search: Search) -> Page:
        """Give one page of live records."""
        return await searched(self._account, search)

    async def get(
        self, record_type: RecordType, ids: Sequence[RecordId], include: Collection[Related] = ()
    ) -> Sequence[Record]:
        """Give the live records with these ids."""
        return await reading.get(self._account, record_type, ids, include)

    async def find(self, record_type: RecordType, field: str, value: str) -> Sequence[RecordId]:
        """Give the ids of live records whose key field has this value."""
        return await reading.find(self._account, record_type, field, value)

    async def describe(self, record_type: RecordType) -> Description:
        """Give HubSpot's name of the type, its pipelines, people, and what is not mapped."""
        (shape, *_) = self._account.shapes.of(record_type)
        return Description(
            pipelines=self._account.pipelines.get(shape.object, ()),
            owners=self._account.owners.all,
            unmapped=shape.unmapped,
            vendor_object=shape.object,
        )

    async def report(self, report: Report) -> ReportPage:
        """Give one page of a report."""
        return await reported(self._account, report)

    async def preview(
        self, record_type: RecordType, records: Sequence[Upsert], *, on_match: OnMatch = "update"
    ) -> Sequence[UpsertResult]:
        """Plan, and send nothing."""
        plan = await Planner(self._account, record_type, on_match, OPERATION).plan(records)
        return [
            UpsertResult(
                status=row["status"],
                id=None if row["id"] is None else RecordId(row["id"]),
                changed=row["changed"],
                error=row["error"],
                changes=row["changes"],
            )
            for row in plan["rows"]
        ]

    async def upsert(
        self,
        operation: Operation,
        record_type: RecordType,
        records: Sequence[Upsert],
        *,
        on_match: OnMatch = "update",
        by: str | None = None,
    ) -> Effect[Sequence[UpsertResult]]:
        """Create or change records. HubSpot keeps its own account of who did it: `by` is not."""
        request = upsert_request(record_type, records, on_match)
        effect = await self._journal.effect(operation, "upsert", request)
        return effect.map(answers.results)

    async def log(
        self, operation: Operation, entry: Entry, *, by: str | None = None
    ) -> Effect[Logged]:
        """Write a note, call, meeting, mail or task, each as HubSpot's object of that name."""
        effect = await self._journal.effect(operation, "log", entry_request(entry))
        return effect.map(answers.logged)

    async def link(
        self, operation: Operation, a: Ref, b: Ref, *, label: str = "", remove: bool = False
    ) -> Effect[bool]:
        """Link two records, or remove their link. A label has to be one that HubSpot knows."""
        request = {
            "a": [a.type, a.id],
            "b": [b.type, b.id],
            "label": label,
            "remove": remove,
        }
        effect = await self._journal.effect(operation, "link", request)
        return effect.map(answers.is_changed)

    async def archive(
        self, operation: Operation, archive: Archive, *, by: str | None = None
    ) -> Effect[Archived]:
        """Archive or merge; HubSpot keeps archived records for 90 days."""
        effect = await self._journal.effect(operation, "archive", archive_request(archive))
        return effect.map(answers.archived)
