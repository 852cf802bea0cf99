"""The calendars as an MCP server: `aicore-calendars`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import Field

from aicore_servers._serve import Option, Program, ServeSettings, in_process, serve
from aicore_servers._tooling import BusinessServer, Toolbox, current_call
from aicore_tools.calendars import (
    BACKENDS,
    AgendaSettings,
    Booking,
    CalendarService,
    Edit,
    Event,
    EventsAsked,
    FreeAsked,
    OpeningHours,
    Outcome,
    Span,
    Terms,
    TimeGiven,
    agenda,
)
from aicore_tools.calendars.records import Notify, OnClash, Scope
from aicore_tools.errors import BackendConfigError, InvalidInput, NotFound
from aicore_tools.operations import Effect

__all__ = ["create", "main", "server"]

INSTRUCTIONS = (
    "The business's appointments. Look with calendar_free before you offer or book a time, book"
    " with calendar_create and on_clash=reject, and give customers the times exactly as returned."
    " Times are RFC 3339; one without an offset is local time of the business."
)
MAX_BRIEF_CHARS = 200

HOURS = Option(
    name="hours",
    help="opening hours by the clock of --tz (default: Mon-Fri 09:00-17:00)",
    default="Mon-Fri 09:00-17:00",
)
CALENDARS = Option(
    name="calendars",
    help="names of the calendars, of people or rooms, the default one first (default: main)",
    default="main",
)

_toolbox = Toolbox()
_Calendars = Context[CalendarService]


def _service(ctx: _Calendars) -> CalendarService:
    return ctx.request_context.lifespan_context


@_toolbox.read
async def calendar_free(
    ctx: _Calendars,
    start: str,
    end: str,
    who: Sequence[str] = (),
    minutes: Annotated[int, Field(ge=5, le=1440)] = 30,
    hours: str | None = None,
    tz: str | None = None,
    limit: Annotated[int, Field(ge=1, le=20)] = 5,
) -> dict[str, Any]:
    """Find free slots of `minutes` length between `start` and `end` within the opening hours.

    A date as `end` means until the end of that day. `who`: calendars that must all be free,
    default the main one. `hours`: instead of the opening hours, such as 13:00-17:00 (on open days)
    or Sat 10:00-12:00. `tz`: IANA zone to read and show times in. If nothing is free, next_free
    gives the next later slots.
    """
    free = await _service(ctx).free(
        FreeAsked(start=start, end=end, who=who, minutes=minutes, hours=hours, tz=tz, limit=limit)
    )
    body: dict[str, Any] = {
        "slots": [_slot(slot, free.zone) for slot in free.slots],
        "tz": free.zone.key,
    }
    if not free.slots:
        body["next_free"] = [_slot(slot, free.zone) for slot in free.next_free]
    if free.has_more:
        body["truncated"] = True
    return body


@_toolbox.read
async def calendar_events(
    ctx: _Calendars,
    id: str | None = None,
    start: str | None = None,
    end: str | None = None,
    query: str = "",
    calendars: Sequence[str] = (),
    detail: Literal["brief", "full"] = "brief",
    limit: Annotated[int, Field(ge=1, le=250)] = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """List events that overlap a window, in order, or read one by `id`.

    Default window: the next 30 days. `query`: text in title, location, description or attendees.
    `calendars`: default all. Repeating events are listed as single occurrences. If next_cursor is
    returned there are more: repeat the call with it as cursor.
    """
    service = _service(ctx)
    if id is not None:
        return {"events": [_full(await service.event(id))]}
    given = await service.events(
        EventsAsked(
            start=start, end=end, query=query, calendars=calendars, limit=limit, cursor=cursor
        )
    )
    shape = _full if detail == "full" else _brief
    return {
        "events": [shape(event) for event in given.events],
        "next_cursor": given.next_cursor,
    }


@_toolbox.read
async def calendar_calendars(ctx: _Calendars, account: str = "") -> dict[str, Any]:
    """List the calendars with their time zones, and the current time.

    `account`: only where several accounts are connected.
    """
    if account:
        raise NotFound(f"There is no account {account[:80]!r}.", hint="Leave account out.")
    service = _service(ctx)
    return {
        "calendars": [
            {"id": calendar.id, "tz": calendar.tz, "default": calendar.is_default}
            for calendar in await service.calendars()
        ],
        "now": service.now.isoformat(timespec="seconds"),
    }


@_toolbox.effect()
async def calendar_create(
    ctx: _Calendars,
    title: str,
    start: str,
    end: str,
    tz: str | None = None,
    attendees: Sequence[str] = (),
    location: str = "",
    description: str = "",
    repeat: str = "",
    video: bool = False,
    reminders: Sequence[int] = (),
    calendar: str | None = None,
    notify: Notify = "none",
    on_clash: OnClash = "warn",
) -> Effect[dict[str, Any]]:
    """Book an event.

    `start`, `end`: two times, or two dates for whole days, the last day included. `tz`: IANA zone
    of times without an offset. `repeat`: RRULE such as FREQ=WEEKLY;COUNT=10. `reminders`: minutes
    before. `on_clash`: reject books only if the time is free, and else names the next free times;
    warn books and lists the clashes; ignore books and says nothing.
    """
    booking = Booking(
        title=title,
        time=TimeGiven(start=start, end=end, tz=tz),
        attendees=attendees,
        location=location,
        description=description,
        repeat=repeat,
        reminders=reminders,
        calendar=calendar,
        wants_video=video,
    )
    terms = Terms(on_clash=on_clash, notify=notify)
    effect = await _service(ctx).create(booking, terms, current_call().operation)
    return effect.map(_booked)


@_toolbox.effect(idempotent=True)
async def calendar_update(
    ctx: _Calendars,
    id: str,
    set: dict[str, Any],
    scope: Scope = "this",
    etag: str | None = None,
    notify: Notify = "none",
    on_clash: OnClash = "warn",
) -> Effect[dict[str, Any]]:
    """Change or move an event.

    `set`: what is to be different: title, start, end, tz, location, description, attendees,
    reminders, repeat; with start alone the length stays. `scope`: of a repeating event this
    occurrence, it and the following, or all. `etag`: change only if it is still the event's.
    `on_clash` as in calendar_create.
    """
    effect = await _service(ctx).update(
        Edit(event=id, set=set, scope=scope, etag=etag),
        Terms(on_clash=on_clash, notify=notify),
        current_call().operation,
    )
    return effect.map(_booked)


@_toolbox.effect(destructive=True, idempotent=True)
async def calendar_cancel(
    ctx: _Calendars,
    id: str,
    scope: Scope = "this",
    notify: Notify = "all",
    message: str = "",
) -> Effect[dict[str, Any]]:
    """Cancel an event.

    `scope`: of a repeating event this occurrence, it and the following, or all. `message`: goes to
    the attendees who are notified.
    """
    effect = await _service(ctx).cancel(
        id,
        scope=scope,
        terms=Terms(notify=notify, message=message),
        operation=current_call().operation,
    )
    return effect.map(
        lambda outcome: {"event": _full(outcome.event), "warnings": outcome.warnings or None}
    )


def _booked(outcome: Outcome) -> dict[str, Any]:
    return {
        "event": _full(outcome.event),
        "clashes": [_brief(event) for event in outcome.clashes],
        "warnings": outcome.warnings or None,
    }


def _slot(span: Span, zone: ZoneInfo) -> dict[str, str]:
    return {
        "start": span.start.astimezone(zone).isoformat(),
        "end": span.end.astimezone(zone).isoformat(),
    }


def _times(event: Event) -> dict[str, str]:
    """Show when an event is, in its own zone; whole days as dates, the last one included."""
    zone = ZoneInfo(event.timing.tz)
    if not event.timing.is_all_day:
        return _slot(event.timing.span, zone)
    last = event.timing.span.end.astimezone(zone).date() - timedelta(days=1)
    first = event.timing.span.start.astimezone(zone).date()
    return {"start": first.isoformat(), "end": last.isoformat()}


def _brief(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "title": event.title,
        **_times(event),
        "calendar": event.calendar,
        "location": event.location[:MAX_BRIEF_CHARS] or None,
    }


def _full(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "title": event.title,
        **_times(event),
        "tz": event.timing.tz,
        "status": event.status,
        "calendar": event.calendar,
        "location": event.location or None,
        "description": event.description or None,
        "attendees": event.attendees or None,
        "repeat": event.repeat or None,
        "reminders": event.reminders_min or None,
        "series": event.series,
        "etag": event.etag,
    }


def create(settings: ServeSettings) -> MCPServer[CalendarService]:
    """Make the server; its lifespan opens the backend.

    Raises:
        BackendConfigError: an option cannot be read.
    """
    try:
        hours = OpeningHours.read(HOURS.of(settings))
    except InvalidInput as error:
        raise BackendConfigError(f"--hours: {error.message}", hint=error.hint) from error
    names = [name.strip() for name in CALENDARS.of(settings).split(",")]
    if not all(names) or len({name.casefold() for name in names}) < len(names):
        raise BackendConfigError("--calendars: give names that differ, such as main,anna,room-2.")

    @asynccontextmanager
    async def lifespan(_: MCPServer[CalendarService]) -> AsyncIterator[CalendarService]:
        backend = AgendaSettings(
            data_dir=settings.data_dir,
            business=settings.business,
            tz=settings.time_zone,
            calendars=names,
        )
        async with agenda(settings.backend, backend) as opened:
            yield CalendarService(opened, zone=ZoneInfo(settings.time_zone), hours=hours)

    return BusinessServer(
        "aicore-calendars", instructions=INSTRUCTIONS, toolbox=_toolbox, lifespan=lifespan
    )


PROGRAM = Program(
    name="aicore-calendars",
    description="Appointments, free times and repeating events.",
    create=create,
    backends=tuple(BACKENDS),
    options=(HOURS, CALENDARS),
)


def server(*args: str) -> MCPServer[Any]:
    """Make the server for use in this process; `args` as on the command line."""
    return in_process(PROGRAM, args)


def main() -> None:
    """Run `aicore-calendars`."""
    serve(PROGRAM)


if __name__ == "__main__":
    main()
