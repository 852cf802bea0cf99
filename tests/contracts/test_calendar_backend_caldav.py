"""Once, on a real CalDAV server, whenever the connection is cut and whoever dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore_tools.calendars import (
    Agenda,
    Answer,
    Attendee,
    Booked,
    Event,
    NewEvent,
    Span,
    Terms,
    Timing,
)
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery
from aicore_tools.errors import (
    Conflict,
    OutcomeUnknown,
)
from aicore_tools.operations import Effect, Operation

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIN = CalendarId("main")
REJECT, TELL_NOBODY = Terms(on_clash="reject"), Terms()
ME = Attendee(address="office@shop.example")


def op(key: str | None) -> Operation:
    return Operation.of("test", {}, key)


def at(hours: float, length: timedelta = HOUR) -> Timing:
    start = NINE + timedelta(hours=hours)
    return Timing(span=Span(start, start + length), tz="Europe/Berlin")


def new(hours: float = 0, **fields: Any) -> NewEvent:
    values = {"calendar": MAIN, "title": "Haircut", "timing": at(hours), **fields}
    return NewEvent(**values)


async def listed(calendars: Agenda) -> list[Event]:
    window = Span(NINE - DAY, NINE + 30 * DAY)
    page = await calendars.events(EventQuery(window=window, calendars=(MAIN,), limit=250))
    return list(page.events)


async def hours_of(calendars: Agenda) -> list[float]:
    return [(e.timing.span.start - NINE) / HOUR for e in await listed(calendars)]


@dataclass(frozen=True)
class Doing:
    """An effect, what it is done to, and what is there when it was done once."""

    name: str
    act: Callable[[Agenda, Event, Operation], Awaitable[Effect[Booked]]]
    hours: tuple[float, ...]
    objects: int
    before: NewEvent | None = field(default_factory=new)
    occurrence: int | None = None
    requests: int = 1


def change(hours: float, scope: Any, terms: Terms = TELL_NOBODY) -> Any:
    return lambda calendars, event, operation: calendars.change(
        event.id,
        EventChange(timing=at(hours), title="Colour"),
        scope=scope,
        etag=event.etag,
        terms=terms,
        operation=operation,
    )


def cancel(scope: Any) -> Any:
    return lambda calendars, event, operation: calendars.cancel(
        event.id, scope=scope, etag=event.etag, terms=Terms(), operation=operation
    )


def respond(scope: Any) -> Any:
    return lambda calendars, event, operation: calendars.respond(
        event.id, Answer(response="accepted"), scope=scope, operation=operation
    )


def create(terms: Terms, **fields: Any) -> Any:
    return lambda calendars, event, operation: calendars.create(new(**fields), terms, operation)


DAILY = new(repeat="FREQ=DAILY;COUNT=4", attendees=(ME,))
DOINGS = [
    Doing("create", create(Terms()), (0,), 1, before=None),
    Doing("create series", create(Terms(), repeat="FREQ=DAILY;COUNT=2"), (0, 24), 1, before=None),
    Doing("create if free", create(REJECT), (0,), 1, before=None, requests=2),
    Doing("change", change(3, "this"), (3,), 1),
    Doing("change if free", change(3, "this", REJECT), (3,), 1, requests=2),
    Doing("change one", change(27, "this"), (0, 27, 48, 72), 1, DAILY, 1),
    Doing("change following", change(27, "following"), (0, 27, 51, 75), 2, DAILY, 1, 2),
    Doing(
        "change following if free",
        change(27, "following", REJECT),
        (0, 27, 51, 75),
        2,
        DAILY,
        1,
        3,
    ),
    Doing("change all", change(27, "all"), (3, 27, 51, 75), 1, DAILY, 1),
    Doing("cancel", cancel("this"), (), 0),
    Doing("cancel one", cancel("this"), (0, 48, 72), 1, DAILY, 1),
    Doing("cancel following", cancel("following"), (0,), 1, DAILY, 1),
    Doing("cancel all", cancel("all"), (), 0, DAILY, 1),
    Doing("respond", respond("all"), (0,), 1, new(attendees=(ME,))),
    Doing("respond to one", respond("this"), (0, 24, 48, 72), 1, DAILY, 1),
]
CUTS = [
    pytest.param(doing, cut, is_after, id=f"{doing.name}-{cut}-{'after' if is_after else 'before'}")
    for doing in DOINGS
    for cut in range(doing.requests)
    for is_after in (False, True)
]


async def prepared(doing: Doing, open_caldav: Any, url: str, user: str, folder: Path) -> Event:
    async with open_caldav(url, user, folder / "before") as calendars:
        if doing.before is None:
            return Event(id="", calendar=MAIN, title="", timing=at(0))  # type: ignore[arg-type]
        event = (await calendars.create(doing.before, Terms(), op(None))).result.event
        if doing.occurrence is not None:
            return (await listed(calendars))[doing.occurrence]
        return event


async def is_done_once(doing: Doing, calendars: Agenda, radicale: Any, user: str) -> None:
    assert await hours_of(calendars) == list(doing.hours)
    assert len(radicale.objects(user)) == doing.objects
    for path in radicale.objects(user):
        assert "X-AICORE-HOLD" not in path.read_text()


@pytest.mark.parametrize(("doing", "cut", "is_after"), CUTS)
async def test_an_effect_that_was_cut_off_is_done_once(
    doing: Doing,
    cut: int,
    is_after: bool,
    radicale: Any,
    wired: Any,
    open_caldav: Any,
    tmp_path: Path,
) -> None:
    user = radicale.new_user("main")
    event = await prepared(doing, open_caldav, radicale.url, user, tmp_path)
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.cut, wire.is_after = cut, is_after
        try:
            first = (await doing.act(calendars, event, op("k"))).result
        except OutcomeUnknown:  # it is not there yet, and may be on its way
            assert (cut, is_after) == (0, False)
            first = (await doing.act(calendars, event, op("k"))).result
        again = await doing.act(calendars, event, op("k"))
        assert (again.is_replay, again.result) == (True, first)
        await is_done_once(doing, calendars, radicale, user)


@pytest.mark.parametrize(("doing", "cut", "is_after"), CUTS)
async def test_an_effect_is_finished_once_by_who_comes_after_a_crash(
    doing: Doing,
    cut: int,
    is_after: bool,
    radicale: Any,
    wired: Any,
    open_caldav: Any,
    tmp_path: Path,
) -> None:
    user = radicale.new_user("main")
    event = await prepared(doing, open_caldav, radicale.url, user, tmp_path)
    async with wired() as wire:
        async with open_caldav(wire.url, user, tmp_path) as calendars:
            await calendars.calendars()
            wire.cut, wire.is_after, wire.stays_dead = cut, is_after, True
            with pytest.raises(OutcomeUnknown):
                await doing.act(calendars, event, op("k"))
        wire.heal()
        async with open_caldav(wire.url, user, tmp_path) as calendars:
            await doing.act(calendars, event, op("k"))
            assert (await doing.act(calendars, event, op("k"))).is_replay
            await is_done_once(doing, calendars, radicale, user)


CHILD = Path(__file__).parents[1] / "tools" / "calendars" / "caldav_child.py"


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("cut", [0, 1])
async def test_killed_in_the_middle_of_a_booking_and_asked_again_it_is_one(
    cut: int, is_after: bool, radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire:
        wire.cut, wire.is_after, wire.holds = cut, is_after, True
        command = [sys.executable, str(CHILD), wire.url, user, str(tmp_path)]
        process = await anyio.open_process(command, stdout=None, stderr=subprocess.PIPE)
        try:
            with anyio.fail_after(20):
                await wire.quiet.wait()
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        finally:
            await process.aclose()
        wire.heal()
        async with open_caldav(wire.url, user, tmp_path) as calendars:
            operation = Operation.of("test", {}, "k")
            await calendars.create(new(), REJECT, operation)
            assert (await calendars.create(new(), REJECT, operation)).is_replay
            assert await hours_of(calendars) == [0]
            assert len(radicale.objects(user)) == 1


async def test_who_is_faster_gets_the_time_and_the_other_leaves_nothing(
    radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    """Several programs that know nothing of each other but the server."""
    user = radicale.new_user("main")
    outcomes: list[str] = []

    async def attempt(number: int) -> None:
        async with open_caldav(radicale.url, user, tmp_path / str(number)) as calendars:
            try:
                await calendars.create(new(0.1 * number), REJECT, op(f"k{number}"))
            except Conflict as error:
                outcomes.append(error.code)
            else:
                outcomes.append("won")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(attempt, number)
    assert sorted(outcomes) == ["slot_taken"] * 5 + ["won"]
    assert len(radicale.objects(user)) == 1


@pytest.mark.parametrize("act", [create(REJECT, hours=5), change(5, "this", REJECT)])
async def test_what_lost_its_time_meanwhile_is_taken_back(
    act: Any, radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with (
        wired() as wire,
        open_caldav(wire.url, user, tmp_path) as calendars,
        open_caldav(radicale.url, user, tmp_path / "other") as other,
    ):
        event = (await calendars.create(new(), Terms(), op(None))).result.event
        mine = radicale.objects(user)[0]
        before = mine.read_text()
        wire.meanwhile = lambda: other.create(new(5), Terms(), op(None))
        with pytest.raises(Conflict) as refused:
            await act(calendars, event, op("k"))
        assert (refused.value.code, refused.value.outcome) == ("slot_taken", "none")
        assert await hours_of(calendars) == [0, 5]
        assert mine.read_text() == before
        assert len(radicale.objects(user)) == 2


@pytest.mark.parametrize("act", [change(5, "this"), cancel("this"), respond("this")])
async def test_what_somebody_else_changed_at_the_same_moment_stays(
    act: Any, radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with (
        wired() as wire,
        open_caldav(wire.url, user, tmp_path) as calendars,
        open_caldav(radicale.url, user, tmp_path / "other") as other,
    ):
        event = (await calendars.create(new(attendees=(ME,)), Terms(), op(None))).result.event
        wire.meanwhile = lambda: change(9, "this")(other, event, op(None))
        with pytest.raises(Conflict) as refused:
            await act(calendars, event, op("k"))
        assert (refused.value.code, refused.value.outcome) == ("changed_meanwhile", "none")
        assert await hours_of(calendars) == [9]
