"""What is special about Google's calendars: guests, rooms, notices, whole days, names of events."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aicore_tools.calendars import Answer, Attendee, Event, Span, Terms, Timing
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import (
    CalendarId,
    EventChange,
    EventId,
    EventQuery,
    NewEvent,
)
from aicore_tools.errors import BackendConfigError, InvalidInput, NotAllowed
from aicore_tools.operations import Operation

OFFICE, GUEST = "office@lakeside.example", "guest@firm.example"
NINE = datetime(2027, 3, 26, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIMING = Timing(span=Span(NINE, NINE + HOUR), tz="Europe/Berlin")
Open = Callable[..., GoogleAgenda]
Op = Callable[..., Operation]


def new(account: str = OFFICE, **fields: Any) -> NewEvent:
    given = {"calendar": CalendarId(account), "title": "Haircut", "timing": TIMING, **fields}
    return NewEvent(**given)


@pytest.mark.parametrize("scope", ["this", "all"])
async def test_an_invitation_from_elsewhere_is_answered(
    agenda: Open, google: Any, op: Op, scope: Any
) -> None:
    async with agenda(OFFICE) as host, agenda(GUEST) as guest:
        await guest.calendars()
        people = (Attendee(address=GUEST), Attendee(address="ann@example.com"))
        repeat = "" if scope == "this" else "FREQ=DAILY;COUNT=3"
        booked = await host.create(new(attendees=people, repeat=repeat), Terms(notify="all"), op())
        invited = await guest.get(booked.result.event.id)
        assert [one.is_self for one in invited.attendees] == [True, False]
        effect = await guest.respond(
            invited.id, Answer(response="accepted"), scope=scope, operation=op("r")
        )
        assert effect.result.told == (OFFICE,)
        seen = (await host.get(booked.result.event.id)).attendees
        assert [one.response for one in seen] == ["accepted", "needs_action"]
        with pytest.raises(NotAllowed):
            await guest.change(
                invited.id,
                EventChange(title="Mine"),
                scope="all",
                etag=effect.result.event.etag,
                terms=Terms(),
                operation=op(),
            )


@pytest.mark.parametrize(
    ("notify", "tell"), [("none", "none"), ("external", "externalOnly"), ("all", "all")]
)
async def test_whom_google_tells(agenda: Open, google: Any, op: Op, notify: Any, tell: str) -> None:
    async with agenda() as calendars:
        people = (Attendee(address="ann@example.com"), Attendee(address="bob@lakeside.example"))
        terms = Terms(notify=notify, message="see you")
        booked = (await calendars.create(new(attendees=people), terms, op())).result
        told = {"none": 0, "external": 1, "all": 2}[notify]
        assert (len(booked.told), len(booked.warnings)) == (told, 1 if told else 0)
    assert [each["sendUpdates"] for each in google.state()["calendar"]["notices"]] == [tell]


async def test_a_video_room_is_made_with_the_event(agenda: Open, op: Op) -> None:
    async with agenda() as calendars:
        booked = (await calendars.create(new(wants_video=True), Terms(), op("k"))).result
        assert booked.event.video_url.startswith("https://meet.google.com/")
        assert (await calendars.get(booked.event.id)).video_url == booked.event.video_url


async def test_whole_days_and_their_series_are_dates(agenda: Open, google: Any, op: Op) -> None:
    start = datetime(2027, 3, 27, 0, 0, tzinfo=UTC)
    days = Timing(span=Span(start, start + 2 * DAY), tz="UTC", is_all_day=True)
    async with agenda() as calendars:
        booked = await calendars.create(new(timing=days, repeat="FREQ=WEEKLY"), Terms(), op())
        assert booked.result.event.timing == days
        window = Span(NINE, NINE + 30 * DAY)
        query = EventQuery(window=window, calendars=(CalendarId(OFFICE),))
        third = (await calendars.events(query)).events[2]
        await calendars.cancel(
            third.id, scope="following", etag=third.etag, terms=Terms(), operation=op()
        )
    (event,) = google.events()
    assert (event["start"], event["end"]) == ({"date": "2027-03-27"}, {"date": "2027-03-29"})
    assert event["recurrence"] == ["RRULE:FREQ=WEEKLY;UNTIL=20270403"]


async def test_a_year_is_asked_for_in_pieces(agenda: Open, google: Any, op: Op) -> None:
    async with agenda() as calendars:
        await calendars.create(new(repeat="FREQ=MONTHLY"), Terms(), op())
        window = Span(NINE - DAY, NINE + 365 * DAY)
        assert len(await calendars.busy(window, [CalendarId(OFFICE)])) == 12
    assert google.state()["calls"]["calendar.freebusy.query"] == 7


async def test_events_of_another_calendar_are_named_with_it(
    google: Any, tmp_path: Any, op: Op
) -> None:
    google.set(calendars={OFFICE: {OFFICE: "UTC", "room@group": "UTC"}})
    connection = google.connection()
    async with GoogleAgenda(tmp_path / "j.db", connection, business="main") as calendars:
        booked = await calendars.create(new("room@group"), Terms(), op())
        assert booked.result.event.id.endswith("@room@group")
        assert (await calendars.get(booked.result.event.id)).calendar == "room@group"
    chosen = GoogleAgenda(
        tmp_path / "k.db", connection, business="main", calendars=("primary", "nowhere")
    )
    with pytest.raises(BackendConfigError):
        async with chosen as calendars:
            await calendars.calendars()


async def put(calendars: GoogleAgenda, **fields: Any) -> str:
    """Put an event into the calendar as another client would."""
    body = {
        "start": {"dateTime": "2027-03-26T09:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2027-03-26T10:00:00+01:00", "timeZone": "Europe/Berlin"},
        **fields,
    }
    made = await calendars._client.do("events", "insert", calendarId="primary", body=body)
    return str(made["id"])


async def test_what_leaves_the_time_free_is_no_clash(agenda: Open, op: Op) -> None:
    async with agenda() as calendars:
        await put(calendars, summary="Bob's holiday", transparency="transparent")
        await put(calendars, summary="Home office", eventType="workingLocation")
        mine = {"email": OFFICE, "responseStatus": "declined"}
        await put(calendars, summary="Declined", attendees=[mine])
        booked = await calendars.create(new(), Terms(on_clash="reject"), op())
        query = EventQuery(window=TIMING.span, calendars=(CalendarId(OFFICE),))
        titles = {event.title for event in (await calendars.events(query)).events}
        assert titles == {"Bob's holiday", "Declined", "Haircut"}
        again = await calendars.create(new(), Terms(), op())
        assert [event.id for event in again.result.clashes] == [booked.result.event.id]


async def test_a_series_without_a_rule_is_not_taken_for_one_event(
    agenda: Open, google: Any, op: Op
) -> None:
    async with agenda() as calendars:
        key = await put(calendars, recurrence=["RDATE;TZID=Europe/Berlin:20270330T090000"])
        series = await calendars.get(EventId(key))
        with pytest.raises(InvalidInput):
            await calendars.cancel(
                series.id, scope="this", etag=series.etag, terms=Terms(), operation=op()
            )
    assert [each["status"] for each in google.events()] == ["confirmed"]


async def changed(
    calendars: GoogleAgenda, event: Event, op: Op, scope: Any, **change: Any
) -> Event:
    effect = await calendars.change(
        event.id,
        EventChange(**change),
        scope=scope,
        etag=event.etag,
        terms=Terms(),
        operation=op(),
    )
    return effect.result.event


async def test_one_event_becomes_a_series_and_the_series_gets_another_rule(
    agenda: Open, op: Op
) -> None:
    query = EventQuery(window=Span(NINE, NINE + 30 * DAY), calendars=(CalendarId(OFFICE),))
    async with agenda() as calendars:
        event = (await calendars.create(new(), Terms(), op())).result.event
        series = await changed(calendars, event, op, "this", repeat="FREQ=WEEKLY;COUNT=3")
        assert (series.id, len((await calendars.events(query)).events)) == (event.id, 3)
        second = (await calendars.events(query)).events[1]
        rest = await changed(
            calendars, second, op, "following", repeat="FREQ=DAILY;COUNT=4", title="Course"
        )
        titles = [each.title for each in (await calendars.events(query)).events]
        assert titles == ["Haircut"] + ["Course"] * 4
        ended = await changed(calendars, rest, op, "all", repeat="FREQ=DAILY;UNTIL=20270403")
        assert ended.repeat == "FREQ=DAILY;UNTIL=20270403T215959Z"
        assert len((await calendars.events(query)).events) == 3
        whole = await calendars.get(rest.id)
        one = await changed(calendars, whole, op, "all", repeat="")
        assert (one.repeat, len((await calendars.events(query)).events)) == ("", 2)


async def test_a_series_moved_by_a_day_keeps_what_was_changed_on_its_own(
    agenda: Open, op: Op
) -> None:
    query = EventQuery(window=Span(NINE, NINE + 30 * DAY), calendars=(CalendarId(OFFICE),))
    async with agenda() as calendars:
        await calendars.create(new(repeat="FREQ=WEEKLY;COUNT=4"), Terms(), op())
        second = (await calendars.events(query)).events[1]
        await changed(calendars, second, op, "this", location="Room 2")
        first = (await calendars.events(query)).events[0]
        later = Timing(span=Span(NINE + DAY, NINE + DAY + HOUR), tz="Europe/Berlin")
        await changed(calendars, first, op, "all", timing=later)
        found = (await calendars.events(query)).events
        assert [each.location for each in found] == ["", "Room 2", "", ""]
        assert [each.timing.span.start.weekday() for each in found] == [5, 4, 5, 5]
