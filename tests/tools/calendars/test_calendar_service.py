"""The rules of the calendars, on a fixed clock: Saturday 21 November 2026, 9:00 in Berlin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.calendars import (
    Answer,
    Attendee,
    Booked,
    Booking,
    CalendarService,
    Edit,
    EventsAsked,
    FreeAsked,
    FreeTimes,
    InviteeRules,
    OpeningHours,
    Span,
    Terms,
    TimeGiven,
)
from aicore_tools.calendars.backends.local import LocalAgenda
from aicore_tools.errors import Conflict, InvalidInput, NotAllowed, NotFound
from aicore_tools.operations import Effect, Operation

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
HOURS = OpeningHours.read("Mon-Fri 09:00-17:00,Sat 10:00-13:00")
REJECT, NONE = Terms(on_clash="reject"), Terms()
EVERYBODY = InviteeRules.read("*")


@asynccontextmanager
async def opened(
    folder: Path, now: datetime = NOW, invitees: InviteeRules = EVERYBODY
) -> AsyncIterator[CalendarService]:
    agenda = LocalAgenda(
        folder / "calendars.db",
        business="main",
        tz="Europe/Berlin",
        calendars=("main", "Anna", "room-2"),
        addresses=("office@shop.example",),
    )
    async with agenda:
        yield CalendarService(
            agenda, zone=BERLIN, hours=HOURS, invitees=invitees, clock=lambda: now
        )


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def book(
    service: CalendarService,
    start: str,
    end: str,
    *,
    terms: Terms = REJECT,
    key: str | None = None,
    **fields: Any,
) -> Effect[Booked]:
    values = {"title": "Haircut", **fields}
    booking = Booking(time=TimeGiven(start=start, end=end, tz=values.pop("tz", None)), **values)
    if (earlier := await service.earlier(op(key))) is not None:
        return earlier
    return await service.create(await service.plan_create(booking, terms), op(key))


async def update(
    service: CalendarService, edit: Edit, terms: Terms = NONE, key: str | None = None
) -> Effect[Booked]:
    if (earlier := await service.earlier(op(key))) is not None:
        return earlier
    return await service.update(await service.plan_update(edit, terms), op(key))


async def call_off(service: CalendarService, event: str, terms: Terms = NONE) -> Effect[Booked]:
    plan = await service.plan_cancel(event, scope="this", terms=terms)
    return await service.cancel(plan, op())


async def ask(service: CalendarService, start: str, end: str, **fields: Any) -> FreeTimes:
    return await service.free(FreeAsked(start=start, end=end, **fields))


def shown(slots: tuple[Span, ...], zone: ZoneInfo = BERLIN) -> list[str]:
    return [f"{slot.start.astimezone(zone):%a %d %H:%M}" for slot in slots]


async def test_free_slots_respect_the_opening_hours_and_the_clock(tmp_path: Path) -> None:
    async with opened(tmp_path, datetime(2026, 11, 21, 11, 10, tzinfo=UTC)) as service:
        free = await ask(service, "2026-11-20", "2026-11-23")
        assert shown(free.slots) == [
            "Sat 21 12:30",
            "Mon 23 09:00",
            "Mon 23 09:30",
            "Mon 23 10:00",
            "Mon 23 10:30",
        ]
        assert free.has_more


async def test_asked_for_hours_hold_on_the_days_the_business_is_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        free = await ask(service, "2026-11-21", "2026-11-23", hours="14:00-15:00")
        assert shown(free.slots) == ["Sat 21 14:00", "Sat 21 14:30", "Mon 23 14:00", "Mon 23 14:30"]
        assert not free.has_more
        sunday = await ask(service, "2026-11-22", "2026-11-22", hours="Sun 14:00-14:30")
        assert shown(sunday.slots) == ["Sun 22 14:00"]


async def test_a_full_window_names_the_next_free_times(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T09:00", "2026-11-24T17:00")
        free = await ask(service, "2026-11-24", "2026-11-24", minutes=60)
        assert free.slots == ()
        assert shown(free.next_free) == ["Wed 25 09:00", "Wed 25 10:00", "Wed 25 11:00"]


async def test_a_window_in_the_past_names_the_next_free_times(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        free = await ask(service, "2025-01-01", "2025-01-02")
        assert free.slots == ()
        assert shown(free.next_free)[0] == "Sat 21 10:00"


async def test_a_window_that_is_too_short_names_what_starts_in_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        free = await ask(service, "2026-11-24T15:00", "2026-11-24T15:10")
        assert (free.slots, shown(free.next_free)[0]) == ((), "Tue 24 15:00")


async def test_everyone_asked_for_must_be_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T09:00", "2026-11-24T12:00", calendar="Anna")
        await book(service, "2026-11-24T12:00", "2026-11-24T16:30", calendar="room-2")
        both = await ask(service, "2026-11-24", "2026-11-24", who=["ANNA", "room-2"])
        assert shown(both.slots) == ["Tue 24 16:30"]
        nobody = await ask(service, "2026-11-24", "2026-11-24", limit=1)
        assert shown(nobody.slots) == ["Tue 24 09:00"]
        with pytest.raises(NotFound):
            await ask(service, "2026-11-24", "2026-11-24", who=["Bob"])


async def test_another_zone_is_read_and_the_business_keeps_its_hours(tmp_path: Path) -> None:
    new_york = ZoneInfo("America/New_York")
    async with opened(tmp_path) as service:
        free = await ask(service, "2026-11-24T08:00", "2026-11-24T23:00", tz="America/New_York")
        assert free.zone == new_york
        assert shown(free.slots, new_york)[0] == "Tue 24 08:00"
        assert shown(free.slots)[-1] == "Tue 24 16:00"


async def test_a_series_and_a_whole_day_take_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-23T09:00", "2026-11-23T16:00", repeat="FREQ=WEEKLY")
        await book(service, "2027-03-30", "2027-03-31")
        free = await ask(service, "2027-03-29", "2027-04-01", limit=3)
        assert shown(free.slots) == ["Mon 29 16:00", "Mon 29 16:30", "Thu 01 09:00"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 21},
        {"minutes": 4},
        {"minutes": 1441},
        {"end": "2026-11-23"},
        {"end": "2028-11-24"},
        {"hours": "late"},
        {"tz": "Mars/Olympus"},
        {"start": "soon"},
    ],
)
async def test_a_wrong_question_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with opened(tmp_path) as service:
        asked = {"start": "2026-11-24", "end": "2026-11-24", **wrong}
        with pytest.raises(InvalidInput):
            await service.free(FreeAsked(**asked))


async def test_a_taken_time_names_the_next_free_ones(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T15:00", "2026-11-24T16:00")
        with pytest.raises(Conflict) as refused:
            await book(service, "2026-11-24T15:30", "2026-11-24T16:30")
        assert refused.value.outcome == "none"
        assert refused.value.hint is not None
        assert "2026-11-24T16:00:00+01:00" in refused.value.hint


async def test_by_default_a_clash_is_booked_and_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        first = await book(service, "2026-11-24T15:00", "2026-11-24T16:00")
        second = await book(service, "2026-11-24T15:00", "2026-11-24T16:00", terms=Terms())
        assert second.result.clashes == (first.result.event,)
        third = await book(
            service, "2026-11-24T15:00", "2026-11-24T16:00", terms=Terms(on_clash="ignore")
        )
        assert third.result.clashes == ()


@pytest.mark.parametrize(
    ("start", "end", "doubt"),
    [
        ("2026-11-20T10:00", "2026-11-20T11:00", "past"),
        ("2026-11-22T10:00", "2026-11-22T11:00", "opening hours"),
        ("2026-11-24T16:30", "2026-11-24T17:30", "opening hours"),
        ("2026-11-24T10:00", "2026-11-24T11:00", "already"),
        ("2026-11-25T14:00", "2026-11-25T15:00", None),
    ],
)
async def test_what_looks_like_a_mistake_is_booked_and_said(
    tmp_path: Path, start: str, end: str, doubt: str | None
) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T14:00", "2026-11-24T15:00", title="Haircut Ann Miller")
        effect = await book(service, start, end, title="haircut  Ann Miler")
        said = " ".join(effect.result.warnings)
        assert (doubt in said) if doubt else said == ""
        assert effect.result.event.status == "confirmed"


async def test_it_is_said_that_nobody_was_notified(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        day = ("2026-11-24T14:00", "2026-11-24T15:00")
        told = await book(service, *day, attendees=["a@b.de"], terms=Terms(notify="all"))
        assert "Nobody is notified" in " ".join(told.result.warnings)
        nobody = await call_off(service, told.result.event.id)
        assert nobody.result.warnings == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "  "},
        {"title": "x" * 301},
        {"title": "a\0b"},
        {"title": "\ud800"},
        {"end": "2026-11-24T15:00"},
        {"end": "2026-11-24"},
        {"start": "2026-11-24", "end": "2026-11-23"},
        {"start": "2027-03-28T02:30", "end": "2027-03-28T04:00"},
        {"end": "2028-11-24T15:00"},
        {"attendees": [f"a{number}@example.com" for number in range(101)]},
        {"attendees": ["Bob"]},
        {"attendees": ["a@b.de\nBcc: c@d.de"]},
        {"attendees": ["a@b.de, c@d.de"]},
        {"attendees": [" "]},
        {"reminders": [-1]},
        {"reminders": [1, 2, 3, 4, 5, 6]},
        {"repeat": "FREQ=HOURLY"},
        {"tz": "Nowhere"},
        {"wants_video": True},
    ],
)
async def test_a_wrong_booking_is_refused_and_nothing_is_kept(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with opened(tmp_path) as service:
        fields = {"start": "2026-11-24T15:00", "end": "2026-11-24T16:00", **wrong}
        with pytest.raises(InvalidInput):
            await book(service, fields.pop("start"), fields.pop("end"), **fields)
        assert (await service.events(EventsAsked())).events == ()


async def test_an_unknown_calendar_is_not_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(NotFound) as missing:
            await book(service, "2026-11-24T15:00", "2026-11-24T16:00", calendar="Bob")
        assert missing.value.hint is not None
        assert "Anna" in missing.value.hint


async def test_the_doubled_hour_can_be_booked_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2027-10-31T02:00", "2027-10-31T02:30")
        second = await book(service, "2027-10-31T02:00:00+01:00", "2027-10-31T02:30:00+01:00")
        assert second.result.clashes == ()


async def test_a_repeat_is_not_judged_by_what_it_left_behind(tmp_path: Path) -> None:
    times = ("2026-11-24T15:00", "2026-11-24T16:00")
    async with opened(tmp_path) as service:
        first = await book(service, *times, key="k")
        edit = Edit(event=first.result.event.id, set={"title": "Colour"}, etag="1")
        changed = await update(service, edit, key="u")
    async with opened(tmp_path, datetime(2027, 1, 1, tzinfo=UTC)) as service:
        again = await book(service, *times, key="k")
        assert (again.is_replay, again.result.event) == (True, first.result.event)
        assert again.result.warnings == ()
        repeated = await update(service, edit, key="u")
        assert (repeated.is_replay, repeated.result.event) == (True, changed.result.event)


@pytest.mark.parametrize(
    ("change", "start", "end"),
    [
        ({"start": "2026-11-25T10:00"}, "2026-11-25T10:00:00+01:00", "2026-11-25T11:00:00+01:00"),
        ({"end": "2026-11-24T17:00"}, "2026-11-24T15:00:00+01:00", "2026-11-24T17:00:00+01:00"),
        ({"tz": "UTC"}, "2026-11-24T14:00:00+00:00", "2026-11-24T15:00:00+00:00"),
        (
            {"start": "2026-11-24T10:00", "tz": "UTC"},
            "2026-11-24T10:00:00+00:00",
            "2026-11-24T11:00:00+00:00",
        ),
        (
            {"start": "2026-11-25", "end": "2026-11-26"},
            "2026-11-25T00:00:00+01:00",
            "2026-11-27T00:00:00+01:00",
        ),
        ({"location": "Room 1"}, "2026-11-24T15:00:00+01:00", "2026-11-24T16:00:00+01:00"),
    ],
)
async def test_a_new_time_is_read_with_what_stays(
    tmp_path: Path, change: dict[str, Any], start: str, end: str
) -> None:
    async with opened(tmp_path) as service:
        event = (await book(service, "2026-11-24T15:00", "2026-11-24T16:00")).result.event
        edit = Edit(event=event.id, set=change)
        timing = (await update(service, edit)).result.event.timing
        zone = ZoneInfo(timing.tz)
        moments = timing.span.start.astimezone(zone), timing.span.end.astimezone(zone)
        assert tuple(moment.isoformat() for moment in moments) == (start, end)


async def test_a_whole_day_moves_as_days(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        event = (await book(service, "2027-03-27", "2027-03-28")).result.event
        edit = Edit(event=event.id, set={"start": "2027-04-01"})
        timing = (await update(service, edit)).result.event.timing
        assert timing.is_all_day
        assert timing.span.end == datetime(2027, 4, 2, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"colour": "red"},
        {"title": ""},
        {"title": None},
        {"start": 5},
        {"start": "2026-11-25"},
        {"end": "2026-11-24T14:00"},
        {"attendees": "ann"},
        {"attendees": [1]},
        {"reminders": ["10"]},
        {"reminders": [True]},
        {"repeat": "FREQ=WEEKLY;BYDAY=MO"},
    ],
)
async def test_a_wrong_change_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async with opened(tmp_path) as service:
        event = (await book(service, "2026-11-24T15:00", "2026-11-24T16:00")).result.event
        with pytest.raises(InvalidInput):
            await update(service, Edit(event=event.id, set=change))
        assert await service.event(event.id) == event


async def test_a_rule_is_added_changed_and_taken_off(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        event = (await book(service, "2026-11-24T15:00", "2026-11-24T16:00")).result.event
        for rule, scope, count in [
            ("FREQ=DAILY;COUNT=3", "this", 3),
            ("FREQ=WEEKLY;COUNT=2", "all", 2),
            ("", "all", 1),
        ]:
            edit = Edit(event=event.id, set={"repeat": rule}, scope=scope)
            await update(service, edit)
            assert len((await service.events(EventsAsked())).events) == count


async def test_one_occurrence_cannot_repeat(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T15:00", "2026-11-24T16:00", repeat="FREQ=DAILY")
        first = (await service.events(EventsAsked())).events[0]
        edit = Edit(event=first.id, set={"repeat": "FREQ=WEEKLY"})
        with pytest.raises(InvalidInput):
            await update(service, edit)


async def test_a_move_onto_a_taken_time_names_free_ones(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T15:00", "2026-11-24T16:00")
        event = (await book(service, "2026-11-25T15:00", "2026-11-25T16:00")).result.event
        edit = Edit(event=event.id, set={"start": "2026-11-24T15:30"})
        with pytest.raises(Conflict) as refused:
            await update(service, edit, REJECT)
        assert refused.value.hint is not None
        assert "2026-11-24T16:00:00+01:00" in refused.value.hint


async def test_pages_go_on_where_they_ended(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T15:00", "2026-11-24T16:00", repeat="FREQ=DAILY;COUNT=7")
        found, cursor = [], None
        for _ in range(4):
            page = await service.events(EventsAsked(limit=2, cursor=cursor, query="hair"))
            found += [event.id for event in page.events]
            cursor = page.next_cursor
        assert cursor is None
        assert len(set(found)) == len(found) == 7


@pytest.mark.parametrize(
    "cursor",
    ["x", "e30=", "W10=", "bnVsbA==", "\u00e9", "W1sxLDIsM10sWyJtYWluIl0sIiIsIngiXQ", "W1tOYU4s"],
)
async def test_a_foreign_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.events(EventsAsked(cursor=cursor))


@pytest.mark.parametrize(
    "other",
    [
        {"query": "cut"},
        {"calendars": ["Anna"]},
        {"start": "2026-11-23"},
        {"query": ""},
    ],
)
async def test_a_cursor_is_good_for_its_own_question_alone(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T15:00", "2026-11-24T16:00", repeat="FREQ=DAILY;COUNT=7")
        page = await service.events(EventsAsked(limit=2, query="hair"))
        with pytest.raises(InvalidInput):
            await service.events(
                EventsAsked(**{"query": "hair", **other}, cursor=page.next_cursor, limit=2)
            )
        rest = await service.events(EventsAsked(query="hair", cursor=page.next_cursor, limit=9))
        assert len(rest.events) == 5


async def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        first = (await book(service, "2026-11-24T15:00", "2026-11-24T16:00")).result.event
        time = TimeGiven(start="2026-11-24T15:30", end="2026-11-24T16:30")
        people = ["ann@example.com", "office@shop.example"]
        booking = Booking(title="Colour", time=time, attendees=people)
        created = await service.plan_create(booking, Terms(notify="all"))
        assert created.clashes == (first,)
        moved = await service.plan_update(
            Edit(event=first.id, set={"start": "2026-11-25T15:00", "title": "Cut"}), NONE
        )
        assert (moved.before, moved.after.title, moved.after.id) == (first, "Cut", first.id)
        gone = await service.plan_cancel(first.id, scope="this", terms=NONE)
        assert (gone.event, gone.told) == (first, ())
        assert (await service.events(EventsAsked())).events == (first,)


async def test_of_a_series_it_is_known_what_is_cancelled_already(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        times = ("2026-11-24T09:00", "2026-11-24T10:00")
        series = (await book(service, *times, repeat="FREQ=DAILY;COUNT=5")).result.event.id
        _, second, third, *_ = (await service.events(EventsAsked())).events
        await call_off(service, second.id)

        async def is_done(event: str, scope: Any) -> bool:
            return (await service.plan_cancel(event, scope=scope, terms=NONE)).is_done

        assert await is_done(second.id, "this")
        assert not await is_done(second.id, "following")
        assert not await is_done(second.id, "all")
        assert not await is_done(third.id, "this")
        await service.cancel(await service.plan_cancel(series, scope="all", terms=NONE), op())
        for scope in ("this", "following", "all"):
            assert await is_done(series, scope)
            assert await is_done(second.id, scope)


async def test_a_plan_of_a_whole_series_names_what_any_of_it_clashes_with(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await book(service, "2026-11-24T09:00", "2026-11-24T10:00", repeat="FREQ=DAILY;COUNT=5")
        other = (await book(service, "2026-11-27T12:00", "2026-11-27T13:00")).result.event
        first, second, *_ = (await service.events(EventsAsked())).events
        for named, scope, clashes in (
            (first, "all", (other,)),
            (second, "following", (other,)),
            (second, "this", ()),
        ):
            day = named.timing.span.start.astimezone(BERLIN).date()
            edit = Edit(event=named.id, set={"start": f"{day}T12:00"}, scope=scope)
            assert (await service.plan_update(edit, NONE)).clashes == clashes


@pytest.mark.parametrize(
    ("patterns", "is_allowed"),
    [
        ("*", True),
        ("*@example.com", True),
        ("bob@example.com, ANN@EXAMPLE.COM", True),
        ("ann@*.com, *@*.org, ann@example.com", True),
        ("*@example.org", False),
        ("*@*.example.com", False),
        ("*@ample.com", False),
        ("ann@example.co", False),
        ("", False),
    ],
)
async def test_only_whom_the_rules_allow_is_invited(
    tmp_path: Path, patterns: str, is_allowed: bool
) -> None:
    async with opened(tmp_path, invitees=InviteeRules.read(patterns)) as service:
        times = ("2026-11-24T15:00", "2026-11-24T16:00")
        event = (await book(service, *times)).result.event
        edit = Edit(event=event.id, set={"attendees": ["Ann <ann@example.com>"]})
        if is_allowed:
            changed = (await update(service, edit)).result.event
            assert changed.attendees == (Attendee(address="ann@example.com", name="Ann"),)
            return
        for attempt in (
            lambda: update(service, edit),
            lambda: book(service, *times, attendees=["ann@example.com"], terms=NONE),
        ):
            with pytest.raises(NotAllowed) as refused:
                await attempt()
            assert (refused.value.code, refused.value.outcome) == ("recipient_not_allowed", "none")
        assert (await service.events(EventsAsked())).events == (event,)


async def test_an_attendee_who_stays_keeps_the_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        people = ["office@shop.example", "ann@example.com"]
        day = ("2026-11-24T14:00", "2026-11-24T15:00")
        event = (await book(service, *day, attendees=people)).result.event
        plan = await service.plan_respond(event.id, Answer(response="accepted"), scope="this")
        assert plan.event == event
        await service.respond(plan, op())
        edit = Edit(event=event.id, set={"attendees": ["office@SHOP.example", "eve@example.com"]})
        people_now = (await update(service, edit)).result.event.attendees
        assert [(one.address, one.response) for one in people_now] == [
            ("office@shop.example", "accepted"),
            ("eve@example.com", "needs_action"),
        ]


async def test_an_answer_needs_an_invitation(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        day = ("2026-11-24T14:00", "2026-11-24T15:00")
        event = (await book(service, *day, attendees=["ann@example.com"])).result.event
        with pytest.raises(InvalidInput):
            await service.plan_respond(event.id, Answer(response="accepted"), scope="this")


async def test_a_stale_etag_is_refused_in_the_plan(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        event = (await book(service, "2026-11-24T14:00", "2026-11-24T15:00")).result.event
        await update(service, Edit(event=event.id, set={"title": "Cut"}))
        edit = Edit(event=event.id, set={"title": "Colour"}, etag=event.etag)
        with pytest.raises(Conflict) as refused:
            await service.plan_update(edit, NONE)
        assert refused.value.code == "changed_meanwhile"


@settings(max_examples=20, deadline=None)
@given(
    bookings=st.lists(
        st.tuples(st.integers(0, 7 * 24 * 4), st.integers(1, 12), st.sampled_from(["", "DAILY"])),
        max_size=12,
    ),
    minutes=st.sampled_from([15, 30, 45, 90]),
)
async def test_booked_slots_never_overlap_and_offered_ones_can_be_booked(
    tmp_path_factory: pytest.TempPathFactory, bookings: list[tuple[int, int, str]], minutes: int
) -> None:
    start = datetime(2027, 3, 24, tzinfo=BERLIN).astimezone(UTC)
    async with opened(tmp_path_factory.mktemp("agenda")) as service:
        for quarter, quarters, freq in bookings:
            begin = datetime.fromtimestamp(start.timestamp() + quarter * 900, UTC)
            end = datetime.fromtimestamp(begin.timestamp() + quarters * 900, UTC)
            repeat = f"FREQ={freq};COUNT=4" if freq else ""
            with suppress(Conflict):
                await book(service, begin.isoformat(), end.isoformat(), repeat=repeat)
        page = await service.events(EventsAsked(start="2027-03-20", end="2027-04-20", limit=250))
        kept = sorted(event.timing.span for event in page.events)
        assert not any(one.overlaps(other) for one, other in pairwise(kept))
        free = await ask(service, "2027-03-24", "2027-03-31", minutes=minutes, limit=20)
        for slot in free.slots:
            assert not any(slot.overlaps(other) for other in kept)
            assert HOURS.contain(slot, BERLIN)
            await book(service, slot.start.isoformat(), slot.end.isoformat())
