"""What every calendar backend must do.

A new backend is one more file `calendar_row_NAME.py` beside this one, with its `NAME` and
`opened(request, folder)`: a context manager that gives a function from a business to its Agenda.
It has the calendars `main`, the default one, and `anna`, is in Europe/Berlin, and its own address
is office@shop.example. What it does about people is in test_calendar_backend_people.py.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from aicore_tools.calendars import Agenda, Attendee, Event, Span, Terms, Timing
from aicore_tools.calendars.records import (
    CalendarId,
    EventChange,
    EventId,
    EventQuery,
    NewEvent,
    Scope,
)
from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.operations import Operation

Open = Callable[..., Agenda]
MAIN, ANNA = CalendarId("main"), CalendarId("anna")
NINE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YEAR = Span(NINE - DAY, NINE + 365 * DAY)
REJECT = Terms(on_clash="reject")
ANN = Attendee(address="ann@example.com", name="Ann Lee; & Söhne", response="tentative")
PEOPLE = (ANN, Attendee(address="bob@example.com", is_optional=True))


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


def at(hours: float, length: timedelta = HOUR) -> Timing:
    start = NINE + timedelta(hours=hours)
    return Timing(span=Span(start, start + length), tz="Europe/Berlin")


def new(hours: float = 0, **fields: Any) -> NewEvent:
    values = {"calendar": MAIN, "title": "Haircut", "timing": at(hours), **fields}
    return NewEvent(**values)


async def book(agenda: Agenda, hours: float = 0, **fields: Any) -> Event:
    return (await agenda.create(new(hours, **fields), Terms(), op())).result.event


async def listed(
    agenda: Agenda, window: Span = YEAR, calendars: Sequence[CalendarId] = (MAIN, ANNA)
) -> list[Event]:
    page = await agenda.events(EventQuery(window=window, calendars=tuple(calendars), limit=250))
    return list(page.events)


async def starts(agenda: Agenda) -> list[timedelta]:
    return [event.timing.span.start - NINE for event in await listed(agenda)]


async def cancel(agenda: Agenda, event: EventId, scope: Scope = "this") -> Event:
    """Cancel it as it stands."""
    present = await agenda.get(event)
    effect = await agenda.cancel(
        event, scope=scope, etag=present.etag, terms=Terms(), operation=op()
    )
    assert effect.result.event.status == "cancelled"
    return effect.result.event


async def cancel_again(agenda: Agenda, event: EventId, scope: Scope = "this") -> None:
    """Cancel what is cancelled; a backend may no longer know it."""
    with suppress(NotFound):
        await cancel(agenda, event, scope)


async def is_gone(agenda: Agenda, event: EventId) -> bool:
    try:
        return (await agenda.get(event)).status == "cancelled"
    except NotFound:
        return True


async def move(agenda: Agenda, event: Event, hours: float, scope: Scope) -> Event:
    effect = await agenda.change(
        event.id,
        EventChange(timing=at(hours)),
        scope=scope,
        etag=event.etag,
        terms=Terms(),
        operation=op(),
    )
    return effect.result.event


async def test_what_was_booked_is_read_back(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(
            agenda,
            attendees=PEOPLE,
            location="Room 1",
            description="first\nvisit ✂",
            reminders_min=(60, 10),
        )
        assert await agenda.get(event.id) == event
        assert (event.status, event.timing, event.attendees) == (
            "confirmed",
            at(0),
            PEOPLE,
        )
    async with open_calendars() as agenda:
        assert await listed(agenda) == [event]


async def test_a_business_sees_only_its_own(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
    async with open_calendars("other") as other:
        assert await listed(other) == []
        assert await other.busy(YEAR, [MAIN]) == []
        with pytest.raises(NotFound):
            await other.get(event.id)
        with pytest.raises(NotFound):
            await cancel(other, event.id)
        effect = await other.create(new(), REJECT, op())
        assert effect.result.clashes == ()


async def test_the_default_calendar_comes_first(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        first, *others = await agenda.calendars()
        assert first.is_default
        assert not any(calendar.is_default for calendar in others)


async def test_events_are_in_order_and_only_those_that_overlap(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        for hours in (3, 1, 0, 2):
            await book(agenda, hours)
        long = await book(agenda, -48, timing=at(-48, 72 * HOUR), title="Holiday")
        window = Span(NINE + HOUR, NINE + 3 * HOUR)
        found = await listed(agenda, window)
        assert [event.timing.span.start - NINE for event in found] == [-48 * HOUR, HOUR, 2 * HOUR]
        assert found[0] == long
        busy = await agenda.busy(window, [MAIN])  # joined or not
        assert busy[0].start <= window.start
        assert max(span.end for span in busy) >= window.end


@pytest.mark.parametrize("length", [23, 24, 25, 30, 60])
async def test_an_event_is_found_at_its_last_moment(open_calendars: Open, length: int) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda, timing=at(0, length * HOUR))
        end = NINE + length * HOUR
        assert await listed(agenda, Span(end - timedelta(minutes=1), end)) == [event]
        assert await listed(agenda, Span(end, end + HOUR)) == []


async def test_a_series_may_be_touched_in_its_middle(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        for hours in (24 - 1, 24 + 1):
            await book(agenda, hours)
        effect = await agenda.create(new(repeat="FREQ=DAILY;COUNT=3"), REJECT, op())
        assert effect.result.clashes == ()


async def test_pages_give_every_event_once(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        for number in range(7):
            await book(agenda, number % 3, title=f"Event {number}")
        await book(agenda, 0, title="Daily", repeat="FREQ=DAILY;COUNT=9")
        everything = [event.id for event in await listed(agenda)]
        query, ids = EventQuery(window=YEAR, calendars=(MAIN,), limit=3), []
        while True:
            page = await agenda.events(query)
            assert len(page.events) <= 3
            ids += [event.id for event in page.events]
            if page.next is None:
                break
            query = EventQuery(window=YEAR, calendars=(MAIN,), limit=3, after=page.next)
        assert ids == everything
        assert len(set(ids)) == 16


@pytest.mark.parametrize("text", ["ÄRZTIN", "room", "bob@", "check-UP", "100%"])
async def test_text_is_found_without_regard_to_case(open_calendars: Open, text: str) -> None:
    async with open_calendars() as agenda:
        event = await book(
            agenda,
            title="Ärztin Check-up",
            location="Room_1",
            attendees=(Attendee(address="Bob@example.com"),),
            description="100% sure",
        )
        await book(agenda, 1, title="Other")
        page = await agenda.events(EventQuery(window=YEAR, calendars=(MAIN,), text=text))
        assert [found.id for found in page.events] == [event.id]


async def test_a_clash_is_told_and_a_touch_is_none(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        first = await book(agenda)
        effect = await agenda.create(new(0.5), Terms(), op())
        assert effect.result.clashes == (first,)
        for hours in (-1, 1.5):
            assert (await agenda.create(new(hours), Terms(), op())).result.clashes == ()
        elsewhere = await agenda.create(new(calendar=ANNA), REJECT, op())
        assert elsewhere.result.clashes == ()


async def test_a_taken_time_is_refused_and_nothing_is_kept(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda)
        with pytest.raises(Conflict) as refused:
            await agenda.create(new(0.5), REJECT, op("key"))
        assert (refused.value.code, refused.value.outcome) == ("slot_taken", "none")
        assert len(await listed(agenda)) == 1
        assert await agenda.earlier(op("key")) is None


async def test_a_series_clashes_with_single_events_and_they_with_it(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=WEEKLY")
        with pytest.raises(Conflict):
            await agenda.create(new(24 * 70), REJECT, op())
        await book(agenda, 24 * 80)
        with pytest.raises(Conflict):
            await agenda.create(new(24, repeat="FREQ=DAILY;COUNT=100"), REJECT, op())
        await cancel(agenda, series.id, "all")
        assert (await agenda.create(new(24 * 70), REJECT, op())).result.clashes == ()


async def test_a_cancelled_event_frees_its_time_and_stays_readable(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        await cancel(agenda, event.id)
        await cancel_again(agenda, event.id)
        assert await is_gone(agenda, event.id)
        assert await listed(agenda) == []
        assert await agenda.busy(YEAR, [MAIN]) == []
        assert (await agenda.create(new(), REJECT, op())).result.clashes == ()


@pytest.mark.parametrize("event", ["", "x", "ev1_20261124T080000Z", "ev1_", "_", "ev\N{SNOWMAN}"])
async def test_an_unknown_id_is_not_found(open_calendars: Open, event: str) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY")
        with pytest.raises(NotFound):
            await agenda.get(EventId(event))
        with pytest.raises(NotFound):
            await agenda.cancel(
                EventId(event), scope="all", etag="1", terms=Terms(), operation=op()
            )


async def test_one_occurrence_is_cancelled_alone(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        second = (await listed(agenda))[1]
        assert second.series == series.id
        await cancel(agenda, second.id)
        await cancel_again(agenda, second.id)
        assert await starts(agenda) == [0 * DAY, 2 * DAY, 3 * DAY]
        assert await is_gone(agenda, second.id)


async def test_an_occurrence_and_the_following_are_cancelled(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY")
        occurrences = await listed(agenda, Span(NINE, NINE + 10 * DAY))
        await move(agenda, occurrences[4], 4 * 24 + 2, "this")
        await cancel(agenda, occurrences[2].id, "following")
        assert await starts(agenda) == [0 * DAY, DAY]
        await cancel_again(agenda, occurrences[2].id, "following")
        assert await starts(agenda) == [0 * DAY, DAY]


async def test_a_series_ends_where_it_was_first_ended(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=9")
        occurrences = await listed(agenda)
        await cancel(agenda, occurrences[5].id)
        await cancel(agenda, occurrences[2].id, "following")
        await cancel_again(agenda, occurrences[5].id, "following")
        assert await starts(agenda) == [0 * DAY, DAY]


async def test_a_series_is_cancelled_by_an_occurrence_that_was_cancelled_alone(
    open_calendars: Open,
) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=9")
        second = (await listed(agenda))[1]
        await cancel(agenda, second.id)
        await cancel_again(agenda, second.id, "all")
        await cancel_again(agenda, series.id, "all")
        assert await listed(agenda) == []
        assert await is_gone(agenda, series.id)


async def test_the_first_and_the_following_are_the_whole_series(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=9")
        first = (await listed(agenda))[0]
        moved = await move(agenda, first, 2, "following")
        assert (moved.id, (await starts(agenda))[0]) == (series.id, 2 * HOUR)
        first = (await listed(agenda))[0]
        await cancel(agenda, first.id, "following")
        assert await is_gone(agenda, series.id)


async def test_what_was_moved_goes_along_with_the_split_off_part(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=5")
        occurrences = await listed(agenda)
        await move(agenda, occurrences[1], 24 + 3, "this")
        moved = await move(agenda, await agenda.get(occurrences[3].id), 3 * 24 + 3, "this")
        split_at = await agenda.get(occurrences[2].id)
        later = await move(agenda, split_at, 2 * 24 + 1, "following")
        assert await starts(agenda) == [
            0 * DAY,
            DAY + 3 * HOUR,
            2 * DAY + HOUR,
            3 * DAY + 3 * HOUR,
            4 * DAY + HOUR,
        ]
        there = [event for event in await listed(agenda) if event.timing == moved.timing]
        assert [event.series for event in there] == [later.id]
        await cancel(agenda, later.id, "all")
        assert await starts(agenda) == [0 * DAY, DAY + 3 * HOUR]


async def test_a_moved_occurrence_can_begin_the_split_off_part(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        second = (await listed(agenda))[1]
        moved = await move(agenda, second, 24 + 3, "this")
        await move(agenda, moved, 24 + 5, "following")
        assert await starts(agenda) == [
            0 * DAY,
            DAY + 5 * HOUR,
            2 * DAY + 5 * HOUR,
            3 * DAY + 5 * HOUR,
        ]


async def test_a_whole_day_series_moves_as_whole_days(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        midnight = datetime(2027, 3, 26, 23, 0, tzinfo=UTC)
        timing = Timing(span=Span(midnight, midnight + DAY), tz="Europe/Berlin", is_all_day=True)
        series = await book(agenda, timing=timing, repeat="FREQ=DAILY;COUNT=3")
        later = Timing(
            span=Span(midnight + DAY, midnight + 2 * DAY - HOUR),
            tz="Europe/Berlin",
            is_all_day=True,
        )
        await agenda.change(
            series.id,
            EventChange(timing=later),
            scope="all",
            etag=series.etag,
            terms=Terms(),
            operation=op(),
        )
        found = await listed(agenda, Span(midnight, midnight + 9 * DAY))
        assert [event.timing.span.start.hour for event in found] == [23, 22, 22]
        assert [event.timing.span.end.hour for event in found] == [22, 22, 22]


async def test_a_whole_series_is_cancelled_with_what_was_moved(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        second = (await listed(agenda))[1]
        moved = await move(agenda, second, 30, "this")
        await cancel(agenda, moved.id, "all")
        assert await listed(agenda) == []


@pytest.mark.parametrize("scope", ["this"])
async def test_this_of_a_whole_series_is_refused(open_calendars: Open, scope: Scope) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        with pytest.raises(InvalidInput):
            await cancel(agenda, series.id, scope)
        with pytest.raises(InvalidInput):
            await move(agenda, series, 2, scope)
        assert len(await listed(agenda)) == 4


async def test_a_single_event_moves_and_keeps_its_id(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        moved = await move(agenda, event, 5, "this")
        assert (moved.id, moved.timing) == (event.id, at(5))
        assert moved.etag != event.etag
        assert await agenda.get(event.id) == moved


async def test_one_occurrence_moves_alone(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=3")
        second = (await listed(agenda))[1]
        moved = await move(agenda, second, 24 + 3, "this")
        assert moved.id == second.id
        assert await starts(agenda) == [0 * DAY, DAY + 3 * HOUR, 2 * DAY]
        back = await move(agenda, moved, 24, "this")
        assert back.timing == second.timing
        assert await starts(agenda) == [0 * DAY, DAY, 2 * DAY]


async def test_an_occurrence_and_the_following_move(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=5")
        occurrences = await listed(agenda)
        await cancel(agenda, occurrences[3].id, "this")
        later = await move(agenda, await agenda.get(occurrences[2].id), 2 * 24 + 6, "following")
        assert later.id != series.id
        assert await starts(agenda) == [0 * DAY, DAY, 2 * DAY + 6 * HOUR, 4 * DAY + 6 * HOUR]


async def test_a_whole_series_moves_with_what_was_taken_out(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        series = await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        occurrences = await listed(agenda)
        await cancel(agenda, occurrences[1].id, "this")
        third = await agenda.get(occurrences[2].id)
        moved = await move(agenda, third, 2 * 24 + 1, "all")
        assert moved.id == series.id
        assert await starts(agenda) == [HOUR, 2 * DAY + HOUR, 3 * DAY + HOUR]


async def test_a_moved_series_does_not_clash_with_itself(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        first = (await listed(agenda))[0]
        effect = await agenda.change(
            first.id,
            EventChange(timing=at(0.5)),
            scope="all",
            etag=first.etag,
            terms=REJECT,
            operation=op(),
        )
        assert effect.result.clashes == ()


async def test_a_move_onto_a_taken_time_is_refused_whole(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        await book(agenda, 24 + 5)
        await book(agenda, repeat="FREQ=DAILY;COUNT=4")
        before = await starts(agenda)
        second = (await listed(agenda))[1]
        for scope in ("this", "following", "all"):
            with pytest.raises(Conflict):
                await agenda.change(
                    second.id,
                    EventChange(timing=at(24 + 5)),
                    scope=scope,
                    etag=second.etag,
                    terms=REJECT,
                    operation=op(),
                )
        assert await starts(agenda) == before


async def test_a_change_of_what_was_changed_meanwhile_is_refused(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        await move(agenda, event, 2, "this")
        with pytest.raises(Conflict) as refused:
            await move(agenda, event, 3, "this")
        assert refused.value.code == "changed_meanwhile"


async def test_a_cancelled_event_does_not_change(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        await cancel(agenda, event.id)
        with pytest.raises((Conflict, NotFound)) as refused:
            await move(agenda, event, 3, "this")
        assert refused.value.code in ("changed_meanwhile", "cancelled", "not_found")
        assert await is_gone(agenda, event.id)


async def test_the_same_key_is_the_same_event(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        first = await agenda.create(new(), REJECT, op("k", start=9))
        again = await agenda.create(new(), REJECT, op("k", start=9))
        assert (again.result, again.is_replay) == (first.result, True)
        assert await agenda.earlier(op("k", start=9)) == again
        with pytest.raises(Conflict) as refused:
            await agenda.create(new(5), REJECT, op("k", start=14))
        assert refused.value.code == "operation_key_reused"
        with pytest.raises(Conflict):
            await agenda.earlier(op("k", start=14))
        assert len(await listed(agenda)) == 1


async def test_a_repeated_change_and_cancellation_are_done_once(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        change = EventChange(title="Colour")
        for replay in (False, True):
            effect = await agenda.change(
                event.id, change, scope="this", etag=event.etag, terms=Terms(), operation=op("c")
            )
            assert (effect.is_replay, effect.result.event.title) == (replay, "Colour")
        etag = effect.result.event.etag
        for replay in (False, True):
            gone = await agenda.cancel(
                event.id, scope="this", etag=etag, terms=Terms(), operation=op("d")
            )
            assert (gone.is_replay, gone.result.event.status) == (replay, "cancelled")


async def test_of_many_bookings_at_once_one_wins(open_calendars: Open) -> None:
    won: list[str] = []
    async with open_calendars() as agenda:

        async def attempt(number: int) -> None:
            with suppress(Conflict):
                effect = await agenda.create(new(0.1 * number), REJECT, op(f"k{number}"))
                won.append(effect.result.event.id)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for number in range(9):
                    group.start_soon(attempt, number)
        assert [event.id for event in await listed(agenda)] == won


async def test_a_repeat_at_the_same_moment_is_one_event(open_calendars: Open) -> None:
    replays: list[bool] = []
    async with open_calendars() as agenda:

        async def attempt() -> None:
            replays.append((await agenda.create(new(), REJECT, op("k"))).is_replay)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(attempt)
        assert sorted(replays) == [False] + [True] * 7
        assert len(await listed(agenda)) == 1


async def test_a_cancellation_of_what_changed_meanwhile_is_refused(
    open_calendars: Open,
) -> None:
    async with open_calendars() as agenda:
        event = await book(agenda)
        moved = await move(agenda, event, 2, "this")
        with pytest.raises(Conflict) as refused:
            await agenda.cancel(
                event.id, scope="this", etag=event.etag, terms=Terms(), operation=op()
            )
        assert refused.value.code == "changed_meanwhile"
        assert await agenda.get(event.id) == moved


async def test_nine_stays_nine_when_the_clocks_change(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        start = datetime(2027, 3, 26, 8, 0, tzinfo=UTC)
        timing = Timing(span=Span(start, start + HOUR), tz="Europe/Berlin")
        await book(agenda, timing=timing, repeat="FREQ=DAILY;COUNT=4")
        found = await listed(agenda, Span(start - DAY, start + 9 * DAY))
        assert [event.timing.span.start.hour for event in found] == [8, 8, 7, 7]
        assert {event.timing.tz for event in found} == {"Europe/Berlin"}
        busy = await agenda.busy(Span(start - DAY, start + 9 * DAY), [MAIN])
        assert list(busy) == [event.timing.span for event in found]


async def test_the_connection_is_proved_by_a_read(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        probe = await agenda.probe()
        assert probe.name
        assert probe.can


async def test_no_text_makes_a_calendar_unreadable(open_calendars: Open) -> None:
    async with open_calendars() as agenda:
        title = "a\x0bb\x1f; c, \\d\uffff <&]]> \N{BLACK SCISSORS}"
        event = await book(agenda, title=title, description="one\r\ntwo\n\n--", location="R;1,2")
        kept = "".join(one for one in event.title if one.isprintable())
        assert kept == "ab; c, \\d <&]]> \N{BLACK SCISSORS}"
        assert await listed(agenda) == [event]
