"""Reading Google Calendar: calendars, events in order, what is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import anyio

from aicore_tools.calendars.backends.google_events import (
    WAS,
    event_of,
    original_start,
    timing_of,
    unnamed,
)
from aicore_tools.calendars.backends.google_plans import Found
from aicore_tools.calendars.invitations import is_own
from aicore_tools.calendars.records import (
    Calendar,
    CalendarId,
    Cursor,
    Event,
    EventId,
    EventPage,
    EventQuery,
    Span,
)
from aicore_tools.errors import BackendConfigError, InvalidInput, NotFound
from aicore_tools.google_client import GoogleClient, together

__all__ = ["GoogleReading"]

Raw = Mapping[str, Any]

_PAGE = 250
_KNOWN_FOR_S = 300.0
_FREE_BUSY = timedelta(days=60)  # Google refuses long windows, and does not say from where on
_WRITERS = {"owner", "writer"}
_SECOND = timedelta(seconds=1)


class GoogleReading:
    """The reads of one account. `chosen` are the calendars to use, the default one first.

    `addresses` are the business's own, beside that of the account.
    """

    def __init__(
        self, client: GoogleClient, *, chosen: Sequence[str], addresses: Sequence[str]
    ) -> None:
        self._client = client
        self._chosen = list(chosen)
        self._addresses = list(addresses)
        self._calendars: list[Calendar] = []
        self._known_until_s = 0.0

    @property
    def own(self) -> Sequence[str]:
        """The addresses whose account this is; known once the calendars are."""
        return [*self._addresses, *(each.address for each in self._calendars[:1])]

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars; asks Google every five minutes.

        Raises:
            BackendConfigError: a chosen calendar is not in the account.
        """
        if anyio.current_time() >= self._known_until_s:
            self._calendars = self._those_chosen(await self._listed())
            self._known_until_s = anyio.current_time() + _KNOWN_FOR_S
        return self._calendars

    async def calendar(self, wanted: CalendarId) -> Calendar:
        """Give a calendar.

        Raises:
            NotFound: it is not among those that may be used.
        """
        for each in await self.calendars():
            if each.id == wanted:
                return each
        raise NotFound(f"There is no calendar {wanted}.")

    async def find(self, name: EventId, *, with_exceptions: bool = False) -> Found:
        """Find an event, an occurrence with its series, or a series.

        Raises:
            NotFound: there is none of that id.
        """
        place = unnamed(name, await self.calendars())
        if place is None:
            raise _no_event(name)
        calendar, key = place
        raw = await self._raw(calendar, key)
        if raw is None or not ("start" in raw or "originalStartTime" in raw):
            raise _no_event(name)
        series_raw = raw if "recurrence" in raw else None
        if "recurringEventId" in raw:
            series_raw = await self._raw(calendar, raw["recurringEventId"])
        series = None if series_raw is None else self._event(series_raw, calendar)
        exceptions: Sequence[Mapping[str, Any]] = ()
        if with_exceptions and series_raw is not None:
            exceptions = await self._exceptions(calendar, series_raw)
        return Found(
            event=self._event(_with_times(raw, series_raw, calendar), calendar),
            raw=raw,
            series=series,
            series_raw=series_raw,
            start=original_start(raw, calendar.tz),
            exceptions=exceptions,
        )

    async def events(self, query: EventQuery) -> EventPage:
        """Give a page out of all calendars asked for."""
        return await self._page(query, _is_shown)

    async def taking(self, query: EventQuery) -> EventPage:
        """Give a page of the events that take their time: not free ones, nor declined ones."""
        return await self._page(query, self._is_taking)

    async def _page(self, query: EventQuery, is_wanted: Callable[[Raw], bool]) -> EventPage:
        calendars = [await self.calendar(each) for each in query.calendars]
        lists = await together([partial(self._first, each, query, is_wanted) for each in calendars])
        events = sorted((event for found in lists for event in found), key=_cursor)
        page = tuple(events[: query.limit])
        has_more = len(events) > query.limit
        return EventPage(events=page, next=_cursor(page[-1]) if has_more else None)

    async def busy(self, window: Span, calendars: Sequence[CalendarId]) -> Sequence[Span]:
        """Ask what is taken; Google joins what touches, and cuts at the window."""
        known = [await self.calendar(each) for each in calendars]
        pieces: list[Span] = []
        start = window.start
        while start < window.end:
            end = min(start + _FREE_BUSY, window.end)
            pieces.append(Span(start, end))
            start = end
        asked = [partial(self._busy, piece, known) for piece in pieces]
        return sorted(span for found in await together(asked) for span in found)

    async def _busy(self, window: Span, calendars: Sequence[Calendar]) -> list[Span]:
        body = {
            "timeMin": window.start.isoformat(),
            "timeMax": window.end.isoformat(),
            "items": [{"id": each.id} for each in calendars],
        }
        answer = await self._client.read("freebusy", "query", body=body)
        wrong = [key for key, each in answer["calendars"].items() if each.get("errors")]
        if wrong:
            raise NotFound(f"Google does not say what is taken in {wrong[0]}.")
        return [
            Span(_moment(each["start"]), _moment(each["end"]))
            for found in answer["calendars"].values()
            for each in found["busy"]
        ]

    def _is_taking(self, raw: Raw) -> bool:
        own = (each for each in raw.get("attendees", ()) if is_own(each.get("email", ""), self.own))
        declined = any(each.get("responseStatus") == "declined" for each in own)
        return _is_shown(raw) and raw.get("transparency") != "transparent" and not declined

    async def _first(
        self, calendar: Calendar, query: EventQuery, is_wanted: Callable[[Raw], bool]
    ) -> list[Event]:
        """Read the events of one calendar from the cursor on, as far as the page may need."""
        begin, after = query.window.start, query.after
        if after is not None:
            begin = max(begin, after.start - _SECOND)
        asked = {
            "calendarId": calendar.id,
            "singleEvents": True,
            "orderBy": "startTime",
            "timeMin": begin.isoformat(),
            "timeMax": query.window.end.isoformat(),
            "maxResults": _PAGE,
        }
        found: list[Event] = []
        while True:
            page = await self._client.read("events", "list", **asked)
            items = page.get("items", ())
            events = [self._event(each, calendar) for each in items if is_wanted(each)]
            found += [event for event in events if _is_asked(event, query)]
            found.sort(key=_cursor)
            is_enough = len(found) > query.limit and (
                found[-1].timing.span.start > found[query.limit].timing.span.start
            )
            if is_enough or "nextPageToken" not in page:
                return found[: query.limit + 1]
            asked["pageToken"] = page["nextPageToken"]

    async def _raw(self, calendar: Calendar, key: str) -> dict[str, Any] | None:
        """Read an event by Google's id, also one that a split has given another id."""
        try:
            raw = await self._client.read("events", "get", calendarId=calendar.id, eventId=key)
        except (NotFound, InvalidInput):
            raw = None
        if "_" not in key or (raw is not None and raw["status"] != "cancelled"):
            return raw
        moved = await self._client.read(
            "events", "list", calendarId=calendar.id, privateExtendedProperty=[f"{WAS}={key}"]
        )
        found = [each for each in moved.get("items", ()) if each["status"] != "cancelled"]
        return found[0] if found else raw

    async def _exceptions(
        self, calendar: Calendar, series: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"calendarId": calendar.id, "iCalUID": series["iCalUID"]}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._client.read("events", "list", maxResults=_PAGE, **asked)
            found += page.get("items", ())
            if "nextPageToken" not in page:
                return [each for each in found if each.get("recurringEventId") == series["id"]]
            asked["pageToken"] = page["nextPageToken"]

    async def _listed(self) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._client.read("calendarList", "list", **asked)
            found += page.get("items", ())
            if "nextPageToken" not in page:
                return sorted(found, key=lambda each: not each.get("primary", False))
            asked["pageToken"] = page["nextPageToken"]

    def _those_chosen(self, listed: Sequence[Mapping[str, Any]]) -> list[Calendar]:
        by_id = {each["id"]: each for each in listed}
        primary = next((each["id"] for each in listed if each.get("primary")), "")
        wanted = [primary if each == "primary" else each for each in self._chosen] or list(by_id)
        missing = [each for each in wanted if each not in by_id]
        if missing or not wanted:
            raise BackendConfigError(
                f"The account has no calendar {', '.join(missing)}.",
                hint=f"It has: {', '.join(by_id)}.",
            )
        address = primary if "@" in primary else next(iter(self._addresses), "")
        return [
            Calendar(
                id=CalendarId(each),
                tz=by_id[each].get("timeZone", "UTC"),
                is_default=number == 0,
                name=by_id[each].get("summaryOverride") or by_id[each].get("summary", ""),
                can_write=by_id[each].get("accessRole") in _WRITERS,
                address=address,
                tells_attendees=True,
                makes_video=True,
            )
            for number, each in enumerate(wanted)
        ]

    def _event(self, raw: Mapping[str, Any], calendar: Calendar) -> Event:
        return event_of(raw, calendar, self.own)


def _with_times(
    raw: Mapping[str, Any], series: Mapping[str, Any] | None, calendar: Calendar
) -> Mapping[str, Any]:
    """Fill in an occurrence that was taken out, of which Google keeps no more than its place."""
    if "start" in raw or series is None:
        return raw
    length = timing_of(series, calendar.tz).span
    start = raw["originalStartTime"]
    if "date" in start:
        days = (length.end - length.start + timedelta(hours=2)).days
        day = date.fromisoformat(start["date"]) + timedelta(days=days)
        end = {"date": day.isoformat()}
    else:
        moment = datetime.fromisoformat(start["dateTime"]) + (length.end - length.start)
        end = {**start, "dateTime": moment.isoformat()}
    kept = {name: series[name] for name in ("summary", "location") if name in series}
    return {**kept, **raw, "start": start, "end": end}


def _is_shown(raw: Raw) -> bool:
    """Leave out what Google puts into a calendar that is no appointment."""
    return raw.get("eventType", "default") not in {"workingLocation", "birthday"}


def _is_asked(event: Event, query: EventQuery) -> bool:
    if query.after is not None and _cursor(event) <= query.after:
        return False
    if not event.timing.span.overlaps(query.window):
        return False
    people = (f"{one.name} {one.address}" for one in event.attendees)
    texts = (event.title, event.location, event.description, *people)
    return any(query.text.casefold() in text.casefold() for text in texts)


def _cursor(event: Event) -> Cursor:
    return Cursor(event.timing.span.start, event.id)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _no_event(name: str) -> NotFound:
    return NotFound(f"There is no event {name}.", hint="Look for it with calendar_events.")
