"""The CRM in a SQLite file of our own: no account, no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Self

from aicore_tools.connections import Probe
from aicore_tools.crm import answers
from aicore_tools.crm.backends import _local_reading as reading
from aicore_tools.crm.backends import _local_reports as reports
from aicore_tools.crm.backends import _local_writing as writing
from aicore_tools.crm.backends._local_search import search as local_search
from aicore_tools.crm.catalogue import STANDARD, Catalogue
from aicore_tools.crm.records import (
    Archive,
    Archived,
    Description,
    Entry,
    Logged,
    OnMatch,
    Page,
    Pipeline,
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
    """
    CREATE TABLE record_value (
        business TEXT NOT NULL,
        type TEXT NOT NULL,
        field TEXT NOT NULL,
        -- folded, and cut to MAX_INDEXED_CHARS: what finds candidates and sorts
        value ANY NOT NULL,
        seq INTEGER NOT NULL REFERENCES record (seq) ON DELETE CASCADE,
        PRIMARY KEY (business, type, field, value, seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO record_value
        SELECT r.business, r.type, j.key,
               CASE j.type WHEN 'text' THEN substr(j.value, 1, 200) ELSE j.value END, r.seq
        FROM record r, json_each(r.folded) j WHERE r.archived IS NULL;
    CREATE INDEX record_created ON record (business, type, created) WHERE archived IS NULL;
    CREATE INDEX record_updated ON record (business, type, updated) WHERE archived IS NULL;
    CREATE VIRTUAL TABLE record_words USING fts5 (
        words, scope, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3 4 5 6 7'
    );
    INSERT INTO record_words (rowid, words, scope)
        SELECT f.rowid, f.words, hex(r.business || ' ' || r.type)
        FROM record_fts f JOIN record r ON r.seq = f.rowid;
    DROP TABLE record_fts;
    CREATE VIRTUAL TABLE record_parts USING fts5 (words, tokenize = 'trigram case_sensitive 1');
    INSERT INTO record_parts (rowid, words)
        SELECT r.seq, (SELECT group_concat(j.value, ' ') FROM json_each(r.folded) j)
        FROM record r WHERE r.archived IS NULL;
    """,
)


def _now() -> datetime:
    return datetime.now(UTC)


class LocalDirectory:
    """A CustomerDirectory in one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        catalogue: Catalogue = STANDARD,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._business = business
        self._catalogue = catalogue
        self._now = now

    @property
    def catalogue(self) -> Catalogue:
        """The standard types, and the declared ones."""
        return self._catalogue

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

    async def probe(self) -> Probe:
        """Count what is there."""
        count = await self._store.read(
            lambda connection: connection.execute(
                "SELECT count(*) FROM record WHERE business = ? AND archived IS NULL",
                (self._business,),
            ).fetchone()[0]
        )
        can = (f"read and write {count} records of {self._business}",)
        return Probe(name=str(self._store.path), can=can)

    async def earlier(self, operation: Operation) -> Effect[Any] | None:
        """Give what was done in one transaction with its key."""
        effect = await self._store.find_effect(operation)
        return None if effect is None else effect.map(answers.read)

    async def search(self, search: Search) -> Page:
        """Give one page of live records."""
        return await self._store.read(
            lambda connection: local_search(connection, self._business, search)
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

    async def describe(self, record_type: RecordType) -> Description:
        """Give the stages of deals as the one pipeline there is."""
        stage = self._catalogue.fields(record_type).get("stage")
        if stage is None or not stage.choices:
            return Description()
        stages = {choice: choice for choice in stage.choices}
        return Description(pipelines=[Pipeline(id="default", name="default", stages=stages)])

    async def report(self, report: Report) -> ReportPage:
        """Give one page of a report."""
        return await self._store.read(
            lambda connection: reports.report(connection, self._business, report)
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
            rows = [batch.upsert(record_type, item, on_match) for item in records]
            return {"results": [{**row, "changes": None} for row in rows]}

        effect = await self._store.effect(operation, change)
        return effect.map(answers.results)

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
        return effect.map(answers.logged)

    async def link(
        self, operation: Operation, a: Ref, b: Ref, *, label: str = "", remove: bool = False
    ) -> Effect[bool]:
        """Link two records, or remove their link."""

        def change(connection: Connection) -> dict[str, Any]:
            writer = self._writer(connection, None)
            return {"changed": writer.unlink(a, b) if remove else writer.link(a, b, label=label)}

        effect = await self._store.effect(operation, change)
        return effect.map(answers.is_changed)

    async def archive(
        self, operation: Operation, archive: Archive, *, by: str | None = None
    ) -> Effect[Archived]:
        """Take records out of sight, in one transaction."""
        effect = await self._store.effect(
            operation, lambda connection: self._writer(connection, by).archive(archive)
        )
        return effect.map(answers.archived)

    def _writer(self, connection: Connection, by: str | None) -> writing.Writer:
        at = self._now().astimezone(UTC).isoformat(timespec="seconds")
        return writing.Writer(connection, self._catalogue, business=self._business, at=at, by=by)


class _Preview(Exception):
    """Carries the results out of a transaction that must not be kept."""

    def __init__(self, results: Sequence[UpsertResult]) -> None:
        super().__init__("preview")
        self.results = results


def _without_new_id(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "id": None} if row["status"] == "created" else row
