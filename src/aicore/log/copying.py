"""Moving history from one log to another: whole conversations, only what is new, compared after."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from aicore.errors import StoreBusy, StoreError
from aicore.log.events import Event, encode
from aicore.log.port import Claim, EventLog, Stored
from aicore.log.restoring import turns_left
from aicore.records import ConversationId

__all__ = ["Checked", "Copied", "check_log", "copy_log"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_STEP = 500
_PAUSES_S = (0.1, 0.5, 2.0)
_LOOKS = 5
_NAMED = 20

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
    source: EventLog,
    target: EventLog,
    *,
    claims: bool = True,
    erased: Collection[str] = (),
    tell: Tell = lambda *_: None,
) -> Copied:
    """Copy what `target` does not have yet, and compare all that it then has with `source`.

    Both are open. With `claims`, each conversation with something new is claimed in the source
    while it is copied, so that no turn is cut in two; one that another process holds is left for
    the next run, and so are messages that come meanwhile. A run that was interrupted is simply
    repeated. One conversation at a time is in memory. `erased` are ids of conversations that were
    erased in the source after an earlier copy: they are erased in the target, too, unless the
    source has them as they are there.

    Raises: StoreError when the target has events that the source has not, before anything is
    written, or when the two differ after copying; StoreBusy when one of the two stays out of
    reach; and what else the two logs raise.
    """
    gone = await _check_is_copy(source, target, erased)
    for stale in gone:
        await target.erase(await target.claim(stale.conversation))
    copied = Copied()
    run = _Run(source, target, copied, claims=claims)
    async for mine, theirs in _pairs(source, target):
        if mine is None:
            if theirs is not None and theirs.head:
                raise _not_a_copy([theirs.conversation])  # erased in the source meanwhile
            continue
        await run.copy(mine, theirs)
        tell(copied.conversations, copied.events)
    await run.check_open_turns()
    return copied


async def check_log(log: EventLog, tell: Tell = lambda *_: None) -> Checked:
    """Read every event of a log, which may be in use, and see whether they fit together.

    Raises: StoreError for an event that cannot be understood.
    """
    checked = Checked(0, 0, [])
    indexed = {(one.conversation, one.turn) for one in await log.open_turns()}
    left_open: set[tuple[ConversationId, int]] = set()
    async for stored in _all(log):
        events = await _read_whole(log, stored)
        if events is None:
            checked.faulty.append(stored.conversation)
            continue
        left_open |= _open_turns(stored.conversation, events)
        checked.conversations += bool(events) or not stored.head  # else erased meanwhile
        checked.events += len(events)
        tell(checked.conversations, checked.events)
    checked.conversations += len(checked.faulty)
    suspects = left_open ^ indexed
    # What differs only because somebody writes just now does not differ again and again.
    for _ in range(_LOOKS):
        if not suspects:
            break
        left_open = set()
        for conversation in {conversation for conversation, _ in suspects}:
            left_open |= _open_turns(conversation, await log.read(conversation))
        indexed = {(one.conversation, one.turn) for one in await log.open_turns()}
        suspects &= left_open ^ indexed
    checked.faulty += sorted({name for name, _ in suspects} - set(checked.faulty))
    return checked


async def _read_whole(log: EventLog, stored: Stored) -> Sequence[Event] | None:
    """Read a conversation; None when it has not the events that it should have."""
    for _ in range(_LOOKS):
        events = await log.read(stored.conversation)
        numbers = [event.seq for event in events]
        if numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= stored.head:
            return events
        now = await _find(log, stored.conversation)
        if now is None:
            return ()  # erased meanwhile
        stored = now
    return None


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
        head = theirs.head if theirs is not None else 0
        if head and theirs is not None and theirs.born_ms != mine.born_ms:
            raise _not_a_copy([mine.conversation])  # erased in the source, and begun again
        if theirs is None or head < mine.head:
            is_free = await (self._copy_claimed if self._claims else self._transfer)(mine, head)
            head = max(head, mine.head) if is_free else head
        elif theirs.epoch < mine.epoch:
            await _patiently(self._target.restore, mine, ())
        await self._compare(mine, head)

    async def check_open_turns(self) -> None:
        """Raise StoreError unless the target knows the open turns of what it was given."""
        told = {(one.conversation, one.turn) for one in await _patiently(self._target.open_turns)}
        if told != self._left_open:
            raise StoreError(
                "After copying, the two logs have different open turns. Copy into a new, empty "
                "log, and report this."
            )

    async def _copy_claimed(self, mine: Stored, head: int) -> bool:
        """Copy a conversation behind `head`; False when another process has it."""
        try:
            claim = await self._source.claim(mine.conversation)
        except StoreBusy as exc:
            _LOG.info("conversation_in_use error=<%s> | left for the next run", exc.code)
            self._copied.busy += 1
            return False
        try:
            if claim.born_ms == mine.born_ms:
                now = Stored(claim.conversation, claim.head, claim.epoch, claim.born_ms)
                await self._transfer(now, head)
        finally:
            with anyio.move_on_after(10, shield=True):
                await _give_back(self._source, claim, mine)
        return True

    async def _transfer(self, mine: Stored, head: int) -> bool:
        events = await _patiently(self._source.read, mine.conversation, head)
        added = [event for event in events if event.seq <= mine.head]
        if head + len(added) < mine.head:
            return True  # erased meanwhile: seen when the two are compared
        for first in range(0, max(len(added), 1), _STEP):
            await _patiently(self._target.restore, mine, added[first : first + _STEP])
        self._copied.events += len(added)
        return True

    async def _compare(self, mine: Stored, head: int) -> None:
        """See that the target has `head` events or more, and each as in the source."""
        conversation = mine.conversation
        copy = await _patiently(self._target.read, conversation)
        original = (await _patiently(self._source.read, conversation))[: len(copy)]
        self._left_open |= _open_turns(conversation, copy)
        if head <= len(copy) == len(original) and _digest(copy) == _digest(original):
            return
        now = await _patiently(_find, self._source, conversation)
        if now is not None and now.born_ms == mine.born_ms:
            raise StoreError(
                "After copying, a conversation differs from its original. Copy into a new, empty "
                "log; if it happens again, check both with `aicore db check`."
            )
        if copy:
            raise _not_a_copy([conversation])  # erased in the source meanwhile


async def _patiently(step: Callable[..., Awaitable[T]], *args: object) -> T:
    """Do what may be done again, again after a while when the store was out of reach.

    Raises: StoreBusy when it stays so.
    """
    for pause_s in _PAUSES_S:
        try:
            return await step(*args)
        except StoreBusy as exc:
            _LOG.info("store_busy error=<%s> | again in %s s", exc.code, pause_s)
            await anyio.sleep(pause_s)
    return await step(*args)


async def _give_back(source: EventLog, claim: Claim, listed: Stored) -> None:
    if claim.head == 0 and listed.head:
        # It was erased after it was listed, and the claim began a new one: nobody wants that.
        await source.erase(claim)
    else:
        await source.release(claim)


async def _check_is_copy(
    source: EventLog, target: EventLog, erased: Collection[str]
) -> list[Stored]:
    """Give what to erase in the target. Raises: StoreError unless all else is of the source."""
    gone: list[Stored] = []
    strange: list[ConversationId] = []
    async for mine, theirs in _pairs(source, target):
        if theirs is None or not theirs.head:
            continue
        if mine is None or mine.born_ms != theirs.born_ms:
            if theirs.conversation in erased:
                gone.append(theirs)
            else:
                strange.append(theirs.conversation)
        elif theirs.head > mine.head:
            strange.append(theirs.conversation)
    if strange:
        raise _not_a_copy(strange)
    return gone


def _not_a_copy(names: Sequence[ConversationId]) -> StoreError:
    named = ", ".join(repr(str(name)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return StoreError(
        f"The log to copy to has events that the one to copy from has not, in {named}{more}. "
        "What was erased there is erased here with --erased ID, for each. Else copy to an empty "
        "log, or to an earlier copy that nobody has used since."
    )


async def _pairs(
    source: EventLog, target: EventLog
) -> AsyncIterator[tuple[Stored | None, Stored | None]]:
    """What the two logs hold, side by side, in the order of ids."""
    originals, copies = _all(source), _all(target)
    mine, theirs = await anext(originals, None), await anext(copies, None)
    while mine is not None or theirs is not None:
        if theirs is None or (mine is not None and mine.conversation < theirs.conversation):
            yield mine, None
            mine = await anext(originals, None)
        elif mine is None or theirs.conversation < mine.conversation:
            yield None, theirs
            theirs = await anext(copies, None)
        else:
            yield mine, theirs
            mine, theirs = await anext(originals, None), await anext(copies, None)


async def _find(log: EventLog, conversation: ConversationId) -> Stored | None:
    """Look one conversation up; None when the log does not have it."""
    # All that begin with all of it but its last character come behind that.
    before = ConversationId(conversation[:-1]) if conversation else None
    async for stored in _all(log, before):
        if stored.conversation >= conversation:
            return stored if stored.conversation == conversation else None
    return None


async def _all(log: EventLog, after: ConversationId | None = None) -> AsyncIterator[Stored]:
    while page := await _patiently(log.conversations, after):
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
