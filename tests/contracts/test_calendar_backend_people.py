"""What every calendar backend must do about people: invite, ask, tell, and say who was not told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aicore_tools.calendars import (
    Agenda,
    Answer,
    Attendee,
    CalendarService,
    Event,
    OpeningHours,
    Span,
    Terms,
    Timing,
)
from aicore_tools.calendars.records import (
    CalendarId,
    EventChange,
    EventId,
    EventQuery,
    NewEvent,
)
from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.operations import Operation

Open = Callable[..., Agenda]
MAIN = CalendarId("main")
NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ANN = Attendee(address="ann@example.com", name="Ann Lee; & Söhne", response="tentative")
PEOPLE = (ANN, Attendee(address="bob@example.com", is_optional=True))
ME = Attendee(address="office@shop.example")


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


def new(hours: float = 0, **fields: Any) -> NewEvent:
    start = NINE + timedelta(hours=hours)
    timing = Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")
    return NewEvent(**{"calendar": MAIN, "title": "Haircut", "timing": timing, **fields})


async def book(agenda: Agenda, hours: float = 0, **fields: Any) -> Event:
    return (await agenda.create(new(hours, **fields), Terms(), op())).result.event


async def listed(agenda: Agenda) -> list[Event]:
    window = Span(NINE - DAY, NINE + 365 * DAY)
    page = await agenda.events(EventQuery(window=window, calendars=(MAIN,), limit=250))
    return list(page.events)


async def test_an_invitation_is_answered_by_whose_account_it_is(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda, attendees=(ANN, ME))
        assert [one.is_self for one in event.attendees] == [False, True]
        for response in ("accepted", "declined"):
            effect = await agenda.respond(
                event.id, Answer(response=response), scope="this", operation=op()
            )
            found = effect.result.event.attendees
            assert [one.response for one in found] == ["tentative", response]
        assert (await agenda.get(event.id)).attendees == found


async def test_one_occurrence_is_answered_alone_and_then_all(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, attendees=(ANN, ME), repeat="FREQ=DAILY;COUNT=3")
        second = (await listed(agenda))[1]
        no, yes = Answer(response="declined"), Answer(response="accepted")
        await agenda.respond(second.id, no, scope="this", operation=op())
        answers = [event.attendees[1].response for event in await listed(agenda)]
        assert answers == ["needs_action", "declined", "needs_action"]
        with pytest.raises(InvalidInput):
            await agenda.respond(series.id, yes, scope="this", operation=op())
        first = (await listed(agenda))[0]
        await agenda.respond(first.id, yes, scope="all", operation=op())
        assert {event.attendees[1].response for event in await listed(agenda)} == {"accepted"}


async def test_who_is_not_invited_cannot_answer(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda, attendees=(ANN,))
        answer = Answer(response="accepted")
        with pytest.raises(InvalidInput):
            await agenda.respond(event.id, answer, scope="this", operation=op())
        with pytest.raises(NotFound):
            await agenda.respond(EventId("x"), answer, scope="this", operation=op())
        assert await agenda.get(event.id) == event


async def test_a_repeated_answer_is_given_once(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda, attendees=(ME,))
        answer = Answer(response="accepted")
        for replay in (False, True):
            effect = await agenda.respond(event.id, answer, scope="this", operation=op("r"))
            assert effect.is_replay == replay
            assert effect.result.event.attendees[0].response == "accepted"


async def test_people_come_and_go_and_the_others_keep_their_answer(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda, attendees=PEOPLE)
        people = (ANN, Attendee(address="eve@example.com"))
        effect = await agenda.change(
            event.id,
            EventChange(attendees=people, reminders_min=(15,), location="Room 2"),
            scope="this",
            etag=event.etag,
            terms=Terms(),
            operation=op(),
        )
        changed = effect.result.event
        assert (changed.attendees, changed.reminders_min) == (people, (15,))
        assert (changed.title, changed.location, changed.timing) == (
            event.title,
            "Room 2",
            event.timing,
        )


async def test_who_should_be_told_and_is_not_is_said(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        tells = (await agenda.calendars())[0].tells_attendees
        effect = await agenda.create(new(attendees=(ANN, ME)), Terms(notify="all"), op())
        told = effect.result.told
        assert (told, bool(effect.result.warnings)) == (
            (("ann@example.com",), False) if tells else ((), True)
        )
        quiet = await agenda.create(new(5, attendees=(ANN,)), Terms(), op())
        assert (quiet.result.told, quiet.result.warnings) == ((), ())


def desk(agenda: Agenda) -> CalendarService:
    return CalendarService(
        agenda, zone=ZoneInfo("UTC"), hours=OpeningHours.read("Mon-Fri 09:00-17:00")
    )


async def test_a_message_that_is_not_sent_is_said_before_and_after(open_calendars: Open) -> None:
    terms = Terms(notify="all", message="We are ill.")
    async with open_calendars() as agenda:
        service, event = desk(agenda), await book(agenda, attendees=(ANN,))
        before = await service.plan_cancel(event.id, scope="this", terms=Terms(notify="all"))
        plan = await service.plan_cancel(event.id, scope="this", terms=terms)
        is_sent = (await agenda.calendars())[0].sends_messages
        assert len(plan.warnings) == len(before.warnings) + (not is_sent)
        gone = (await service.cancel(plan, op())).result
        assert (gone.told, len(gone.warnings)) == (plan.told, len(plan.warnings))


async def test_what_is_cancelled_already_is_not_cancelled_again(open_calendars: Open) -> None:
    terms = Terms(notify="all", message="We are ill.")
    async with open_calendars() as agenda:
        service, tells = desk(agenda), (await agenda.calendars())[0].tells_attendees
        await book(agenda, attendees=(ANN, ME), repeat="FREQ=DAILY;COUNT=3")
        second = (await listed(agenda))[1]
        plan = await service.plan_cancel(second.id, scope="this", terms=terms)
        assert (plan.is_done, bool(plan.told)) == (False, tells)
        await service.cancel(plan, op())
        left = await listed(agenda)
        again = await service.plan_cancel(second.id, scope="this", terms=terms)
        assert (again.is_done, again.told, again.terms.message) == (True, (), "")
        assert len(again.warnings) == 1
        result = (await service.cancel(again, op())).result
        assert (result.event.status, result.told) == ("cancelled", ())
        assert result.warnings == again.warnings
        assert await listed(agenda) == left
        whole = await service.plan_cancel(second.id, scope="all", terms=terms)
        assert not whole.is_done


async def test_no_title_or_place_writes_into_the_event_around_it(open_calendars: Open) -> None:
    text = "a\r\nATTENDEE:mailto:eve@example.com\rEND:VEVENT\nBEGIN:VEVENT\u2028\x85b"
    async with open_calendars() as agenda:
        event = await book(agenda, title=text, location=text)
        assert event.attendees == ()
        for said in (event.title, event.location):
            assert "eve@example.com" in said
            assert said.endswith("b")
        assert await listed(agenda) == [event]
