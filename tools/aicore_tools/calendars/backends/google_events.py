"""Google's events and ours: times, people, rules, and how an event is named over calendars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aicore_tools.calendars.changes import local_time
from aicore_tools.calendars.invitations import is_own
from aicore_tools.calendars.records import (
    Attendee,
    Calendar,
    CalendarId,
    Event,
    EventChange,
    EventId,
    NewEvent,
    Response,
    Span,
    Timing,
)
from aicore_tools.times import midnight

__all__ = [
    "MARK",
    "WAS",
    "body_of",
    "change_body",
    "event_of",
    "marked",
    "named",
    "original_start",
    "people_body",
    "rule_lines",
    "stamp",
    "time_body",
    "timing_of",
    "unnamed",
]

MARK = "aicoreOp"
"""The private property that says which of our effects wrote an event last."""

WAS = "aicoreWas"
"""The private property that says which occurrence of a split series an event was."""

_RESPONSES: Mapping[str, Response] = {
    "needsAction": "needs_action",
    "accepted": "accepted",
    "declined": "declined",
    "tentative": "tentative",
}
_OURS = {ours: theirs for theirs, ours in _RESPONSES.items()}
_ID = re.compile(r"[A-Za-z0-9_]{5,1100}")
_UNTIL = re.compile(r"UNTIL=(\d{8})(T\d{6}Z?)?")


def named(event: str, calendar: Calendar) -> EventId:
    """Name an event: in the default calendar by its id, in others with the calendar's behind."""
    return EventId(event if calendar.is_default else f"{event}@{calendar.id}")


def unnamed(event: str, calendars: Sequence[Calendar]) -> tuple[Calendar, str] | None:
    """Give calendar and Google's id of a name; None where it can be none."""
    key, at, calendar_id = event.partition("@")
    for calendar in calendars:
        if calendar.is_default if not at else calendar.id == calendar_id:
            return (calendar, key) if _ID.fullmatch(key) else None
    return None


def stamp(moment: datetime, timing: Timing) -> str:
    """Give what Google puts behind a series' id to name the occurrence that starts at `moment`."""
    if timing.is_all_day:
        return local_time(moment, timing.tz).strftime("%Y%m%d")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def timing_of(event: Mapping[str, Any], tz: str) -> Timing:
    """Read when an event is; whole days are days of the calendar's zone `tz`."""
    start, end = event["start"], event["end"]
    if "date" in start:
        zone = ZoneInfo(tz)
        days = [midnight(date.fromisoformat(each["date"]), zone) for each in (start, end)]
        return Timing(span=Span(days[0], days[1]), tz=tz, is_all_day=True)
    return Timing(span=Span(_moment(start), _moment(end)), tz=_zone(start.get("timeZone"), tz))


def original_start(event: Mapping[str, Any], tz: str) -> datetime | None:
    """Give where the rule of its series puts an occurrence; None where it is none."""
    given = event.get("originalStartTime")
    if given is None:
        return None
    if "date" in given:
        return midnight(date.fromisoformat(given["date"]), ZoneInfo(tz))
    return _moment(given)


def event_of(event: Mapping[str, Any], calendar: Calendar, own: Sequence[str]) -> Event:
    """Read an event; `own` are the addresses whose account this is."""
    series = event.get("recurringEventId")
    rule = next((r for r in event.get("recurrence", ()) if r.startswith("RRULE:")), "")
    overrides = event.get("reminders", {}).get("overrides", ())
    return marked(
        Event(
            id=named(event["id"], calendar),
            calendar=CalendarId(calendar.id),
            title=event.get("summary", ""),
            timing=timing_of(event, calendar.tz),
            status="cancelled" if event["status"] == "cancelled" else "confirmed",
            attendees=tuple(_attendee(each) for each in event.get("attendees", ())),
            location=event.get("location", ""),
            description=event.get("description", ""),
            repeat=rule.removeprefix("RRULE:"),
            reminders_min=tuple(sorted({each["minutes"] for each in overrides}, reverse=True)),
            series=named(series, calendar) if series else None,
            etag=event.get("etag", ""),
            organizer=event.get("organizer", {}).get("email", ""),
            video_url=event.get("hangoutLink", ""),
            url=event.get("htmlLink", ""),
        ),
        own,
    )


def marked(event: Event, own: Sequence[str]) -> Event:
    """Give the event with the first of its attendees who is `own` marked as such."""
    mine = next((one for one in event.attendees if is_own(one.address, own)), None)
    return replace(
        event, attendees=tuple(replace(one, is_self=one is mine) for one in event.attendees)
    )


def body_of(new: NewEvent | Event) -> dict[str, Any]:
    """Write what is to be booked."""
    body: dict[str, Any] = {
        "summary": new.title,
        **_without_null(time_body(new.timing)),
        "attendees": people_body(new.attendees),
        "location": new.location,
        "description": new.description,
    }
    if new.repeat:
        body["recurrence"] = rule_lines(new.repeat, new.timing)
    if new.reminders_min:
        body["reminders"] = _reminders(new.reminders_min)
    return body


def _without_null(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: value for key, value in given.items() if value is not None}
        for name, given in body.items()
    }


def change_body(change: EventChange, timing: Timing) -> dict[str, Any]:
    """Write a change as a patch; `timing` is when the event will be."""
    texts = {
        "summary": change.title,
        "location": change.location,
        "description": change.description,
    }
    body: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    if change.timing is not None:
        body |= time_body(change.timing)
    if change.attendees is not None:
        body["attendees"] = people_body(change.attendees)
    if change.repeat is not None:
        body["recurrence"] = rule_lines(change.repeat, timing) if change.repeat else []
    if change.reminders_min is not None:
        body["reminders"] = _reminders(change.reminders_min)
    return body


def time_body(timing: Timing) -> dict[str, Any]:
    """Write a time; in a patch the null takes out what was there instead."""
    return {name: _time(at, timing) for name, at in _ends(timing)}


def people_body(attendees: Sequence[Attendee]) -> list[dict[str, Any]]:
    """Write attendees with the answers they gave."""
    return [
        {
            "email": one.address,
            "responseStatus": _OURS[one.response],
            **({"displayName": one.name} if one.name else {}),
            **({"optional": True} if one.is_optional else {}),
        }
        for one in attendees
    ]


def rule_lines(rule: str, timing: Timing) -> list[str]:
    """Write a rule; its UNTIL is a date for whole days and a moment for times (RFC 5545)."""
    found = _UNTIL.search(rule)
    if found is None:
        return [f"RRULE:{rule}"]
    day, clock = found[1], found[2] or ""
    zone = ZoneInfo(timing.tz)
    read = datetime.fromisoformat(f"{day}{clock.rstrip('Z') or 'T235959'}")
    moment = read.replace(tzinfo=UTC if clock.endswith("Z") else zone)
    until = f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    if timing.is_all_day:
        until = f"{moment.astimezone(zone):%Y%m%d}"
    return [f"RRULE:{_UNTIL.sub(f'UNTIL={until}', rule)}"]


def _ends(timing: Timing) -> Sequence[tuple[str, datetime]]:
    return (("start", timing.span.start), ("end", timing.span.end))


def _time(at: datetime, timing: Timing) -> dict[str, Any]:
    local = at.astimezone(ZoneInfo(timing.tz))
    if timing.is_all_day:
        # The end of a day that the clocks make longer is still its midnight.
        day = (local + timedelta(hours=2)).date()
        return {"date": day.isoformat(), "dateTime": None, "timeZone": None}
    return {"dateTime": local.isoformat(), "timeZone": timing.tz, "date": None}


def _zone(given: str | None, else_tz: str) -> str:
    """Give the zone of an event; some clients write one that is none of IANA's."""
    try:
        return ZoneInfo(given or else_tz).key
    except (ValueError, OSError, LookupError):
        return else_tz


def _moment(given: Mapping[str, str]) -> datetime:
    return datetime.fromisoformat(given["dateTime"]).astimezone(UTC)


def _attendee(given: Mapping[str, Any]) -> Attendee:
    local, _, domain = given.get("email", "").rpartition("@")
    return Attendee(
        address=f"{local}@{domain.lower()}" if local else domain,
        name=given.get("displayName", ""),
        response=_RESPONSES.get(given.get("responseStatus", ""), "needs_action"),
        is_optional=given.get("optional", False),
    )


def _reminders(minutes: Sequence[int]) -> dict[str, Any]:
    overrides = [{"method": "popup", "minutes": each} for each in minutes]
    return {"useDefault": False, "overrides": overrides}
