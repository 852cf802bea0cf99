"""Moving history from one log to another: whole conversations, only what is new, compared after."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

import anyio

from aicore.errors import StoreBusy, StoreError
from aicore.log.events import Event, encode
from aicore.log.port import Claim, EventLog, Stored
from aicore.log.restoring import turns_left
from aicore.records import ConversationId

__all__ = ["Checked", "Copied", "check_log", "copy_log"]

_LOG = logging.getLogger(__name__)
_STEP = 500

Tell = Callable[[int, int], None]
"""Told how many conversations and events are done."""


@dataclass(slots=True)
class Copied:
    """What a run did: conversations looked at, events copied, conversations that were in use."""

    conversations: int = 0
    events: int = 0
    busy: int = 0


@dataclass(slots=True)
class Checked:
    """What a log holds, and the conversations whose events do not fit together."""

    conversations: int
    events: int
    faulty: list[ConversationId]


async def copy_log(
    source: EventLog, target: EventLog, *, claims: bool = True, tell: Tell = lambda *_: None
) -> Copied:
    """Copy what `target` does not have yet, and compare all that it then has with `source`.

    Both are open. With `claims`, each conversation with something new is claimed in the source
    while it is copied, so that no turn is cut in two; one that another process holds is left for
    the next run, and so are messages that come meanwhile. A run that was interrupted is simply
    repeated. One conversation at a time is in memory.

    Raises: StoreError when the target has events that the source has not, before anything is
    written, or when the two differ after copying; and what the two logs raise.
    """
    async for _ in _pairs(source, target):
        pass  # only to refuse a target that is not a copy
    copied = Copied()
    run = _Run(source, target, copied, claims=claims)
    async for mine, theirs in _pairs(source, target):
        await run.copy(mine, theirs)
        tell(copied.conversations, copied.events)
    await run.check_open_turns()
    return copied


async def check_log(log: EventLog, tell: Tell = lambda *_: None) -> Checked:
    """Read every event of a log and see whether they fit together.

    Raises: StoreError for an event that cannot be understood.
    """
    checked = Checked(0, 0, [])
    left_open: set[tuple[ConversationId, int]] = set()
    indexed = {(one.conversation, one.turn) for one in await log.open_turns()}
    async for stored in _all(log):
        events = await log.read(stored.conversation)
        numbers = [event.seq for event in events]
        is_whole = numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= stored.head
        left_open |= _open_turns(stored.conversation, events)
        checked.conversations += 1
        checked.events += len(events)
        if not is_whole:
            checked.faulty.append(stored.conversation)
        tell(checked.conversations, checked.events)
    # What differs only because somebody writes just now does not differ the second time.
    indexed_now = {(one.conversation, one.turn) for one in await log.open_turns()}
    faulty = {name for name, _ in (left_open ^ indexed) & (left_open ^ indexed_now)}
    checked.faulty += sorted(faulty - set(checked.faulty))
    return checked


class _Run:
    """One run of copying."""

    def __init__(self, source: EventLog, target: EventLog, copied: Copied, *, claims: bool) -> None:
        self._source = source
        self._target = target
        self._copied = copied
        self._claims = claims
        self._left_open: set[tuple[ConversationId, int]] = set()

    async def copy(self, mine: Stored, theirs: Stored | None) -> None:
        """Bring one conversation of the target forward, and compare it."""
        self._copied.conversations += 1
        if theirs is None or theirs.head < mine.head:
            try:
                await self._copy_claimed(mine, theirs)
            except StoreBusy as exc:
                _LOG.info("conversation_in_use error=<%s> | left for the next run", exc.code)
                self._copied.busy += 1
        elif theirs.epoch < mine.epoch:
            await self._target.restore(mine, ())
        await self._compare(mine.conversation)

    async def check_open_turns(self) -> None:
        """Raise StoreError unless the target knows the open turns of what it was given."""
        told = {(one.conversation, one.turn) for one in await self._target.open_turns()}
        if told != self._left_open:
            raise StoreError(
                "After copying, the two logs have different open turns. Copy into a new, empty "
                "log, and report this."
            )

    async def _copy_claimed(self, mine: Stored, theirs: Stored | None) -> None:
        if not self._claims:
            await self._transfer(mine, theirs)
            return
        claim = await self._source.claim(mine.conversation)
        try:
            if claim.born_ms == mine.born_ms:
                now = Stored(claim.conversation, claim.head, claim.epoch, claim.born_ms)
                await self._transfer(now, theirs)
        finally:
            with anyio.move_on_after(10, shield=True):
                await _give_back(self._source, claim, mine)

    async def _transfer(self, mine: Stored, theirs: Stored | None) -> None:
        head = theirs.head if theirs is not None else 0
        events = await self._source.read(mine.conversation, head)
        added = [event for event in events if event.seq <= mine.head]
        for first in range(0, max(len(added), 1), _STEP):
            await self._target.restore(mine, added[first : first + _STEP])
        self._copied.events += len(added)

    async def _compare(self, conversation: ConversationId) -> None:
        copy = await self._target.read(conversation)
        original = (await self._source.read(conversation))[: len(copy)]
        if len(copy) != len(original) or _digest(copy) != _digest(original):
            raise StoreError(
                "After copying, a conversation differs from its original. Copy into a new, empty "
                "log; if it happens again, check both with `aicore db check`."
            )
        self._left_open |= _open_turns(conversation, copy)


async def _give_back(source: EventLog, claim: Claim, listed: Stored) -> None:
    if claim.head == 0 and listed.head:
        # It was erased after it was listed, and the claim began a new one: nobody wants that.
        await source.erase(claim)
    else:
        await source.release(claim)


async def _pairs(source: EventLog, target: EventLog) -> AsyncIterator[tuple[Stored, Stored | None]]:
    """Each conversation of the source with its copy, if any. Raises: StoreError for others."""
    copies = _all(target)
    copy = await anext(copies, None)
    async for mine in _all(source):
        while copy is not None and copy.conversation < mine.conversation:
            _check_has_no_events(copy)
            copy = await anext(copies, None)
        if copy is None or copy.conversation != mine.conversation:
            yield mine, None
            continue
        if copy.head and (copy.born_ms != mine.born_ms or copy.head > mine.head):
            _check_has_no_events(copy)
        yield mine, copy
        copy = await anext(copies, None)
    while copy is not None:
        _check_has_no_events(copy)
        copy = await anext(copies, None)


def _check_has_no_events(copy: Stored) -> None:
    if copy.head:
        raise StoreError(
            "The log to copy to has events of its own, which the one to copy from has not. Copy "
            "to an empty one, or to an earlier copy that nobody has used since."
        )


async def _all(log: EventLog) -> AsyncIterator[Stored]:
    after: ConversationId | None = None
    while page := await log.conversations(after):
        for stored in page:
            yield stored
        after = page[-1].conversation


def _open_turns(
    conversation: ConversationId, events: Iterable[Event]
) -> set[tuple[ConversationId, int]]:
    return {(conversation, turn) for turn, is_open in turns_left(events).items() if is_open}


def _digest(events: Sequence[Event]) -> str:
    digest = hashlib.sha256()
    for event in events:
        kind, data = encode(event.body)
        digest.update(f"{event.seq} {event.turn} {event.at_ms} {kind} {data}\n".encode())
    return digest.hexdigest()
