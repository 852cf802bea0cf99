"""Keeps the memory's passages as the documents in some folders are."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NoReturn

import anyio
import anyio.to_thread

from aicore.errors import AicoreError
from aicore.memory.knowledge.folders import Document, Folders, Scan, Stamp
from aicore.memory.knowledge.passages import Passage, UnreadableError
from aicore.memory.knowledge.reader import DocumentReader, Read
from aicore.memory.places import Places
from aicore.memory.port import KNOWLEDGE, Entry, Namespace, Source

__all__ = ["CONFIGURED", "Knowledge", "Problem", "Refreshed"]

_log = logging.getLogger(__name__)

CONFIGURED = "configured"
"""Whose passages those of the folders in a configuration are."""

_DEADLINE_S = 120.0
_RACY_MS = 2000
_PAGE = 1000
_TRIES = 50
_EMBEDDED_AT_ONCE = 500
_REST_PER_SCAN = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that could not be taken in as it is now; its last good version stays."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """How many passages were added, ended and left as they were."""

    added: int = 0
    ended: int = 0
    unchanged: int = 0
    problems: Sequence[Problem] = ()


@dataclass(slots=True)
class _Seen:
    """What is known of a document: its file when it was read, its content, what was wrong."""

    stamp: Stamp | None = None
    digest: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class _Tally:
    added: int = 0
    ended: int = 0


class Knowledge:
    """Documents of a business in the memory: what is in the folders, and nothing else.

    `owner` names whose passages these are: those of other owners in the same memory are left
    alone. A passage that is no longer in a document is deleted for good. Safe to use from several
    tasks and processes; `clock` gives milliseconds since 1970 UTC.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        places: Places,
        business: str,
        *,
        owner: str = CONFIGURED,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._folders = Folders(folders)
        self._places = places
        self._store = places.store
        self._namespace = Namespace(business, KNOWLEDGE)
        self._owner = owner
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._is_compared = False
        self._unembedded: list[Entry] = []
        self._count = 0
        self._scan_s = 0.0
        self._lock = anyio.Lock()

    async def refresh(self, *, settled_s: float = 0.0) -> Refreshed:
        """Read what changed since the last time, and take it into the memory.

        A document that was known before and was written in the last `settled_s` seconds waits.
        A document that cannot be read stays as it was. The next call does what one that raised
        left undone. Raises: StoreBusy, StoreError; TemporaryError when no process can be
        started; ProviderUnavailable, CredentialError, ConfigError of an embedder, when all else
        is done.
        """
        done = await self._take_in(settled_s)
        await self._embed()
        return done

    async def _take_in(self, settled_s: float) -> Refreshed:
        async with self._lock:
            started = monotonic()
            scan = await anyio.to_thread.run_sync(self._folders.scan)
            self._scan_s = monotonic() - started
            changed = self._changed(scan, settled_s)
            gone = {name for name in self._seen if scan.is_gone(name)}
            tally = _Tally()
            if changed or gone or not self._is_compared:
                await self._compare(scan, changed, tally)
            problems = self._problems(scan)
        unchanged = self._count - tally.added
        return Refreshed(
            added=tally.added, ended=tally.ended, unchanged=unchanged, problems=problems
        )

    def covers(self, folder: Path) -> bool:
        """Whether a folder is one of these. Looks at the disk."""
        return self._folders.has(folder)

    async def watch(self, every_s: float) -> None:
        """Refresh now and every `every_s` seconds or more, for ever; logs what came of it.

        Vectors are made beside it: an embedder that is slow or hangs keeps no old price alive.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._embed_for_ever, every_s)
            await self._refresh_for_ever(every_s)

    async def _embed_for_ever(self, every_s: float) -> NoReturn:
        failed = ""
        while True:
            try:
                await self._embed()
                failed = ""
            except AicoreError as error:
                if error.code != failed:
                    _log.warning("passages_not_embedded error=<%s> | %s", error.code, error)
                failed = error.code
            await anyio.sleep(every_s)

    async def _refresh_for_ever(self, every_s: float) -> NoReturn:
        told: set[Problem] = set()
        failed = ""
        while True:
            try:
                done = await self._take_in(min(every_s, 1.0))
            except AicoreError as error:
                if error.code != failed:  # once, not at every look
                    _log.warning("knowledge_refresh_failed error=<%s> | %s", error.code, error)
                failed = error.code
            else:
                failed = ""
                if done.added or done.ended:
                    _log.info("knowledge_refreshed | added=%d ended=%d", done.added, done.ended)
                for problem in done.problems:
                    if problem not in told:
                        _log.warning("document_problem | %s %s", problem.document, problem.reason)
                told = set(done.problems)
            # Ten thousand files take a while to look at: not more than a small share of the time.
            await anyio.sleep(max(every_s, self._scan_s * _REST_PER_SCAN))

    def _changed(self, scan: Scan, settled_s: float) -> list[Document]:
        now_ms = self._clock()
        changed = []
        for document in scan.documents.values():
            seen = self._seen.get(document.name)
            is_fresh = 0 <= now_ms - document.written_ms < settled_s * 1000
            if seen is None or (seen.stamp != document.stamp and not (seen.digest and is_fresh)):
                changed.append(document)
        return changed

    async def _compare(self, scan: Scan, changed: Iterable[Document], tally: _Tally) -> None:
        is_first, self._is_compared = not self._is_compared, False
        held, ended = await self._held()
        async with DocumentReader(deadline_s=_DEADLINE_S) as reader:
            for document in changed:
                mine = held.setdefault(document.name, {})
                ended += await self._take(document, mine, reader, tally)
        for name in [name for name in held if scan.is_gone(name)]:
            passages = held.pop(name)
            ended += passages.values()
            tally.ended += len(passages)
        if ended:
            await self._places.forget(self._namespace, [entry.id for entry in ended])
        for name in [name for name in self._seen if scan.is_gone(name)]:
            del self._seen[name]
        if is_first:
            self._unembedded = [entry for of in held.values() for entry in of.values()]
        self._count = sum(map(len, held.values()))
        self._is_compared = True

    async def _held(self) -> tuple[dict[str, dict[str, Entry]], list[Entry]]:
        """Our passages by document and key; and those that hold no longer, or are there twice."""
        held: dict[str, dict[str, Entry]] = {}
        surplus: list[Entry] = []
        after: str | None = f"{self._owner}:"
        while after is not None:
            page = await self._store.list(self._namespace, kind="passage", after=after, limit=_PAGE)
            ours = [entry for entry in page if entry.id.startswith(f"{self._owner}:")]
            for entry in ours:
                of = held.setdefault(entry.source.document, {})
                if entry.valid_to_ms is not None or _key(entry) in of:
                    surplus.append(entry)
                else:
                    of[_key(entry)] = entry
            after = page[-1].id if len(page) == _PAGE and len(ours) == _PAGE else None
        return held, surplus

    async def _take(
        self, document: Document, held: dict[str, Entry], reader: DocumentReader, tally: _Tally
    ) -> list[Entry]:
        """Take in one document; changes `held` and gives the passages that hold no longer."""
        seen = self._seen.setdefault(document.name, _Seen())
        seen.stamp = None
        ended: list[Entry] = []
        try:
            read = await reader.read(document.path, document.name, seen.digest)
        except UnreadableError as exc:
            seen.problem = f"{exc}{' Its last version stays.' if held else ''}"
        else:
            if not read.is_same:
                ended = await self._replace(document, read, held, tally)
                seen.digest, seen.notes = read.digest, read.notes
            seen.problem = ""
        # Written just now, it may be written again without a change of its times.
        if abs(self._clock() - document.written_ms) > _RACY_MS:
            seen.stamp = document.stamp
        return ended

    async def _replace(
        self, document: Document, read: Read, held: dict[str, Entry], tally: _Tally
    ) -> list[Entry]:
        # Thousands of rows would hold up the loop.
        ended, new = await anyio.to_thread.run_sync(
            partial(self._difference, document, read.passages, held)
        )
        # First ended, then added: an old price is never found beside the new one.
        for entry in ended:
            await self._store.supersede(self._namespace, entry.id, self._clock(), None)
            del held[_key(entry)]
        added = await self._add(new)
        held.update((_key(entry), entry) for entry in added)
        tally.ended += len(ended)
        tally.added += len(added)
        self._unembedded += added
        return ended

    def _difference(
        self, document: Document, passages: Sequence[Passage], held: Mapping[str, Entry]
    ) -> tuple[list[Entry], list[Entry]]:
        """The passages that are no longer in a document, and those that are new in it."""
        wanted = {_key_of(self._owner, document.name, one): one for one in passages}
        ended = [entry for key, entry in held.items() if key not in wanted]
        new = [self._entry(key, document, one) for key, one in wanted.items() if key not in held]
        return ended, new

    async def _add(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Add entries. Those that were forgotten once need ids of their own."""
        added = {_key(entry): entry for entry in entries}
        pending = dict(added)
        for number in range(_TRIES):
            if not pending:
                break
            tried = list(pending.values())
            if await self._store.add(self._namespace, tried) == len(tried):
                break
            there = await self._store.get(self._namespace, [entry.id for entry in tried])
            pending = {
                key: replace(entry, id=f"{key}:{self._clock() + number:x}")
                for key, entry in pending.items()
                if entry.id not in there or there[entry.id].valid_to_ms is not None
            }
            added |= pending
        return list(added.values())

    def _entry(self, key: str, document: Document, passage: Passage) -> Entry:
        at_ms = min(document.written_ms, self._clock())
        return Entry(
            id=key,
            kind="passage",
            text=passage.text,
            context=passage.context,
            source=Source(said_by="document", document=document.name, place=passage.place),
            at_ms=at_ms,
            valid_from_ms=at_ms,
            data_class="public",
        )

    async def _embed(self) -> None:
        pending, self._unembedded = self._unembedded, []
        try:
            for start in range(0, len(pending), _EMBEDDED_AT_ONCE):
                ids = [one.id for one in pending[start : start + _EMBEDDED_AT_ONCE]]
                there = await self._store.get(self._namespace, ids)
                await self._places.recall.embed_missing(self._namespace, list(there.values()))
        except BaseException:
            self._unembedded = [*pending, *self._unembedded]
            raise

    def _problems(self, scan: Scan) -> Sequence[Problem]:
        found = list(scan.problems.items())
        for name, seen in self._seen.items():
            reasons = [seen.problem] if seen.problem else seen.notes
            found += [(name, reason) for reason in reasons]
        return [Problem(name, reason) for name, reason in sorted(found)]


def _key_of(owner: str, document: str, passage: Passage) -> str:
    """The id of a passage, made from where and what it is: a moved row is another passage."""
    parts = (document, passage.place, passage.text, passage.context)
    return f"{owner}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _key(entry: Entry) -> str:
    return ":".join(entry.id.split(":")[:2])
