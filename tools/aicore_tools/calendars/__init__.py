"""Events, series and free times in the calendars of a business."""

from aicore_tools.calendars.availability import FreeAsked, FreeTimes
from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.invitations import InviteeRules
from aicore_tools.calendars.plans import (
    Booking,
    CancelPlan,
    CreatePlan,
    Edit,
    EventsAsked,
    EventsGiven,
    RespondPlan,
    UpdatePlan,
)
from aicore_tools.calendars.port import Agenda
from aicore_tools.calendars.reading import TimeGiven
from aicore_tools.calendars.records import (
    Answer,
    Attendee,
    Booked,
    Calendar,
    Event,
    NewEvent,
    Span,
    Terms,
    Timing,
)
from aicore_tools.calendars.registry import BACKENDS, AgendaSettings, agenda
from aicore_tools.calendars.service import CalendarService

__all__ = [
    "BACKENDS",
    "Agenda",
    "AgendaSettings",
    "Answer",
    "Attendee",
    "Booked",
    "Booking",
    "Calendar",
    "CalendarService",
    "CancelPlan",
    "CreatePlan",
    "Edit",
    "Event",
    "EventsAsked",
    "EventsGiven",
    "FreeAsked",
    "FreeTimes",
    "InviteeRules",
    "NewEvent",
    "OpeningHours",
    "RespondPlan",
    "Span",
    "Terms",
    "TimeGiven",
    "Timing",
    "UpdatePlan",
    "agenda",
]
