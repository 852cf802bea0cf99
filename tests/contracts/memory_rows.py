"""The stores and vector indexes that the memory's contract suites run over. A backend adds a row.

A row is a function of the test's `request`, which gives other fixtures, and a folder of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest

from aicore.memory.chroma import ChromaVectors
from aicore.memory.pinecone import PineconeVectors
from aicore.memory.port import MemoryStore, VectorIndex
from aicore.memory.postgres import PostgresMemory
from aicore.memory.postgres_vectors import PostgresVectors
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors


class OpenIndex(Protocol):
    """Makes indexes over one and the same place."""

    def __call__(self, *, model: str = "tiny") -> VectorIndex: ...


@dataclass(frozen=True)
class Memories:
    """Makes stores over one and the same place; `holds` looks for a text in all kept bytes."""

    make: Callable[[], MemoryStore]
    holds: Callable[[str], bool]


@dataclass(frozen=True)
class Indexes:
    """Makes indexes over one and the same place; `holds` tells whether an id is kept anywhere."""

    make: OpenIndex
    holds: Callable[[str], bool]


def _holder(folder: Path) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return any(text.encode() in path.read_bytes() for path in files)

    return holds


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> Memories:
    return Memories(lambda: SQLiteMemory(folder / "memory.db"), _holder(folder))


def _table_holder(request: pytest.FixtureRequest, server: Any, url: str) -> Callable[[str], bool]:
    """Look into the files of one database's tables and indexes, the system's among them."""
    name = urlsplit(url).path.removeprefix("/")
    [(number,)] = server.execute("SELECT oid FROM pg_database WHERE datname = %s", name)
    folder = server.data / "base" / str(number)
    empty = _marks(folder)
    beside = psycopg.connect(server.url(), autocommit=True)
    request.addfinalizer(beside.close)
    read: dict[Path, tuple[object, bytes]] = {}

    def holds(text: str) -> bool:
        beside.execute("CHECKPOINT")
        changed = _marks(folder).items() - empty.items()
        for path, mark in changed:
            if path not in read or read[path][0] != mark:
                with suppress(FileNotFoundError):
                    read[path] = (mark, path.read_bytes())
        return any(text.encode() in read[path][1] for path, _ in changed if path in read)

    return holds


def _marks(folder: Path) -> dict[Path, tuple[int, ...]]:
    """What changes of a file when it is written to."""
    marks = {}
    for path in folder.iterdir():
        # The server throws files away at any time, such as its cache of the catalog.
        with suppress(FileNotFoundError):
            stat = path.stat()
            if S_ISREG(stat.st_mode):
                marks[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return marks


def _postgres(request: pytest.FixtureRequest, folder: Path) -> Memories:
    server = request.getfixturevalue("postgres")
    url = server.new_database()
    return Memories(lambda: PostgresMemory(url), _table_holder(request, server, url))


def _sqlite_vectors(request: pytest.FixtureRequest, folder: Path) -> Indexes:
    def make(*, model: str = "tiny") -> VectorIndex:
        return SQLiteVectors(folder / "vectors.db", model=model)

    return Indexes(make, _holder(folder))


def _pgvector(request: pytest.FixtureRequest, folder: Path) -> Indexes:
    server = request.getfixturevalue("postgres")
    url = server.new_database()

    def make(*, model: str = "tiny") -> VectorIndex:
        return PostgresVectors(url, model=model)

    return Indexes(make, _table_holder(request, server, url))


def _chroma(request: pytest.FixtureRequest, folder: Path) -> Indexes:
    def make(*, model: str = "tiny") -> VectorIndex:
        return ChromaVectors(folder / "chroma", model=model)

    return Indexes(make, _holder(folder))


def _pinecone(request: pytest.FixtureRequest, folder: Path) -> Indexes:
    stub = request.getfixturevalue("pinecone_stub")  # not the vendor
    stub.dimension, stub.lag = 3, 1

    def make(*, model: str = "tiny") -> VectorIndex:
        return PineconeVectors(host=stub.url, api_key=stub.api_key, model=model)

    return Indexes(make, lambda text: text in str(stub.ids()))


MEMORIES: dict[str, Callable[[pytest.FixtureRequest, Path], Memories]] = {
    "postgres": _postgres,
    "sqlite": _sqlite,
}
INDEXES: dict[str, Callable[[pytest.FixtureRequest, Path], Indexes]] = {
    "chroma": _chroma,
    "pgvector": _pgvector,
    "pinecone": _pinecone,
    "sqlite": _sqlite_vectors,
}


@pytest.fixture(params=sorted(MEMORIES))
def memories(request: pytest.FixtureRequest, tmp_path: Path) -> Memories:
    """A place for a memory, empty."""
    return MEMORIES[request.param](request, tmp_path)


@pytest.fixture(params=sorted(INDEXES))
def indexes(request: pytest.FixtureRequest, tmp_path: Path) -> Indexes:
    """A place for vectors, empty."""
    return INDEXES[request.param](request, tmp_path)
