"""A PostgreSQL database of ours: its connections, how its tables are brought forward, its errors.

psycopg is imported when a database is opened. On Windows it needs an event loop of the selector
kind: https://www.psycopg.org/psycopg3/docs/advanced/async.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio

from aicore.databases.postgres_errors import MayRetry, describe, translated
from aicore.errors import ConfigError, NotOpenError, StoreBusy, StoreError

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

__all__ = ["Connection", "Postgres", "PostgresSchema"]

T = TypeVar("T")
Connection: TypeAlias = "AsyncConnection[tuple[Any, ...]]"

_CONNECT_S = 5
_PATIENCE_S = 5.0
_PAUSE_S = 0.1
_STATEMENT_S = 30.0
_ANSWER_S = _STATEMENT_S + 5.0  # the server gives up first, and then the outcome is known
_TRIES = 8
_OLDEST = 14_00_00
_SETTINGS = {
    # A server may be set to forget the last commits in a crash; what was acknowledged stays.
    "synchronous_commit": "on",
    "statement_timeout": f"{_STATEMENT_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{_STATEMENT_S:.0f}s",
    "timezone": "UTC",
}
_CONFIGURE = (
    "SELECT set_config(key, value, false) FROM unnest(%s::text[], %s::text[]) AS s(key, value)"
)
# A peer that is gone is noticed within a minute, and not after the system's two hours.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


@dataclass(frozen=True, slots=True)
class PostgresSchema:
    """What a kind of store keeps, in a schema (a namespace of tables) called `name`.

    `migrations` has the statements of each version, from 1 on; table names in them, as in all
    statements, need no schema. `what` names the kind in errors, as in "the log".
    """

    what: str
    name: str
    migrations: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The newest version that this program can use."""
        return len(self.migrations)


class Postgres:
    """A pool of connections to the tables of one schema.

    `url` is a libpq connection string, postgresql://user:password@host:port/database. At most
    `max_connections` are open at once. Callers wait five seconds for one, and as long for a
    server that starts again or fails over. A connection that the server closed while it was idle
    is replaced before it is used.
    """

    def __init__(self, url: str, schema: PostgresSchema, *, max_connections: int = 8) -> None:
        self.schema = schema
        self._url = url
        self._where = f"{schema.what} at {describe(url)}"
        self._max_connections = max_connections
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = 0
        self._idle = anyio.Event()

    def __str__(self) -> str:
        """Where it is, without user and password: for messages."""
        return self._where

    async def open(self) -> None:
        """Connect, and bring the tables to the newest version.

        Raises: ConfigError for a url that is none or a missing extra, CredentialError,
        StoreBusy while the server cannot be reached, StoreError for what an operator must change.
        """
        _check_driver()
        from psycopg_pool import AsyncConnectionPool

        try:
            with translated(self._where):
                async with await self._connect_patiently() as connection:
                    await _migrate(connection, self.schema)
        except MayRetry as exc:
            raise StoreBusy(f"Others set up {self._where}. Try again.", retry_after_s=1.0) from exc
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._url,
            kwargs=_arguments(),
            configure=self._configure,
            min_size=1,
            max_size=self._max_connections,
            timeout=_PATIENCE_S,
            reconnect_timeout=_PATIENCE_S,
            num_workers=1,
            name=self.schema.name,
            open=False,
        )
        await pool.open()
        self._loop = asyncio.get_running_loop()
        self._pool = pool

    async def close(self) -> None:
        """Wait for what is running, then disconnect."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        while self._running:
            self._idle = anyio.Event()
            await self._idle.wait()
        await pool.close(_PATIENCE_S)

    def check_open(self) -> None:
        """Raise NotOpenError unless it is open."""
        self._opened()

    async def connect(self) -> Connection:
        """Open a connection beside the pool, in autocommit mode; the caller closes it."""
        from psycopg import AsyncConnection

        with translated(self._where):
            connection = await AsyncConnection.connect(self._url, **_arguments())
            try:
                await self._configure(connection)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await connection.close()
                raise
        return connection

    async def _connect_patiently(self) -> Connection:
        give_up_s = anyio.current_time() + _PATIENCE_S
        while True:
            try:
                return await self.connect()
            except StoreBusy:
                if anyio.current_time() > give_up_s:
                    raise
            await anyio.sleep(_PAUSE_S)

    async def fetch(self, statement: str, values: object = None) -> list[tuple[Any, ...]]:
        """Run one statement, which is its own transaction, and give its rows; see `run`."""

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await fetch(connection, statement, values)

        return await self.run(work)

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in one transaction, rolled back when it raises; see `run`."""

        async def transaction(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(transaction)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work on a connection of the pool, and again when it lost a race with another writer.

        When cancelled, the work is either never begun, or it is waited for. When the connection
        is lost meanwhile, StoreBusy says so: then the work may or may not have been done.

        Raises: NotOpenError, StoreBusy, StoreError, and what `work` raises of AicoreError.
        """
        pool = self._opened()
        self._running += 1
        try:
            for attempt in range(1, _TRIES + 1):
                try:
                    return await self._try(pool, work)
                except MayRetry as exc:
                    if attempt == _TRIES:
                        raise StoreBusy(
                            f"Others wrote to {self._where} at the same time. Try again.",
                            retry_after_s=1.0,
                        ) from exc
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        raise AssertionError  # the last attempt returned or raised

    async def _try(
        self, pool: AsyncConnectionPool[Connection], work: Callable[[Connection], Awaitable[T]]
    ) -> T:
        with translated(self._where):
            connection = await self._take(pool)
        with anyio.CancelScope(shield=True), translated(self._where, may_write=True):
            try:
                with anyio.fail_after(_ANSWER_S):
                    return await work(connection)
            finally:
                await pool.putconn(connection)
        raise AssertionError  # nothing in a shielded scope is swallowed

    async def _take(self, pool: AsyncConnectionPool[Connection]) -> Connection:
        from psycopg_pool import PoolTimeout

        while True:
            try:
                connection = await pool.getconn()
            except PoolTimeout:
                # Why, the pool does not say. When this one works, all are in use.
                await (await self.connect()).close()
                raise
            if not _is_lost(connection):
                return connection
            await connection.close()
            await pool.putconn(connection)

    def _opened(self) -> AsyncConnectionPool[Connection]:
        if self._pool is None:
            raise NotOpenError(f"The {self._where} is not open: use it inside `async with`.")
        if asyncio.get_running_loop() is not self._loop:
            raise NotOpenError(
                f"The {self._where} was opened in another event loop. Open it in this one."
            )
        return self._pool

    async def _configure(self, connection: Connection) -> None:
        settings = _SETTINGS | {"search_path": f"{self.schema.name}, public"}
        await fetch(connection, _CONFIGURE, (list(settings), list(settings.values())))


async def fetch(
    connection: Connection, statement: str, values: object = None
) -> list[tuple[Any, ...]]:
    """Run one statement on a connection and give its rows, none for one that gives none."""
    cursor = await connection.execute(statement, values)  # type: ignore[call-overload]
    return await cursor.fetchall() if cursor.description else []


def _check_driver() -> None:
    """Raise ConfigError unless psycopg is there and can use the running event loop."""
    try:
        import psycopg
        import psycopg_pool
    except ImportError as exc:
        raise ConfigError(
            "PostgreSQL needs psycopg: install the extra aicore-mcp[postgres]."
        ) from exc
    del psycopg, psycopg_pool
    if type(asyncio.get_running_loop()).__name__ == "ProactorEventLoop":
        raise ConfigError(
            "psycopg cannot use Windows' ProactorEventLoop. Run the program with "
            "asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)."
        )


def _arguments() -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": 0,  # every statement of ours comes again
        "client_encoding": "utf8",
        "connect_timeout": _CONNECT_S,
        "fallback_application_name": "aicore",
        **_KEEPALIVE,
    }


def _is_lost(connection: Connection) -> bool:
    """Tell whether the server has closed an idle connection, without asking it."""
    from psycopg import Error

    try:
        for _ in range(2):  # the first finds the server's last words, the second the end
            connection.pgconn.consume_input()
    except Error:
        return True
    return connection.closed


_ENCODING = "SELECT current_setting('server_encoding')"
# Rows of the catalog, not to_regclass: that one remembers, within a transaction, what was missing.
_HAS_VERSIONS = """
    SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'version')
"""
_VERSION = "SELECT coalesce(max(version), 0) FROM version"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
_VERSIONS = """
    CREATE TABLE version (
        version integer PRIMARY KEY, since timestamptz NOT NULL DEFAULT current_timestamp
    )
"""


async def _migrate(connection: Connection, schema: PostgresSchema) -> None:
    """Bring the tables to the newest version; processes that do it at once wait for one."""
    if connection.info.server_version < _OLDEST:
        raise StoreError("aicore needs PostgreSQL 14 or newer. Upgrade the server.")
    [(encoding,)] = await fetch(connection, _ENCODING)
    if encoding != "UTF8":
        raise StoreError(
            f"The database has the encoding {encoding}, and aicore needs UTF8. "
            "Make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        )
    if await _version(connection, schema) == schema.version:
        return
    async with connection.transaction():
        await fetch(connection, _LOCK, (schema.name,))
        version = await _version(connection, schema)
        if not version:
            [(has_schema,)] = await fetch(connection, _HAS_SCHEMA, (schema.name,))
            if not has_schema:
                await fetch(connection, f"CREATE SCHEMA {schema.name}")
            await fetch(connection, _VERSIONS)
        for number in range(version, schema.version):
            for statement in schema.migrations[number]:
                await fetch(connection, statement)
            await fetch(connection, "INSERT INTO version (version) VALUES (%s)", (number + 1,))


async def _version(connection: Connection, schema: PostgresSchema) -> int:
    """Which version the database has, 0 for none. Raises: StoreError for a newer one."""
    [(has_versions,)] = await fetch(connection, _HAS_VERSIONS, (schema.name,))
    if not has_versions:
        return 0
    [(version,)] = await fetch(connection, _VERSION)
    if version > schema.version:
        raise StoreError(
            f"The {schema.what} in this database was written by a newer version of aicore (its "
            f"version {version}, this program knows {schema.version}). Upgrade aicore."
        )
    found: int = version
    return found
