"""Series of Google's calendar: which instances an event has, and how they are named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr

from aicore_servers.sandbox.google_wire import invalid

__all__ = ["Slot", "instance", "moment", "slots", "span"]

_MOST = 800
_UNTIL = re.compile(r"UNTIL=(\d{8})(?:T(\d{6})(Z?))?", re.IGNORECASE)
_OF_MASTER = ("recurrence",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one instance lies by its rule. `suffix` is the end of its id."""

    start: datetime
    end: datetime
    suffix: str
    is_all_day: bool
    zone: ZoneInfo

    def written(self, at: datetime) -> dict[str, str]:
        """Write a moment as Google does."""
        local = at.astimezone(self.zone)
        if self.is_all_day:
            return {"date": local.date().isoformat()}
        return {"dateTime": local.isoformat(), "timeZone": self.zone.key}


def moment(given: Mapping[str, str], zone: ZoneInfo) -> datetime:
    """Read a start or an end; `zone` is the calendar's, in which whole days begin."""
    if "date" in given:
        day = date.fromisoformat(given["date"])
        return datetime.combine(day, time(), zone).astimezone(UTC)
    return datetime.fromisoformat(given["dateTime"]).astimezone(UTC)


def span(event: Mapping[str, Any], zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Give start and end of an event in UTC."""
    return moment(event["start"], zone), moment(event["end"], zone)


def slots(event: Mapping[str, Any], zone: ZoneInfo, until: datetime | None) -> Iterator[Slot]:
    """Give the instances of a series in order, as long as they start before `until`.

    Raises:
        Refusal: a rule cannot be read.
    """
    is_all_day = "date" in event["start"]
    own = zone if is_all_day else ZoneInfo(event["start"].get("timeZone", zone.key))
    first, last = span(event, own)
    local = first.astimezone(own).replace(tzinfo=None)
    days = (last.astimezone(own).date() - local.date()).days
    for number, each in enumerate(_rules(event["recurrence"], local, own)):
        start = each.replace(tzinfo=own).astimezone(UTC)
        if number >= _MOST or (until is not None and start >= until):
            return
        end = start + (last - first)
        if is_all_day:
            end = (each + timedelta(days=days)).replace(tzinfo=own).astimezone(UTC)
        suffix = each.strftime("%Y%m%d") if is_all_day else start.strftime("%Y%m%dT%H%M%SZ")
        yield Slot(start=start, end=end, suffix=suffix, is_all_day=is_all_day, zone=own)


def instance(master: Mapping[str, Any], slot: Slot) -> dict[str, Any]:
    """Give an instance that nobody changed."""
    kept = {name: deepcopy(value) for name, value in master.items() if name not in _OF_MASTER}
    return {
        **kept,
        "id": f"{master['id']}_{slot.suffix}",
        "recurringEventId": master["id"],
        "originalStartTime": slot.written(slot.start),
        "start": slot.written(slot.start),
        "end": slot.written(slot.end),
    }


def _rules(lines: Sequence[str], local: datetime, zone: ZoneInfo) -> rruleset:
    rules = rruleset()
    rules.rdate(local)  # the first instance is one, whatever the rule says
    for line in lines:
        name, _, value = line.partition(":")
        kind = name.partition(";")[0].upper()
        try:
            if kind == "RRULE":
                rules.rrule(_rule(value, local, zone))
            elif kind in {"EXDATE", "RDATE"}:
                add = rules.exdate if kind == "EXDATE" else rules.rdate
                for each in value.split(","):
                    add(_wall(each, local, zone))
            else:
                raise invalid(f"Invalid recurrence rule: {line}")
        except (ValueError, TypeError, KeyError) as error:
            raise invalid(f"Invalid recurrence rule: {line}") from error
    return rules


def _rule(text: str, local: datetime, zone: ZoneInfo) -> rrule:
    found = _UNTIL.search(text)
    rule = rrulestr(_UNTIL.sub("", text).strip(";").replace(";;", ";"), dtstart=local)
    if not isinstance(rule, rrule):
        raise invalid(f"Invalid recurrence rule: {text}")
    if found is None:
        return rule
    end = found[0].partition("=")[2]
    until = _wall(end, local, zone) if found[2] else _wall(f"{end}T235959", local, zone)
    return rule.replace(until=until)


def _wall(text: str, local: datetime, zone: ZoneInfo) -> datetime:
    """Read a time of a rule as wall time; a bare date has the time of day of the series."""
    if "T" not in text.upper():
        return datetime.combine(date.fromisoformat(text), local.time())
    read = datetime.fromisoformat(text)
    return read if read.tzinfo is None else read.astimezone(zone).replace(tzinfo=None)
