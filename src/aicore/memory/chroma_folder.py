"""A folder of Chroma's that only we use: one collection a namespace, nothing left of erased ones.

Everything here blocks and belongs to one thread. What was measured of chromadb 1.5.9: `delete`
leaves a vector's bytes in the HNSW file, `delete_collection` leaves the files of the collection,
freed pages of chroma.sqlite3 keep what was on them, and HNSW files are written with whatever was
in memory behind their last element: vectors of other namespaces. So an erase writes anew what
stays, deletes the files that belong to nothing, clears the ends of the others and compacts the
database, while Chroma is closed (a second SQLite in the process that opens the file would drop
Chroma's locks on it, https://www.sqlite.org/howtocorrupt.html section 2.2.1).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from aicore.errors import ConfigError, StoreBusy, StoreError
from aicore.memory.port import Namespace, Near

__all__ = ["ChromaFolder"]

_DATABASE = "chroma.sqlite3"
_MARK = "aicore.sqlite3"
# With Chroma's ef_search of 100 half of the best ten of 10,000 vectors without any order were
# missed; 1000 finds all but a few, and costs half a millisecond.
_SHAPE = {"hnsw": {"space": "cosine", "ef_search": 1000}}
_ANEW = "-anew"
_BATCH = 1000
_LOCK_S = 2.0
# One row. `has_traces` while vectors are deleted whose bytes may still be in a file.
_TABLE = """
    CREATE TABLE IF NOT EXISTS mark (
        id INTEGER PRIMARY KEY CHECK (id = 1), model TEXT NOT NULL, dimensions INTEGER NOT NULL,
        chroma TEXT NOT NULL, has_traces INTEGER NOT NULL
    ) STRICT
"""
_FIRST = "INSERT OR IGNORE INTO mark VALUES (1, ?, 0, ?, 0)"

# Of chroma-hnswlib's header.bin: version, offset, places, elements, bytes an element takes.
_HEADER = struct.Struct("<iQQQQ")
_HEADER_VERSION = 1
_LENGTH_BYTES = 4


class ChromaFolder:
    """One folder, which the process has open once, for one embedder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model = ""
        self._chromadb: Any = None
        self._client: Any = None
        self._mark: sqlite3.Connection | None = None
        self._dimensions = 0

    def open(self, model: str) -> None:
        """Lock the folder and open what is in it; made if missing, for its owner alone.

        When it is open already, only look whether that is for the same embedder.
        Raises: ConfigError, StoreBusy, StoreError.
        """
        if self._client is not None:
            self._check_model(model)
            return
        try:
            import chromadb
        except ImportError as exc:
            raise ConfigError("Vectors in Chroma need `pip install aicore-mcp[chroma]`.") from exc
        self._chromadb = chromadb
        try:
            with self._translated():
                self._open_mark(model)
                self._clear_ends()
                self._start_chroma()
                self._finish_rewrites()
                self._finish_erasing()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Write out and let go of the folder. Raises: StoreError."""
        with self._translated(), contextlib.ExitStack() as stack:
            if self._mark is not None:
                stack.callback(self._mark.close)
            if self._client is not None:
                stack.callback(self._clear_ends)
                stack.callback(self._client.close)
            self._client = self._mark = None

    def put(self, namespace: Namespace, vectors: Mapping[str, Sequence[float]]) -> None:
        """See VectorIndex."""
        for vector in vectors.values():
            self._check_length(vector)
            self._dimensions = self._dimensions or len(vector)
        with self._translated():
            self._note("dimensions", self._dimensions)
            collection = self._opened().get_or_create_collection(
                _name(namespace),
                configuration=_SHAPE,
                embedding_function=None,
            )
            for batch in _batches(vectors):
                collection.upsert(ids=batch, embeddings=[list(vectors[id_]) for id_ in batch])

    def nearest(self, namespace: Namespace, vector: Sequence[float], k: int) -> Sequence[Near]:
        """See VectorIndex."""
        self._check_length(vector)
        with self._translated():
            collection = self._collection(_name(namespace))
            if collection is None or k < 1:
                return ()
            found = collection.query(
                query_embeddings=[list(vector)], n_results=k, include=["distances"]
            )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [Near(id_, 1.0 - distance) for id_, distance in pairs]

    def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """See VectorIndex."""
        wanted = set(ids)
        with self._translated():
            collection = self._collection(_name(namespace))
            if collection is not None:
                for batch in _batches(sorted(wanted)):
                    wanted.difference_update(collection.get(ids=batch, include=[])["ids"])
        return wanted

    def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Write a namespace anew without these ids, then clear away the old files."""
        name = _name(namespace)
        with self._translated():
            collection = self._collection(name)
            if collection is None:
                return
            stays = sorted(set(collection.get(include=[])["ids"]) - set(ids))
            self._note("has_traces", 1)
            if stays:
                self._copy(collection, stays, name + _ANEW)
            self._opened().delete_collection(name)
            if stays:
                self._opened().get_collection(name + _ANEW, embedding_function=None).modify(name)
            self._finish_erasing()

    def erase(self, namespace: Namespace) -> None:
        """Drop a namespace, then clear away its files."""
        with self._translated():
            if self._collection(_name(namespace)) is not None:
                self._note("has_traces", 1)
                self._opened().delete_collection(_name(namespace))
            self._finish_erasing()

    def _opened(self) -> Any:
        if self._client is None:
            raise self._closed()
        return self._client

    def _closed(self) -> StoreError:
        return StoreError(f"Chroma in {self._folder} did not open again. Restart the program.")

    def _collection(self, name: str) -> Any:
        try:
            return self._opened().get_collection(name, embedding_function=None)
        except self._chromadb.errors.NotFoundError:
            return None

    def _copy(self, source: Any, ids: Sequence[str], name: str) -> None:
        with contextlib.suppress(self._chromadb.errors.NotFoundError):
            self._opened().delete_collection(name)
        target = self._opened().create_collection(
            name,
            configuration=_SHAPE,
            embedding_function=None,
        )
        for batch in _batches(ids):
            kept = source.get(ids=batch, include=["embeddings"])
            target.upsert(ids=kept["ids"], embeddings=kept["embeddings"])

    def _finish_rewrites(self) -> None:
        """Take up a `remove` that a crash cut off: the copy counts once the original is gone."""
        client = self._opened()
        names = {collection.name for collection in client.list_collections()}
        for name in names:
            if name.endswith(_ANEW) and name.removesuffix(_ANEW) in names:
                client.delete_collection(name)
            elif name.endswith(_ANEW):
                client.get_collection(name, embedding_function=None).modify(
                    name.removesuffix(_ANEW)
                )

    def _finish_erasing(self) -> None:
        """Clear away what is deleted, now or by an erase that a crash cut off."""
        if self._noted("has_traces"):
            self._compact()
            self._note("has_traces", 0)

    def _compact(self) -> None:
        """Delete files of collections that are gone, and the free pages of the database."""
        if self._client is not None:
            self._client.close()
            self._client = None
        try:
            with contextlib.closing(sqlite3.connect(self._folder / _DATABASE)) as database:
                kept = {row[0] for row in database.execute("SELECT id FROM segments")}
                for path in self._folder.iterdir():
                    if path.is_dir() and path.name not in kept:
                        shutil.rmtree(path)
                database.execute("VACUUM")
            self._clear_ends()
        finally:
            self._start_chroma()

    def _clear_ends(self) -> None:
        """Put zeros behind the last element of HNSW files. Chroma is closed."""
        for header in self._folder.glob("*/header.bin"):
            packed = header.read_bytes()[: _HEADER.size]
            if len(packed) < _HEADER.size:
                continue  # Chroma says so when it opens it
            version, _, _, elements, element_bytes = _HEADER.unpack(packed)
            if version == _HEADER_VERSION:
                _clear_behind(header.with_name("data_level0.bin"), elements * element_bytes)
                _clear_behind(header.with_name("length.bin"), elements * _LENGTH_BYTES)

    def _start_chroma(self) -> None:
        settings = self._chromadb.config.Settings(
            _env_file=None,  # a file of that name in the current folder is somebody else's
            # Said here, so that no environment variable sends anything elsewhere.
            chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
            chroma_otel_collection_endpoint="",
            anonymized_telemetry=False,
        )
        self._client = self._chromadb.PersistentClient(str(self._folder), settings)

    def _open_mark(self, model: str) -> None:
        """Lock the folder for as long as it is open, and look whose vectors it holds."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self._folder / _DATABASE).exists() and not (self._folder / _MARK).exists():
            raise StoreError(
                f"{self._folder} belongs to another program. Name another folder for Chroma."
            )
        self._mark = sqlite3.connect(self._folder / _MARK, timeout=_LOCK_S, isolation_level=None)
        # The lock of the next transaction is kept until the connection is closed.
        self._mark.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._mark.execute("BEGIN EXCLUSIVE")
        self._mark.execute(_TABLE)
        self._mark.execute(_FIRST, (model, self._chromadb.__version__))
        chroma = str(self._noted("chroma"))
        if _version(chroma) > _version(self._chromadb.__version__):
            raise StoreError(
                f"{self._folder} was written by Chroma {chroma}, and this is "
                f"{self._chromadb.__version__}. Upgrade chromadb."
            )
        self._model = str(self._noted("model"))
        self._dimensions = int(self._noted("dimensions"))
        if self._dimensions:
            self._check_model(model)
        self._model = model
        self._note("model", model)
        self._note("chroma", self._chromadb.__version__)
        self._mark.execute("COMMIT")

    def _noted(self, name: str) -> Any:
        if self._mark is None:
            raise self._closed()
        return self._mark.execute(f"SELECT {name} FROM mark").fetchone()[0]  # noqa: S608  # ours

    def _note(self, name: str, value: int | str) -> None:
        if self._mark is None:
            raise self._closed()
        self._mark.execute(f"UPDATE mark SET {name} = ?", (value,))  # noqa: S608  # ours

    def _check_model(self, model: str) -> None:
        if model != self._model:
            raise ConfigError(
                f"{self._folder} is for vectors of the embedder {self._model!r}, not of "
                f"{model!r}. {self._how_anew()}"
            )

    def _check_length(self, vector: Sequence[float]) -> None:
        if self._dimensions not in {0, len(vector)}:
            raise ConfigError(
                f"{self._folder} holds vectors of {self._dimensions} numbers, and "
                f"{self._model!r} gave {len(vector)}. {self._how_anew()}"
            )

    def _how_anew(self) -> str:
        return "Delete this folder, or name another: vectors are made anew from the memory."

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise self._unusable(exc) from exc
            raise StoreBusy(
                f"Chroma's folder {self._folder} is open in another program, and it takes one at "
                "a time. Close that one, then try again.",
                retry_after_s=1.0,
            ) from exc
        except (self._chromadb.errors.ChromaError, sqlite3.Error, OSError, ValueError) as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, exc: Exception) -> StoreError:
        return StoreError(
            f"Chroma in {self._folder} cannot be used: {exc}. Check the folder's rights and disk; "
            "if it is damaged, delete it: vectors are made anew from the memory."
        )


def _name(namespace: Namespace) -> str:
    """A name that Chroma takes, whatever the namespace is: letters, digits, at most 512."""
    return sha256("\x00".join(namespace).encode("utf-8", "surrogatepass")).hexdigest()


def _clear_behind(file: Path, used_bytes: int) -> None:
    size_bytes = file.stat().st_size
    if size_bytes > used_bytes:
        os.truncate(file, used_bytes)
        os.truncate(file, size_bytes)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:3])


def _batches(ids: Collection[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, _BATCH)):
        yield batch
