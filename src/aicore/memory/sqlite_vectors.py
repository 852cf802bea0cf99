"""Vectors of entries as rows of a SQLite file, compared in memory, without SQLite extensions."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from aicore.databases.sqlite_file import Schema, SQLiteFile
from aicore.errors import ConfigError
from aicore.memory.port import Namespace, Near
from aicore.memory.sqlite_rows import several
from aicore.memory.sqlite_threads import TRACE, SQLiteThreads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SQLiteVectors"]

_CACHE_BYTES = 256_000_000
# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # At most one row: of which model all vectors are, and how many numbers each has.
        "CREATE TABLE made_by (model TEXT NOT NULL, length INTEGER NOT NULL) STRICT",
        # `removals` counts what was deleted or replaced: vectors read before are stale then.
        """
        CREATE TABLE namespace (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            business TEXT NOT NULL,
            subject TEXT NOT NULL,
            removals INTEGER NOT NULL DEFAULT 0,
            UNIQUE (business, subject)
        ) STRICT
        """,
        """
        CREATE TABLE vector (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            namespace INTEGER NOT NULL REFERENCES namespace,
            id TEXT NOT NULL,
            numbers BLOB NOT NULL,
            UNIQUE (namespace, id)
        ) STRICT
        """,
        "CREATE INDEX vector_key ON vector (namespace, key)",
        TRACE,
    ),
)
_SCHEMA = Schema(what="vectors", application_id=0x6169_7665, migrations=_MIGRATIONS)  # "aive"

_NAMESPACE = "SELECT id, removals FROM namespace WHERE business = ? AND subject = ?"
_MAKE_NAMESPACE = """
    INSERT INTO namespace (business, subject) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET removals = removals RETURNING id
"""
_DELETE = "DELETE FROM vector WHERE namespace = ? AND id = ?"
_ADD = "INSERT INTO vector (namespace, id, numbers) VALUES (?, ?, ?)"
_REMOVED = "UPDATE namespace SET removals = removals + ? WHERE id = ?"
_NEW = "SELECT key, id, numbers FROM vector WHERE namespace = ? AND key > ? ORDER BY key"
_HAVE = "SELECT id FROM vector WHERE namespace = ? AND id IN ({})"


class SQLiteVectors:
    """Keeps vectors of all businesses in the file `path`; see VectorIndex.

    The file is made if it is missing; several processes may share it. All vectors are of `model`
    and of one length. Those of a namespace are read when it is first searched and kept in
    memory, 256 MB of all namespaces together; meant for up to 100,000 vectors a namespace.
    `remove` and `erase` write the whole file anew. Needs numpy: `pip install aicore-mcp[vectors]`.
    """

    locality: Literal["in_process", "local", "managed"] = "in_process"

    def __init__(self, path: str | Path, *, model: str) -> None:
        if str(path) == ":memory:":
            raise ConfigError("SQLiteVectors needs a file. Name one in an existing folder.")
        self._path = Path(path)
        self._model = model
        self._threads = SQLiteThreads(SQLiteFile(self._path, _SCHEMA))
        self._cache = _Cache(_CACHE_BYTES)

    async def put(self, namespace: Namespace, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors under these ids; see VectorIndex.

        Raises: ConfigError when they are not of the length of those that are there.
        """
        packed = {id_: _pack(vector) for id_, vector in vectors.items()}
        lengths = {len(vector) for vector in vectors.values()}

        def work(connection: sqlite3.Connection) -> None:
            for length in lengths:
                self._check_length(connection, length)
            [(space,)] = connection.execute(_MAKE_NAMESPACE, namespace).fetchall()
            earlier = [(space, id_) for id_ in packed]
            replaced = connection.executemany(_DELETE, earlier).rowcount
            connection.executemany(_ADD, ((space, id_, data) for id_, data in packed.items()))
            connection.execute(_REMOVED, (replaced, space))

        if packed:
            await self._threads.write(work)

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors; see VectorIndex. Raises as `put` does."""

        def work(connection: sqlite3.Connection) -> list[Near]:
            made_by = connection.execute("SELECT length FROM made_by").fetchone()
            if made_by is not None and made_by[0] != len(vector):
                raise self._other(f"vectors of length {made_by[0]}, and not {len(vector)}")
            return self._cache.read(connection, namespace).nearest(vector, k)

        return await self._threads.read(work)

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""

        def work(connection: sqlite3.Connection) -> set[str]:
            row = connection.execute(_NAMESPACE, namespace).fetchone()
            if row is None:
                return set(ids)
            return set(ids) - {row[0] for row in several(connection, _HAVE, row[:1], ids)}

        return await self._threads.read(work)

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors for good.

        Raises: StoreBusy also when they are deleted but another process, by reading for seconds,
        keeps traces of them in the file: then call again.
        """

        def delete(connection: sqlite3.Connection) -> None:
            row = connection.execute(_NAMESPACE, namespace).fetchone()
            if row is not None:
                gone = connection.executemany(_DELETE, ((row[0], id_) for id_ in ids)).rowcount
                connection.execute(_REMOVED, (gone, row[0]))

        await self._threads.erase(delete)

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace for good. Raises as `remove` does."""

        def delete(connection: sqlite3.Connection) -> None:
            row = connection.execute(_NAMESPACE, namespace).fetchone()
            if row is not None:
                connection.execute("DELETE FROM vector WHERE namespace = ?", row[:1])
                connection.execute("DELETE FROM namespace WHERE id = ?", row[:1])

        await self._threads.erase(delete)

    async def __aenter__(self) -> Self:
        _numpy()
        await self._threads.open(self._check_model)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._threads.close()

    def _check_model(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT model FROM made_by").fetchone()
        if row is None or row[0] == self._model:
            return
        if connection.execute("SELECT 1 FROM vector LIMIT 1").fetchone() is not None:
            raise self._other(f"vectors of the model {row[0]!r}, and not {self._model!r}")
        connection.execute("DELETE FROM made_by")

    def _check_length(self, connection: sqlite3.Connection, length: int) -> None:
        row = connection.execute("SELECT length FROM made_by").fetchone()
        if row is None:
            values = (self._model, length)
            connection.execute("INSERT INTO made_by (model, length) VALUES (?, ?)", values)
        elif row[0] != length:
            raise self._other(f"vectors of length {row[0]}, and not {length}")

    def _other(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self._path} holds {what}. Use the model that it was made with; or delete the file, "
            "and vectors are made anew from the memory."
        )


def _numpy() -> Any:
    try:
        import numpy as np  # an extra
    except ImportError as exc:
        raise ConfigError(
            "Searching by meaning needs numpy. Install it: pip install 'aicore-mcp[vectors]'."
        ) from exc
    return np


def _pack(vector: Sequence[float]) -> bytes:
    """Give a vector of length 1 as float32, so that comparing is one product."""
    np = _numpy()
    numbers = np.nan_to_num(np.asarray(vector, dtype="<f4"), posinf=0.0, neginf=0.0)
    norm = float(np.linalg.norm(numbers))
    packed: bytes = (numbers / norm if norm else numbers).astype("<f4").tobytes()
    return packed


@dataclass(slots=True)
class _Matrix:
    """The vectors of a namespace, as far as they have been read: `ids` by row of `numbers`."""

    space: int
    removals: int
    last_key: int
    ids: list[str]
    numbers: NDArray[np.float32] | None

    @property
    def bytes(self) -> int:
        return 0 if self.numbers is None else self.numbers.nbytes

    def nearest(self, vector: Sequence[float], k: int) -> list[Near]:
        if self.numbers is None or k <= 0:
            return []
        np = _numpy()
        similar = self.numbers @ np.frombuffer(_pack(vector), dtype="<f4")
        top = range(len(self.ids))
        if k < len(self.ids):
            top = np.argpartition(-similar, k)[:k]
        order = sorted(top, key=lambda row: (-similar[row], row))
        return [Near(self.ids[row], float(similar[row])) for row in order]


class _Cache:
    """The matrices of the namespaces that were searched last. Only the reader's thread is in it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._matrices: OrderedDict[Namespace, _Matrix] = OrderedDict()

    def read(self, connection: sqlite3.Connection, namespace: Namespace) -> _Matrix:
        """Give a namespace's vectors as they are now; only what is new is read from the file."""
        row = connection.execute(_NAMESPACE, namespace).fetchone()
        if row is None:
            self._matrices.pop(namespace, None)
            return _Matrix(0, 0, 0, [], None)
        matrix = self._matrices.get(namespace)
        if matrix is None or (matrix.space, matrix.removals) != tuple(row):
            matrix = _Matrix(row[0], row[1], 0, [], None)
        self._read_on(connection, matrix)
        self._matrices[namespace] = matrix
        self._matrices.move_to_end(namespace)
        self._shrink()
        return matrix

    def _read_on(self, connection: sqlite3.Connection, matrix: _Matrix) -> None:
        new = connection.execute(_NEW, (matrix.space, matrix.last_key)).fetchall()
        if not new:
            return
        np = _numpy()
        read = np.frombuffer(b"".join(row[2] for row in new), dtype="<f4").reshape(len(new), -1)
        numbers = matrix.numbers
        matrix.numbers = read if numbers is None else np.concatenate((numbers, read))
        matrix.ids += [row[1] for row in new]
        matrix.last_key = new[-1][0]

    def _shrink(self) -> None:
        """Let go of what was not searched for longest; what was searched just now stays."""
        sizes = {
            key: m.numbers.nbytes for key, m in self._matrices.items() if m.numbers is not None
        }
        total = sum(sizes.values())
        while total > self._most_bytes and len(self._matrices) > 1:
            oldest, _ = self._matrices.popitem(last=False)
            total -= sizes.get(oldest, 0)
