"""Records as plain JSON and back, for what is kept on disk about an effect."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from aicore_tools.calendars.records import (
    Attendee,
    Booked,
    CalendarId,
    Event,
    EventChange,
    EventId,
    NewEvent,
    Span,
    Terms,
    Timing,
)

__all__ = [
    "attendees_from_json",
    "attendees_to_json",
    "booked_from_json",
    "booked_to_json",
    "change_from_json",
    "change_to_json",
    "event_from_json",
    "event_to_json",
    "new_from_json",
    "new_to_json",
    "terms_from_json",
    "terms_to_json",
]


def attendees_to_json(attendees: Iterable[Attendee]) -> list[dict[str, Any]]:
    """Give plain JSON for attendees; whose account it is goes unsaid, it may change."""
    return [
        {
            "address": one.address,
            "name": one.name,
            "response": one.response,
            "is_optional": one.is_optional,
        }
        for one in attendees
    ]


def attendees_from_json(stored: Iterable[Any]) -> tuple[Attendee, ...]:
    """Undo `attendees_to_json`; before format 2 an attendee was its address alone."""
    return tuple(
        Attendee(address=one) if isinstance(one, str) else Attendee(**one) for one in stored
    )


def timing_to_json(timing: Timing) -> dict[str, Any]:
    """Give plain JSON for a timing, its moments in seconds since 1970."""
    return {
        "start_s": int(timing.span.start.timestamp()),
        "end_s": int(timing.span.end.timestamp()),
        "tz": timing.tz,
        "is_all_day": timing.is_all_day,
    }


def timing_from_json(stored: dict[str, Any]) -> Timing:
    """Undo `timing_to_json`."""
    return Timing(
        span=Span(
            datetime.fromtimestamp(stored["start_s"], UTC),
            datetime.fromtimestamp(stored["end_s"], UTC),
        ),
        tz=stored["tz"],
        is_all_day=stored["is_all_day"],
    )


def event_to_json(event: Event) -> dict[str, Any]:
    """Give plain JSON for an event."""
    return {
        "id": event.id,
        "calendar": event.calendar,
        "title": event.title,
        **timing_to_json(event.timing),
        "status": event.status,
        "attendees": attendees_to_json(event.attendees),
        "location": event.location,
        "description": event.description,
        "repeat": event.repeat,
        "reminders_min": list(event.reminders_min),
        "series": event.series,
        "etag": event.etag,
        "organizer": event.organizer,
        "invited": list(event.invited),
        "video_url": event.video_url,
        "url": event.url,
    }


def event_from_json(stored: dict[str, Any]) -> Event:
    """Undo `event_to_json`."""
    return Event(
        id=EventId(stored["id"]),
        calendar=CalendarId(stored["calendar"]),
        title=stored["title"],
        timing=timing_from_json(stored),
        status=stored["status"],
        attendees=attendees_from_json(stored["attendees"]),
        location=stored["location"],
        description=stored["description"],
        repeat=stored["repeat"],
        reminders_min=tuple(stored["reminders_min"]),
        series=stored["series"],
        etag=stored["etag"],
        organizer=stored.get("organizer", ""),
        invited=tuple(stored.get("invited", ())),
        video_url=stored.get("video_url", ""),
        url=stored.get("url", ""),
    )


def booked_to_json(booked: Booked) -> dict[str, Any]:
    """Give plain JSON for the result of an effect."""
    return {
        "event": event_to_json(booked.event),
        "clashes": [event_to_json(event) for event in booked.clashes],
        "told": list(booked.told),
        "warnings": list(booked.warnings),
    }


def booked_from_json(stored: dict[str, Any]) -> Booked:
    """Undo `booked_to_json`."""
    return Booked(
        event=event_from_json(stored["event"]),
        clashes=tuple(event_from_json(event) for event in stored["clashes"]),
        told=tuple(stored.get("told", ())),
        warnings=tuple(stored.get("warnings", ())),
    )


def new_to_json(new: NewEvent) -> dict[str, Any]:
    """Give plain JSON for what is to be booked."""
    return {
        "calendar": new.calendar,
        "title": new.title,
        "timing": timing_to_json(new.timing),
        "attendees": attendees_to_json(new.attendees),
        "location": new.location,
        "description": new.description,
        "repeat": new.repeat,
        "reminders_min": list(new.reminders_min),
        "wants_video": new.wants_video,
    }


def new_from_json(stored: dict[str, Any]) -> NewEvent:
    """Undo `new_to_json`."""
    return NewEvent(
        **{
            **stored,
            "timing": timing_from_json(stored["timing"]),
            "attendees": attendees_from_json(stored["attendees"]),
            "reminders_min": tuple(stored["reminders_min"]),
        }
    )


def change_to_json(change: EventChange) -> dict[str, Any]:
    """Give plain JSON for a change; what stays is null."""
    return {
        "title": change.title,
        "timing": None if change.timing is None else timing_to_json(change.timing),
        "attendees": None if change.attendees is None else attendees_to_json(change.attendees),
        "location": change.location,
        "description": change.description,
        "repeat": change.repeat,
        "reminders_min": None if change.reminders_min is None else list(change.reminders_min),
    }


def change_from_json(stored: dict[str, Any]) -> EventChange:
    """Undo `change_to_json`."""
    timing, attendees = stored["timing"], stored["attendees"]
    reminders = stored["reminders_min"]
    return EventChange(
        **{
            **stored,
            "timing": None if timing is None else timing_from_json(timing),
            "attendees": None if attendees is None else attendees_from_json(attendees),
            "reminders_min": None if reminders is None else tuple(reminders),
        }
    )


def terms_to_json(terms: Terms) -> dict[str, Any]:
    """Give plain JSON for terms."""
    return {"on_clash": terms.on_clash, "notify": terms.notify, "message": terms.message}


def terms_from_json(stored: dict[str, Any]) -> Terms:
    """Undo `terms_to_json`."""
    return Terms(**stored)
