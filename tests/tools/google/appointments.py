"""Appointments at Google Calendar, as its tests book, change, cancel and answer them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aicore_tools.calendars import Answer, Attendee, Event, Span, Terms, Timing
from aicore_tools.calendars.backends.google import GoogleAgenda
from aicore_tools.calendars.records import CalendarId, EventChange, EventQuery, NewEvent
from aicore_tools.operations import Operation

OFFICE, PLAIN = "office@lakeside.example", "plain@lakeside.example"
NINE = datetime(2027, 3, 26, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ANN = Attendee(address="ann@example.com")
TOLD = Terms(notify="all")
Open = Callable[..., GoogleAgenda]
Op = Callable[..., Operation]
Do = Callable[[GoogleAgenda, Operation], Awaitable[Any]]
SERIES = {"repeat": "FREQ=DAILY;COUNT=7"}
MASTER, OCCURRENCE = "/events/[a-z0-9]+$", "/events/[a-z0-9]+_"


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
