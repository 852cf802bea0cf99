"""A request whose answer was lost, and which lands after all just before it is sent again."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.tools.google.appointments import (
    OFFICE,
    SERIES,
    Do,
    Op,
    Open,
    cancelling,
    changing,
    creating,
    events,
    new,
    prepared,
    responding,
    seen,
)

from aicore_servers.sandbox import google as stand_in
from aicore_servers.sandbox._faults import CUT
from aicore_servers.sandbox._running import running_app
from aicore_tools.calendars import Event, Terms
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.errors import Conflict, OutcomeUnknown


@dataclass(frozen=True)
class _Held:
    """A request that is on its way."""

    scope: Scope
    body: bytes

    async def land(self, app: Any, send: Send) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": self.body, "more_body": False}

        await app(self.scope, receive, send)

    def undone(self) -> "_Held":
        """Make what a person sends who cancels the event of this insertion."""
        path = f"{self.scope['path']}/{json.loads(self.body)['id']}"
        headers = [each for each in self.scope["headers"] if each[0] == b"authorization"]
        changed = {"method": "DELETE", "path": path, "raw_path": path.encode()}
        scope = {**self.scope, **changed, "query_string": b"", "headers": headers}
        return _Held(scope, b"")


@dataclass
class Line:
    """The stand-in behind a line that troubles requests of the method `troubles`.

    Its next request is held back, and its caller gets no answer; it lands when another comes,
    before that. With `cancels` somebody cancels in between what it inserted. With `says` it lands
    at once, and its caller gets that status.
    """

    app: Any = field(default_factory=stand_in.app)
    troubles: str = ""
    cancels: bool = False
    says: int = 0
    held: _Held | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != self.troubles or "/calendars/" not in scope["path"]:
            await self.app(scope, receive, send)
            return
        request = _Held(scope, await _body(receive))
        if self.says:
            self.troubles = ""
            await request.land(self.app, _nowhere)
            await send({"type": "http.response.start", "status": self.says, "headers": []})
            await send({"type": "http.response.body", "body": b"a proxy speaking"})
        elif self.held is None:
            self.held = request
            scope["state"][CUT]()
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            self.troubles = ""
            await self.held.land(self.app, _nowhere)
            if self.cancels:
                await self.held.undone().land(self.app, _nowhere)
            await request.land(self.app, send)


async def _body(receive: Receive) -> bytes:
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body, has_more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _nowhere(_: Message) -> None:
    """Take an answer that nobody gets."""


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def google_url(line: Line) -> Iterator[str]:
    with running_app(line) as url:
        yield url


async def done_by_repeating(do: Do, agenda: GoogleAgenda, operation: Any) -> Any:
    with suppress(OutcomeUnknown):  # where a step was done before, it is repeated at once
        return await do(agenda, operation)
    return await do(agenda, operation)


CASES: list[tuple[str, dict[str, Any], Callable[[list[Event]], Do], list[str]]] = [
    (
        "PATCH",
        {},
        lambda found: changing(found[0], "this", title="Colour"),
        ["Colour"],
    ),
    (
        "PATCH",
        SERIES,
        lambda found: changing(found[2], "following", title="Colour"),
        ["Haircut", "Haircut", "Colour", "Haircut", "Colour", "Colour"],
    ),
    (
        "PATCH",
        SERIES,
        lambda found: cancelling(found[2], "following"),
        ["Haircut"] * 2,
    ),
    ("PATCH", {}, lambda found: responding(found[0], "this"), ["Haircut"]),
    ("POST", {}, lambda found: creating(OFFICE, hours=5), ["Haircut"] * 2),
    ("DELETE", {}, lambda found: cancelling(found[0], "this"), []),
]


@pytest.mark.parametrize(
    ("method", "fields", "make", "titles"),
    CASES,
    ids=["change", "split", "end", "respond", "create", "cancel"],
)
async def test_a_step_that_lands_late_is_done_once(
    agenda: Open,
    google: Any,
    line: Line,
    op: Op,
    method: str,
    fields: dict[str, Any],
    make: Callable[[list[Event]], Do],
    titles: list[str],
) -> None:
    async with agenda() as calendars:
        do = make(await prepared(calendars, op, OFFICE, **fields))
        line.troubles = method
        done = await done_by_repeating(do, calendars, op("k"))
        assert not line.troubles
        assert [event.title for event in await events(calendars)] == titles
        again = await do(calendars, op("k"))
        assert (again.is_replay, again.result) == (True, done.result)


async def test_a_late_booking_that_was_cancelled_at_once_is_not_booked_again(
    agenda: Open, google: Any, line: Line, op: Op
) -> None:
    async with agenda() as calendars:
        line.troubles, line.cancels = "POST", True
        done = await done_by_repeating(creating(OFFICE), calendars, op("k"))
        assert done.result.event.status == "cancelled"
    assert [each["status"] for each in google.events()] == ["cancelled"]


async def test_a_late_new_part_that_was_cancelled_at_once_does_not_end_the_old_one(
    agenda: Open, google: Any, line: Line, op: Op
) -> None:
    async with agenda() as calendars:
        found = await prepared(calendars, op, OFFICE, **SERIES)
        do, before = changing(found[2], "following", title="Colour"), await seen(calendars)
        line.troubles, line.cancels = "POST", True
        with pytest.raises(OutcomeUnknown):
            await do(calendars, op("k"))
        with pytest.raises(Conflict) as refused:
            await do(calendars, op("k"))
        assert (refused.value.code, refused.value.outcome) == ("cancelled", "none")
        assert await seen(calendars) == before
        await do(calendars, op("k"))
        titles = [event.title for event in await events(calendars)]
        assert titles == ["Haircut", "Haircut", "Colour", "Haircut", "Colour", "Colour"]


@pytest.mark.parametrize("status", [302, 408, 499])
async def test_what_was_done_and_answered_so_that_it_does_not_tell_is_done_once(
    agenda: Open, google: Any, line: Line, op: Op, status: int
) -> None:
    async with agenda() as calendars:
        line.troubles, line.says = "POST", status
        booked = await calendars.create(new(OFFICE), Terms(), op("k"))
        again = await calendars.create(new(OFFICE), Terms(), op("k"))
        assert again.result == booked.result
        assert [event.id for event in await events(calendars)] == [booked.result.event.id]
