"""From a text to the value of a slot: read, checked, or a question back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from aicore.flows.contacts import (
    email_in,
    looks_like_email,
    name_in,
    name_only,
    number_in,
    phone_in,
)
from aicore.flows.replies import chosen, yes_or_no
from aicore.flows.schema import OptionsFrom, SlotModel, StaticOption
from aicore.flows.whens import Calendar, When, localize, understand_when
from aicore.flows.wording import full_day

__all__ = [
    "Ask",
    "Business",
    "Value",
    "field_of",
    "mentioned",
    "option_rows",
    "read_slot",
    "settle_when",
]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FAR = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Value:
    """What was read, as plain JSON."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """Not usable yet: say `key` of the wording with `values`; keep `partial` for the answer.

    `then`: the question that follows; without it `key` is one itself.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict)
    partial: Any = None
    then: str = ""


@dataclass(frozen=True, slots=True)
class Business:
    """What slots are read by: the calendar, the phone region, hours, and days when it is closed.

    `closed`: dates as `2027-03-26`, or `12-25` for every year.
    """

    calendar: Calendar
    region: str
    open: Mapping[str, str | None]
    closed: Collection[str] = ()

    def hours_on(self, day: date) -> str | None:
        """Opening hours, e.g. `08:00-17:00`; None when closed."""
        if f"{day:%m-%d}" in self.closed or day.isoformat() in self.closed:
            return None
        return self.open.get(_DAYS[day.weekday()]) if self.open else "00:00-23:59"

    def is_open(self, moment: datetime) -> bool:
        """Say whether the business is open at that moment."""
        hours = self.hours_on(moment.date())
        return bool(hours) and hours[:5] <= f"{moment:%H:%M}" < hours[6:]  # type: ignore[index]  # bool() checked it


def option_rows(slot: SlotModel) -> list[dict[str, Any]]:
    """Give a choice's fixed options as rows with a `name`."""
    options = slot.options if isinstance(slot.options, list) else []
    return [one.model_dump() if isinstance(one, StaticOption) else {"name": one} for one in options]


def field_of(slot: SlotModel) -> str:
    """The field of a choice's row that is its value."""
    return slot.options.value if isinstance(slot.options, OptionsFrom) else "name"


def read_slot(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    """Read an answer to a slot's own question. None: it is no answer to it."""
    return _READERS[slot.type](slot, text, business, partial)


def mentioned(slot: SlotModel, text: str, business: Business) -> Value | None:
    """Find a slot's value in a text that answers something else, or nothing."""
    if slot.type == "name":
        found: Any = name_in(text)
    elif slot.type == "email":
        found = email_in(text)
    elif slot.type == "phone":
        found = phone_in(text, business.region)
    elif slot.type == "contact":
        found = email_in(text) or phone_in(text, business.region)
    elif slot.type == "choice" and isinstance(slot.options, list):
        return _static_choice(slot, text, by_name=True)
    else:
        return None
    return Value(found) if found else None


def _text(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    return Value(text[:1000]) if re.search(r"\w", text) else None


def _name(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    if "?" in text:
        return None
    name = name_only(text)
    return Value(name) if name else None


def _email(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    found = email_in(text)
    if found:
        return Value(found)
    return Ask("bad_email") if looks_like_email(text) else None


def _phone(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    found = phone_in(text, business.region, expected=True)
    if found:
        return Value(found)
    return Ask("bad_phone") if sum(sign.isdigit() for sign in text) >= 3 else None


def _contact(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    found = email_in(text) or phone_in(text, business.region, expected=True)
    if found:
        return Value(found)
    is_meant = looks_like_email(text) or any(sign.isdigit() for sign in text)
    return Ask("bad_contact") if is_meant else None


def _number(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    number = number_in(text)
    if number is None:
        return None
    if slot.least is not None and number < slot.least:
        return Ask("number_low", {"least": slot.least})
    if slot.most is not None and number > slot.most:
        return Ask("number_high", {"most": slot.most})
    return Value(number)


def _yes_no(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    found = yes_or_no(text)
    return None if found is None else Value(found)


def _choice(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    return _static_choice(slot, text)


def _static_choice(slot: SlotModel, text: str, *, by_name: bool = False) -> Value | None:
    rows = option_rows(slot)
    names = [row["name"] for row in rows]
    if by_name:
        text = re.sub(
            r"\b(?:\d+\w*|first|second|third|last|one|two|three|ersten?|letzten?)\b", " ", text
        )
    found = chosen(text, names, [row.get("also", ()) for row in rows])
    return Value(rows[found[0]]) if len(found) == 1 else None


def _when(slot: SlotModel, text: str, business: Business, partial: Any) -> Value | Ask | None:
    calendar = business.calendar
    older = When.from_json(partial["when"]) if partial and "when" in partial else None
    if partial and "readings" in partial:
        when = _disambiguated(text, partial["readings"], older, calendar)
    else:
        when = understand_when(text, calendar, expected=True)
    if when is None:
        return None
    return settle_when(slot, when.over(older), business)


def _disambiguated(
    text: str, readings: Sequence[str], older: When | None, calendar: Calendar
) -> When | None:
    days = [date.fromisoformat(one) for one in readings]
    said = understand_when(text, calendar, expected=False)
    for day in days:
        if said is not None and said.day == day:
            return When(days=(day, day))
    names = [full_day(day, calendar.language) for day in days]
    found = chosen(text, names)
    if len(found) == 1:
        return replace(When(days=(days[found[0]],) * 2), other=None).over(
            replace(older, other=None) if older else None
        )
    return said


def settle_when(slot: SlotModel, when: When, business: Business) -> Value | Ask:
    """Check what was said about when, and ask for what is missing; nothing is made up."""
    problem = _unusable(slot, when, business)
    if problem is not None:
        return problem
    calendar = business.calendar
    kept = {"when": when.to_json()}
    if when.days is None and not when.is_any:
        key = "which_day_at" if when.at else "which_day"
        return Ask(key, {"time": f"{when.at:%H:%M}" if when.at else ""}, kept)
    if slot.type == "period":
        return Value(_period(when, business))
    if when.day is None:
        return Ask("which_day", partial={"when": replace(when, days=None, is_any=False).to_json()})
    if slot.type == "date":
        return Value(when.day.isoformat())
    if when.at is None:
        return Ask("which_time", {"day": full_day(when.day, calendar.language)}, kept)
    return Value(localize(when.day, when.at, calendar.zone).isoformat())


def _unusable(slot: SlotModel, when: When, business: Business) -> Ask | None:
    calendar = business.calendar
    if when.is_unreal:
        return Ask("unreal", then="which_day")
    if when.is_past and slot.future and when.days:
        kept_of = _without_past(when, calendar)
        return Ask("past", {"when": _said(when, calendar)}, kept_of, then="which_day")
    if when.is_far:
        return Ask("too_far", then="which_day")
    if when.other is not None and when.days:
        kept = {"when": replace(when, other=None).to_json()}
        kept["readings"] = [when.days[0].isoformat(), when.other.isoformat()]  # type: ignore[assignment]
        return Ask("which_date", partial=kept)
    if slot.type in ("period", "datetime") and when.days:
        first, last = when.days
        spanned = [first + timedelta(days=n) for n in range(min(7, (last - first).days + 1))]
        if len(spanned) == 1 or not any(business.hours_on(day) for day in spanned):
            return _closed(when, first, business)
    return None


def _without_past(when: When, calendar: Calendar) -> Any:
    """What may be kept of something past: today for another time, a time for another day."""
    if when.day == calendar.today and when.at:
        kept = When(days=when.days)
    else:
        kept = replace(when, days=None, other=None, is_past=False)
    return {"when": kept.to_json()} if kept.days or kept.has_time else None


def _closed(when: When, day: date, business: Business) -> Ask | None:
    hours = business.hours_on(day)
    name = full_day(day, business.calendar.language)
    if not hours:
        kept = replace(when, days=None)
        kept_of = {"when": kept.to_json()} if kept.has_time else None
        return Ask("closed", {"day": name}, kept_of, then="which_other_day")
    opens, closes = time.fromisoformat(hours[:5]), time.fromisoformat(hours[6:])
    outside = (
        (when.at is not None and not opens <= when.at < closes)
        or (when.after is not None and when.after >= closes)
        or (when.before is not None and when.before <= opens)
    )
    if not outside:
        return None
    kept = replace(when, at=None, after=None, before=None)
    return Ask(
        "closed_time",
        {"day": name, "hours": hours.replace("-", "\u2013")},
        {"when": kept.to_json()},
        then="which_other_time",
    )


def _said(when: When, calendar: Calendar) -> str:
    assert when.days is not None  # noqa: S101  - asked before
    day = full_day(when.days[0], calendar.language, year=when.days[0].year != calendar.today.year)
    is_today = when.days[0] == calendar.today
    return f"{day}, {when.at:%H:%M}," if when.at and is_today else day


def _period(when: When, business: Business) -> dict[str, Any]:
    """A stretch to look for free times in, as moments; `time` is the exact wish."""
    calendar = business.calendar
    when = _clipped(when, business)
    first, last = when.days or (calendar.today, calendar.today + _FAR)
    zone = calendar.zone
    day_start, day_end = (
        localize(first, time(), zone),
        localize(last + timedelta(days=1), time(), zone),
    )
    start, end = day_start, day_end
    if when.day is not None:
        if when.at or when.after:
            start = localize(first, when.at or when.after or time(), zone)
        if when.before:
            end = localize(first, when.before, zone)
    return {
        "start": max(start, calendar.now).isoformat(timespec="seconds"),
        "end": end.isoformat(timespec="seconds"),
        "day_start": max(day_start, calendar.now).isoformat(timespec="seconds"),
        "day_end": day_end.isoformat(timespec="seconds"),
        "time": f"{when.at:%H:%M}" if when.at else None,
        "exact": start.isoformat() if when.at and when.day else None,
        "hours": _hours(when, business),
        "when": when.to_json(),
    }


def _clipped(when: When, business: Business) -> When:
    """A stretch of one day, within the opening hours: mornings begin when the door opens."""
    hours = business.hours_on(when.day) if when.day and business.open else None
    if not hours:
        return when
    opens, closes = time.fromisoformat(hours[:5]), time.fromisoformat(hours[6:])
    after = max(when.after, opens) if when.after else None
    before = min(when.before, closes) if when.before else None
    return replace(when, after=after, before=before)


def _hours(when: When, business: Business) -> str | None:
    """The wished hours within the opening hours, by weekday, or None for any."""
    after = when.after or when.at or time()
    before = when.before or time(23, 59)
    if when.at and when.day:
        after = time()
    if not business.open:
        return f"{after:%H:%M}-{before:%H:%M}" if when.after or when.before else None
    parts = []
    for day in _DAYS:
        hours = business.open.get(day)
        if hours:
            opens, closes = max(hours[:5], f"{after:%H:%M}"), min(hours[6:], f"{before:%H:%M}")
            if opens < closes:
                parts.append(f"{day.title()} {opens}-{closes}")
    return ",".join(parts) or None


_READERS: dict[str, Callable[[SlotModel, str, Business, Any], Value | Ask | None]] = {
    "text": _text,
    "name": _name,
    "email": _email,
    "phone": _phone,
    "contact": _contact,
    "number": _number,
    "yes_no": _yes_no,
    "choice": _choice,
    "date": _when,
    "datetime": _when,
    "period": _when,
}
