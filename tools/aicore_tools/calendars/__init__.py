"""Events, series and free times in the calendars of a business."""

from aicore_tools.calendars.availability import FreeAsked, FreeTimes
from aicore_tools.calendars.hours import OpeningHours
from aicore_tools.calendars.port import Agenda
from aicore_tools.calendars.reading import TimeGiven
from aicore_tools.calendars.records import Booked, Calendar, Event, NewEvent, Span, Terms, Timing
from aicore_tools.calendars.registry import BACKENDS, AgendaSettings, agenda
from aicore_tools.calendars.service import (
    Booking,
    CalendarService,
    Edit,
    EventsAsked,
    EventsGiven,
    Outcome,
)

__all__ = [
    "BACKENDS",
    "Agenda",
    "AgendaSettings",
    "Booked",
    "Booking",
    "Calendar",
    "CalendarService",
    "Edit",
    "Event",
    "EventsAsked",
    "EventsGiven",
    "FreeAsked",
    "FreeTimes",
    "NewEvent",
    "OpeningHours",
    "Outcome",
    "Span",
    "Terms",
    "TimeGiven",
    "Timing",
    "agenda",
]
