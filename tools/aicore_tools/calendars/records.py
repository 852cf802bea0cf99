"""The records of calendars: what every backend gives and takes. No I/O, no vendor word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NewType

__all__ = [
    "Answer",
    "Attendee",
    "Booked",
    "Calendar",
    "CalendarId",
    "Cursor",
    "Event",
    "EventChange",
    "EventId",
    "EventPage",
    "EventQuery",
    "NewEvent",
    "Notify",
    "OnClash",
    "Response",
    "Scope",
    "Span",
    "Status",
    "Terms",
    "Timing",
]

CalendarId = NewType("CalendarId", str)
EventId = NewType("EventId", str)
"""Names one event, a whole series, or one occurrence of a series."""

Notify = Literal["none", "external", "all"]
OnClash = Literal["warn", "reject", "ignore"]
Response = Literal["needs_action", "accepted", "declined", "tentative"]
Scope = Literal["this", "following", "all"]
Status = Literal["confirmed", "cancelled"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time, half open: `end` no longer belongs to it. Both are in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is not UTC or self.end.tzinfo is not UTC:
            raise ValueError("A span is in UTC: other zones compare by the clock on the wall.")

    def overlaps(self, other: Span) -> bool:
        """Say whether the two share any moment; spans that only touch do not."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """One calendar: of a person, a room, or the whole business.

    `name` is what people call it, empty where that is the id. `can_write` is False where events
    can only be read. `address` is the e-mail address of its owner, empty where that is not known.
    `tells_attendees`: the backend itself mails invitations, changes and cancellations.
    `keeps_telling`: whom it invited it tells of every change and of the end, whatever is asked,
    and of the end nobody else. `sends_messages`: it sends the message of a cancellation along.
    `makes_video`: it can make a video room for an event.
    """

    id: CalendarId
    tz: str
    is_default: bool
    name: str = ""
    can_write: bool = True
    address: str = ""
    tells_attendees: bool = False
    keeps_telling: bool = False
    sends_messages: bool = False
    makes_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When something happens. An all-day one runs from local midnight to local midnight."""

    span: Span
    tz: str
    is_all_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendee:
    """Somebody who is invited.

    `address` is an e-mail address, its domain in lower case; two attendees of one event never
    have the same. `name` may be empty. `is_self`: whose account this is; at most one of an event.
    """

    address: str
    name: str = ""
    response: Response = "needs_action"
    is_optional: bool = False
    is_self: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """What is to be booked. `repeat` is an RFC 5545 rule, or empty for a single event."""

    calendar: CalendarId
    title: str
    timing: Timing
    attendees: tuple[Attendee, ...] = ()
    location: str = ""
    description: str = ""
    repeat: str = ""
    reminders_min: tuple[int, ...] = ()
    wants_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an effect is done: what if the time is taken, and whom of the attendees to tell what.

    `external` are those whose address is in another domain than the calendar's own.
    """

    on_clash: OnClash = "warn"
    notify: Notify = "none"
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A booked event, a series (`repeat` is set), or one occurrence of a series.

    `series` is set on an occurrence only. `etag` changes with every change of the event; of an
    occurrence it may change with the whole series. `organizer` is the address of whoever invited,
    empty where that is nobody or not known. `invited` are the addresses that a backend which
    keeps telling has invited. `video_url` is where to join, `url` shows the event to a person;
    both may be empty.
    """

    id: EventId
    calendar: CalendarId
    title: str
    timing: Timing
    status: Status = "confirmed"
    attendees: tuple[Attendee, ...] = ()
    location: str = ""
    description: str = ""
    repeat: str = ""
    reminders_min: tuple[int, ...] = ()
    series: EventId | None = None
    etag: str = ""
    organizer: str = ""
    invited: tuple[str, ...] = ()
    video_url: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChange:
    """What is to be different; None leaves a field as it is, an empty value clears it.

    `attendees` are all of them as they are to be; those that stay carry their response.
    """

    title: str | None = None
    timing: Timing | None = None
    attendees: tuple[Attendee, ...] | None = None
    location: str | None = None
    description: str | None = None
    repeat: str | None = None
    reminders_min: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the own attendee answers to an invitation; `comment` is for the organizer."""

    response: Literal["accepted", "declined", "tentative"]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """An event as it stands after an effect, and what else is at that time.

    `clashes` are at most 20 events, and none where clashes are ignored. `told` are the addresses
    that the backend sends a mail about it. `warnings` are sentences for the caller, such as that
    nobody was told.
    """

    event: Event
    clashes: tuple[Event, ...] = ()
    told: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Where a page ended: the start and the id of its last event."""

    start: datetime
    id: EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events: those that overlap `window` and contain `text`, `limit` of them.

    `text` is matched without regard to case in title, place, description and attendees.
    `after` goes on behind an earlier page.
    """

    window: Span
    calendars: tuple[CalendarId, ...]
    text: str = ""
    after: Cursor | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events in the order of (start, id), and where to go on, None at the end."""

    events: tuple[Event, ...]
    next: Cursor | None = None
