"""Which calendars a CalDAV account has, where they are, and what may be done in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urljoin, urlsplit
from zoneinfo import ZoneInfo

import anyio

from aicore_tools.calendars.backends.caldav_object import Context, EventName
from aicore_tools.calendars.backends.caldav_times import zone_of
from aicore_tools.calendars.backends.caldav_wire import Dav, Unauthorized, joined
from aicore_tools.calendars.backends.caldav_xml import CALENDARS, HOME, PRINCIPAL, Found
from aicore_tools.calendars.records import Calendar, CalendarId
from aicore_tools.errors import (
    BackendConfigError,
    InvalidInput,
    NotAllowed,
    NotFound,
    ToolsError,
)

__all__ = ["Account", "Collection", "KnownAccount", "Place", "read_account"]

SCHEDULING = "calendar-auto-schedule"
_WELL_KNOWN = "/.well-known/caldav"
_MAY_READ = ("d:read", "d:all")
_MAY_WRITE = ("d:write", "d:write-content", "d:all")
REFRESH_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One calendar on the server. `is_busy_only`: no more may be read than when it is taken."""

    calendar: Calendar
    url: str
    context: Context
    is_busy_only: bool = False

    def url_of(self, name: EventName) -> str:
        """Give where an object is."""
        return f"{self.url}{quote(name.resource, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The calendars of an account, the default one first, and who it is."""

    name: str
    collections: tuple[Collection, ...]
    schedules: bool

    def collection(self, calendar: CalendarId) -> Collection | None:
        """Find a calendar by its id."""
        return next((one for one in self.collections if one.calendar.id == calendar), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the business says of the account: zone, wanted calendars, own addresses."""

    tz: str
    calendars: Sequence[str] = ()
    addresses: Sequence[str] = ()
    user: str = ""


async def read_account(dav: Dav, place: Place) -> Account:
    """Discover the calendars: principal, home, list (RFC 4791 and 6764).

    Raises:
        BackendConfigError: there are none, a wanted one is missing, or it is no CalDAV server.
    """
    principal, homes = await _principal(dav)
    told: list[str] = []
    name = ""
    if principal:
        _, found = await dav.propfind(principal, HOME, depth=0)
        for one in found[:1]:
            homes = [joined(principal, href) for href in one.hrefs("c:calendar-home-set")] or homes
            told = one.hrefs("c:calendar-user-address-set")
            name = one.text("d:displayname")
    addresses = _addresses(place, told)
    listed: list[tuple[str, Found]] = []
    schedules = False
    for home in homes:
        at, found = await dav.propfind(dav.beside(home), CALENDARS, depth=1)
        listed += [(dav.beside(joined(at, one.href)), one) for one in found]
        schedules = schedules or SCHEDULING in await dav.options(at)
    known = [
        _collection(url, one, place, addresses, schedules)
        for url, one in listed
        if one.has("d:resourcetype", "c:calendar") and _has_events(one)
    ]
    chosen = _chosen(known, place.calendars)
    return Account(name=name or place.user, collections=chosen, schedules=schedules)


class KnownAccount:
    """An account that is discovered once, and again when what is known has become old."""

    def __init__(self, dav: Dav, place: Place) -> None:
        self._dav = dav
        self._place = place
        self._known: tuple[float, Account] | None = None
        self._lock = anyio.Lock()

    async def get(self) -> Account:
        """Give the account as it was within the last five minutes."""
        async with self._lock:
            now = anyio.current_time()
            if self._known is None or now - self._known[0] > REFRESH_S:
                self._known = (now, await read_account(self._dav, self._place))
            return self._known[1]


async def _principal(dav: Dav) -> tuple[str, list[str]]:
    """Find the principal and the homes; a url that is a calendar itself is its own home."""
    refused: ToolsError | None = None
    for url in (dav.url, urljoin(dav.url, _WELL_KNOWN)):
        try:
            at, found = await dav.propfind(url, PRINCIPAL, depth=0)
        except (NotFound, NotAllowed, InvalidInput, BackendConfigError) as error:
            if isinstance(error, Unauthorized):
                raise
            refused = refused or error
            continue
        for one in found[:1]:
            homes = [joined(at, href) for href in one.hrefs("c:calendar-home-set")]
            if one.has("d:resourcetype", "c:calendar"):
                return "", [at]
            principal = one.text("d:current-user-principal")
            if principal or homes:
                return dav.beside(joined(at, principal)) if principal else "", homes
    raise BackendConfigError(
        f"There is no CalDAV account at {urlsplit(dav.url).hostname}{urlsplit(dav.url).path}.",
        hint="Give the url that the calendar's provider names for CalDAV.",
    ) from refused


def _addresses(place: Place, told: Sequence[str]) -> tuple[str, ...]:
    """Give the own addresses: those that were set, else what the server or the login says."""
    mails = [unquote(href[7:]) for href in told if href[:7].lower() == "mailto:"]
    login = [place.user] if "@" in place.user else []
    return tuple(place.addresses) or tuple(mails) or tuple(login)


def _has_events(found: Found) -> bool:
    sets = found.properties.get("{urn:ietf:params:xml:ns:caldav}supported-calendar-component-set")
    return sets is None or not len(sets) or any(one.get("name") == "VEVENT" for one in sets)


def _collection(
    url: str, found: Found, place: Place, addresses: tuple[str, ...], schedules: bool
) -> Collection:
    url = url if url.endswith("/") else f"{url}/"
    zone = _zone(found.text("c:calendar-timezone"), ZoneInfo(place.tz))
    rights = "d:current-user-privilege-set"
    is_told = found.properties.get("{DAV:}current-user-privilege-set") is not None
    identity = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    shown = found.text("d:displayname")
    calendar = Calendar(
        id=CalendarId(quote(identity, safe=" @.-_~")),
        tz=zone.key,
        is_default=False,
        name="" if shown == identity else shown,
        can_write=not is_told or found.has(rights, *_MAY_WRITE),
        address=addresses[0] if addresses else "",
        tells_attendees=schedules,
        keeps_telling=schedules,
    )
    return Collection(
        calendar=calendar,
        url=url,
        context=Context(zone, addresses, schedules),
        is_busy_only=is_told and not found.has(rights, *_MAY_READ),
    )


def _zone(ical: str, fallback: ZoneInfo) -> ZoneInfo:
    for line in ical.splitlines():
        if line.upper().startswith("TZID"):
            return zone_of(line.partition(":")[2].strip(), fallback)
    return fallback


def _chosen(known: Sequence[Collection], wanted: Sequence[str]) -> tuple[Collection, ...]:
    if not known:
        raise BackendConfigError(
            "The account has no calendar.", hint="Make one in the calendar program."
        )
    ordered = sorted(known, key=lambda one: (not one.calendar.can_write, one.calendar.id))
    if wanted:
        names = {one.calendar.name.casefold(): one for one in ordered}
        names |= {one.calendar.id.casefold(): one for one in ordered}
        missing = [name for name in wanted if name.casefold() not in names]
        if missing:
            raise BackendConfigError(
                f"The account has no calendar {missing[0][:80]!r} (--calendars).",
                hint=f"It has: {', '.join(one.calendar.id for one in ordered)[:500]}.",
            )
        ordered = [names[name.casefold()] for name in wanted]
    return tuple(
        replace(one, calendar=replace(one.calendar, is_default=number == 0))
        for number, one in enumerate(ordered)
    )
