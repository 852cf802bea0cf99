"""Effects on Google Calendar as steps that are done in order, each once, and found again.

An effect may take several calls: a series that is split ends and another begins. The claim holds
all steps before the first is done, and notes each that is done. What was cut off is looked up: if
its first step was not done, nothing was; else the rest is done now, as half of it would be wrong.
Where the rest is refused, what was inserted is withdrawn; that is noted before, as it may be cut
off too.
A step shows whether it was done: an insert by the event's id, which is the claim's key; a patch by
a private property; a deletion by the event being gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aicore_tools.calendars.backends.google_events import MARK
from aicore_tools.errors import (
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.google_client import GoogleClient
from aicore_tools.google_errors import GONE
from aicore_tools.journal import Claim, Procedure

__all__ = ["NEW", "Steps", "partly_done"]

NEW = "{new}"
"""Stands for the id of the event that a step inserts."""

Finish = Callable[[Claim, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Makes the result out of the claim and the event it led to.

All steps are done by then: it raises OutcomeUnknown, or what it raises has undone them.
"""


class Steps:
    """Does the steps of a claim: `request["steps"]`, each a dict.

    `do` is insert, patch, delete or answer; `calendar` and `event` name what it is about, `tell`
    is Google's sendUpdates. Of a patch and a deletion, `etag` must still hold, where it is given.
    What is `optional` may be refused; the claim's note `left` counts those.
    """

    def __init__(self, client: GoogleClient, finish: Finish) -> None:
        self._client = client
        self._finish = finish

    @property
    def procedure(self) -> Procedure:
        """The one procedure of all effects."""
        return Procedure(name="steps", perform=self._perform, reconcile=self._reconcile)

    async def event(self, calendar: str, event: str) -> dict[str, Any]:
        """Read one event.

        Raises:
            NotFound: there is none; what Google calls a malformed id is none either.
        """
        try:
            return await self._client.read("events", "get", calendarId=calendar, eventId=event)
        except InvalidInput as error:
            raise NotFound(f"There is no event {event}.") from error

    async def undo(self, claim: Claim, count: int) -> None:
        """Withdraw what the first `count` steps inserted; nothing is left of it but its id.

        Raises:
            OutcomeUnknown: it is not withdrawn yet, or there are steps that cannot be taken back.
        """
        before = claim.request["steps"][:count]
        if not before:
            return
        with partly_done():
            if any(step["do"] != "insert" for step in before):
                raise OutcomeUnknown("It is half done, and cannot be taken back.")
            await claim.spend(undo=count)
            for step in before:
                await self._withdraw(step["calendar"], claim.key, step["tell"])

    async def _withdraw(self, calendar: str, event: str, tell: str) -> None:
        try:
            await self._client.do(
                "events", "delete", calendarId=calendar, eventId=event, sendUpdates=tell
            )
        except NotFound:
            return

    async def _perform(self, claim: Claim) -> dict[str, Any]:
        await self._from(claim, 0)
        return await self._finished(claim)

    async def _reconcile(self, claim: Claim) -> dict[str, Any] | None:
        if "undo" in claim.notes:
            await self.undo(claim, claim.notes["undo"])
            return None
        done = int(claim.notes.get("done", 0))
        steps = claim.request["steps"]
        if done < len(steps) and await self._is_done(claim, steps[done], done):
            done += 1
            await claim.note(done=done)
        if done == 0 and steps:
            return None
        if await self._is_dropped(claim, done):
            await self.undo(claim, done)
            return None
        try:
            await self._from(claim, done)
            return await self._finished(claim)
        except OutcomeUnknown:
            raise
        except ToolsError:  # refused, and withdrawn
            return None

    async def _is_dropped(self, claim: Claim, done: int) -> bool:
        """Whether somebody cancelled what was inserted before the steps that rely on it."""
        steps = claim.request["steps"]
        if done in {0, len(steps)} or any(step["do"] != "insert" for step in steps[:done]):
            return False
        with partly_done():
            present = await self.event(steps[0]["calendar"], claim.key)
        return bool(present["status"] == "cancelled")

    async def _from(self, claim: Claim, first: int) -> None:
        """Do the steps from `first` on.

        Raises:
            OutcomeUnknown: some are done, and the next cannot be.
            ToolsError: a step was refused, and nothing is left of those before.
        """
        for number, step in enumerate(claim.request["steps"][first:], first):
            try:
                await self._do(claim, step, number)
            except (BackendUnavailable, OutcomeUnknown) as error:
                if number == 0:
                    raise
                raise OutcomeUnknown("It is half done.") from error
            except ToolsError:
                await self.undo(claim, number)
                raise
            with partly_done():
                await claim.note(done=number + 1)

    async def _do(self, claim: Claim, step: Mapping[str, Any], number: int) -> None:
        try:
            await getattr(self, f"_{step['do']}")(claim, step, number)
        except (BackendUnavailable, OutcomeUnknown):
            raise
        except ToolsError as error:
            if _is_stale(error) and await self._was_ours(claim, step, number):
                return
            if not step.get("optional"):
                raise
            with partly_done():
                await claim.note(left=claim.notes.get("left", 0) + 1)

    async def _was_ours(self, claim: Claim, step: Mapping[str, Any], number: int) -> bool:
        """Whether what changed the event meanwhile was this step, sent before and landed late."""
        with partly_done():
            if step["do"] == "answer":
                return await self._is_done(claim, step, number)
            present = await self.event(step["calendar"], step["event"].replace(NEW, claim.key))
        return _mark_in(present) == _mark(claim, number)

    async def _finished(self, claim: Claim) -> dict[str, Any]:
        shown, last = claim.request.get("shown"), {}
        if shown is not None:
            with partly_done():
                key = shown["event"].replace(NEW, claim.key)
                last = await self.event(shown["calendar"], key)
        return await self._finish(claim, last)

    # --- the kinds of steps

    async def _insert(self, claim: Claim, step: Mapping[str, Any], number: int) -> None:
        body = {**step["body"], "id": claim.key}
        if step.get("video"):
            room = {"requestId": claim.key, "conferenceSolutionKey": {"type": "hangoutsMeet"}}
            body["conferenceData"] = {"createRequest": room}
        try:
            await self._client.do(
                "events",
                "insert",
                calendarId=step["calendar"],
                body=body,
                sendUpdates=step["tell"],
                conferenceDataVersion=1,
            )
        except Conflict as error:
            if error.code != "duplicate":
                raise
            with partly_done():
                present = await self.event(step["calendar"], claim.key)
            if present["status"] == "cancelled" and number + 1 < len(claim.request["steps"]):
                # The rest would end what the event was to replace.
                raise Conflict(
                    "What was begun before was cancelled meanwhile.", code="cancelled"
                ) from error

    async def _patch(self, claim: Claim, step: Mapping[str, Any], number: int) -> None:
        body = dict(step["body"])
        private = body.get("extendedProperties", {}).get("private", {})
        body["extendedProperties"] = {"private": {**private, MARK: _mark(claim, number)}}
        await self._client.do(
            "events",
            "patch",
            calendarId=step["calendar"],
            eventId=step["event"].replace(NEW, claim.key),
            body=body,
            if_match=step.get("etag", ""),
            sendUpdates=step["tell"],
        )

    async def _delete(self, claim: Claim, step: Mapping[str, Any], number: int) -> None:
        try:
            await self._client.do(
                "events",
                "delete",
                calendarId=step["calendar"],
                eventId=step["event"].replace(NEW, claim.key),
                if_match=step.get("etag", ""),
                sendUpdates=step["tell"],
            )
        except NotFound as error:
            if error.code != GONE and not step.get("optional"):
                raise

    async def _answer(self, claim: Claim, step: Mapping[str, Any], number: int) -> None:
        """Answer for the own attendee and leave the others as they are at this moment."""
        present = await self.event(step["calendar"], step["event"])
        people = [_answering(each, step) for each in present.get("attendees", ())]
        await self._client.do(
            "events",
            "patch",
            calendarId=step["calendar"],
            eventId=step["event"],
            body={"attendees": people},
            if_match=present["etag"],
            sendUpdates=step["tell"],
        )

    async def _is_done(self, claim: Claim, step: Mapping[str, Any], number: int) -> bool:
        key = claim.key if step["do"] == "insert" else step["event"].replace(NEW, claim.key)
        try:
            present = await self.event(step["calendar"], key)
        except NotFound:
            return step["do"] == "delete" or bool(step.get("optional"))
        if step["do"] == "patch":
            return _was_marked(_mark_in(present), claim, number, step)
        if step["do"] == "answer":
            people = present.get("attendees", ())
            return all(_answering(each, step) == each for each in people)
        # An insert whose event a person cancelled was done: our own withdrawal is noted.
        return bool(step["do"] == "insert" or present["status"] == "cancelled")


@contextmanager
def partly_done() -> Iterator[None]:
    """Let no failure look as if nothing had been done."""
    try:
        yield
    except ToolsError as error:
        raise OutcomeUnknown(
            "It was begun, and cannot be seen to its end now.",
            hint="Repeat the call with the same operation key: the rest is done then.",
        ) from error


def _is_stale(error: ToolsError) -> bool:
    return isinstance(error, Conflict) and error.code == "changed_meanwhile"


def _mark(claim: Claim, number: int) -> str:
    return f"{claim.key}-{number}"


def _mark_in(present: Mapping[str, Any]) -> str:
    return str(present.get("extendedProperties", {}).get("private", {}).get(MARK, ""))


def _was_marked(present: str, claim: Claim, number: int, step: Mapping[str, Any]) -> bool:
    """Tell by the mark whether a patch was made.

    Raises:
        OutcomeUnknown: another effect of ours has written over the mark.
    """
    if present == _mark(claim, number):
        return True
    # An occurrence shows the mark of its series, until it has its own.
    if present in {"", step.get("mark", "")} or present.startswith(f"{claim.key}-"):
        return False
    raise OutcomeUnknown(
        "The event was changed again meanwhile, so that the change cannot be told apart.",
        hint="Read the event before changing it again.",
    )


def _answering(person: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    """Give an attendee as the answer makes it; only the own one changes."""
    if person.get("email", "").casefold() != step["address"]:
        return dict(person)
    comment = {"comment": step["comment"]} if step["comment"] else {}
    return {**person, "responseStatus": step["response"], **comment}
