"""Once, on a real CalDAV server, whenever the connection is cut and whoever dies."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from aicore_tools.calendars import (
    Agenda,
    AgendaSettings,
    Answer,
    Attendee,
    Booked,
    Event,
    NewEvent,
    Span,
    Terms,
    Timing,
    agenda,
)
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery
from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
)
from aicore_tools.operations import Effect, Operation

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIN = CalendarId("main")
REJECT, TELL_NOBODY = Terms(on_clash="reject"), Terms()
ME = Attendee(address="office@shop.example")


@dataclass
class Wire:
    """What lies between us and the server: it cuts the connection when it is told to.

    `cut` is the number of the PUT or DELETE, from 0, at which it cuts, before or after the server
    acted. `stays_dead`: nothing comes through after that. `holds`: it does not cut, it goes quiet.
    `answer` is given to everything, `to_effects` to each PUT and DELETE, without asking the
    server. `meanwhile` happens once, before the next PUT or DELETE comes through.
    """

    port: int
    server_port: int
    cut: int | None = None
    is_after: bool = False
    stays_dead: bool = False
    holds: bool = False
    answer: bytes = b""
    to_effects: bytes = b""
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    seen: list[str] = field(default_factory=list)
    quiet: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def heal(self) -> None:
        self.cut, self.stays_dead, self.holds = None, False, False

    async def pass_on(self, client: SocketStream) -> None:
        async with client:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._pass_on(client)

    async def _pass_on(self, client: SocketStream) -> None:
        request = await _request(client)
        method = request.split(b" ", 1)[0].decode()
        is_cut = False
        if self.answer:
            await client.send(self.answer)
            return
        if method in ("PUT", "DELETE"):
            if self.to_effects:
                await client.send(self.to_effects)
                return
            if self.meanwhile is not None:
                meanwhile, self.meanwhile = self.meanwhile, None
                await meanwhile()
            is_cut = self.cut == len(self.seen)
            self.seen.append(method)
        is_dead = self.stays_dead and self.cut is not None and len(self.seen) > self.cut
        if is_cut and self.is_after:
            await self._ask(request)
        if is_cut and self.holds:
            self.quiet.set()
            await anyio.sleep_forever()
        if is_cut or is_dead:
            return
        await client.send(await self._ask(request))

    async def _ask(self, request: bytes) -> bytes:
        answer = b""
        async with await anyio.connect_tcp("127.0.0.1", self.server_port) as server:
            await server.send(request)
            with suppress(anyio.EndOfStream):
                while True:
                    answer += await server.receive()
        return answer


async def _request(client: SocketStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await client.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += await client.receive()
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def wire_to(radicale: Any) -> AsyncIterator[Wire]:
    server_port = int(radicale.url.rstrip("/").rpartition(":")[2])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        wire = Wire(listener.extra(anyio.abc.SocketAttribute.local_port), server_port)
        group.start_soon(listener.serve, wire.pass_on)
        yield wire
        group.cancel_scope.cancel()


def opened(url: str, user: str, folder: Path, **settings: Any) -> Agenda:
    fields = {"url": url, "user": user, "password": "secret"}
    return agenda(
        "caldav",
        AgendaSettings(
            data_dir=folder,
            business="main",
            tz="Europe/Berlin",
            addresses=("office@shop.example",),
            connect=lambda vendor: Connection(vendor=vendor, fields=fields),
            **{"calendars": ("main",), **settings},
        ),
    )


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


async def prepared(doing: Doing, radicale: Any, user: str, folder: Path) -> Event:
    async with opened(radicale.url, user, folder / "before") as calendars:
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
    doing: Doing, cut: int, is_after: bool, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    event = await prepared(doing, radicale, user, tmp_path)
    async with wire_to(radicale) as wire, opened(wire.url, user, tmp_path) as calendars:
        wire.cut, wire.is_after = cut, is_after
        try:
            first = (await doing.act(calendars, event, op("k"))).result
        except BackendUnavailable:  # it certainly was not done
            assert (cut, is_after) == (0, False)
            first = (await doing.act(calendars, event, op("k"))).result
        again = await doing.act(calendars, event, op("k"))
        assert (again.is_replay, again.result) == (True, first)
        await is_done_once(doing, calendars, radicale, user)


@pytest.mark.parametrize(("doing", "cut", "is_after"), CUTS)
async def test_an_effect_is_finished_once_by_who_comes_after_a_crash(
    doing: Doing, cut: int, is_after: bool, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    event = await prepared(doing, radicale, user, tmp_path)
    async with wire_to(radicale) as wire:
        async with opened(wire.url, user, tmp_path) as calendars:
            await calendars.calendars()
            wire.cut, wire.is_after, wire.stays_dead = cut, is_after, True
            with pytest.raises(OutcomeUnknown):
                await doing.act(calendars, event, op("k"))
        wire.heal()
        async with opened(wire.url, user, tmp_path) as calendars:
            await doing.act(calendars, event, op("k"))
            assert (await doing.act(calendars, event, op("k"))).is_replay
            await is_done_once(doing, calendars, radicale, user)


CHILD = Path(__file__).parents[1] / "tools" / "calendars" / "caldav_child.py"


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("cut", [0, 1])
async def test_killed_in_the_middle_of_a_booking_and_asked_again_it_is_one(
    cut: int, is_after: bool, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wire_to(radicale) as wire:
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
        async with opened(wire.url, user, tmp_path) as calendars:
            operation = Operation.of("test", {}, "k")
            await calendars.create(new(), REJECT, operation)
            assert (await calendars.create(new(), REJECT, operation)).is_replay
            assert await hours_of(calendars) == [0]
            assert len(radicale.objects(user)) == 1


async def test_who_is_faster_gets_the_time_and_the_other_leaves_nothing(
    radicale: Any, tmp_path: Path
) -> None:
    """Several programs that know nothing of each other but the server."""
    user = radicale.new_user("main")
    outcomes: list[str] = []

    async def attempt(number: int) -> None:
        async with opened(radicale.url, user, tmp_path / str(number)) as calendars:
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
    act: Any, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with (
        wire_to(radicale) as wire,
        opened(wire.url, user, tmp_path) as calendars,
        opened(radicale.url, user, tmp_path / "other") as other,
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
    act: Any, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with (
        wire_to(radicale) as wire,
        opened(wire.url, user, tmp_path) as calendars,
        opened(radicale.url, user, tmp_path / "other") as other,
    ):
        event = (await calendars.create(new(attendees=(ME,)), Terms(), op(None))).result.event
        wire.meanwhile = lambda: change(9, "this")(other, event, op(None))
        with pytest.raises(Conflict) as refused:
            await act(calendars, event, op("k"))
        assert (refused.value.code, refused.value.outcome) == ("changed_meanwhile", "none")
        assert await hours_of(calendars) == [9]


ZONES = [
    ("Europe/Berlin", "", 8),
    ("W. Europe Standard Time", "", 8),
    ("/mozilla.org/20050126_1/Europe/Berlin", "", 8),
    ("My Own Zone", "", 8),
]


@pytest.mark.parametrize(("tzid", "zone", "hour"), ZONES)
async def test_events_of_other_programs_are_read_in_their_zones(
    tzid: str, zone: str, hour: int, radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    put(radicale, user, "foreign", f"DTSTART;TZID={tzid}:20261124T090000", "DURATION:PT1H")
    async with opened(radicale.url, user, tmp_path) as calendars:
        (event,) = await listed(calendars)
        assert (event.timing.span.start.hour, event.timing.tz) == (hour, "Europe/Berlin")
        assert await calendars.get(event.id) == event


def put(radicale: Any, user: str, uid: str, *lines: str) -> None:
    event = ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", "SUMMARY:Foreign", *lines]
    body = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *event, "END:VEVENT", "END:VCALENDAR", ""]
    content = "\r\n".join(body).encode()
    headers = {"Content-Type": "text/calendar; charset=utf-8"}
    answer = radicale.ask(user, "PUT", f"main/{uid}.ics", content=content, headers=headers)
    answer.raise_for_status()


@pytest.mark.parametrize(
    ("lines", "hours"),
    [
        (["DTSTART:20261124T080000Z"], [0]),
        (["DTSTART;VALUE=DATE:20261124"], [-9]),
        (["DTSTART:20261124T090000", "DTEND:20261124T100000"], [0]),
        (["DTSTART:20261124T080000Z", "DTEND:20261124T090000Z", "STATUS:CANCELLED"], []),
        (
            ["DTSTART:20261124T080000Z", "DTEND:20261124T090000Z", "RDATE:20261125T090000Z"],
            [0, 25],
        ),
        (
            [
                "DTSTART:20261124T080000Z",
                "DTEND:20261124T090000Z",
                "RRULE:FREQ=DAILY;COUNT=3",
                "EXDATE:20261125T080000Z",
            ],
            [0, 48],
        ),
        (
            ["DTSTART:20261124T080000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;BYDAY=-1TU;COUNT=2"],
            [0],
        ),
    ],
)
async def test_what_other_programs_write_is_understood(
    lines: list[str], hours: list[float], radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    put(radicale, user, "foreign", *lines)
    async with opened(radicale.url, user, tmp_path) as calendars:
        found = await hours_of(calendars)
        assert [hour for hour in found if hour >= -9] == hours


async def test_what_is_not_understood_of_an_event_stays_in_it(
    radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    put(
        radicale,
        user,
        "foreign",
        "DTSTART;TZID=W. Europe Standard Time:20261124T090000",
        "DTEND;TZID=W. Europe Standard Time:20261124T100000",
        "CATEGORIES:Hair,Beauty",
        "X-SHOP-CHAIR:3",
        "CLASS:PRIVATE",
    )
    async with opened(radicale.url, user, tmp_path) as calendars:
        (event,) = await listed(calendars)
        await change(3, "this")(calendars, event, op(None))
        text = radicale.objects(user)[0].read_text()
        for line in ("CATEGORIES:Hair,Beauty", "X-SHOP-CHAIR:3", "CLASS:PRIVATE", "SUMMARY:Colour"):
            assert line in text
        assert "BEGIN:VTIMEZONE" in text
        assert await hours_of(calendars) == [3]


async def test_a_wrong_password_and_a_wrong_place_are_said_plainly(
    radicale: Any, tmp_path: Path
) -> None:
    async with wire_to(radicale) as wire:
        wire.answer = b"HTTP/1.0 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        async with opened(wire.url, "ann", tmp_path) as calendars:
            with pytest.raises(BackendConfigError) as refused:
                await calendars.probe()
        assert "secret" not in str(refused.value)
    for url in ("http://calendar.example.com/", "ftp://127.0.0.1/", "https://a:b@example.com/"):
        with pytest.raises(BackendConfigError) as refused:
            opened(url, "ann", tmp_path)
        assert "b@" not in refused.value.message
    with pytest.raises(BackendConfigError):
        async with opened(radicale.url, radicale.new_user(), tmp_path) as calendars:
            await calendars.calendars()
    user = radicale.new_user("main")
    with pytest.raises(BackendConfigError):
        async with opened(radicale.url, user, tmp_path, calendars=("nowhere",)) as calendars:
            await calendars.calendars()


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<multistatus xmlns="DAV:">&b;</multistatus>"""


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("207 Multi-Status", BOMB, BackendConfigError),
        ("207 Multi-Status", b"<html>", BackendConfigError),
        ("200 OK", b"Welcome!", BackendConfigError),
        ("207 Multi-Status", b"<a>" * 60 + b"</a>" * 60, BackendConfigError),
        ("301 Moved\r\nLocation: https://evil.example/", b"", BackendConfigError),
        ("301 Moved\r\nLocation: /", b"", BackendConfigError),
        ("503 Busy\r\nRetry-After: 0", b"", BackendUnavailable),
        ("403 Forbidden", b"", BackendConfigError),
    ],
)
async def test_a_server_that_answers_badly_is_no_trouble(
    status: str, body: bytes, error: type[Exception], radicale: Any, tmp_path: Path
) -> None:
    async with wire_to(radicale) as wire:
        head = f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
        wire.answer = head.encode() + body
        async with opened(wire.url, "ann", tmp_path) as calendars:
            with pytest.raises(error):
                await calendars.calendars()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("403 Forbidden", NotAllowed),
        ("409 Conflict", Conflict),
        ("415 Unsupported", InvalidInput),
        ("429 Slow\r\nRetry-After: 7", BackendUnavailable),
        ("507 Full", BackendUnavailable),  # looked up: it is not there
    ],
)
async def test_a_refused_booking_is_not_there_and_may_be_repeated(
    status: str, error: type[Exception], radicale: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wire_to(radicale) as wire, opened(wire.url, user, tmp_path) as calendars:
        await calendars.calendars()
        wire.to_effects = f"HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(error) as refused:
            await calendars.create(new(), Terms(), op("k"))
        assert getattr(refused.value, "outcome", None) == "none"
        assert radicale.objects(user) == []
        wire.to_effects = b""
        await calendars.create(new(), Terms(), op("k"))
        assert len(radicale.objects(user)) == 1


@pytest.mark.parametrize(
    "event", ["main/..", "main/%2e%2e", "main/..%2f..%2fother%2fmain%2fx", "a/b/c/d"]
)
async def test_an_id_leads_nowhere_else(event: str, radicale: Any, tmp_path: Path) -> None:
    user = radicale.new_user("main")
    async with opened(radicale.url, user, tmp_path) as calendars:
        with pytest.raises(NotFound):
            await calendars.get(event)  # type: ignore[arg-type]


async def test_zones_are_written_with_their_rules(radicale: Any, tmp_path: Path) -> None:
    user = radicale.new_user("main")
    async with opened(radicale.url, user, tmp_path) as calendars:
        await calendars.create(new(repeat="FREQ=DAILY;UNTIL=20261130"), Terms(), op(None))
        text = radicale.objects(user)[0].read_text()
        assert "BEGIN:VTIMEZONE" in text
        assert "DTSTART;TZID=Europe/Berlin:20261124T090000" in text
        assert "UNTIL=20261130T225959Z" in text  # of the kind of its start: RFC 5545, 3.3.10
        probe = await calendars.probe()
        assert any("no invitations" in warning for warning in probe.warnings)
