"""A memory in one SQLite file: for one machine, for one or several processes."""

from __future__ import annotations

import builtins
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import ConfigError
from aicore.memory import sqlite_rows as rows
from aicore.memory.neighbours import forgotten_meanwhile
from aicore.memory.port import Entry, EntryKind, Found, Learned, Namespace, Query
from aicore.memory.ranking import best
from aicore.memory.sqlite_schema import SCHEMA
from aicore.memory.sqlite_threads import SQLiteThreads
from aicore.memory.words import words_of
from aicore.records import ConversationId

__all__ = ["SQLiteMemory"]

_QUERY_CHARACTERS = 20_000
_QUERY_WORDS = 64

_GET = f"SELECT {rows.COLUMNS} FROM entry WHERE namespace = ? AND id IN ({{}})"  # noqa: S608
_BY_KEY = f"SELECT key, {rows.COLUMNS} FROM entry WHERE key IN ({{}})"  # noqa: S608
_FITTING = "SELECT key FROM entry WHERE {} AND key IN ({{}})"
_HOLDS = "valid_from_ms <= ? AND (valid_to_ms IS NULL OR valid_to_ms > ?)"
_END = """
    UPDATE entry SET valid_to_ms = max(valid_from_ms, ?), superseded_by = ?
    WHERE namespace = ? AND id = ?
"""
_SUBJECTS = """
    SELECT subject FROM namespace WHERE business = ? AND entries > 0 AND subject > ?
    ORDER BY subject LIMIT ?
"""
_LEARNED = "SELECT seq, born_ms FROM learned WHERE business = ? AND conversation = ?"


class SQLiteMemory:
    """Keeps what is remembered, of all businesses, in the file `path`; see MemoryStore.

    The file is made if it is missing, readable by its owner only; its folder must exist and be
    on a local disk. Several processes may share the file. What was added survives a crash of
    the process; the last moments may be lost when the machine loses power, and are learned
    again from the log. `forget` and `erase` write the whole file anew, which takes a few seconds
    per gigabyte; one that a crash interrupted is finished when the file is next opened.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteMemory needs a file. Name one in an existing folder.")
        self._threads = SQLiteThreads(SQLiteFile(Path(path), SCHEMA))

    async def add(
        self,
        namespace: Namespace,
        entries: Sequence[Entry],
        learned: Learned | None = None,
        *,
        made_of: Collection[str] = (),
    ) -> int:
        """Add entries and how far was learned; see MemoryStore."""
        entries, made_of = tuple(entries), frozenset(made_of)

        def work(connection: sqlite3.Connection) -> int:
            if not entries and learned is None:
                return 0
            space = rows.make_namespace(connection, namespace)
            if rows.forgotten(connection, space, made_of):
                raise forgotten_meanwhile()
            if learned is not None:
                rows.note_learned(connection, namespace.business, space, learned)
            return rows.add_entries(connection, space, entries)

        return await self._threads.write(work)

    async def supersede(
        self, namespace: Namespace, earlier_id: str, at_ms: int, later: Entry | None
    ) -> bool:
        """End an entry; see MemoryStore."""

        def work(connection: sqlite3.Connection) -> bool:
            return _supersede(connection, namespace, earlier_id, at_ms, later)

        return await self._threads.write(work)

    async def search(self, namespace: Namespace, query: Query) -> Sequence[Found]:
        """The best entries by their words; see MemoryStore."""

        def work(connection: sqlite3.Connection) -> list[Found]:
            return _search(connection, namespace, query)

        return await self._threads.read(work)

    async def get(self, namespace: Namespace, ids: Collection[str]) -> Mapping[str, Entry]:
        """Entries by id."""

        def work(connection: sqlite3.Connection) -> dict[str, Entry]:
            found = rows.read_namespace(connection, namespace)
            if found is None:
                return {}
            entries = map(rows.entry_of, rows.several(connection, _GET, found[:1], ids))
            return {entry.id: entry for entry in entries}

        return await self._threads.read(work)

    async def list(
        self,
        namespace: Namespace,
        *,
        kind: EntryKind | None = None,
        topic: str | None = None,
        at_ms: int | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Entry]:
        """Entries in the order of their ids; a page."""
        conditions = {
            "id > ?": None if after is None else (after,),
            "kind = ?": None if kind is None else (kind,),
            # Said twice where there is one, so that SQLite sees it may use the index of topics.
            "topic = ?" + (" AND topic <> ''" if topic else ""): None
            if topic is None
            else (topic,),
            _HOLDS: None if at_ms is None else (at_ms, at_ms),
        }
        asked = {text: values for text, values in conditions.items() if values is not None}

        def work(connection: sqlite3.Connection) -> builtins.list[Entry]:
            found = rows.read_namespace(connection, namespace)
            if found is None:
                return []
            where = " AND ".join(("namespace = ?", *asked))
            values = [found[0], *(value for given in asked.values() for value in given)]
            query = f"SELECT {rows.COLUMNS} FROM entry WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608
            page = connection.execute(query, (*values, max(limit, 0)))
            return [rows.entry_of(row) for row in page]

        return await self._threads.read(work)

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        """Delete entries for good; see MemoryStore.

        Raises: StoreBusy also when they are deleted but another process, by reading for seconds,
        keeps traces of them in the file: then call again.
        """
        ids = frozenset(ids)

        def delete(connection: sqlite3.Connection) -> int:
            if not ids:
                return 0
            space = rows.make_namespace(connection, namespace)
            forgotten = "INSERT OR IGNORE INTO forgotten (namespace, id) VALUES (?, ?)"
            connection.executemany(forgotten, ((space, id_) for id_ in ids))
            return rows.delete_entries(connection, space, ids)

        return await self._threads.erase(delete)

    async def forgotten(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that were forgotten."""

        def work(connection: sqlite3.Connection) -> set[str]:
            found = rows.read_namespace(connection, namespace)
            return set() if found is None else rows.forgotten(connection, found[0], ids)

        return await self._threads.read(work)

    async def erase(self, namespace: Namespace) -> int:
        """Delete a whole namespace for good; see MemoryStore. Raises as `forget` does."""

        def delete(connection: sqlite3.Connection) -> int:
            return rows.delete_namespace(connection, namespace)

        return await self._threads.erase(delete)

    async def subjects(
        self, business: str, after: str | None = None, limit: int = 1000
    ) -> Sequence[str]:
        """Subjects that something is remembered of, in order; a page."""

        def work(connection: sqlite3.Connection) -> builtins.list[str]:
            page = connection.execute(_SUBJECTS, (business, after or "", max(limit, 0)))
            return [row[0] for row in page]

        return await self._threads.read(work)

    async def learned(self, business: str, conversation: ConversationId) -> Learned | None:
        """How far a conversation has been learned from."""

        def work(connection: sqlite3.Connection) -> Learned | None:
            row = connection.execute(_LEARNED, (business, conversation)).fetchone()
            return None if row is None else Learned(conversation, row[0], row[1])

        return await self._threads.read(work)

    async def __aenter__(self) -> Self:
        await self._threads.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._threads.close()


def _supersede(
    connection: sqlite3.Connection,
    namespace: Namespace,
    earlier_id: str,
    at_ms: int,
    later: Entry | None,
) -> bool:
    found = rows.read_namespace(connection, namespace)
    if found is None or (later is not None and later.id == earlier_id):
        return False
    place = (found[0], earlier_id)
    query = "SELECT valid_to_ms FROM entry WHERE namespace = ? AND id = ?"
    row = connection.execute(query, place).fetchone()
    if row is None or (row[0] is not None and row[0] <= at_ms):
        return False
    later_id = None
    if later is not None:
        rows.add_entries(connection, found[0], (later,))
        is_there = connection.execute(query, (found[0], later.id)).fetchone() is not None
        later_id = later.id if is_there else None
    connection.execute(_END, (at_ms, later_id, *place))
    return True


def _search(connection: sqlite3.Connection, namespace: Namespace, query: Query) -> list[Found]:
    found = rows.read_namespace(connection, namespace)
    if found is None or query.k <= 0:
        return []
    words = list(dict.fromkeys(words_of(query.text[:_QUERY_CHARACTERS])))[:_QUERY_WORDS]
    if not words:
        return []
    space, total = found
    kinds = rows.KINDS if query.kinds is None else query.kinds
    spans = [range(first, last + 1) for first, last in map(rows.number_span, kinds)]
    lists = rows.present(connection, space, words, spans)
    count = 2 * query.k + 20
    while True:
        ranked = best(lists, total, count)
        keys = {space * rows.NUMBERS + number: score for number, score in ranked}
        fitting = _fitting(connection, query, keys)
        if len(fitting) >= query.k or len(ranked) < count:
            break
        count *= 8
    chosen = [key for key in keys if key in fitting][: query.k]
    entries = {
        row[0]: rows.entry_of(row[1:]) for row in rows.several(connection, _BY_KEY, (), chosen)
    }
    return [Found(entries[key], keys[key]) for key in chosen]


def _fitting(connection: sqlite3.Connection, query: Query, keys: Collection[int]) -> set[int]:
    """Of these entries those that hold and are of the classes asked for."""
    where, values = "TRUE", list[Any]()
    if query.at_ms is not None:
        where += f" AND {_HOLDS}"
        values += (query.at_ms, query.at_ms)
    if query.data_classes is not None:
        classes = list(query.data_classes)
        where += f" AND data_class IN ({', '.join('?' * len(classes))})"
        values += classes
    return {row[0] for row in rows.several(connection, _FITTING.format(where), values, keys)}
