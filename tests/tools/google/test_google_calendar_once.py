"""Whatever breaks between us and Google Calendar, each effect is there once."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from tests.tools.google.appointments import (
    MASTER,
    OCCURRENCE,
    OFFICE,
    PLAIN,
    SERIES,
    Do,
    Op,
    Open,
    at,
    cancelling,
    changing,
    creating,
    events,
    new,
    prepared,
    responding,
    seen,
)

from aicore_tools.calendars import Event, Terms
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.errors import (
    BackendUnavailable,
    Conflict,
    NotAllowed,
    OutcomeUnknown,
)

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


BY_HAND = {
    "summary": "By hand",
    "start": {"dateTime": "2027-03-26T09:30:00+01:00"},
    "end": {"dateTime": "2027-03-26T10:00:00+01:00"},
}


async def booked_unseen(agenda: GoogleAgenda, google: Any, operation: Any, terms: Terms) -> str:
    """Book so that nobody can tell at first whether it was done; give the id it has."""
    google.fail("POST .*/events$", "drop_after")
    google.fail("GET .*/events/", "status", status=403)
    with pytest.raises(OutcomeUnknown):
        await agenda.create(new(OFFICE), terms, operation)
    (event,) = google.events()
    return str(event["id"])


@pytest.mark.parametrize(
    ("notify", "tell"), [("none", "none"), ("external", "externalOnly"), ("all", "all")]
)
async def test_a_booking_that_clashes_after_all_is_withdrawn(
    agenda: Open, google: Any, op: Op, notify: Any, tell: str
) -> None:
    terms = Terms(on_clash="reject", notify=notify)
    async with agenda() as one:
        await booked_unseen(one, google, op("k"), terms)
        # A person books the same hour before anybody could look again.
        await one._client.do("events", "insert", calendarId="primary", body=BY_HAND)
    async with agenda() as two:
        with pytest.raises(Conflict) as refused:
            await two.create(new(OFFICE), terms, op("k"))
        assert refused.value.code == "slot_taken"
        assert [event.title for event in await events(two)] == ["By hand"]
    # Who was told of the booking is told of its end, and nobody else.
    notices = google.state()["calendar"]["notices"]
    assert [(each["what"], each["sendUpdates"]) for each in notices] == [
        ("insert", tell),
        ("delete", tell),
    ]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_a_withdrawal_that_is_cut_is_seen_to_its_end_and_the_next_try_books(
    agenda: Open, google: Any, op: Op, kind: str
) -> None:
    terms = Terms(on_clash="reject")
    async with agenda() as one:
        burnt = await booked_unseen(one, google, op("k"), terms)
        hand = await one._client.do("events", "insert", calendarId="primary", body=BY_HAND)
    async with agenda() as two:
        google.fail("DELETE .*" + MASTER, kind)
        with pytest.raises(OutcomeUnknown):
            await two.create(new(OFFICE), terms, op("k"))
        await two._client.do("events", "delete", calendarId="primary", eventId=hand["id"])
        assert await two.earlier(op("k")) is None
    async with agenda() as three:
        booked = await three.create(new(OFFICE), terms, op("k"))
        assert (booked.is_replay, booked.result.event.status) == (False, "confirmed")
        assert booked.result.event.id != burnt
        assert [event.id for event in await events(three)] == [booked.result.event.id]


@pytest.mark.parametrize("forgets", [False, True])
async def test_what_a_person_cancelled_is_not_booked_again(
    agenda: Open, google: Any, op: Op, forgets: bool
) -> None:
    """One key, one effect: it was booked, and its guests had mail of that."""
    google.set(forgets_deleted=forgets)
    terms = Terms(on_clash="reject", notify="all")
    async with agenda() as one:
        key = await booked_unseen(one, google, op("k"), terms)
        await one._client.do("events", "delete", calendarId="primary", eventId=key)
        # What is at that time by now concerns it no more.
        await one._client.do("events", "insert", calendarId="primary", body=BY_HAND)
        for _ in range(2):
            booked = await one.create(new(OFFICE), terms, op("k"))
            assert booked.is_replay
            event = booked.result.event
            assert (event.id, event.status, event.timing) == (key, "cancelled", at(0))
        assert [event.title for event in await events(one)] == ["By hand"]


async def test_what_was_begun_is_not_called_undone_where_the_calendars_cannot_be_read(
    agenda: Open, google: Any, op: Op
) -> None:
    async with agenda() as one:
        await booked_unseen(one, google, op("k"), Terms())
    async with agenda() as two:
        google.fail("GET .*/calendarList", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await two.create(new(OFFICE), Terms(), op("k"))
        assert (await two.create(new(OFFICE), Terms(), op("k"))).is_replay
    async with agenda() as three:
        google.fail("GET .*/calendarList", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await three.earlier(op("k"))
        assert len(await events(three)) == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_an_undone_split_stays_undone_and_the_next_try_splits(
    agenda: Open, google: Any, op: Op, kind: str
) -> None:
    async with agenda() as one:
        found = await prepared(one, op, OFFICE, **SERIES)
        do, before = changing(found[2], "following", title="Colour"), await seen(one)
        google.fail("^PATCH ", "status", status=403)
        google.fail("^DELETE .*" + MASTER, kind)
        with pytest.raises(OutcomeUnknown):
            await do(one, op("k"))
    async with agenda() as two:
        assert await two.earlier(op("k")) is None
        assert await seen(two) == before
    async with agenda() as three:
        done = await do(three, op("k"))
        assert (done.is_replay, done.result.event.status) == (False, "confirmed")
        titles = [event.title for event in await events(three)]
        assert titles == ["Haircut", "Haircut", "Colour", "Haircut", "Colour", "Colour"]


async def test_a_split_whose_new_part_was_cancelled_does_not_end_the_old_one(
    agenda: Open, google: Any, op: Op
) -> None:
    async with agenda() as one:
        found = await prepared(one, op, OFFICE, **SERIES)
        do, before = changing(found[2], "following", title="Colour"), await seen(one)
        google.fail("^PATCH ", "drop_before", times=2)
        with pytest.raises(OutcomeUnknown):
            await do(one, op("k"))
        (new_part,) = (e["id"] for e in google.events() if e.get("summary") == "Colour")
        await one._client.do("events", "delete", calendarId="primary", eventId=new_part)
        assert await one.earlier(op("k")) is None
        assert await seen(one) == before
        done = await do(one, op("k"))
        assert (done.is_replay, done.result.event.status) == (False, "confirmed")
        titles = [event.title for event in await events(one)]
        assert titles == ["Haircut", "Haircut", "Colour", "Haircut", "Colour", "Colour"]


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
