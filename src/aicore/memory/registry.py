"""The places a memory can be kept in, by name. A new one adds one line."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aicore.config import EmbedderSettings, MemorySettings
from aicore.errors import ConfigError
from aicore.log.registry import file_of
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.port import Embedder, MemoryStore, VectorIndex
from aicore.models.settings import key_from_environment

if TYPE_CHECKING:
    from aicore.models.port import Provider

__all__ = ["open_embedder", "open_memory"]

# What a url begins with, and vectors before the colon: "module:class".
_STORES = {
    "postgresql": "aicore.memory.postgres:PostgresMemory",
    "postgres": "aicore.memory.postgres:PostgresMemory",
}
_VECTORS = {
    "rows": "aicore.memory.sqlite_vectors:SQLiteVectors",
    "pgvector": "aicore.memory.postgres_vectors:PostgresVectors",
    "chroma": "aicore.memory.chroma:ChromaVectors",
    "pinecone": "aicore.memory.pinecone:PineconeVectors",
}
_PINECONE_KEY = "PINECONE_API_KEY"


def open_memory(
    settings: MemorySettings, business: str, *, provider: Provider | None = None
) -> Memory | None:
    """Make the memory that a configuration names, for the caller to enter; None if it names none.

    `provider` finds facts where `extract` is "model"; whoever gives it enters it.
    Raises: ConfigError.
    """
    if settings.path is None and settings.url is None:
        return None
    embedder = None if settings.embedder is None else open_embedder(settings.embedder)
    extraction = None
    if settings.extract == "model":
        if provider is None:
            raise ConfigError('memory.extract is "model", but no model answers. Set it to "rules".')
        from aicore.memory.model_extraction import ModelExtraction

        extraction = ModelExtraction(provider, business=business)
    memory = Memory(
        _store(settings),
        business=business,
        vectors=None if embedder is None else _vectors(settings, embedder),
        embedder=embedder,
        extraction=extraction,
        limits=MemoryLimits(budget_tokens=settings.budget_tokens),
    )
    if settings.knowledge:
        memory.know(settings.knowledge)
    return memory


def _store(settings: MemorySettings) -> MemoryStore:
    path = _file(settings)
    store: MemoryStore
    if path is not None:
        store = _load("aicore.memory.sqlite:SQLiteMemory")(path)
        return store
    url = settings.url or ""
    store = _load(_known(url.partition("://")[0], _STORES, "memory.url"))(url)
    return store


def _vectors(settings: MemorySettings, embedder: Embedder) -> VectorIndex:
    name, _, place = (settings.vectors or "").partition(":")
    make = _load(_known(name, _VECTORS, "memory.vectors"))
    given: tuple[Any, ...] = ()
    named: dict[str, Any] = {"model": embedder.model}
    if name == "rows":
        path = _file(settings)
        if path is None:
            raise ConfigError('memory.vectors "rows" are for a memory in a SQLite file.')
        given = (path.with_name(f"{path.stem}-vectors{path.suffix}"),)
    elif name == "pgvector":
        if _file(settings) is not None:
            raise ConfigError('memory.vectors "pgvector" needs memory.url to be postgresql://...')
        given = (settings.url,)
    elif not place:
        raise ConfigError(f'memory.vectors {name!r} needs its place, as in "{name}:PLACE".')
    elif name == "chroma":
        given = (Path(place),)
    else:
        named |= {"host": place, "api_key": os.environ.get(_PINECONE_KEY, "").strip()}
    vectors: VectorIndex = make(*given, **named)
    return vectors


def open_embedder(settings: EmbedderSettings) -> Embedder:
    """Make the embedder that a configuration names, for the caller to enter.

    Raises: ConfigError.
    """
    from aicore.models.embeddings import OpenAICompatibleEmbedder

    return OpenAICompatibleEmbedder(
        base_url=settings.base_url,
        model=settings.model,
        api_key=key_from_environment(settings.api_key_env),
        locality=settings.locality,
    )


def _file(settings: MemorySettings) -> Path | None:
    """The SQLite file that is meant, None for other stores; urls of files are as those of logs."""
    if settings.path is not None:
        return settings.path
    scheme, separator, _ = (settings.url or "").partition("://")
    is_file = not separator or scheme == "sqlite"
    return file_of(settings.url or "") if is_file else None


def _known(name: str, targets: Mapping[str, str], setting: str) -> str:
    target = targets.get(name)
    if target is None:
        near = difflib.get_close_matches(name, targets, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"{setting} does not begin with a known name. Known are {', '.join(targets)}.{hint}"
        )
    return target


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    made: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return made
