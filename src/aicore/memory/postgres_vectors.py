"""Vectors of entries in PostgreSQL, by pgvector: https://github.com/pgvector/pgvector."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from aicore.databases.postgres import Connection, Postgres, PostgresSchema, fetch
from aicore.databases.postgres_errors import translate
from aicore.errors import ConfigError, NotOpenError, StoreBusy
from aicore.log.postgres_schema import from_key, to_key
from aicore.memory.port import Namespace, Near
from aicore.memory.postgres_traces import TRACE, Traces, in_parts, no_statistics

__all__ = ["PostgresVectors"]

_LOG = logging.getLogger(__name__)

_NAME = "aicore_vectors"
_WHAT = "vectors"
_AT_ONCE = 500
_CONNECTIONS = 4


def _migrations(place: str) -> tuple[tuple[str, ...], ...]:
    """One entry a version, from 1 on. `place` is the schema that pgvector is in."""
    # Never change an entry that was released: add one.
    return (
        (
            # At most one row: of which model all vectors are, and how many numbers each has.
            """
            CREATE TABLE made_by (
                id integer PRIMARY KEY CHECK (id = 1),
                length integer NOT NULL,
                model text COLLATE "C" NOT NULL
            )
            """,
            """
            CREATE TABLE namespace (
                space bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                business text COLLATE "C" NOT NULL,
                subject text COLLATE "C" NOT NULL,
                UNIQUE (business, subject)
            )
            """,
            f"""
            CREATE TABLE embedding (
                space bigint NOT NULL,
                id text COLLATE "C" NOT NULL,
                numbers {place}.vector NOT NULL,
                PRIMARY KEY (space, id)
            ) PARTITION BY HASH (space)
            """,
            *in_parts("embedding"),
            TRACE,
            *no_statistics("namespace", "subject"),
            *no_statistics("embedding", "id", "numbers"),
        ),
    )


_EXTENSION = """
    SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'vector'
"""
_MADE_BY = "SELECT model, length FROM made_by"
_MAKE_BY = "INSERT INTO made_by VALUES (1, %s, %s) ON CONFLICT DO NOTHING"
_MAKE = """
    INSERT INTO namespace AS n (business, subject) VALUES (%s, %s)
    ON CONFLICT (business, subject) DO UPDATE SET subject = n.subject RETURNING space
"""
_PUT = """
    INSERT INTO embedding (space, id, numbers)
    SELECT %s, id, numbers::{place}.vector FROM unnest(%s::text[], %s::text[]) AS v (id, numbers)
    ON CONFLICT (space, id) DO UPDATE SET numbers = excluded.numbers
"""
# The distance is worked out for every vector of the namespace, so none of the best is missed.
# A vector of nothing but zeros is like no other.
_NEAREST = """
    SELECT id, coalesce(
        1 - nullif(numbers OPERATOR({place}.<=>) %(vector)s::{place}.vector, 'NaN'), 0
    ) AS similarity
    FROM embedding WHERE space = (
        SELECT space FROM namespace WHERE business = %(business)s AND subject = %(subject)s
    )
    ORDER BY similarity DESC, id LIMIT %(k)s
"""
_HAVE = """
    SELECT id FROM embedding JOIN namespace USING (space)
    WHERE business = %s AND subject = %s AND id = ANY(%s)
"""
_LOCK = "SELECT space FROM namespace WHERE business = %s AND subject = %s FOR UPDATE"
_REMOVE = "DELETE FROM embedding WHERE space = %s AND id = ANY(%s) RETURNING id"
_ERASE = (
    "DELETE FROM embedding WHERE space = %s",
    "DELETE FROM namespace WHERE space = %s",
)


class PostgresVectors:
    """Keeps vectors of all businesses in a PostgreSQL database that has pgvector; see VectorIndex.

    `url` is postgresql://user:password@host:port/database, `model` names the embedder. Tables are
    made in the schema aicore_vectors. A search compares with every vector of the namespace and
    misses none. `remove` and `erase` write an eighth of the vectors anew and keep others from
    that eighth meanwhile; what was deleted stays in the write-ahead log and in backups until
    those are recycled.
    """

    locality: Literal["in_process", "local", "managed"] = "local"

    def __init__(self, url: str, *, model: str) -> None:
        self._url = url
        self._model = model
        self._database = Postgres(url, PostgresSchema(_WHAT, _NAME, ()), max_connections=1)
        self._place = ""
        self._traces: Traces | None = None
        self._length = 0
        self._entering = anyio.Lock()
        self._entered = 0

    async def put(self, namespace: Namespace, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors under these ids; see VectorIndex.

        Raises: ConfigError when they are not of the length of those that are there.
        """
        lengths = {len(vector) for vector in vectors.values()}
        ids = sorted(vectors)  # in one order for all writers, so that none waits for another
        keys, packed = [to_key(id_) for id_ in ids], [_text(vectors[id_]) for id_ in ids]

        async def work(connection: Connection) -> None:
            for length in lengths:
                await self._check_length(connection, length)
            [(space,)] = await fetch(connection, _MAKE, tuple(map(to_key, namespace)))
            statement = _PUT.format(place=self._place)
            for start in range(0, len(keys), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                await fetch(connection, statement, (space, keys[part], packed[part]))

        self._opened()
        if vectors:
            await self._database.transact(work)

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors; see VectorIndex. Raises as `put` does."""
        self._opened()
        business, subject = map(to_key, namespace)
        values = {"business": business, "subject": subject, "vector": _text(vector), "k": k}

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            known = await fetch(connection, _MADE_BY)
            if not known or k < 1:
                return []
            self._compare(*known[0], length=len(vector))
            return await fetch(connection, _NEAREST.format(place=self._place), values)

        found = await self._database.run(work)
        return [Near(from_key(id_), similarity) for id_, similarity in found]

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""
        values = (*map(to_key, namespace), [to_key(id_) for id_ in ids])
        rows = await self._database.fetch(_HAVE, values)
        return set(ids) - {from_key(row[0]) for row in rows}

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors for good.

        Raises: StoreBusy also when they are deleted but traces are left in the tables' files,
        because others use them: then call again.
        """
        keys = [to_key(id_) for id_ in ids]

        async def delete(connection: Connection) -> tuple[int | None, None]:
            rows = await fetch(connection, _LOCK, tuple(map(to_key, namespace)))
            if not rows or not await fetch(connection, _REMOVE, (rows[0][0], keys)):
                return None, None
            return rows[0][0], None

        await self._opened().erase(delete)

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace for good. Raises as `remove` does."""

        async def delete(connection: Connection) -> tuple[int | None, None]:
            rows = await fetch(connection, _LOCK, tuple(map(to_key, namespace)))
            if not rows:
                return None, None
            for statement in _ERASE:
                await fetch(connection, statement, rows[0])
            return rows[0][0], None

        await self._opened().erase(delete)

    async def __aenter__(self) -> Self:
        async with self._entering:
            if not self._entered:
                await self._open()
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

    async def _open(self) -> None:
        self._place = await self._find_extension()
        schema = PostgresSchema(_WHAT, _NAME, _migrations(self._place))
        self._database = Postgres(self._url, schema, max_connections=_CONNECTIONS)
        await self._database.open()
        self._traces = Traces(self._database, large=("embedding",), small=("namespace",))
        try:
            for model, length in await self._database.fetch(_MADE_BY):
                self._compare(model, length, length=length)
            await self._traces.finish()
        except StoreBusy as exc:
            _LOG.warning("%s", exc)
        except BaseException:
            await self._database.close()
            raise

    async def _find_extension(self) -> str:
        """Give the schema that pgvector is in; it is installed where the user may do that."""
        async with await self._database.connect() as connection:
            if not (found := await _look(connection, str(self._database))):
                await _install(connection, str(self._database))
                found = await _look(connection, str(self._database))
        return found

    async def _check_length(self, connection: Connection, length: int) -> None:
        if not await fetch(connection, _MADE_BY):
            await fetch(connection, _MAKE_BY, (length, self._model))
        [known] = await fetch(connection, _MADE_BY)
        self._compare(*known, length=length)

    def _compare(self, model: str, kept: int, *, length: int) -> None:
        if (model, kept) != (self._model, length):
            raise ConfigError(
                f"The {self._database} are of the embedder {model!r} and have {kept} numbers "
                f"each; {self._model!r} gives {length}. Drop them with DROP SCHEMA {_NAME} "
                "CASCADE, or name another database: vectors are made anew from the memory."
            )

    def _opened(self) -> Traces:
        if self._traces is None or not self._entered:
            raise NotOpenError(f"The {self._database} are not open: use them in `async with`.")
        return self._traces


async def _look(connection: Connection, where: str) -> str:
    from psycopg import Error

    try:
        found = await fetch(connection, _EXTENSION)
    except Error as exc:
        raise translate(exc, where) from exc
    return str(found[0][0]) if found else ""


async def _install(connection: Connection, where: str) -> None:
    from psycopg import Error

    try:
        await fetch(connection, "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    except Error as exc:
        raise ConfigError(
            f"The {where} need the extension vector (pgvector). Install pgvector on the server, "
            "then let a superuser run CREATE EXTENSION vector in this database."
        ) from exc


def _text(vector: Sequence[float]) -> str:
    return f"[{','.join(map(repr, map(float, vector)))}]"
