"""Effects on a CalDAV server, done once: steps that are written down first, each found again.

A step puts or deletes one object in a named state (If-None-Match, If-Match), and what it puts
carries the operation's mark. So after a cut connection or a crash a look at the object tells
whether the step was done, and the rest is done then.

A booking that must not clash is put as a hold first, compared with what else is there by then,
and settled by a second put. Of two who hold one time at once each sees the other's hold, or one
sees it settled: whoever sees something settled, or a hold of a lower mark, withdraws; whoever
sees a hold of a higher mark waits until it is gone or settled. So at most one stays, and the
lowest one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import anyio

from aicore_tools.calendars.backends.caldav_account import Account, Collection
from aicore_tools.calendars.backends.caldav_object import CalendarObject, Context, EventName
from aicore_tools.calendars.backends.caldav_times import Unreadable
from aicore_tools.calendars.backends.caldav_wire import Dav, Stale
from aicore_tools.calendars.clashing import clashes_with
from aicore_tools.calendars.plain import event_to_json
from aicore_tools.calendars.records import CalendarId, Event, Span
from aicore_tools.errors import (
    BackendUnavailable,
    Conflict,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.journal import Claim, Procedure

__all__ = ["MARK_CHARS", "Effects", "Reads", "taking_time"]

MARK_CHARS = 32
_CONTEND_S = 8.0
_FIRST_LOOK_S = 0.05
_OWN = "own"
_ANYWHERE = Context(ZoneInfo("UTC"))


class Reads(Protocol):
    """What the effects need to read of an account."""

    @property
    def dav(self) -> Dav:
        """The connection."""
        ...

    async def account(self) -> Account:
        """Give the account."""
        ...

    async def objects(self, collection: Collection, window: Span) -> Sequence[CalendarObject]:
        """Read the objects that overlap a window."""
        ...

    async def event(self, event: str) -> Event:
        """Read one event."""
        ...


class Effects:
    """Performs and looks up the steps of a request; see `caldav_recipes` for how one looks."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def procedure(self) -> Procedure:
        """Give what the journal calls."""
        return Procedure(name="steps", perform=self.perform, reconcile=self.reconcile)

    async def perform(self, claim: Claim) -> dict[str, Any]:
        """Do all steps."""
        return await self._run(claim, 0)

    async def reconcile(self, claim: Claim) -> dict[str, Any] | None:
        """Find out how far it came, and do the rest."""
        number = claim.notes.get("step")
        if number is None:
            return None
        if claim.notes.get("undoing"):
            await self._undo(claim, number)
            return None
        is_done = await self._is_done(claim, number)
        if not is_done and number == 0:
            return None
        try:
            return await self._run(claim, number + 1 if is_done else number)
        except OutcomeUnknown:
            raise
        except ToolsError:
            return None  # it was refused on the way and put back

    async def _run(self, claim: Claim, first: int) -> dict[str, Any]:
        steps = claim.request["steps"]
        for number in range(first, len(steps)):
            if claim.request["contest"] and number == len(steps) - 1:
                with _begun():
                    wins = await self._wins(claim)
                if not wins:
                    await self._undo(claim, number - 1)
                    raise Conflict("That time is taken.", code="slot_taken")
            await claim.note(step=number)
            try:
                await self._do(claim, number)
            except (OutcomeUnknown, BackendUnavailable) as error:
                if number == 0:
                    raise
                raise OutcomeUnknown("It was begun, and the calendar server left.") from error
            except ToolsError:
                if number > 0:
                    await self._undo(claim, number - 1)
                raise
        with _begun():
            return await self._result(claim)

    async def _do(self, claim: Claim, number: int) -> None:
        step, dav = self._step(claim, number), self._reads.dav
        etag = step["etag"]
        if etag == _OWN:
            etag = await self._own_etag(claim, step["url"])
            if etag is None:
                raise Stale("The event was changed meanwhile.")
        if step["do"] == "delete":
            with suppress(NotFound):  # away is what was wanted
                await dav.delete(step["url"], if_match=etag, is_silent=step["silent"])
            return
        try:
            await dav.put(step["url"], step["body"].encode(), if_match=etag)
        except Stale:
            # An earlier request of this operation, that came late, may have been faster.
            if not await self._is_own(claim, step["url"], number):
                raise

    async def _is_done(self, claim: Claim, number: int) -> bool:
        """Look whether a step was done."""
        step = self._step(claim, number)
        try:
            answered = await self._reads.dav.get(step["url"])
        except NotFound as error:
            if step["do"] == "delete" or step["etag"] is None:
                return bool(step["do"] == "delete")
            raise OutcomeUnknown("The event is not there any more.") from error
        if step["do"] == "delete":
            return False
        mark, _, at = _mark_of(answered.body).rpartition(".")
        if mark == claim.key[:MARK_CHARS]:
            return int(at) >= number
        if step["etag"] is None:
            return True  # nobody else knows this name
        if answered.etag == step["etag"]:
            return False
        if _said(answered.body) == _said(step["body"]):
            return True
        raise OutcomeUnknown(
            "The event was changed by somebody else, and it cannot be told what came before.",
            hint="Read it with calendar_events, and change it anew if it is not as wanted.",
        )

    async def _is_own(self, claim: Claim, url: str, number: int) -> bool:
        """Look whether this step, or one after it, was the last to write an object."""
        try:
            answered = await self._reads.dav.get(url)
        except NotFound:
            return False
        mark, _, at = _mark_of(answered.body).rpartition(".")
        return mark == claim.key[:MARK_CHARS] and int(at) >= number

    async def _own_etag(self, claim: Claim, url: str) -> str | None:
        """Give the state of an object that this operation wrote last; None if it did not."""
        try:
            answered = await self._reads.dav.get(url)
        except NotFound:
            return None
        is_own = _mark_of(answered.body).rpartition(".")[0] == claim.key[:MARK_CHARS]
        return answered.etag if is_own else None

    async def _undo(self, claim: Claim, last: int) -> None:
        """Put back what the steps up to `last` did."""
        await claim.note(undoing=True, step=last)
        with _begun():
            for number in range(last, -1, -1):
                await self._undo_step(claim, number)

    async def _undo_step(self, claim: Claim, number: int) -> None:
        step = self._step(claim, number)
        if step["do"] == "delete":
            return  # always the last one: nothing is refused after it
        etag = await self._own_etag(claim, step["url"])
        if etag is None:
            return  # put back before, or taken over by somebody else
        try:
            if step["undo"] is None:
                await self._reads.dav.delete(step["url"], if_match=etag, is_silent=True)
            else:
                await self._reads.dav.put(step["url"], step["undo"].encode(), if_match=etag)
        except (NotFound, Stale):
            return

    async def _wins(self, claim: Claim) -> bool:
        """Say whether the hold may be settled; see the module."""
        contest, pause_s = claim.request["contest"], _FIRST_LOOK_S
        mark = claim.key[:MARK_CHARS]
        own = {name.replace(claim.request["mark"], mark) for name in contest["own"]}
        spans = [
            Span(datetime.fromtimestamp(start_s, UTC), datetime.fromtimestamp(end_s, UTC))
            for start_s, end_s in contest["spans"]
        ]
        end = anyio.current_time() + _CONTEND_S
        while True:
            rivals = await self._rivals(CalendarId(contest["calendar"]), spans, own)
            if not rivals:
                return True
            now = datetime.now(UTC)
            if any(not one.is_held(now) or one.mark[:MARK_CHARS] < mark for one in rivals):
                return False
            if anyio.current_time() > end:
                return False
            await anyio.sleep(pause_s)
            pause_s *= 2

    async def _rivals(
        self, calendar: CalendarId, spans: Sequence[Span], own: set[str]
    ) -> list[CalendarObject]:
        collection = (await self._reads.account()).collection(calendar)
        if collection is None or not spans:
            return []
        window = Span(spans[0].start, max(span.end for span in spans))
        now = datetime.now(UTC)
        return [
            found
            for found in await self._reads.objects(collection, window)
            if found.name.whole not in own
            and not found.is_forgotten(now)
            and clashes_with(spans, taking_time(found, window))
        ]

    async def _result(self, claim: Claim) -> dict[str, Any]:
        result = dict(claim.request["result"])
        event = str(result.pop("read"))
        if event:
            event = event.replace(claim.request["mark"], claim.key[:MARK_CHARS])
            result["event"] = event_to_json(await self._reads.event(event))
        return result

    def _step(self, claim: Claim, number: int) -> dict[str, Any]:
        """Give a step, with the operation's own mark in it."""
        mark, own = claim.request["mark"], claim.key[:MARK_CHARS]
        step = claim.request["steps"][number]
        return {
            name: value.replace(mark, own) if isinstance(value, str) else value
            for name, value in step.items()
        }


def taking_time(found: CalendarObject, window: Span) -> list[Event]:
    """Give the events of an object in a window that make who has it busy."""
    return [
        found.event(one)
        for one in found.occurrences(window)
        if one.takes_time and not one.is_cancelled
    ]


@contextmanager
def _begun() -> Iterator[None]:
    """Say of what fails after the first step that the effect may be done by half."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except ToolsError as error:
        raise OutcomeUnknown(
            "It was begun, and the calendar server did not tell how it ended.",
            hint="Repeat the call with the same operation key: it is looked up and finished.",
        ) from error


def _read(body: bytes | str) -> CalendarObject | None:
    try:
        return CalendarObject(EventName(CalendarId("-"), "-"), "", body, _ANYWHERE)
    except Unreadable:
        return None


def _mark_of(body: bytes) -> str:
    found = _read(body)
    return found.mark if found else ""


def _said(body: bytes | str) -> list[Event] | None:
    """Give what an object says, to compare it with another."""
    found = _read(body)
    if found is None:
        return None
    parts = [found.occurrence(original) for original in sorted(found.overrides)]
    return [found.event(), *(found.event(part) for part in parts if part)]
