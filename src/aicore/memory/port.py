"""The ports of the memory: MemoryStore keeps what is remembered, VectorIndex finds by meaning.

A MemoryStore is the truth: entries, their validity and their words, in one transactional place.
A VectorIndex holds nothing but vectors under the ids of entries, so it can be lost, moved to a
vendor or made anew from the store at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from aicore.records import ConversationId, DataClass

__all__ = [
    "KNOWLEDGE",
    "Embedder",
    "Entry",
    "EntryKind",
    "Found",
    "Learned",
    "MemoryStore",
    "Namespace",
    "Near",
    "Query",
    "Source",
    "VectorIndex",
]

EntryKind = Literal["episode", "fact", "passage"]


class Namespace(NamedTuple):
    """Whose memory: part of every call and of every index, so that none can be left out.

    `subject` is a principal as text, such as "customer:+4915112345678", or KNOWLEDGE for what
    the business itself knows (price lists, policies). `business` is the tenant.
    """

    business: str
    subject: str


KNOWLEDGE = "business"
"""The subject of what belongs to the business and may be told to anybody it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an entry comes from: an event of the log, or a place in a document.

    `said_by` is "customer", "staff", "owner", "assistant", "system" or "document". For an event:
    `conversation` and `seq`. For a document: `document` (its name within the folder) and `place`
    (a heading, page or row), as a person would cite it.
    """

    said_by: str
    conversation: ConversationId | None = None
    seq: int = 0
    document: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that is remembered. Never changed once added, but for how long it holds.

    `id` is made from its source, so that the same thing added twice is one entry.
    `text` is what is recalled, `context` its neighbours: searched with less weight, never shown.
    Make it with `neighbours.join_context`, of what is one and what is two utterances away. The
    day, month and year of `at_ms` are searched as well, but for passages. NUL and halves of
    surrogate pairs in texts come back as U+FFFD.
    `topic` of a fact is what it is about, such as "phone" or "preference: time of day"; at most
    one fact of a topic holds at a time. It holds from `valid_from_ms` until `valid_to_ms`
    (None: still), after which `superseded_by` names the entry that took its place, if any.
    Times are milliseconds since 1970 UTC. `data_class` decides where it may be sent.
    """

    id: str
    kind: EntryKind
    text: str
    source: Source
    at_ms: int
    data_class: DataClass
    context: str = ""
    topic: str = ""
    valid_from_ms: int
    valid_to_ms: int | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for by its words, in one namespace.

    `text` is anybody's: a store takes words out of it and never runs it as a query language.
    Entries that do not hold at `at_ms` are left out (None: whenever they held), and so are those
    of classes outside `data_classes` (None: all) and other `kinds` (None: all).
    """

    text: str
    k: int = 10
    at_ms: int | None = None
    kinds: Collection[EntryKind] | None = None
    data_classes: Collection[DataClass] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that was found; a higher `score` is better, comparable within one answer only."""

    entry: Entry
    score: float


@dataclass(frozen=True, slots=True)
class Near:
    """An id that a VectorIndex found, with the cosine similarity of its vector, -1 to 1."""

    id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Learned:
    """Up to which event a conversation has been learned from; `born_ms` as in the log."""

    conversation: ConversationId
    seq: int
    born_ms: int = 0


class MemoryStore(Protocol):
    """Entries of many namespaces. Raises StoreBusy and StoreError besides what is named.

    Every method is atomic and durable against a crash of the process when it returns.
    """

    async def add(
        self,
        namespace: Namespace,
        entries: Sequence[Entry],
        learned: Learned | None = None,
        *,
        made_of: Collection[str] = (),
    ) -> int:
        """Add entries and, in the same step, how far a conversation has been learned from.

        An id that is there already, or was forgotten, is passed over. Returns how many were added.
        `made_of` are ids of what the entries' contexts were made of.
        Raises: StoreBusy, and adds nothing, when one of `made_of` was forgotten: make them anew.
        """

    async def supersede(
        self, namespace: Namespace, earlier_id: str, at_ms: int, later: Entry | None
    ) -> bool:
        """End an entry at `at_ms`; `later` is added as what took its place (None: nothing did).

        False, and nothing done, when there is no such entry or it has ended already.
        """

    async def search(self, namespace: Namespace, query: Query) -> Sequence[Found]:
        """The best entries by their words, best first, at most `query.k`."""

    async def get(self, namespace: Namespace, ids: Collection[str]) -> Mapping[str, Entry]:
        """Entries by id; those that are not there are left out."""

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
        """Entries in the order of their ids, from the first behind `after`; a page.

        `at_ms`: only those that hold then.
        """

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        """Delete entries for good; they are not added again. Returns how many there were.

        What they superseded stays ended. No trace of their text is left in the store: the
        contexts of episodes near them, in one conversation, are made anew without it.
        """

    async def forgotten(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that were forgotten, whether or not there ever were such entries."""

    async def erase(self, namespace: Namespace) -> int:
        """Delete a whole namespace for good, with how far it was learned. Returns how many."""

    async def subjects(
        self, business: str, after: str | None = None, limit: int = 1000
    ) -> Sequence[str]:
        """Subjects that something is remembered of, in order, behind `after`; a page."""

    async def learned(self, business: str, conversation: ConversationId) -> Learned | None:
        """How far a conversation has been learned from; None if never."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...


class VectorIndex(Protocol):
    """Vectors of entries, by namespace and id. Raises StoreBusy and StoreError.

    An index is made for one embedder: `model` is its name. Opening an index that holds vectors
    of another model or another length raises ConfigError that says how to make it anew.
    `locality` says where vectors are kept, as in Capabilities: they tell of the texts.
    """

    locality: Literal["in_process", "local", "managed"]

    async def put(self, namespace: Namespace, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors under these ids, in place of earlier ones. Found from now on."""

    async def nearest(
        self, namespace: Namespace, vector: Sequence[float], k: int
    ) -> Sequence[Near]:
        """The ids with the most similar vectors, best first, at most `k`."""

    async def missing(self, namespace: Namespace, ids: Collection[str]) -> Collection[str]:
        """Those of `ids` that have no vector."""

    async def remove(self, namespace: Namespace, ids: Collection[str]) -> None:
        """Delete vectors for good. Returns when they can no longer be found."""

    async def erase(self, namespace: Namespace) -> None:
        """Delete all vectors of a namespace for good. Returns when none can be found."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...


class Embedder(Protocol):
    """Turns texts into vectors, by a model of its own.

    `name` and `model` name it, `locality` says where texts go, as in Capabilities.
    """

    name: str
    model: str
    locality: Literal["in_process", "local", "managed"]

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector a text, in order, all of one length.

        Raises: ProviderUnavailable, CredentialError, ConfigError.
        """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...
