"""A memory in PostgreSQL: for several machines."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio

from aicore.databases.postgres import Connection, Postgres, fetch
from aicore.errors import StoreBusy
from aicore.log.postgres_schema import from_key, to_key
from aicore.memory import postgres_rows as rows
from aicore.memory.neighbours import forgotten_meanwhile
from aicore.memory.port import Entry, EntryKind, Found, Learned, Namespace, Query
from aicore.memory.postgres_schema import HAS_TOPIC, LONGEST_TOPIC, SCHEMA
from aicore.memory.postgres_traces import Traces
from aicore.memory.ranking import best
from aicore.memory.sqlite_rows import COLUMNS, KINDS, number_span
from aicore.memory.words import storable, words_of
from aicore.records import ConversationId

__all__ = ["PostgresMemory"]

_LOG = logging.getLogger(__name__)

_QUERY_CHARACTERS = 20_000
_QUERY_WORDS = 64
_CONNECTIONS = 4

_SPACE = "SELECT space, entries FROM namespace WHERE business = %s AND subject = %s"
_OF = (
    "space = (SELECT space FROM namespace WHERE business = %(business)s AND subject = %(subject)s)"
)
_GET = f"SELECT {COLUMNS} FROM entry WHERE {_OF} AND id = ANY(%(ids)s)"  # noqa: S608
_LIST = f"SELECT {COLUMNS} FROM entry WHERE {{}} ORDER BY id LIMIT %(limit)s"  # noqa: S608
_HOLDS = "valid_from_ms <= %(at_ms)s AND (valid_to_ms IS NULL OR valid_to_ms > %(at_ms)s)"
_CHOSEN = f"""
    SELECT number, {COLUMNS} FROM entry
    JOIN unnest(%(numbers)s::bigint[]) WITH ORDINALITY AS r (number, rank) USING (number)
    WHERE {{}} ORDER BY rank LIMIT %(k)s
"""  # noqa: S608  # a constant
_EARLIER = "SELECT valid_to_ms FROM entry WHERE space = %s AND id = %s"
_END = """
    UPDATE entry SET valid_to_ms = greatest(valid_from_ms, %s), superseded_by = %s
    WHERE space = %s AND id = %s
"""
_FORGOTTEN = "SELECT id FROM forgotten WHERE space = %s AND id = ANY(%s)"
_FORGOTTEN_OF = f"SELECT id FROM forgotten WHERE {_OF} AND id = ANY(%(ids)s)"  # noqa: S608
_SUBJECTS = """
    SELECT subject FROM namespace WHERE business = %s AND entries > 0 AND subject > %s
    ORDER BY subject LIMIT %s
"""
_LEARNED = "SELECT seq, born_ms FROM learned WHERE business = %s AND conversation = %s"


class PostgresMemory:
    """Keeps what is remembered, of all businesses, in a PostgreSQL database; see MemoryStore.

    `url` is postgresql://user:password@host:port/database. Tables are made in the schema
    aicore_memory. Finds what SQLiteMemory finds, in the same order. `forget` and `erase` write an
    eighth of the tables anew and keep others from that eighth meanwhile; what was deleted stays
    in the write-ahead log and in backups until those are recycled.
    """

    def __init__(self, url: str) -> None:
        self._database = Postgres(url, SCHEMA, max_connections=_CONNECTIONS)
        small = ("namespace", "forgotten", "learned", "learned_into")
        self._traces = Traces(self._database, large=("entry", "posting"), small=small)
        self._entering = anyio.Lock()
        self._entered = 0

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

        async def work(connection: Connection) -> int:
            if not entries and learned is None:
                return 0
            space = await rows.make_namespace(connection, namespace)
            if made_of and await fetch(connection, _FORGOTTEN, (space, [*map(to_key, made_of)])):
                raise forgotten_meanwhile()
            if learned is not None:
                await rows.note_learned(connection, namespace.business, space, learned)
            return await rows.add_entries(connection, space, entries)

        return await self._database.transact(work)

    async def supersede(
        self, namespace: Namespace, earlier_id: str, at_ms: int, later: Entry | None
    ) -> bool:
        """End an entry; see MemoryStore."""

        async def work(connection: Connection) -> bool:
            return await _supersede(connection, namespace, earlier_id, at_ms, later)

        return await self._database.transact(work)

    async def search(self, namespace: Namespace, query: Query) -> Sequence[Found]:
        """The best entries by their words; see MemoryStore."""
        words = list(dict.fromkeys(words_of(query.text[:_QUERY_CHARACTERS])))[:_QUERY_WORDS]
        if not words or query.k <= 0:
            return []

        async def work(connection: Connection) -> builtins.list[Found]:
            return await _search(connection, namespace, query, words)

        return await self._database.run(work)

    async def get(self, namespace: Namespace, ids: Collection[str]) -> Mapping[str, Entry]:
        """Entries by id."""
        values = _values(namespace, ids=[to_key(id_) for id_ in ids])
        entries = map(rows.read_entry, await self._database.fetch(_GET, values))
        return {entry.id: entry for entry in entries}

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
        key = None if after is None else to_key(after)
        about = None if topic is None else storable(topic)
        given = {"kind": kind, "topic": about, "at_ms": at_ms, "after": key}
        asked = {name: value for name, value in given.items() if value is not None}
        conditions = {"after": "id > %(after)s", "at_ms": _HOLDS}
        if about and len(about.encode()) <= LONGEST_TOPIC:
            conditions["topic"] = f"topic = %(topic)s AND {HAS_TOPIC}"
        where = [conditions.get(name, f"{name} = %({name})s") for name in asked]
        statement = _LIST.format(" AND ".join((_OF, *where)))
        values = _values(namespace, limit=max(limit, 0), **asked)
        return [rows.read_entry(row) for row in await self._database.fetch(statement, values)]

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        """Delete entries for good; see MemoryStore.

        Raises: StoreBusy also when they are deleted but traces are left in the tables' files,
        because others use them: then call again.
        """
        ids = frozenset(ids)

        async def delete(connection: Connection) -> tuple[int | None, int]:
            if not ids:
                return None, 0
            space = await rows.make_namespace(connection, namespace)
            await rows.forget_ids(connection, space, ids)
            count = await rows.delete_entries(connection, space, ids)
            return (space if count else None), count

        return await self._traces.erase(delete)

    async def forgotten(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that were forgotten."""
        values = _values(namespace, ids=[to_key(id_) for id_ in ids])
        return {from_key(row[0]) for row in await self._database.fetch(_FORGOTTEN_OF, values)}

    async def erase(self, namespace: Namespace) -> int:
        """Delete a whole namespace for good; see MemoryStore. Raises as `forget` does."""

        async def delete(connection: Connection) -> tuple[int | None, int]:
            found = await rows.lock_namespace(connection, namespace)
            if found is None:
                return None, 0
            await rows.delete_namespace(connection, namespace, found[0])
            return found

        return await self._traces.erase(delete)

    async def subjects(
        self, business: str, after: str | None = None, limit: int = 1000
    ) -> Sequence[str]:
        """Subjects that something is remembered of, in order; a page."""
        values = (to_key(business), to_key(after or ""), max(limit, 0))
        return [from_key(row[0]) for row in await self._database.fetch(_SUBJECTS, values)]

    async def learned(self, business: str, conversation: ConversationId) -> Learned | None:
        """How far a conversation has been learned from."""
        found = await self._database.fetch(_LEARNED, (to_key(business), to_key(conversation)))
        return Learned(conversation, *found[0]) if found else None

    async def __aenter__(self) -> Self:
        async with self._entering:
            if not self._entered:
                await self._database.open()
                await self._finish_erasing()
            self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with self._entering:
                self._entered = max(self._entered - 1, 0)
                if not self._entered:
                    await self._database.close()

    async def _finish_erasing(self) -> None:
        try:
            await self._traces.finish()
        except StoreBusy as exc:
            _LOG.warning("%s", exc)


def _values(namespace: Namespace, **more: Any) -> dict[str, Any]:
    business, subject = map(to_key, namespace)
    return {"business": business, "subject": subject, **more}


async def _supersede(
    connection: Connection,
    namespace: Namespace,
    earlier_id: str,
    at_ms: int,
    later: Entry | None,
) -> bool:
    found = await rows.lock_namespace(connection, namespace)
    if found is None or (later is not None and later.id == earlier_id):
        return False
    place = (found[0], to_key(earlier_id))
    earlier = await fetch(connection, _EARLIER, place)
    if not earlier or (earlier[0][0] is not None and earlier[0][0] <= at_ms):
        return False
    later_key = None
    if later is not None:
        await rows.add_entries(connection, found[0], (later,))
        later_key = to_key(later.id)
        if not await fetch(connection, _EARLIER, (found[0], later_key)):
            later_key = None  # it was forgotten once
    await fetch(connection, _END, (at_ms, later_key, *place))
    return True


async def _search(
    connection: Connection, namespace: Namespace, query: Query, words: Sequence[str]
) -> list[Found]:
    known = await fetch(connection, _SPACE, tuple(map(to_key, namespace)))
    if not known:
        return []
    [(space, total)] = known
    kinds = KINDS if query.kinds is None else query.kinds
    spans = [range(first, last + 1) for first, last in map(number_span, kinds)]
    lists = await rows.postings_of(connection, space, words, spans)
    where, values = ["space = %(space)s"], dict[str, Any](space=space, k=query.k)
    if query.at_ms is not None:
        where.append(_HOLDS)
        values["at_ms"] = query.at_ms
    if query.data_classes is not None:
        where.append("data_class = ANY(%(classes)s)")
        values["classes"] = list(query.data_classes)
    statement = _CHOSEN.format(" AND ".join(where))
    count = 2 * query.k + 20
    while True:
        scores = dict(best(lists, total, count))
        chosen = await fetch(connection, statement, {**values, "numbers": [*scores]})
        if len(chosen) >= query.k or len(scores) < count:
            return [Found(rows.read_entry(row[1:]), scores[row[0]]) for row in chosen]
        count *= 8
