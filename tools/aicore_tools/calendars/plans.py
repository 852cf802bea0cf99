"""What a caller asks for, and the plans made of it: checked, in full, and nothing done yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aicore_tools.calendars.reading import TimeGiven
from aicore_tools.calendars.records import Answer, Event, EventChange, NewEvent, Scope, Terms

__all__ = [
    "Booking",
    "CancelPlan",
    "CreatePlan",
    "Edit",
    "EventsAsked",
    "EventsGiven",
    "RespondPlan",
    "UpdatePlan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsAsked:
    """A question for events as a caller gives it; without a window the next 30 days.

    A `cursor` goes on with the same question: everything but `limit` must be as it was.
    """

    start: str | None = None
    end: str | None = None
    query: str = ""
    calendars: Sequence[str] = ()
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsGiven:
    """Events in order, and the cursor of the next page, None at the end."""

    events: tuple[Event, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A booking as a caller gives it."""

    title: str
    time: TimeGiven
    attendees: Sequence[str] = ()
    location: str = ""
    description: str = ""
    repeat: str = ""
    reminders: Sequence[int] = ()
    calendar: str | None = None
    wants_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change as a caller gives it; without an `etag` it holds for the present state."""

    event: str
    set: Mapping[str, Any]
    scope: Scope = "this"
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlan:
    """A booking: what it is, what else is at that time, and whom the backend would tell."""

    new: NewEvent
    terms: Terms
    clashes: tuple[Event, ...] = ()
    told: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePlan:
    """A change of the named event from `before` to `after`, and of the others that `scope` means.

    `clashes` are those of all that move.
    """

    before: Event
    after: Event
    change: EventChange
    scope: Scope
    etag: str
    terms: Terms
    clashes: tuple[Event, ...] = ()
    told: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPlan:
    """A cancellation, and whom the backend would tell.

    `is_done`: all that it is about was cancelled before; there is nothing to do.
    """

    event: Event
    scope: Scope
    terms: Terms
    is_done: bool = False
    told: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RespondPlan:
    """An answer to an invitation; `event` is as it is before."""

    event: Event
    answer: Answer
    scope: Literal["this", "all"]
