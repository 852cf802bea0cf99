"""CalDavAgenda: the calendars of one account on a CalDAV server."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from anyio import to_thread
from icalendar import Calendar as Ical
from icalendar.error import GloballyUniqueTZIDGuessed

from aicore_tools.calendars.backends.caldav_account import (
    Account,
    Collection,
    KnownAccount,
    Place,
)
from aicore_tools.calendars.backends.caldav_effects import Effects, taking_time
from aicore_tools.calendars.backends.caldav_object import CalendarObject, EventName
from aicore_tools.calendars.backends.caldav_recipes import (
    Named,
    Recipe,
    answering,
    cancelling,
    changing,
    creating,
)
from aicore_tools.calendars.backends.caldav_times import Unreadable
from aicore_tools.calendars.backends.caldav_wire import Dav, strong
from aicore_tools.calendars.backends.caldav_xml import Found, calendar_query, free_busy_query
from aicore_tools.calendars.clashing import clashing, spans_of
from aicore_tools.calendars.invitations import is_own, marked, notices, unsent
from aicore_tools.calendars.plain import booked_from_json, event_to_json
from aicore_tools.calendars.records import (
    Answer,
    Attendee,
    Booked,
    Calendar,
    CalendarId,
    Cursor,
    Event,
    EventChange,
    EventId,
    EventPage,
    EventQuery,
    NewEvent,
    Scope,
    Span,
    Terms,
)
from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import BackendUnavailable, Conflict, InvalidInput, NotAllowed, NotFound
from aicore_tools.journal import EffectJournal
from aicore_tools.operations import Effect, Operation

__all__ = ["CalDavAgenda", "Place"]

_MOST_PARSED = 4000
_DAY = timedelta(days=1)
_ORGANIZER_UNTOLD = "The organizer was not told: this server sends no mail. Tell them yourself."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Noticed:
    """Whom the server tells of an effect, and what the caller should know about that."""

    told: tuple[str, ...]
    warnings: tuple[str, ...]


class CalDavAgenda:
    """The Agenda port on a CalDAV server.

    An event's id is `CALENDAR/OBJECT`, of an occurrence with its original start behind it. What
    is cancelled as a whole is deleted there.
    """

    def __init__(
        self, journal: Path, connection: Connection, *, business: str, place: Place
    ) -> None:
        self._addresses: tuple[str, ...] = tuple(place.addresses)
        self.dav = Dav(
            connection.need("url"), user=place.user, password=connection.need("password")
        )
        self._known = KnownAccount(self.dav, place)
        self._parsed: OrderedDict[tuple[str, str], CalendarObject] = OrderedDict()
        self._journal = EffectJournal(
            journal, business=business, procedures=[Effects(self).procedure()]
        )

    async def __aenter__(self) -> Self:
        # A zone behind a prefix is guessed, as `zone_of` does; there is nobody to be warned of it.
        warnings.filterwarnings("ignore", category=GloballyUniqueTZIDGuessed)
        await self.dav.__aenter__()
        try:
            await self._journal.__aenter__()
        except BaseException as error:
            await self.dav.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._journal.__aexit__(kind, error, trace)
        finally:
            await self.dav.__aexit__(kind, error, trace)

    async def account(self) -> Account:
        """Give the account, discovered within the last five minutes."""
        account = await self._known.get()
        self._addresses = account.collections[0].context.addresses
        return account

    async def probe(self) -> Probe:
        """Discover the account."""
        account = await self.account()
        writable = [one.calendar.id for one in account.collections if one.calendar.can_write]
        readable = [one.calendar.id for one in account.collections if not one.calendar.can_write]
        can = [f"read and write {', '.join(writable)}"] if writable else []
        can += [f"read {', '.join(readable)}"] if readable else []
        doubts = (
            []
            if account.schedules
            else ["The server mails no invitations: attendees are told nothing."]
        )
        if not account.collections[0].context.addresses:
            doubts.append("Its own e-mail address is not known: invitations cannot be answered.")
        host = urlsplit(self.dav.url).hostname
        return Probe(name=f"{account.name} at {host}", can=tuple(can), warnings=tuple(doubts))

    async def calendars(self) -> Sequence[Calendar]:
        """Give the calendars of the account."""
        return [one.calendar for one in (await self.account()).collections]

    async def get(self, event: EventId) -> Event:
        """Read one object."""
        return (await self._named(event)).event

    async def event(self, event: str) -> Event:
        """Read one event; see `get`."""
        return await self.get(EventId(event))

    async def events(self, query: EventQuery) -> EventPage:
        """Search the calendars, and expand what repeats."""
        return await self._page(query, is_blocking=False)

    async def busy(self, window: Span, calendars: Sequence[CalendarId]) -> Sequence[Span]:
        """Read what is taken; of a calendar that shows no more, by a free-busy-query."""
        spans: list[Span] = []
        for collection in await self._collections(calendars):
            if collection.is_busy_only:
                body = await self.dav.text_report(collection.url, free_busy_query(window))
                spans += _busy_in(body)
                continue
            objects = await self.objects(collection, window)
            events = await to_thread.run_sync(_expanded, objects, window, taking_time)
            spans += [event.timing.span for event in events]
        return sorted(span for span in spans if span.overlaps(window))

    async def earlier(self, operation: Operation) -> Effect[Booked] | None:
        """Look up what an operation gave; what was begun is finished first."""
        effect = await self._journal.earlier(operation)
        return effect.map(self._read_back) if effect else None

    async def create(self, new: NewEvent, terms: Terms, operation: Operation) -> Effect[Booked]:
        """Put a new object; where clashes are refused, a hold that is settled afterwards."""
        if (earlier := await self.earlier(operation)) is not None:
            return earlier
        collection = await self._collection(new.calendar)
        recipe, noticed = await self._recipe(collection, new.attendees, terms)
        recipe.moved = spans_of(new.timing, new.repeat)
        creating(recipe, new)
        return await self._effect(operation, recipe, terms, noticed)

    async def change(
        self,
        event: EventId,
        change: EventChange,
        *,
        scope: Scope,
        etag: str,
        terms: Terms,
        operation: Operation,
    ) -> Effect[Booked]:
        """Put a changed copy; of a series that splits, two objects one after the other."""
        if (earlier := await self.earlier(operation)) is not None:
            return earlier
        named = await self._named(event)
        _refuse_stale(named, etag)
        _refuse_cancelled(named)
        if change.attendees is None:
            people = named.event.attendees
        else:
            people = (*named.event.attendees, *change.attendees)
        recipe, noticed = await self._recipe(named.collection, people, terms, before=named.event)
        changing(recipe, named, change, scope)
        if change.timing is None and change.repeat is None:
            recipe.moved = []
        return await self._effect(operation, recipe, terms, noticed)

    async def cancel(
        self, event: EventId, *, scope: Scope, etag: str, terms: Terms, operation: Operation
    ) -> Effect[Booked]:
        """Delete an object, or put it without what is cancelled."""
        if (earlier := await self.earlier(operation)) is not None:
            return earlier
        named = await self._named(event)
        if scope == "this" and named.found.is_series and named.occurrence is None:
            raise InvalidInput(
                f"{event} is a whole series.",
                hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
            )
        if named.event.status == "cancelled" and scope == "this":
            return Effect(result=Booked(event=named.event))
        _refuse_stale(named, etag)
        recipe, noticed = await self._recipe(
            named.collection, named.event.attendees, terms, before=named.event, is_end=True
        )
        cancelling(recipe, named, scope)
        untold = unsent(terms, named.collection.calendar)
        noticed = replace(noticed, warnings=(*noticed.warnings, *untold))
        return await self._effect(operation, recipe, Terms(on_clash="ignore"), noticed)

    async def respond(
        self,
        event: EventId,
        answer: Answer,
        *,
        scope: Literal["this", "all"],
        operation: Operation,
    ) -> Effect[Booked]:
        """Put a copy with the own attendee's answer; the server tells the organizer, if it can."""
        if (earlier := await self.earlier(operation)) is not None:
            return earlier
        named = await self._named(event)
        _refuse_cancelled(named)
        if scope == "this" and named.found.is_series and named.occurrence is None:
            raise InvalidInput(f"{event} is a whole series.", hint="Name one occurrence.")
        organizer = named.event.organizer
        schedules = (await self.account()).schedules
        noticed = Noticed(
            told=(organizer,) if organizer and schedules else (),
            warnings=() if schedules or not organizer else (_ORGANIZER_UNTOLD,),
        )
        recipe = Recipe(collection=named.collection, told=None)
        answering(recipe, named, answer, scope)
        return await self._effect(operation, recipe, Terms(on_clash="ignore"), noticed)

    async def objects(self, collection: Collection, window: Span) -> list[CalendarObject]:
        """Read the objects of a calendar that overlap a window; a day more on both sides.

        A whole day is by the server's clock there and by the calendar's here.
        """
        wide = Span(window.start - _DAY, window.end + _DAY)
        found = await self.dav.report(collection.url, calendar_query(wide))
        return await to_thread.run_sync(self._parse, collection, found)

    def _parse(self, collection: Collection, found: Iterable[Found]) -> list[CalendarObject]:
        """Parse what was not parsed in this very state before."""
        objects = []
        for one in found:
            key = (one.href, strong(one.text("d:getetag")))
            known = self._parsed.get(key)
            if known is None:
                resource = unquote(one.href.rpartition("/")[2])
                name = EventName(collection.calendar.id, resource)
                try:
                    known = CalendarObject(
                        name, key[1], one.text("c:calendar-data"), collection.context
                    )
                    _ = known.timing, known.skipped
                except Unreadable:
                    _log.warning("calendar_object_unreadable calendar=%s", name.calendar)
                    continue
                self._parsed[key] = known
                if len(self._parsed) > _MOST_PARSED:
                    self._parsed.popitem(last=False)
            objects.append(known)
        return objects

    async def _page(self, query: EventQuery, *, is_blocking: bool) -> EventPage:
        """Give a page; `is_blocking`: only of what makes who has it busy."""
        start = query.after.start if query.after else query.window.start
        window = Span(max(start, query.window.start), query.window.end)
        now = datetime.now(UTC)
        events: list[Event] = []
        for collection in await self._collections(query.calendars):
            if collection.is_busy_only or window.start >= window.end:
                continue
            objects = await self.objects(collection, window)
            if is_blocking:
                objects = [one for one in objects if not one.is_forgotten(now)]
            expand = taking_time if is_blocking else _listed
            events += await to_thread.run_sync(_expanded, objects, window, expand)
        text = query.text.casefold()
        chosen = sorted(
            (
                event
                for event in events
                if (query.after is None or _cursor(event) > query.after)
                and (not text or text in _said(event))
            ),
            key=_cursor,
        )
        page = tuple(chosen[: query.limit])
        has_more = len(chosen) > query.limit
        return EventPage(events=page, next=_cursor(page[-1]) if has_more else None)

    async def _named(self, event: EventId) -> Named:
        """Find what an id names.

        Raises:
            NotFound: there is none of that id.
        """
        name = EventName.read(event)
        collection = (await self.account()).collection(name.calendar) if name else None
        unknown = NotFound(f"There is no event {event[:200]}.", hint="Look with calendar_events.")
        if name is None or collection is None:
            raise unknown
        try:
            answered = await self.dav.get(collection.url_of(name))
            found = CalendarObject(name, answered.etag, answered.body, collection.context)
            occurrence = found.occurrence(name.original) if name.original else None
        except (NotFound, Unreadable) as error:
            raise unknown from error
        if name.original is not None and (occurrence is None or not found.is_series):
            raise unknown
        return Named(collection=collection, found=found, occurrence=occurrence)

    async def _recipe(
        self,
        collection: Collection,
        people: Sequence[Attendee],
        terms: Terms,
        *,
        before: Event | None = None,
        is_end: bool = False,
    ) -> tuple[Recipe, Noticed]:
        """Begin a recipe, and say who is told of it."""
        own = collection.context.addresses
        others = {one.address: one for one in people if not is_own(one.address, own)}
        told, doubts = notices(
            tuple(others.values()), terms, collection.calendar, before=before, is_end=is_end
        )
        recipe = Recipe(collection=collection, told=told if collection.context.schedules else None)
        return recipe, Noticed(told, doubts)

    async def _effect(
        self, operation: Operation, recipe: Recipe, terms: Terms, noticed: Noticed
    ) -> Effect[Booked]:
        """Compare with what else is at that time, and have the steps done."""
        clashes: list[Event] = []
        if recipe.moved and terms.on_clash != "ignore":
            clashes = await self._clashes(recipe)
        if clashes and terms.on_clash == "reject":
            # A repeat at the same moment may have been faster: then what clashes is itself.
            if (earlier := await self.earlier(operation)) is not None:
                return earlier
            raise Conflict("That time is taken.", code="slot_taken")
        result = {
            "clashes": [event_to_json(event) for event in clashes],
            "told": list(noticed.told),
            "warnings": list(noticed.warnings),
        }
        is_contested = terms.on_clash == "reject" and bool(recipe.moved)
        request = recipe.request(result, contested=is_contested)
        effect = await self._journal.effect(operation, "steps", request)
        return effect.map(self._read_back)

    async def _clashes(self, recipe: Recipe) -> list[Event]:
        async def taking(query: EventQuery) -> EventPage:
            return await self._page(query, is_blocking=True)

        own = recipe.own[0] if recipe.own else None
        return await clashing(taking, recipe.collection.calendar.id, recipe.moved, own=own)

    async def _collections(self, calendars: Sequence[CalendarId]) -> list[Collection]:
        account = await self.account()
        return [one for one in account.collections if one.calendar.id in calendars]

    async def _collection(self, calendar: CalendarId) -> Collection:
        found = (await self.account()).collection(calendar)
        if found is None:
            raise NotFound(f"There is no calendar {calendar[:80]!r}.")
        if not found.calendar.can_write:
            raise NotAllowed(f"The calendar {calendar} can only be read.")
        return found

    def _read_back(self, stored: dict[str, Any]) -> Booked:
        booked = booked_from_json(stored)
        return replace(
            booked,
            event=marked(booked.event, self._addresses),
            clashes=tuple(marked(event, self._addresses) for event in booked.clashes),
        )


def _expanded(
    objects: Iterable[CalendarObject],
    window: Span,
    expand: Callable[[CalendarObject, Span], list[Event]],
) -> list[Event]:
    return [event for one in objects for event in expand(one, window)]


def _listed(found: CalendarObject, window: Span) -> list[Event]:
    return [found.event(one) for one in found.occurrences(window) if not one.is_cancelled]


def _cursor(event: Event) -> Cursor:
    return Cursor(event.timing.span.start, event.id)


def _said(event: Event) -> str:
    people = (f"{one.name}\n{one.address}" for one in event.attendees)
    return "\n".join((event.title, event.location, event.description, *people)).casefold()


def _busy_in(body: bytes) -> list[Span]:
    """Read the answer to a free-busy-query."""
    try:
        ical = Ical.from_ical(body)
    except ValueError as error:
        raise BackendUnavailable("The calendar server gave no readable free times.") from error
    spans = []
    for part in ical.walk("VFREEBUSY"):
        given = part.get("FREEBUSY", [])
        for value in given if isinstance(given, list) else [given]:
            if str(value.params.get("FBTYPE", "BUSY")).upper() != "FREE":
                start, end = value.dt
                last = start + end if isinstance(end, timedelta) else end
                spans.append(Span(start.astimezone(UTC), last.astimezone(UTC)))
    return spans


def _refuse_stale(named: Named, etag: str) -> None:
    if named.found.etag != etag:
        raise Conflict(
            f"The event {named.event.id} was changed meanwhile.",
            hint="Read it again with calendar_events, then change it.",
            code="changed_meanwhile",
        )


def _refuse_cancelled(named: Named) -> None:
    if named.event.status == "cancelled":
        raise Conflict(f"The event {named.event.id} is cancelled.", code="cancelled")
