"""What a text says about when, put together; never a time that was not said."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aicore.flows.clock import NUMBER, clock_in, hour_of, number_of
from aicore.flows.dates import Days, days_in, spelt

__all__ = ["Calendar", "When", "localize", "understand_when"]

_PARTS: dict[str, tuple[time, time]] = {
    "early": (time(7), time(10)),
    "morning": (time(7), time(12)),
    "noon": (time(12), time(14)),
    "afternoon": (time(12), time(18)),
    "late": (time(15), time(18)),
    "evening": (time(17), time(21)),
}
_PART_WORDS = (
    ("late", r"\blate (?:in the )?afternoon\b|\bspäter? nachmittag\b|\bend of the day\b"),
    ("afternoon", r"\bafternoons?\b|\bnachmittags?\b|\bafter lunch\b|\bpm\b(?<!\dpm)"),
    ("early", r"\bearly (?:in the )?mornings?\b|\bfrühmorgens\b|\bin (?:the|aller) frühe?\b"),
    (
        "morning",
        r"\bmornings?\b|\bvormittags?\b|\bmorgens\b|\b(?:heute|morgen|tag) früh\b|\bmorgen früh\b"
        r"|\bfrüh\b|\bbefore lunch\b|\bfirst thing\b|\bam morgen\b|\bforenoon\b",
    ),
    (
        "evening",
        r"\bevenings?\b|\babends?\b|\btonight\b|\bafter work\b|\bnach (?:der )?(?:arbeit|"
        r"feierabend)\b",
    ),
    ("noon", r"\blunch ?time\b|\bmittags?\b|\bover lunch\b|\bat lunch\b|\blunch break\b"),
)
_PART_FORMS = tuple((part, re.compile(pattern)) for part, pattern in _PART_WORDS)
_ANY = re.compile(
    r"\b(?:any ?time|any ?day|whenever|when(?:ever)? (?:you|u|it)(?:'re| are| have| is)? ?"
    r"(?:free|possible|available|suits you|something|a slot)?|asap|a\.s\.a\.p|"
    r"as soon as (?:possible|you can)|soonest|earliest|next (?:available|free|possible|opening|"
    r"slot|one)|"
    r"first (?:available|free|possible|opening|slot)|as early as possible|right (?:now|away)|"
    r"immediately|soon|doesn'?t matter|don'?t (?:mind|care)|do not mind|i'?m (?:flexible|easy)|"
    r"no (?:real |special )?preferences?|(?:don'?t|do not) have (?:a |any )?preferences?|whatever|"
    r"you (?:choose|decide|pick)|flexible|urgent(?:ly)?|"
    r"when (?:do you have|have you got|can i come|could i come|is (?:something|anything) free)|"
    r"what(?:ever)? (?:times? )?(?:do you have|have you got|is free|"
    r"works|suits you)|"
    r"egal|jederzeit|wann (?:haben sie|ist) (?:zeit|etwas frei|was frei|noch frei)|"
    r"so (?:bald|schnell|früh) wie möglich|schnellstmöglich|möglichst (?:bald|"
    r"schnell)|"
    r"baldmöglichst|nächst(?:e[rn]?|möglich(?:e[rn]?)?) (?:freie[rn]? )?termin|bald|sofort|"
    r"frühestmöglich|wann (?:sie|ihr) (?:könn(?:en|t)|wollt|wollen))\b"
)
_NEGATED = re.compile(
    r"\b(?:not|nicht|except|but not|außer|anything but|any day but|no|kein(?:en)?)\s+(?:on\s+|"
    r"am\s+)?"
    r"(?=(?:mon|tues|wednes|thurs|fri|satur|sun)day|tomorrow|today|\w+tag\b|mittwoch|heute|"
    r"morgen\b)"
    r"[\w]+"
    r"|\b(?:since|seit)\s+(?:last\s+|letzte[rn]?\s+)?[a-zäöüß]+"
    r"|\b(?:good|guten)\s+(?:morning|afternoon|evening|day|morgen|tag|abend)\b"
)
_UNREAL = re.compile(
    r"\b\d{1,2}[./]\d{1,2}\b(?!\s*(?:uhr|[ap]m))|\b\d{1,2}(?:st|nd|rd|th|\.)?\s+(?:of\s+)?"
    r"(?:jan|feb|mar|märz|apr|jun|sep|oct|okt|nov|dec|dez)"
)
_GERMAN_DAY = re.compile(r"\w+tag|mittwoch|sonnabend|wochenende|(?:mo|di|mi|do|fr|sa|so)\b|\d")
_SOON = re.compile(
    rf"\bin\s+(?:about\s+)?(?P<count>half an|eine[rn]?(?:\s+halben)?|{NUMBER}|an?)\s+"
    r"(?P<unit>hours?|minutes?|mins?|stunden?|minuten?)\b"
)
_BARE = re.compile(
    r"\A(?:(?:oh|hmm?|well|or|no|nope|nein|wait|please|actually|sorry|then|ok|okay|"
    r"make (?:it|that)|how about|what about|maybe|"
    r"rather|better|let'?s say|say|lieber|besser|doch|oder|at|um|gegen|around|about)\b[, ]*)*"
    rf"(?P<hour>[01]\d(?=[0-5]\d\b)|2[0-3](?=[0-5]\d\b)|{NUMBER})"
    r"(?P<minute>[0-5]\d)?\s*(?:please|bitte|then)?[.!]?\Z"
)
_HOUR_AFTER_DAY = re.compile(
    r"\A\s*,?\s+(?P<hour>[7-9]|1\d|20)(?=\s*(?:[,;!?]|\.(?!\d)|\Z|\s(?:please|pls|bitte|thanks|thx|if|"
    r"for|and|i|i'm|im|it's|my|name)\b))"
)
_MADE = re.compile(
    r"\b(?:(?:make|change|move|push|put) (?:it|that|the time|this)(?: to| for)?|lieber|besser|"
    r"(?:can|could|shall) (?:we|i) (?:do|say|have|take|come(?: at)?)|(?:can|could) it be(?: at)?) "
    rf"(?P<hour>{NUMBER})(?![\w./:@-])(?!\s+(?:days?|weeks?|hours?|months?|minutes?)\b)"
)
_ABOUT = re.compile(r"\b(\d{1,2}(?:[:.]\d\d)?)\s?-?ish\b")
_FURTHEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What dates are read by: the present moment (aware), the zone, the order of 5/12."""

    now: datetime
    order: str
    language: str = "en"

    @property
    def zone(self) -> ZoneInfo:
        """The business's zone."""
        zone = self.now.tzinfo
        assert isinstance(zone, ZoneInfo)  # noqa: S101  made so by the provider
        return zone

    @property
    def today(self) -> date:
        """The date in that zone."""
        return self.now.date()


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What was said; every part may be missing.

    `days` first and last. `at` the exact time; `after` and `before` a stretch. `other`: the
    date may also mean this one. `is_any`: whenever, as soon as possible. `is_past`,
    `is_far`, `is_unreal` (30 February): it cannot be booked. `is_weekday`: the day was said by
    its weekday alone, without next or last.
    """

    days: tuple[date, date] | None = None
    at: time | None = None
    after: time | None = None
    before: time | None = None
    other: date | None = None
    is_any: bool = False
    is_past: bool = False
    is_far: bool = False
    is_unreal: bool = False
    is_weekday: bool = False

    @property
    def day(self) -> date | None:
        """The one day, where it is one."""
        return self.days[0] if self.days and self.days[0] == self.days[1] else None

    @property
    def has_time(self) -> bool:
        """Anything about the time of day."""
        return bool(self.at or self.after or self.before)

    def over(self, older: When | None) -> When:
        """Fill what is missing from something said before."""
        if older is None:
            return self
        merged = self
        if merged.days is None and not merged.is_any:
            merged = replace(
                merged, days=older.days, other=older.other, is_any=older.is_any and not older.days
            )
        if not merged.has_time:
            merged = replace(merged, at=older.at, after=older.after, before=older.before)
        return merged

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for the state."""
        return {
            "days": [day.isoformat() for day in self.days] if self.days else None,
            "at": _hhmm(self.at),
            "after": _hhmm(self.after),
            "before": _hhmm(self.before),
            "other": self.other.isoformat() if self.other else None,
            "any": self.is_any,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> When:
        """Rebuild from `to_json`."""
        days = value["days"]
        return cls(
            days=(date.fromisoformat(days[0]), date.fromisoformat(days[1])) if days else None,
            at=_clock(value["at"]),
            after=_clock(value["after"]),
            before=_clock(value["before"]),
            other=date.fromisoformat(value["other"]) if value["other"] else None,
            is_any=value["any"],
        )


def _hhmm(moment: time | None) -> str | None:
    return moment.strftime("%H:%M") if moment else None


def _clock(text: str | None) -> time | None:
    return time.fromisoformat(text) if text else None


def localize(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Give the moment when clocks in `zone` show this; skipped times move to where they exist."""
    moment = datetime.combine(day, at, tzinfo=zone)
    return moment.astimezone(UTC).astimezone(zone)


def understand_when(
    text: str, calendar: Calendar, *, expected: bool = False, is_hour: bool = False
) -> When | None:
    """Say when a text means, or None where it says nothing about it.

    `is_hour`: a bare number is an hour. `expected`: a time was asked for, so it is one as
    well, and other languages' dates are tried. The time of day is only ever one that was said.
    """
    low = _NEGATED.sub(" ", spelt(text[:400].lower().replace("\u2019", "'")))
    low = _ABOUT.sub(r"around \1", low)
    soon = _from_now(low, calendar)
    if soon is not None:
        return soon
    days = days_in(low, calendar.today, calendar.order)
    rest = low if days is None else _without(low, days)
    part = next((name for name, form in _PART_FORMS if form.search(low)), None)
    clock = clock_in(rest, part)
    when = When(
        at=clock.at if clock else None,
        after=clock.after if clock else None,
        before=clock.before if clock else None,
    )
    if clock is None and part is not None:
        after, before = _PARTS[part]
        when = replace(when, after=after, before=before)
    if clock is None:
        when = _bare_hour(rest, low[days.end :] if days else "", when, is_alone=expected or is_hour)
    if days is None and (_ANY.search(low) or low.strip(" .!?") in ("now", "jetzt")):
        return replace(when, is_any=True)
    if days is None and _UNREAL.search(low):
        return replace(when, is_unreal=True)
    if days is None and expected and not when.has_time:
        days = _other_languages(text, calendar)
    if days is not None:
        return _dated(when, days, calendar)
    return when if when.has_time else None


def _without(low: str, days: Days) -> str:
    head = low[: days.start]
    if _GERMAN_DAY.match(low, days.start):
        head = re.sub(r"\bam\s*\Z", "", head)  # "um 3 am Montag" is no a.m.
    return f"{head} | {low[days.end :]}"


def _from_now(low: str, calendar: Calendar) -> When | None:
    match = _SOON.search(low)
    if match is None:
        return None
    count, unit = match["count"], match["unit"]
    half = count.startswith("half") or "halb" in count
    amount = (
        30
        if half
        else number_of(count)
        if count.isdigit() or count in ("a", "an")
        else _spelt(count)
    )
    minutes = amount if half or unit.startswith("m") else amount * 60
    moment = calendar.now + timedelta(minutes=minutes)
    at = moment.time().replace(second=0, microsecond=0)
    return When(days=(moment.date(), moment.date()), at=at)


def _spelt(count: str) -> int:
    try:
        return number_of(count)
    except KeyError:
        return 1


def _bare_hour(rest: str, after_day: str, when: When, *, is_alone: bool) -> When:
    """A number without a mark: behind a day, or where one is expected alone or in "make it 4"."""
    match = _HOUR_AFTER_DAY.match(after_day)
    if match is None and is_alone:
        match = _BARE.match(rest.replace("|", " ").strip(" ,")) or _MADE.search(rest)
    if match is None:
        return when
    part = "afternoon" if when.after and when.after >= time(12) else None
    hour = hour_of(number_of(match["hour"]), None, part)
    if hour is None or hour > 23 or number_of(match["hour"]) > 23:
        return when
    minute = int(match.groupdict().get("minute") or 0)
    return replace(when, at=time(hour, minute), after=None, before=None)


def _dated(when: When, days: Days, calendar: Calendar) -> When:
    first, last = days.first, days.last
    today = calendar.today
    is_over = not when.at or localize(today, when.at, calendar.zone) <= calendar.now
    if days.is_weekday and first == last == today and is_over:
        first = last = today + timedelta(weeks=1)  # who means today says so
    when = replace(when, days=(first, last), other=days.other, is_weekday=days.is_weekday)
    is_past = last < today or (days.is_rolled and (first - today).days > 300)
    if is_past and days.is_rolled:
        first = last = first.replace(year=first.year - 1) if first.day < 29 else first
        when = replace(when, days=(first, last), other=None)
    if when.day == today and when.at and localize(today, when.at, calendar.zone) <= calendar.now:
        is_past = True
    return replace(when, is_past=is_past, is_far=first - today > _FURTHEST)


def _other_languages(text: str, calendar: Calendar) -> Days | None:
    """Ask dateparser, for days only: it makes times up, and our rules have read those."""
    # Shorter words are names and abbreviations that mean a day in some language: Sam, Pia, Mar.
    if len(text) > 40 or not re.search(r"[^\W\d_]{5}", text):
        return None
    import dateparser

    found = dateparser.parse(
        text,
        languages=["en", "de", "fr", "es", "it", "nl", "pl", "tr"],
        settings={
            "RELATIVE_BASE": calendar.now.replace(tzinfo=None),
            "PREFER_DATES_FROM": "future",
            "DATE_ORDER": "DMY" if calendar.order == "ask" else calendar.order,
            "PARSERS": ["absolute-time", "relative-time"],
        },
    )
    if found is None:
        return None
    return Days(found.date(), found.date(), 0, len(text))
