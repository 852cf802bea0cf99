"""Google Calendar in memory: calendars, events with etags, series with exceptions, free/busy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from aicore_servers.sandbox.google_calendar_forms import (
    has_property,
    mentions,
    merged,
    page,
    seen,
)
from aicore_servers.sandbox.google_series import Slot, instance, slots, span
from aicore_servers.sandbox.google_wire import Call, Handler, Refusal, conflict, invalid, missing

__all__ = ["GoogleCalendar"]

_ID = re.compile(r"[a-v0-9]{5,1024}")
_SERVERS_OWN = ("kind", "etag", "created", "updated", "creator", "htmlLink", "hangoutLink")
_EXCEPTION_KEEPS = ("id", "kind", "etag", "status", "recurringEventId", "originalStartTime")
_LONGEST_FREE_BUSY = timedelta(days=93)
_FAR = timedelta(days=800)


@dataclass(slots=True)
class _Calendar:
    id: str
    owner: str
    name: str
    is_primary: bool = False
    tz: str = "UTC"
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The e-mail address by which it takes part."""
        return self.owner if self.is_primary else self.id

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tz)


class GoogleCalendar:
    """The calendars of all accounts of the sandbox; an account begins when it is first used.

    `notices` are what would have been mailed to attendees. With `forgets_deleted`, of a deleted
    event is shown what Google promises to keep: its id.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._calendars: dict[tuple[str, str], _Calendar] = {}
        self._changes = count(3_500_000_000_000_001)
        self._numbers = count(1)
        self.notices: list[dict[str, str]] = []
        self.forgets_deleted = False

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The methods by their id in the discovery document."""
        return {
            "calendar.calendarList.list": self._calendar_list,
            "calendar.calendarList.get": lambda call: _listed(self._calendar(call)),
            "calendar.calendars.get": lambda call: _described(self._calendar(call)),
            "calendar.calendars.insert": self._new_calendar,
            "calendar.calendars.patch": self._change_calendar,
            "calendar.events.list": self._list,
            "calendar.events.get": self._get,
            "calendar.events.instances": self._instances,
            "calendar.events.insert": self._insert,
            "calendar.events.patch": self._patch,
            "calendar.events.update": self._update,
            "calendar.events.delete": self._delete,
            "calendar.freebusy.query": self._free_busy,
        }

    def state(self) -> dict[str, Any]:
        """Say what there is: per calendar the events as stored, and the notices."""
        events: dict[str, list[dict[str, Any]]] = {}
        for each in self._calendars.values():
            events.setdefault(each.id, []).extend(each.events.values())
        return {"events": events, "notices": self.notices}

    # --- calendars

    def seed(self, account: str, calendars: Mapping[str, str]) -> None:
        """Give an account calendars by id and zone, the primary one first.

        The sandbox lets any id be; Google's primary calendar has that of the account.
        """
        for number, (key, tz) in enumerate(calendars.items()):
            made = _Calendar(key, account, key, is_primary=number == 0, tz=tz)
            self._calendars[account, key] = made

    def _primary(self, account: str) -> _Calendar:
        own = (each for each in self._calendars.values() if each.owner == account)
        found = next((each for each in own if each.is_primary), None)
        if found is None:
            found = _Calendar(account, account, account, is_primary=True)
            self._calendars[account, account] = found
        return found

    def _calendar(self, call: Call) -> _Calendar:
        primary = self._primary(call.account)
        name = call.parameters.get("calendarId", "primary")
        if name in {"primary", call.account}:
            return primary
        found = self._calendars.get((call.account, name))
        if found is None:
            raise missing("Not Found")
        return found

    def _calendar_list(self, call: Call) -> dict[str, Any]:
        self._primary(call.account)
        own = [each for each in self._calendars.values() if each.owner == call.account]
        rows, rest = page(call, own)
        return {"kind": "calendar#calendarList", "items": [_listed(each) for each in rows], **rest}

    def _new_calendar(self, call: Call) -> dict[str, Any]:
        if not call.body.get("summary"):
            raise invalid("Missing summary.")
        key = f"c_{next(self._numbers):026d}@group.calendar.google.com"
        made = _Calendar(key, call.account, call.body["summary"])
        made.tz = call.body.get("timeZone", "UTC")
        self._calendars[call.account, key] = made
        return _described(made)

    def _change_calendar(self, call: Call) -> dict[str, Any]:
        found = self._calendar(call)
        found.name = call.body.get("summary", found.name)
        found.tz = call.body.get("timeZone", found.tz)
        return _described(found)

    # --- reading events

    def _list(self, call: Call) -> dict[str, Any]:
        calendar, asked = self._calendar(call), call.parameters
        is_single = asked.get("singleEvents", False)
        if asked.get("orderBy") == "startTime" and not is_single:
            raise invalid("The requested ordering is not available for the particular query.")
        wanted_uid = asked.get("iCalUID")
        found = []
        for event in list(calendar.events.values()):
            if wanted_uid not in {None, event["iCalUID"]}:
                continue
            if is_single and "recurrence" in event:
                found += self._expanded(calendar, event, self._until(call))
            elif not (is_single and "recurringEventId" in event):
                found.append(event)
        rows = [each for each in found if self._is_asked(calendar, each, call)]
        if asked.get("orderBy") == "startTime":
            rows.sort(key=lambda each: span(each, calendar.zone)[0])
        return self._answer(call, calendar, rows)

    def _instances(self, call: Call) -> dict[str, Any]:
        calendar, event = self._calendar(call), self._found(call)
        if "recurrence" not in event:
            raise invalid("Not a recurring event.")
        rows = [
            each
            for each in self._expanded(calendar, event, self._until(call))
            if self._is_asked(calendar, each, call)
        ]
        return self._answer(call, calendar, rows)

    def _get(self, call: Call) -> dict[str, Any]:
        found = self._found(call)
        is_deleted = found["status"] == "cancelled" and "recurringEventId" not in found
        if self.forgets_deleted and is_deleted:
            return {name: found[name] for name in ("kind", "id", "status")}
        return seen(found, call.account)

    def _until(self, call: Call) -> datetime:
        end = call.parameters.get("timeMax")
        return datetime.fromisoformat(end) if end else self._now() + _FAR

    def _is_asked(self, calendar: _Calendar, event: Mapping[str, Any], call: Call) -> bool:
        asked = call.parameters
        if event["status"] == "cancelled":
            is_exception = "recurringEventId" in event and not asked.get("singleEvents", False)
            is_instances = "eventId" in asked
            if not asked.get("showDeleted", False) and (not is_exception or is_instances):
                return False
            if "start" not in event:
                return True
        start, end = span(event, calendar.zone)
        has_window = "recurrence" not in event
        if has_window and "timeMin" in asked and end <= datetime.fromisoformat(asked["timeMin"]):
            return False
        if has_window and "timeMax" in asked and start >= datetime.fromisoformat(asked["timeMax"]):
            return False
        return mentions(event, asked.get("q", "")) and has_property(event, asked)

    def _expanded(
        self, calendar: _Calendar, master: Mapping[str, Any], until: datetime
    ) -> list[dict[str, Any]]:
        """Give the instances by the rule, each with what was changed of it."""
        if master["status"] == "cancelled":
            return []
        # A moved instance may lie in the window though its place in the rule does not.
        found = []
        for slot in slots(master, calendar.zone, until + _FAR):
            plain = instance(master, slot)
            changed = calendar.events.get(plain["id"])
            if changed is not None or slot.start < until:
                found.append(changed or plain)
        return found

    def _found(self, call: Call) -> dict[str, Any]:
        """Find an event, a series or an instance by its id.

        Raises:
            Refusal: there is none.
        """
        calendar, key = self._calendar(call), call.parameters["eventId"]
        if key in calendar.events:
            return calendar.events[key]
        master_id, _, suffix = key.rpartition("_")
        master = calendar.events.get(master_id)
        slot = self._slot(calendar, master, suffix) if master else None
        if master is None or slot is None:
            raise missing("Not Found")
        return instance(master, slot)

    def _slot(self, calendar: _Calendar, master: Mapping[str, Any], suffix: str) -> Slot | None:
        if "recurrence" not in master:
            return None
        return next((s for s in slots(master, calendar.zone, None) if s.suffix == suffix), None)

    def _answer(
        self, call: Call, calendar: _Calendar, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        rows_shown, rest = page(call, rows)
        return {
            "kind": "calendar#events",
            "summary": calendar.name,
            "timeZone": calendar.tz,
            "accessRole": "owner",
            "items": [seen(each, call.account) for each in rows_shown],
            **rest,
        }

    # --- effects

    def _insert(self, call: Call) -> dict[str, Any]:
        calendar, body = self._calendar(call), call.body
        key = body.get("id") or f"s{next(self._numbers):025d}"
        if not _ID.fullmatch(key):
            raise invalid("Invalid resource id value.")
        if key in calendar.events:
            raise conflict("The requested identifier already exists.")
        event = {
            **{name: value for name, value in body.items() if name not in _SERVERS_OWN},
            "kind": "calendar#event",
            "id": key,
            "status": body.get("status", "confirmed"),
            "iCalUID": body.get("iCalUID", f"{key}@google.com"),
            "htmlLink": f"https://www.google.com/calendar/event?eid={key[:20]}",
            "created": self._now().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "creator": {"email": call.account},
            "organizer": {"email": calendar.address},
        }
        self._check(calendar, event)
        self._keep(calendar, event, call, "insert")
        return seen(event, call.account)

    def _patch(self, call: Call) -> dict[str, Any]:
        old = self._old(call)
        body = {name: value for name, value in call.body.items() if name not in _SERVERS_OWN}
        return self._replace(call, old, merged(old, body))

    def _update(self, call: Call) -> dict[str, Any]:
        old = self._old(call)
        own = (*_SERVERS_OWN, "id", "iCalUID", "organizer", "recurringEventId", "originalStartTime")
        kept = {name: old[name] for name in own if name in old}
        return self._replace(call, old, {"status": "confirmed", **call.body, **kept})

    def _delete(self, call: Call) -> None:
        calendar, old = self._calendar(call), self._found(call)
        if old["status"] == "cancelled":
            raise Refusal(410, "deleted", "Resource has been deleted")
        self._check_etag(call, old)
        if old["organizer"]["email"] != calendar.address and old["id"] in calendar.events:
            self._respond(old, call.account, "declined")
            del calendar.events[old["id"]]
            return
        cancelled = {**old, "status": "cancelled"}
        if "recurringEventId" in old:
            cancelled = {name: cancelled[name] for name in _EXCEPTION_KEEPS if name in cancelled}
            cancelled |= {"iCalUID": old["iCalUID"], "organizer": old["organizer"]}
        notified = {**old, "status": "cancelled"}
        self._keep(calendar, cancelled, call, "delete", about=notified)

    def _old(self, call: Call) -> dict[str, Any]:
        old = self._found(call)
        self._check_etag(call, old)
        return old

    def _check_etag(self, call: Call, old: Mapping[str, Any]) -> None:
        if call.if_match not in {"", "*", old["etag"]}:
            raise Refusal(412, "conditionNotMet", "Precondition Failed")

    def _replace(self, call: Call, old: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        calendar = self._calendar(call)
        if "start" not in event:  # an instance that was taken out comes back where it was
            raise invalid("Missing end time.")
        self._check(calendar, event)
        if old["organizer"]["email"] != calendar.address:
            others = {name for name in event if event[name] != old.get(name)} - {"attendees"}
            if others:
                message = "Shared properties can only be changed by the organizer of the event."
                raise Refusal(403, "forbiddenForNonOrganizer", message)
            mine: Mapping[str, Any] = next(
                (each for each in event["attendees"] if each["email"] == call.account), {}
            )
            answered = self._respond(old, call.account, mine.get("responseStatus", "needsAction"))
            return seen(answered, call.account)
        self._keep(calendar, event, call, "change")
        return seen(event, call.account)

    def _respond(self, old: Mapping[str, Any], account: str, response: str) -> dict[str, Any]:
        """Write a guest's answer where the organizer and the other guests see it."""
        event = deepcopy(dict(old))
        for each in event.get("attendees", ()):
            if each["email"] == account:
                each["responseStatus"] = response
        event["etag"] = f'"{next(self._changes)}"'
        self._spread(event)
        return event

    def _spread(self, event: dict[str, Any]) -> None:
        """Put an event into every calendar that has it, or the series it is of."""
        known = {event["id"], event.get("recurringEventId")}
        for calendar in self._calendars.values():
            if known & calendar.events.keys():
                calendar.events[event["id"]] = event

    def _check(self, calendar: _Calendar, event: Mapping[str, Any]) -> None:
        for name in ("start", "end"):
            if ("date" in event[name]) == ("dateTime" in event[name]):
                raise invalid(f"Invalid {name} time.")
            zone = event[name].get("timeZone", "UTC")
            try:
                ZoneInfo(zone)
            except (ValueError, LookupError, OSError) as error:
                raise invalid(f"Invalid time zone definition for {name} time.") from error
        if ("date" in event["start"]) != ("date" in event["end"]):
            raise invalid("The start and end time must both be dates or both be times.")
        start, end = span(event, calendar.zone)
        if end <= start:
            raise Refusal(400, "timeRangeEmpty", "The specified time range is empty.")
        if event.get("recurrence"):
            if "dateTime" in event["start"] and "timeZone" not in event["start"]:
                raise Refusal(400, "required", "Missing time zone definition for start time.")
            list(slots(event, calendar.zone, start))

    def _keep(
        self,
        calendar: _Calendar,
        event: dict[str, Any],
        call: Call,
        what: str,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not event.get("recurrence"):
            event.pop("recurrence", None)
        event["etag"] = f'"{next(self._changes)}"'
        event["updated"] = self._now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
        for each in event.get("attendees", ()):
            each.setdefault("responseStatus", "needsAction")
        self._meet(event, call)
        calendar.events[event["id"]] = event
        self._drop_exceptions(calendar, event)
        people = [each["email"] for each in (about or event).get("attendees", ())]
        for email in people:
            guest = next((c for c in self._calendars.values() if c.address == email), None)
            if guest is not None and "recurringEventId" not in event:
                guest.events[event["id"]] = event
        self._spread(event)
        if people:
            told = call.parameters.get("sendUpdates", "none")
            self.notices.append({"event": event["id"], "what": what, "sendUpdates": told})

    def _drop_exceptions(self, calendar: _Calendar, master: Mapping[str, Any]) -> None:
        """Let those go whose place is not in the rule any more."""
        own = [e for e in calendar.events.values() if e.get("recurringEventId") == master["id"]]
        kept: set[str] = set()
        if own and "recurrence" in master:
            kept = {f"{master['id']}_{s.suffix}" for s in slots(master, calendar.zone, None)}
        for each in own:
            if each["id"] not in kept:
                del calendar.events[each["id"]]

    def _meet(self, event: dict[str, Any], call: Call) -> None:
        asked = event.get("conferenceData", {}).pop("createRequest", None)
        if asked is None or call.parameters.get("conferenceDataVersion", 0) < 1:
            return
        link = f"https://meet.google.com/sandbox-{next(self._numbers)}"
        event["hangoutLink"] = link
        event["conferenceData"] = {
            "conferenceId": link.rpartition("/")[2],
            "entryPoints": [{"entryPointType": "video", "uri": link}],
            "createRequest": {**asked, "status": {"statusCode": "success"}},
        }

    # --- free and busy

    def _free_busy(self, call: Call) -> dict[str, Any]:
        self._primary(call.account)
        start, end = (datetime.fromisoformat(call.body[name]) for name in ("timeMin", "timeMax"))
        if end - start > _LONGEST_FREE_BUSY:
            raise Refusal(400, "timeRangeTooLong", "The requested time range is too long.")
        answers: dict[str, Any] = {}
        for item in call.body.get("items", ()):
            found = self._shared(call, item["id"])
            if found is not None:
                answers[item["id"]] = {"busy": self._busy(found, start, end)}
            else:
                error = {"domain": "global", "reason": "notFound"}
                answers[item["id"]] = {"errors": [error], "busy": []}
        window = {"timeMin": call.body["timeMin"], "timeMax": call.body["timeMax"]}
        return {"kind": "calendar#freeBusy", **window, "calendars": answers}

    def _shared(self, call: Call, name: str) -> _Calendar | None:
        """Find an own calendar, or the primary one of another account."""
        if name == "primary":
            return self._primary(call.account)
        others = (each for each in self._calendars.values() if each.address == name)
        return self._calendars.get((call.account, name)) or next(others, None)

    def _busy(self, calendar: _Calendar, start: datetime, end: datetime) -> list[dict[str, str]]:
        found: list[tuple[datetime, datetime]] = []
        for event in calendar.events.values():
            if "recurrence" in event:
                found += [
                    span(each, calendar.zone)
                    for each in self._expanded(calendar, event, end)
                    if _is_busy(each, calendar)
                ]
            elif "recurringEventId" not in event and _is_busy(event, calendar):
                found.append(span(event, calendar.zone))
        joined: list[tuple[datetime, datetime]] = []
        for one, other in sorted(found):
            if other <= start or one >= end:
                continue
            first, last = max(one, start), min(other, end)
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        return [
            {
                "start": first.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "end": last.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for first, last in joined
        ]


def _is_busy(event: Mapping[str, Any], calendar: _Calendar) -> bool:
    answers = {each["email"]: each["responseStatus"] for each in event.get("attendees", ())}
    return (
        event["status"] != "cancelled"
        and event.get("transparency") != "transparent"
        and answers.get(calendar.address) != "declined"
    )


def _listed(calendar: _Calendar) -> dict[str, Any]:
    entry = {
        "kind": "calendar#calendarListEntry",
        "id": calendar.id,
        "summary": calendar.name,
        "timeZone": calendar.tz,
        "accessRole": "owner",
    }
    return {**entry, "primary": True} if calendar.is_primary else entry


def _described(calendar: _Calendar) -> dict[str, Any]:
    return {
        "kind": "calendar#calendar",
        "id": calendar.id,
        "summary": calendar.name,
        "timeZone": calendar.tz,
    }
