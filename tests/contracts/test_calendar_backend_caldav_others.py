"""Other CalDAV servers and other programs: what they write, refuse, schedule and hide."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp import Client

from aicore_servers._serve import ServeSettings
from aicore_servers.calendars import create
from aicore_tools.calendars import Agenda, Answer, Attendee, Event, NewEvent, Span, Terms, Timing
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery
from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
)
from aicore_tools.operations import Operation

NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIN = CalendarId("main")
ME = Attendee(address="office@shop.example")
ANN = Attendee(address="ann@example.com")


def op(key: str | None) -> Operation:
    return Operation.of("test", {}, key)


def at(hours: float) -> Timing:
    start = NINE + timedelta(hours=hours)
    return Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")


def new(hours: float = 0, **fields: Any) -> NewEvent:
    return NewEvent(**{"calendar": MAIN, "title": "Haircut", "timing": at(hours), **fields})


async def listed(calendars: Agenda) -> list[Event]:
    window = Span(NINE - DAY, NINE + 30 * DAY)
    page = await calendars.events(EventQuery(window=window, calendars=(MAIN,), limit=250))
    return list(page.events)


async def hours_of(calendars: Agenda) -> list[float]:
    return [(e.timing.span.start - NINE) / HOUR for e in await listed(calendars)]


ZONES = [
    ("Europe/Berlin", "", 8),
    ("W. Europe Standard Time", "", 8),
    ("/mozilla.org/20050126_1/Europe/Berlin", "", 8),
    ("My Own Zone", "", 8),
]


@pytest.mark.parametrize(("tzid", "zone", "hour"), ZONES)
async def test_events_of_other_programs_are_read_in_their_zones(
    tzid: str, zone: str, hour: int, radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    put(radicale, user, "foreign", f"DTSTART;TZID={tzid}:20261124T090000", "DURATION:PT1H")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        (event,) = await listed(calendars)
        assert (event.timing.span.start.hour, event.timing.tz) == (hour, "Europe/Berlin")
        assert await calendars.get(event.id) == event


def put(radicale: Any, user: str, uid: str, *lines: str, name: str = "") -> None:
    event = ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", "SUMMARY:Foreign", *lines]
    body = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *event, "END:VEVENT", "END:VCALENDAR", ""]
    content = "\r\n".join(body).encode()
    headers = {"Content-Type": "text/calendar; charset=utf-8"}
    answer = radicale.ask(
        user, "PUT", f"main/{name or f'{uid}.ics'}", content=content, headers=headers
    )
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
    lines: list[str],
    hours: list[float],
    radicale: Any,
    wired: Any,
    open_caldav: Any,
    tmp_path: Path,
) -> None:
    user = radicale.new_user("main")
    put(radicale, user, "foreign", *lines)
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        found = await hours_of(calendars)
        assert [hour for hour in found if hour >= -9] == hours


async def test_what_is_not_understood_of_an_event_stays_in_it(
    radicale: Any, open_caldav: Any, tmp_path: Path
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
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        (event,) = await listed(calendars)
        change = EventChange(timing=at(3), title="Colour")
        await calendars.change(
            event.id, change, scope="this", etag=event.etag, terms=Terms(), operation=op(None)
        )
        text = radicale.objects(user)[0].read_text()
        for line in ("CATEGORIES:Hair,Beauty", "X-SHOP-CHAIR:3", "CLASS:PRIVATE", "SUMMARY:Colour"):
            assert line in text
        assert "BEGIN:VTIMEZONE" in text
        assert await hours_of(calendars) == [3]


async def test_a_wrong_password_and_a_wrong_place_are_said_plainly(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    async with wired() as wire:
        wire.answer = b"HTTP/1.0 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        async with open_caldav(wire.url, "ann", tmp_path) as calendars:
            with pytest.raises(BackendConfigError) as refused:
                await calendars.probe()
        assert "secret" not in str(refused.value)
    for url in ("http://calendar.example.com/", "ftp://127.0.0.1/", "https://a:b@example.com/"):
        with pytest.raises(BackendConfigError) as refused:
            open_caldav(url, "ann", tmp_path)
        assert "b@" not in refused.value.message
    with pytest.raises(BackendConfigError):
        async with open_caldav(radicale.url, radicale.new_user(), tmp_path) as calendars:
            await calendars.calendars()
    user = radicale.new_user("main")
    with pytest.raises(BackendConfigError):
        async with open_caldav(radicale.url, user, tmp_path, calendars=("nowhere",)) as calendars:
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
    status: str,
    body: bytes,
    error: type[Exception],
    radicale: Any,
    wired: Any,
    open_caldav: Any,
    tmp_path: Path,
) -> None:
    async with wired() as wire:
        head = f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
        wire.answer = head.encode() + body
        async with open_caldav(wire.url, "ann", tmp_path) as calendars:
            with pytest.raises(error):
                await calendars.calendars()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("403 Forbidden", NotAllowed),
        ("409 Conflict", Conflict),
        ("415 Unsupported", InvalidInput),
        ("429 Slow\r\nRetry-After: 0", BackendUnavailable),
        ("507 Full", BackendUnavailable),
    ],
)
async def test_a_refused_booking_is_not_there_and_may_be_repeated(
    status: str,
    error: type[Exception],
    radicale: Any,
    wired: Any,
    open_caldav: Any,
    tmp_path: Path,
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
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
async def test_an_id_leads_nowhere_else(
    event: str, radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        with pytest.raises(NotFound):
            await calendars.get(event)  # type: ignore[arg-type]


async def test_zones_are_written_with_their_rules(
    radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        await calendars.create(new(repeat="FREQ=DAILY;UNTIL=20261130"), Terms(), op(None))
        text = radicale.objects(user)[0].read_text()
        assert "BEGIN:VTIMEZONE" in text
        assert "DTSTART;TZID=Europe/Berlin:20261124T090000" in text
        assert "UNTIL=20261130T225959Z" in text  # of the kind of its start: RFC 5545, 3.3.10
        probe = await calendars.probe()
        assert any("no invitations" in warning for warning in probe.warnings)


SCHEDULES = b"DAV: calendar-auto-schedule, "


async def test_a_server_that_mails_is_told_whom_to_tell(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = lambda answer: answer.replace(b"DAV: ", SCHEDULES)
        assert (await calendars.calendars())[0].tells_attendees
        loud = await calendars.create(new(attendees=(ANN, ME)), Terms(notify="all"), op(None))
        assert (loud.result.told, loud.result.warnings) == (("ann@example.com",), ())
        text = radicale.objects(user)[0].read_text().replace("\n ", "")
        lines = [line for line in text.splitlines() if line.startswith("ATTENDEE")]
        assert ["SCHEDULE-AGENT=CLIENT" in line for line in lines] == [False, True]
        assert "ORGANIZER:mailto:office@shop.example" in text

        event = loud.result.event
        assert event.invited == ("ann@example.com",)
        people = (*event.attendees, Attendee(address="bob@example.com"))
        changed = await calendars.change(
            event.id,
            EventChange(attendees=people),
            scope="this",
            etag=event.etag,
            terms=Terms(),
            operation=op(None),
        )
        # Whom the server invited it tells in any case; to make it not would be a cancellation.
        assert changed.result.told == ("ann@example.com",)
        assert len(changed.result.warnings) == 1
        assert changed.result.event.invited == ("ann@example.com",)


async def test_a_hold_invites_nobody(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    terms = Terms(on_clash="reject", notify="all")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = lambda answer: answer.replace(b"DAV: ", SCHEDULES)
        booked = await calendars.create(new(attendees=(ANN,)), terms, op(None))
        puts = [one.replace(b"\r\n ", b"") for one in wire.sent if one.startswith(b"PUT")]
        assert [b"SCHEDULE-AGENT=CLIENT" in one for one in puts] == [True, False]
        assert booked.result.event.invited == ("ann@example.com",)


@pytest.mark.parametrize("at_first", ["none", "all"])
@pytest.mark.parametrize("notify", ["none", "all"])
async def test_of_a_cancellation_the_server_tells_whom_it_invited(
    notify: Any, at_first: Any, radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = lambda answer: answer.replace(b"DAV: ", SCHEDULES)
        booked = await calendars.create(new(attendees=(ANN,)), Terms(notify=at_first), op(None))
        event = booked.result.event
        gone = await calendars.cancel(
            event.id,
            scope="this",
            etag=event.etag,
            terms=Terms(notify=notify),
            operation=op(None),
        )
        assert gone.result.told == (("ann@example.com",) if at_first == "all" else ())
        assert bool(gone.result.warnings) == (notify != at_first)
        assert radicale.objects(user) == []


async def test_an_answer_goes_to_the_organizer_where_the_server_mails(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    lines = ["DTSTART:20261124T080000Z", "DTEND:20261124T090000Z"]
    lines += ["ORGANIZER:mailto:eve@example.com", "ATTENDEE;RSVP=TRUE:MAILTO:Office@shop.example"]
    put(radicale, user, "invitation", *lines)
    answer = Answer(response="tentative", comment="Maybe; later")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        (event,) = await listed(calendars)
        assert event.organizer == "eve@example.com"
        quiet = await calendars.respond(event.id, answer, scope="this", operation=op(None))
        assert (quiet.result.told, len(quiet.result.warnings)) == ((), 1)
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = lambda answer: answer.replace(b"DAV: ", SCHEDULES)
        loud = await calendars.respond(event.id, answer, scope="this", operation=op(None))
        assert (loud.result.told, loud.result.warnings) == (("eve@example.com",), ())
        text = radicale.objects(user)[0].read_text().replace("\n ", "")
        assert "PARTSTAT=TENTATIVE" in text
        assert "SCHEDULE-AGENT" not in text  # those are the organizer's to set
        assert "COMMENT:Maybe\\; later" in text


def only_busy(answer: bytes) -> bytes:
    for right in (b"<read />", b"<all />", b"<write />", b"<write-content />"):
        answer = answer.replace(b"<privilege>" + right + b"</privilege>", b" " * (23 + len(right)))
    return answer


async def test_of_a_calendar_that_shows_no_more_it_is_known_when_it_is_taken(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        await calendars.create(new(repeat="FREQ=DAILY;COUNT=3"), Terms(), op(None))
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = only_busy
        assert not (await calendars.calendars())[0].can_write
        assert await listed(calendars) == []
        busy = await calendars.busy(Span(NINE - DAY, NINE + 30 * DAY), [MAIN])
        assert list(busy) == [at(0).span, at(24).span, at(48).span]
        assert any(b"free-busy-query" in request for request in wire.sent)
        with pytest.raises(NotAllowed):
            await calendars.create(new(), Terms(), op(None))


async def test_a_calendar_is_found_from_the_root_and_by_its_own_url(
    radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main", "anna")
    for url, names in (
        (radicale.url, {"main", "anna"}),
        (f"{radicale.url}{user}/", {"main", "anna"}),
        (f"{radicale.url}{user}/anna/", {"anna"}),
    ):
        async with open_caldav(url, user, tmp_path, calendars=()) as calendars:
            assert {one.id for one in await calendars.calendars()} == names


@pytest.mark.parametrize(
    "rule",
    ["FREQ=HOURLY;COUNT=9", "FREQ=HOURLY;INTERVAL=5"],
)
async def test_a_rule_that_repeats_too_often_is_its_first_occurrence(
    rule: str, radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    put(radicale, user, "odd", "DTSTART:20261124T080000Z", "DURATION:PT1H", f"RRULE:{rule}")
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        assert await hours_of(calendars) == [0]


@pytest.mark.parametrize(
    "name", ["a.ics", "\u00e4 b.ics", "no-end", "50%.ics", "%.ics", "a+b&c.ics"]
)
async def test_an_object_of_any_name_is_found_by_its_id(
    name: str, radicale: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    times = ("DTSTART:20261124T080000Z", "DTEND:20261124T090000Z", "RRULE:FREQ=DAILY;COUNT=2")
    put(radicale, user, "uid", *times, name=quote(name, safe=""))
    async with open_caldav(radicale.url, user, tmp_path) as calendars:
        for event in await listed(calendars):
            assert event.id.isascii()
            assert await calendars.get(event.id) == event


async def test_etags_of_a_server_that_compresses_are_understood(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        wire.rewrite = lambda answer: answer.replace(b'ETag: "', b'ETag: W/"')
        event = (await calendars.create(new(), Terms(), op(None))).result.event
        await calendars.cancel(
            event.id, scope="this", etag=event.etag, terms=Terms(), operation=op(None)
        )
        assert radicale.objects(user) == []


async def test_a_server_that_asks_for_a_pause_gets_it_and_the_booking_is_one(
    radicale: Any, wired: Any, open_caldav: Any, tmp_path: Path
) -> None:
    user = radicale.new_user("main")
    async with wired() as wire, open_caldav(wire.url, user, tmp_path) as calendars:
        await calendars.calendars()
        wire.to_effects = b"HTTP/1.0 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
        wire.effects_left = 1
        await calendars.create(new(), Terms(), op("k"))
        assert len(radicale.objects(user)) == 1


async def test_the_server_books_answers_and_cancels_there(radicale: Any, tmp_path: Path) -> None:
    fields = {"url": radicale.url, "user": radicale.new_user("main"), "password": "secret"}
    settings = ServeSettings(
        data_dir=tmp_path,
        backend="caldav",
        connect=lambda vendor: Connection(vendor=vendor, fields=fields),
        options={"address": "office@shop.example"},
    )
    async with Client(create(settings)) as client:

        async def call(tool: str, key: str | None = None, **arguments: Any) -> Any:
            meta: Any = {"aicore/operation-key": key} if key else {}
            result = await client.call_tool(tool, arguments, meta=meta)
            return json.loads(result.content[0].text)  # type: ignore[union-attr]

        slot = {"start": "2090-11-21T15:00:00", "end": "2090-11-21T16:00:00"}
        given = {"title": "Visit", "attendees": ["office@shop.example"], "on_clash": "reject"}
        booked = await call("calendar_create", "k1", **given, **slot)
        again = await call("calendar_create", "k1", **given, **slot)
        assert (again["event"], again["replayed"]) == (booked["event"], True)
        taken = await call("calendar_create", "k2", **given, **slot)
        assert (taken["code"], taken["outcome"]) == ("slot_taken", "none")
        event = booked["event"]["id"]
        answered = await call("calendar_respond", "k3", id=event, response="accepted")
        assert answered["event"]["attendees"][0]["response"] == "accepted"
        asked = await call("calendar_cancel", "k4", id=event)
        for replayed in (None, True):
            gone = await call("calendar_cancel", "k4", id=event, confirm=asked["confirm"])
            assert (gone["event"]["status"], gone.get("replayed")) == ("cancelled", replayed)
        assert radicale.objects(fields["user"]) == []
