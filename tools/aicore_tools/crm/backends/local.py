"""The CRM in a SQLite file of our own: no account, no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Self

from aicore_tools.crm.backends import _local_reading as reading
from aicore_tools.crm.backends import _local_writing as writing
from aicore_tools.crm.records import (
    Entry,
    Logged,
    OnMatch,
    Page,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
    Search,
    Upsert,
    UpsertResult,
)
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalDirectory"]

MIGRATIONS = (
    """
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        business TEXT NOT NULL,
        type TEXT NOT NULL,
        fields TEXT NOT NULL,
        -- the same with texts case-folded: what filters and sorting compare
        folded TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        archived TEXT
    ) STRICT;
    CREATE INDEX record_live ON record (business, type, seq) WHERE archived IS NULL;
    CREATE TABLE record_key (
        business TEXT NOT NULL,
        type TEXT NOT NULL,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        seq INTEGER NOT NULL REFERENCES record (seq) ON DELETE CASCADE,
        PRIMARY KEY (business, type, field, value, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX record_key_seq ON record_key (seq);
    CREATE TABLE link (
        business TEXT NOT NULL,
        low INTEGER NOT NULL REFERENCES record (seq) ON DELETE CASCADE,
        high INTEGER NOT NULL REFERENCES record (seq) ON DELETE CASCADE,
        label TEXT NOT NULL,
        PRIMARY KEY (business, low, high)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX link_high ON link (business, high);
    CREATE TABLE change (
        seq INTEGER PRIMARY KEY,
        business TEXT NOT NULL,
        record INTEGER NOT NULL REFERENCES record (seq) ON DELETE CASCADE,
        at TEXT NOT NULL,
        by TEXT,
        fields TEXT NOT NULL
    ) STRICT;
    CREATE INDEX change_record ON change (record, seq);
    CREATE VIRTUAL TABLE record_fts USING fts5 (
        words, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    """,
)


def _now() -> datetime:
    return datetime.now(UTC)


class LocalDirectory:
    """A CustomerDirectory in one SQLite file."""

    def __init__(self, path: Path, *, business: str, now: Callable[[], datetime] = _now) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._business = business
        self._now = now

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._store.__aexit__(kind, error, trace)

    async def search(self, search: Search) -> Page:
        """Give one page of live records."""
        return await self._store.read(
            lambda connection: reading.search(connection, self._business, search)
        )

    async def get(
        self, record_type: RecordType, ids: Sequence[RecordId], include: Collection[Related] = ()
    ) -> Sequence[Record]:
        """Give the live records with these ids."""
        return await self._store.read(
            lambda connection: reading.get(connection, self._business, record_type, ids, include)
        )

    async def find(self, record_type: RecordType, field: str, value: str) -> Sequence[RecordId]:
        """Give the ids of live records whose key field has this value."""
        return await self._store.read(
            lambda connection: reading.find(connection, self._business, record_type, field, value)
        )

    async def upsert(
        self,
        operation: Operation,
        record_type: RecordType,
        records: Sequence[Upsert],
        *,
        on_match: OnMatch = "update",
        by: str | None = None,
    ) -> Effect[Sequence[UpsertResult]]:
        """Create or change records in one transaction."""

        def change(connection: Connection) -> dict[str, Any]:
            batch = self._writer(connection, by)
            return {"results": [batch.upsert(record_type, item, on_match) for item in records]}

        effect = await self._store.effect(operation, change)
        return effect.map(lambda done: [UpsertResult(**row) for row in done["results"]])

    async def preview(
        self, record_type: RecordType, records: Sequence[Upsert], *, on_match: OnMatch = "update"
    ) -> Sequence[UpsertResult]:
        """Write, look, and roll back."""

        def change(connection: Connection) -> None:
            batch = self._writer(connection, None)
            rows = [batch.upsert(record_type, item, on_match) for item in records]
            raise _Preview([UpsertResult(**_without_new_id(row)) for row in rows])

        try:
            await self._store.write(change)
        except _Preview as preview:
            return preview.results
        raise AssertionError("a preview always rolls back")

    async def log(
        self, operation: Operation, entry: Entry, *, by: str | None = None
    ) -> Effect[Logged]:
        """Write a note or task with its links, or change a task, in one transaction."""
        effect = await self._store.effect(
            operation, lambda connection: self._writer(connection, by).log(entry)
        )
        return effect.map(lambda done: Logged(**done))

    async def link(
        self, operation: Operation, a: Ref, b: Ref, *, label: str = "", remove: bool = False
    ) -> Effect[bool]:
        """Link two records, or remove their link."""

        def change(connection: Connection) -> dict[str, Any]:
            writer = self._writer(connection, None)
            return {"changed": writer.unlink(a, b) if remove else writer.link(a, b, label=label)}

        effect = await self._store.effect(operation, change)
        return effect.map(lambda done: bool(done["changed"]))

    def _writer(self, connection: Connection, by: str | None) -> writing.Writer:
        at = self._now().astimezone(UTC).isoformat(timespec="seconds")
        return writing.Writer(connection, business=self._business, at=at, by=by)


class _Preview(Exception):
    """Carries the results out of a transaction that must not be kept."""

    def __init__(self, results: Sequence[UpsertResult]) -> None:
        super().__init__("preview")
        self.results = results


def _without_new_id(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "id": None} if row["status"] == "created" else row
