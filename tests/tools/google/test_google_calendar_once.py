"""Whatever breaks between us and Google Calendar, each effect is there once."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from aicore_tools.calendars import Answer, Attendee, Event, Span, Terms, Timing
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery, NewEvent
from aicore_tools.errors import BackendUnavailable, Conflict, NotAllowed, OutcomeUnknown
from aicore_tools.operations import Operation

OFFICE, PLAIN = "office@lakeside.example", "plain@lakeside.example"
NINE = datetime(2027, 3, 26, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ANN = Attendee(address="ann@example.com")
TOLD = Terms(notify="all")
Open = Callable[..., GoogleAgenda]
Op = Callable[..., Operation]
Do = Callable[[GoogleAgenda, Operation], Awaitable[Any]]


def at(hours: float) -> Timing:
    start = NINE + timedelta(hours=hours)
    return Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")


def new(account: str, hours: float = 0, **fields: Any) -> NewEvent:
    given = {"title": "Haircut", "timing": at(hours), "attendees": (ANN,), **fields}
    return NewEvent(calendar=CalendarId(account), **given)


async def events(agenda: GoogleAgenda) -> list[Event]:
    calendar = (await agenda.calendars())[0].id
    window = Span(NINE - 9 * DAY, NINE + 99 * DAY)
    query = EventQuery(window=window, calendars=(calendar,), limit=250)
    return list((await agenda.events(query)).events)


async def seen(agenda: GoogleAgenda) -> list[Any]:
    """What a person sees: no ids and etags."""
    return [
        (
            event.title,
            event.timing,
            event.location,
            [(one.address.partition("@")[0], one.response) for one in event.attendees],
        )
        for event in await events(agenda)
    ]


async def prepared(agenda: GoogleAgenda, op: Op, account: str, **fields: Any) -> list[Event]:
    me = Attendee(address=account)
    booking = new(account, attendees=(ANN, me), **fields)
    await agenda.create(booking, Terms(), op())
    if "repeat" in fields:
        fourth, fifth = (await events(agenda))[3:5]
        change = EventChange(timing=at(3 * 24 + 5), location="Room 2")
        await agenda.change(
            fourth.id, change, scope="this", etag=fourth.etag, terms=Terms(), operation=op()
        )
        await agenda.cancel(fifth.id, scope="this", etag=fifth.etag, terms=Terms(), operation=op())
    return await events(agenda)


def creating(account: str, **fields: Any) -> Do:
    return lambda agenda, operation: agenda.create(
        new(account, **fields), Terms(notify="all", on_clash="reject"), operation
    )


def changing(event: Event, scope: Any, **change: Any) -> Do:
    return lambda agenda, operation: agenda.change(
        event.id,
        EventChange(**change),
        scope=scope,
        etag=event.etag,
        terms=TOLD,
        operation=operation,
    )


def cancelling(event: Event, scope: Any) -> Do:
    return lambda agenda, operation: agenda.cancel(
        event.id, scope=scope, etag=event.etag, terms=TOLD, operation=operation
    )


def responding(event: Event, scope: Any) -> Do:
    return lambda agenda, operation: agenda.respond(
        event.id, Answer(response="accepted", comment="fine"), scope=scope, operation=operation
    )


SERIES = {"repeat": "FREQ=DAILY;COUNT=7"}
MASTER, OCCURRENCE = "/events/[a-z0-9]+$", "/events/[a-z0-9]+_"
CASES: list[tuple[str, dict[str, Any], Callable[[str, list[Event]], Do], list[str]]] = [
    ("create", {}, lambda account, _: creating(account, hours=5), ["POST .*/events$"]),
    (
        "create series",
        {},
        lambda account, _: creating(account, hours=5, **SERIES),
        ["POST .*/events$"],
    ),
    (
        "change",
        {},
        lambda _, found: changing(found[0], "this", timing=at(2)),
        ["PATCH .*" + MASTER],
    ),
    (
        "change one",
        SERIES,
        lambda _, found: changing(found[1], "this", title="Colour"),
        ["PATCH .*" + OCCURRENCE],
    ),
    (
        "change following",
        SERIES,
        lambda _, found: changing(found[2], "following", timing=at(2 * 24 + 1), title="Colour"),
        [
            "PATCH .*" + MASTER,
            "POST .*/events$",
            "PATCH .*" + OCCURRENCE,
            "DELETE .*" + OCCURRENCE,
        ],
    ),
    (
        "change all",
        SERIES,
        lambda _, found: changing(found[2], "all", timing=at(2 * 24 + 1)),
        ["PATCH .*" + MASTER, "PATCH .*" + OCCURRENCE, "DELETE .*" + OCCURRENCE],
    ),
    ("cancel", {}, lambda _, found: cancelling(found[0], "this"), ["DELETE .*" + MASTER]),
    (
        "cancel one",
        SERIES,
        lambda _, found: cancelling(found[1], "this"),
        ["DELETE .*" + OCCURRENCE],
    ),
    (
        "cancel following",
        SERIES,
        lambda _, found: cancelling(found[2], "following"),
        ["PATCH .*" + MASTER],
    ),
    ("cancel all", SERIES, lambda _, found: cancelling(found[2], "all"), ["DELETE .*" + MASTER]),
    ("respond", {}, lambda _, found: responding(found[0], "this"), ["PATCH .*" + MASTER]),
    (
        "respond all",
        SERIES,
        lambda _, found: responding(found[0], "all"),
        ["PATCH .*" + MASTER, "PATCH .*" + OCCURRENCE],
    ),
]
CUTS = [
    pytest.param(fields, make, on, kind, id=f"{name}-{on}-{kind}")
    for name, fields, make, patterns in CASES
    for on in patterns
    for kind in ("drop_before", "drop_after")
]


async def told(google: Any, agenda: GoogleAgenda) -> list[tuple[str, str]]:
    """What Google would have mailed, in the order of the events."""
    known = {each["id"] for each in google.events((await agenda.calendars())[0].id)}
    notices = google.state()["calendar"]["notices"]
    mailed = [each for each in notices if each["sendUpdates"] != "none"]
    return sorted((each["what"], each["sendUpdates"]) for each in mailed if each["event"] in known)


@pytest.mark.parametrize(("fields", "make", "on", "kind"), CUTS)
async def test_a_cut_effect_is_done_once(
    agenda: Open,
    google: Any,
    op: Op,
    fields: dict[str, Any],
    make: Callable[[str, list[Event]], Do],
    on: str,
    kind: str,
) -> None:
    async with agenda(PLAIN) as plain:
        found = await prepared(plain, op, PLAIN, **fields)
        wanted = await make(PLAIN, found)(plain, op("uncut"))
        expected, expected_mail = await seen(plain), await told(google, plain)
    async with agenda(OFFICE) as cut:
        found = await prepared(cut, op, OFFICE, **fields)
        google.fail(on, kind)
        do = make(OFFICE, found)
        for _ in range(3):
            try:
                done = await do(cut, op("k"))
                break
            except (BackendUnavailable, OutcomeUnknown):
                continue
    async with agenda(OFFICE) as fresh:  # as after a kill: the same file, nothing remembered
        again = await do(fresh, op("k"))
        assert (again.is_replay, again.result) == (True, done.result)
        assert done.result.event.status == wanted.result.event.status
        assert await seen(fresh) == [
            (title, timing, location, [(who.replace("plain", "office"), r) for who, r in people])
            for title, timing, location, people in expected
        ]
        assert await told(google, fresh) == expected_mail


async def test_a_booking_that_clashes_after_all_is_withdrawn(
    agenda: Open, google: Any, op: Op
) -> None:
    async with agenda() as one:
        google.fail("POST .*/events$", "drop_after")
        google.fail("GET .*/events/", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await one.create(new(OFFICE), Terms(on_clash="reject"), op("k"))
        # A person books the same hour before anybody could look again.
        body = {
            "summary": "By hand",
            "start": {"dateTime": "2027-03-26T09:30:00+01:00"},
            "end": {"dateTime": "2027-03-26T10:00:00+01:00"},
        }
        await one._client.do("events", "insert", calendarId="primary", body=body)
    async with agenda() as two:
        with pytest.raises(Conflict) as refused:
            await two.create(new(OFFICE), Terms(on_clash="reject"), op("k"))
        assert refused.value.code == "slot_taken"
        assert [event.title for event in await events(two)] == ["By hand"]


async def test_a_burnt_id_gives_way_to_the_next(agenda: Open, google: Any, op: Op) -> None:
    async with agenda() as one:
        google.fail("POST .*/events$", "drop_after")
        google.fail("GET .*/events/", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await one.create(new(OFFICE), Terms(), op("k"))
        (event,) = google.events()
        await one._client.do("events", "delete", calendarId="primary", eventId=event["id"])
        with pytest.raises(BackendUnavailable):
            await one.create(new(OFFICE), Terms(), op("k"))
        booked = await one.create(new(OFFICE), Terms(), op("k"))
        assert [each.id for each in await events(one)] == [booked.result.event.id]


@pytest.mark.parametrize(("on", "status"), [("POST .*/events$", 403), ("PATCH .*" + MASTER, 412)])
async def test_of_a_refused_half_nothing_is_left(
    agenda: Open, google: Any, op: Op, on: str, status: int
) -> None:
    async with agenda() as one:
        found = await prepared(one, op, OFFICE, **SERIES)
        before = await seen(one)
        google.fail(on, "status", status=status, body={"error": {"code": status}})
        with pytest.raises((NotAllowed, Conflict)) as refused:
            await changing(found[2], "following", title="Colour")(one, op("k"))
        assert refused.value.outcome == "none"
        assert await seen(one) == before


async def test_of_two_servers_that_book_one_time_at_most_one_keeps_it(
    google: Any, tmp_path: Any, op: Op
) -> None:
    """Each has a journal of its own, as two machines have."""
    won: list[str] = []

    async def book(agenda: GoogleAgenda, key: str, hours: float) -> None:
        with suppress(Conflict):
            booking = new(OFFICE, hours, attendees=())
            effect = await agenda.create(booking, Terms(on_clash="reject"), op(key))
            won.append(effect.result.event.id)

    def server(name: str) -> GoogleAgenda:
        connection = google.connection()
        return GoogleAgenda(tmp_path / f"{name}.db", connection, business="main")

    async with server("a") as one, server("b") as two:
        for number in range(10):
            async with anyio.create_task_group() as group:
                group.start_soon(book, one, f"a{number}", 2 * number)
                group.start_soon(book, two, f"b{number}", 2 * number + 0.5)
        kept = await events(one)
        assert {event.id for event in kept} == set(won)
        spans = [event.timing.span for event in kept]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(spans))
