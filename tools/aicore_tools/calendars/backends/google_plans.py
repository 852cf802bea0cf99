"""What is to be done at Google for a change or a cancellation, as steps; asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aicore_tools.calendars.backends.google_events import (
    MARK,
    WAS,
    body_of,
    change_body,
    original_start,
    rule_lines,
    stamp,
)
from aicore_tools.calendars.backends.google_steps import NEW
from aicore_tools.calendars.changes import (
    applied,
    continued,
    local_time,
    moved_timing,
    shifted,
    wall_shift,
)
from aicore_tools.calendars.records import Event, EventChange, Notify, Scope
from aicore_tools.calendars.recurrence import Series, checked_rule
from aicore_tools.errors import InvalidInput

__all__ = ["TELL", "Found", "Plan", "cancelling", "changing"]

TELL: Mapping[Notify, str] = {"none": "none", "external": "externalOnly", "all": "all"}
_COPIED = (
    *("summary", "location", "description", "attendees", "reminders", "transparency"),
    *("visibility", "colorId", "guestsCanModify", "guestsCanInviteOthers"),
)

Step = dict[str, Any]
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event that was asked for, as Google gives it and as ours.

    Of an occurrence, `series` and `series_raw` are what it belongs to, and `start` is where the
    rule puts it; of a whole series they are the event itself. `exceptions` are the occurrences
    that were changed or taken out on their own.
    """

    event: Event
    raw: Raw
    series: Event | None = None
    series_raw: Raw | None = None
    start: datetime | None = None
    exceptions: Sequence[Raw] = ()

    @property
    def is_series(self) -> bool:
        """Whether the whole series was asked for."""
        return "recurrence" in self.raw

    @property
    def is_first(self) -> bool:
        """Whether nothing of the series lies before it."""
        return self.series is not None and (
            self.is_series or self.start == self.series.timing.span.start
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps, the event they lead to, and the id at Google by which it is read then."""

    steps: Sequence[Step]
    event: Event
    shown: str


def changing(found: Found, change: EventChange, scope: Scope, tell: str) -> Plan:
    """Plan a change.

    Raises:
        InvalidInput: `this` of a whole series, or a rule that does not fit the new time.
    """
    if found.series is None or scope == "this":
        _refuse_whole_series(found)
        event = applied(found.event, change)
        if event.repeat:
            event = replace(event, repeat=checked_rule(event.repeat, event.timing))
            change = replace(change, repeat=event.repeat)
        body = change_body(change, event.timing)
        step = _patch(found.event, found.raw, body, tell)
        return Plan(steps=[step], event=event, shown=found.raw["id"])
    if scope == "following" and not found.is_first:
        return _split(found, change, tell)
    return _all(found, change, tell)


def cancelling(found: Found, scope: Scope, tell: str) -> Plan:
    """Plan a cancellation; none of what is cancelled already.

    Raises:
        InvalidInput: `this` of a whole series.
    """
    event = replace(found.event, status="cancelled")
    if found.series is None or found.series_raw is None or scope == "this":
        _refuse_whole_series(found)
        steps = [] if found.event.status == "cancelled" else [_delete(event, found.raw, tell)]
    elif found.series.status == "cancelled":
        steps = []
    elif scope == "all" or found.is_first:
        steps = [_delete(found.series, found.series_raw, tell)]
    else:
        steps = _ended(found, tell)
    return Plan(steps=steps, event=event, shown="")


def _all(found: Found, change: EventChange, tell: str) -> Plan:
    """Change a series. Where its times move, its exceptions move along."""
    series, raw = _series_of(found)
    by = None
    if change.timing is not None:
        by = wall_shift(found.event.timing, change.timing)
        change = replace(change, timing=moved_timing(series.timing, by=by, like=change.timing))
    event = applied(series, change)
    rule = checked_rule(event.repeat, event.timing) if event.repeat else ""
    event = replace(event, repeat=rule)
    is_new_rule = change.repeat is not None or change.timing is not None
    change = replace(change, repeat=rule if is_new_rule else None)
    steps = [_patch(series, raw, change_body(change, event.timing), tell)]
    if by is not None and rule:
        kept = {span.start for span in _starts(event)}
        for exception in found.exceptions:
            old = original_start(exception, series.timing.tz)
            if old is None:
                continue
            at = shifted(old, by, series.timing.tz, event.timing.tz)
            if at == old:
                continue
            if old not in kept:
                steps.append(_gone(series, exception["id"]))
            steps.append(_carried(exception, event, f"{raw['id']}_{stamp(at, event.timing)}"))
    return Plan(steps=steps, event=event, shown=raw["id"])


def _split(found: Found, change: EventChange, tell: str) -> Plan:
    """End the series before an occurrence, and begin another there with the change made."""
    series, raw = _series_of(found)
    if found.start is None:
        raise ValueError("Only an occurrence can split a series.")
    first = change.timing or found.event.timing
    place = replace(series.timing, span=replace(series.timing.span, start=found.start))
    rest = replace(series, timing=first, repeat=continued(series, place, first))
    event = applied(rest, replace(change, timing=first))
    if event.repeat:
        event = replace(event, repeat=checked_rule(event.repeat, event.timing))
    insert = {
        "do": "insert",
        "calendar": series.calendar,
        "body": _new_body(raw, event),
        "tell": tell,
    }
    # The new part first: where that is refused, the old one is as it was.
    steps = [insert, *_ended(found, tell)]
    by = local_time(first.span.start, first.tz) - local_time(found.start, series.timing.tz)
    for exception in found.exceptions:
        old = original_start(exception, series.timing.tz)
        if old is None or old < found.start:
            continue
        steps.append(_gone(series, exception["id"]))
        if old > found.start and event.repeat:
            at = shifted(old, by, series.timing.tz, event.timing.tz)
            steps.append(_carried(exception, event, f"{NEW}_{stamp(at, event.timing)}"))
    return Plan(steps=steps, event=event, shown=NEW)


def _ended(found: Found, tell: str) -> list[Step]:
    """End a series before the occurrence that was found, if it does not end before."""
    series, raw = _series_of(found)
    if found.start is None:
        raise ValueError("Only an occurrence can end a series.")
    rule = Series(first=series.timing, rule=series.repeat).rule_before(found.start)
    if rule == series.repeat:
        return []
    body = {"recurrence": [*rule_lines(rule, series.timing), *_other_lines(raw)]}
    return [_patch(series, raw, body, tell)]


def _new_body(raw: Raw, event: Event) -> dict[str, Any]:
    """Write the series that goes on, with what Google knows of the old one and we do not."""
    copied = {name: raw[name] for name in _COPIED if name in raw}
    return {**copied, **body_of(event)}


def _carried(exception: Raw, series: Event, key: str) -> Step:
    """Make an occurrence of the new times what the exception was."""
    about = {"calendar": series.calendar, "event": key, "tell": "none", "optional": True}
    if exception["status"] == "cancelled":
        return {"do": "delete", **about}
    body = {name: exception[name] for name in (*_COPIED, "start", "end") if name in exception}
    body["extendedProperties"] = {"private": {WAS: exception["id"]}}
    return {"do": "patch", "body": body, "mark": "", **about}


def _gone(series: Event, key: str) -> Step:
    about = {"calendar": series.calendar, "event": key, "tell": "none"}
    return {"do": "delete", **about, "optional": True}


def _patch(event: Event, raw: Raw, body: dict[str, Any], tell: str) -> Step:
    about = {"calendar": event.calendar, "event": raw["id"], "etag": raw["etag"], "tell": tell}
    mark = raw.get("extendedProperties", {}).get("private", {}).get(MARK, "")
    return {"do": "patch", **about, "body": body, "mark": mark}


def _delete(event: Event, raw: Raw, tell: str) -> Step:
    about = {"calendar": event.calendar, "event": raw["id"], "etag": raw["etag"], "tell": tell}
    return {"do": "delete", **about}


def _other_lines(raw: Raw) -> list[str]:
    return [line for line in raw.get("recurrence", ()) if not line.startswith("RRULE:")]


def _starts(event: Event) -> Sequence[Any]:
    from aicore_tools.calendars.clashing import spans_of

    return spans_of(event.timing, event.repeat)


def _series_of(found: Found) -> tuple[Event, Raw]:
    if found.series is None or found.series_raw is None:
        raise ValueError("The event belongs to no series.")
    return found.series, found.series_raw


def _refuse_whole_series(found: Found) -> None:
    if found.is_series:
        raise InvalidInput(
            f"{found.event.id} is a whole series.",
            hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
        )
