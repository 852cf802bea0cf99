"""Times of day as people write them, in English and German."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import time

__all__ = ["NUMBER", "Clock", "clock_in", "hour_of", "number_of"]

_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "twenty": 20,
    "ein": 1, "eins": 1, "einem": 1, "einer": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5,
    "fuenf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "elf": 11,
    "zwölf": 12, "zwoelf": 12, "zwanzig": 20, "a": 1, "an": 1,
}  # fmt: skip
_SPELT = "|".join(sorted((word for word in _NUMBERS if len(word) > 2), key=len, reverse=True))
NUMBER = rf"(?:\d{{1,2}}|{_SPELT})"

_AMPM = r"(?:\s*(?P<half>[ap])\.?\s?m\b\.?)"
_END = r"(?![\w])"


def number_of(text: str) -> int:
    """Read digits or a number word."""
    return int(text) if text.isdigit() else _NUMBERS[text]


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day: exact (`at`), or a stretch (`after`, `before`), and where it stands."""

    at: time | None
    after: time | None
    before: time | None
    start: int
    end: int


def hour_of(hour: int, half: str | None, part: str | None) -> int | None:
    """Bring an hour onto 24: by am/pm, by the part of the day, else by when shops are open."""
    if hour > 24:
        return None
    if hour == 24:
        return 0
    if half == "p":
        return hour + 12 if hour < 12 else hour
    if half == "a":
        return 0 if hour == 12 else hour
    if part in ("afternoon", "evening") and hour < 12:
        return hour + 12
    if part is None and 1 <= hour <= 6:
        return hour + 12
    return hour


def _past(match: re.Match[str]) -> tuple[int, int]:
    return number_of(match["hour"]), number_of(match["minute"])


def _to(match: re.Match[str]) -> tuple[int, int]:
    return number_of(match["hour"]) - 1 or 12, 60 - number_of(match["minute"])


def _fixed(minute: int, back: int = 0) -> Callable[[re.Match[str]], tuple[int, int]]:
    return lambda match: (number_of(match["hour"]) - back or 12, minute)


def _plain(match: re.Match[str]) -> tuple[int, int]:
    return number_of(match["hour"]), int(match["minute"] or 0)


_H = rf"(?P<hour>{NUMBER})(?:\s*o'?\s?clock|\s*uhr)?{_END}{_AMPM}?"
_M = r"(?P<minute>5|10|20|25|five|ten|twenty|fünf|fuenf|zehn|zwanzig)(?:\s*min(?:ute[sn]?)?)?"

# Tried in this order; the first that is found counts.
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[int, int]]], ...] = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        (rf"\bhalf\s+past\s+{_H}", _fixed(30)),
        (rf"\bhalf\s+(?!an?\b)(?=\w){_H}", _fixed(30)),
        (rf"\bhalb\s+{_H}", _fixed(30, back=1)),
        (rf"\b(?:a\s+)?quarter\s+(?:past|after)\s+{_H}", _fixed(15)),
        (rf"\b(?:a\s+)?quarter\s+(?:to|before|of)\s+{_H}", _fixed(45, back=1)),
        (rf"\bdreiviertel\s+{_H}", _fixed(45, back=1)),
        (rf"\bviertel\s+nach\s+{_H}", _fixed(15)),
        (rf"\bviertel\s+vor\s+{_H}", _fixed(45, back=1)),
        (rf"\b{_M}\s+(?:past|nach)\s+{_H}", _past),
        (rf"\b{_M}\s+(?:to|vor)\s+{_H}", _to),
        (rf"(?<![\d.:/])(?P<hour>\d{{1,2}})[:.h](?P<minute>[0-5]\d)(?::00)?{_AMPM}", _plain),
        (r"(?<![\d.:/])(?P<hour>\d{1,2})[:.](?P<minute>[0-5]\d)\s*(?:uhr|h|hrs)\b", _plain),
        (r"(?<![\d.:/])(?P<hour>\d{1,2})\s*(?:uhr|h)\s*(?P<minute>[0-5]\d)(?!\d)", _plain),
        (r"(?<![\d.:/-])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::00)?(?![\d:])", _plain),
        (r"\b(?:at|um|gegen|around|@)\s*(?P<hour>\d{1,2})\.(?P<minute>[0-5]\d)(?![\d.])", _plain),
        (r"(?<![\d.:/])(?P<hour>[01]?\d|2[0-3])\.(?P<minute>1[3-9]|[2-5]\d)(?![\d.])", _plain),
        (rf"(?<![\d.:/])(?P<hour>{NUMBER})(?P<minute>){_AMPM}", _plain),
        (rf"(?<![\d.:/])\b(?P<hour>{NUMBER})(?P<minute>)\s*(?:uhr|o'?\s?clock|hrs?|h)\b", _plain),
        (
            r"\b(?:at|um|gegen|around|about|@)\s*(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)\b",
            _plain,
        ),
        (r"(?<!\d)(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)\s*(?:hrs|hours|h|uhr)\b", _plain),
        (
            rf"(?:\b(?:at|um|gegen|around|about|by|ca\.?|circa|approx\.?|after|before|from|"
            rf"until|till|ab|"
            rf"nach|vor|bis|past|say|than)|@)\s*(?:about\s+|around\s+|ca\.?\s+)?"
            rf"(?P<hour>{NUMBER})(?P<minute>){_END}(?!\s*[./:%€$]|\s*(?:days?|weeks?|months?|"
            rf"hours?|"
            rf"minutes?|min|people|persons?|tagen?|wochen?|monaten?|stunden?|minuten|st\b|nd\b|"
            rf"rd\b|th\b))",
            _plain,
        ),
    )
)
_WORDS = (
    (re.compile(r"\b(?:at\s+|um\s+)?(?:12\s+)?(?:noon|midday|mid-day|high noon)\b"), time(12)),
    (re.compile(r"\b(?:um\s+)?12\s+uhr\s+mittags?\b"), time(12)),
    (re.compile(r"\b(?:at\s+|um\s+)?(?:midnight|mitternacht)\b"), time(0)),
)
_RANGE = re.compile(
    rf"(?P<lead>\b(?:between|from|zwischen|von)\s+)?"
    rf"(?<![\d.:/])(?P<h1>{NUMBER})(?:[:.](?P<m1>[0-5]\d))?\s*(?P<a1>[ap]\.?m\b\.?|uhr)?"
    rf"\s*(?:-|\u2013|\u2014|and|to|till?|until|bis|und)\s*"
    rf"(?P<h2>{NUMBER})(?:[:.](?P<m2>[0-5]\d))?\s*(?P<a2>[ap]\.?m\b\.?|uhr|o'?clock)?(?![\w.:/])"
)
_AFTER = re.compile(
    r"(?:\b(?:after|from|since|ab|nach|later\s+than|not\s+before|no\s+earlier\s+than|frühestens|"
    r"past|any\s*time\s+after|nicht\s+vor|später\s+als)(?:\s+(?:at|um))?)\s*\Z"
)
_BEFORE = re.compile(
    r"(?:\b(?:before|until|till|by|vor|bis|earlier\s+than|no\s+later\s+than|not\s+after|"
    r"spätestens|früher\s+als)(?:\s+(?:at|um|zu))?)\s*\Z"
)
_OPENER = re.compile(
    r"(?:at|um|gegen|around|about|by|after|before|from|until|till|ab|nach|vor|bis)\s*"
)


def clock_in(text: str, part: str | None) -> Clock | None:
    """Find the time of day in a text in lower case; `part` is the part of the day it names."""
    stretch = _range_in(text, part)
    if stretch is not None:
        return stretch
    for moment, start, end in _moments(text, part):
        opener = _OPENER.match(text, start, end)
        lead = text[: opener.end() if opener else start]
        if _BEFORE.search(lead) and not re.search(r"\bby\s*\Z", lead):
            return Clock(None, None, moment, start, end)
        if _AFTER.search(lead):
            return Clock(None, moment, None, start, end)
        return Clock(moment, None, None, start, end)
    return None


def _moments(text: str, part: str | None) -> Iterator[tuple[time, int, int]]:
    for word, moment in _WORDS:
        match = word.search(text)
        if match:
            yield moment, match.start(), match.end()
    for form, read in _FORMS:
        match = form.search(text)
        if match is None:
            continue
        half = match.groupdict().get("half")
        is_exact = match["hour"].startswith("0")
        moment_read = _time(*read(match), half, "morning" if is_exact else part)
        if moment_read is not None:
            yield moment_read, match.start(), match.end()


def _time(hour: int, minute: int, half: str | None, part: str | None) -> time | None:
    hour24 = hour_of(hour, half, part)
    if hour24 is None or hour24 > 23 or not 0 <= minute < 60:
        return None
    return time(hour24, minute)


def _range_in(text: str, part: str | None) -> Clock | None:
    for match in _RANGE.finditer(text):
        marked = match["a1"] or match["a2"] or match["m1"] or match["m2"]
        is_behind_day = text[: match.start()].rstrip().endswith("|")
        if not (match["lead"] or marked or is_behind_day) or re.match(
            r"\s*(?:st|nd|rd|th|tagen|days)", text[match.end() :]
        ):
            continue
        half2 = _half(match["a2"])
        half1 = _half(match["a1"]) or half2
        first = _time(number_of(match["h1"]), int(match["m1"] or 0), half1, part)
        last = _time(number_of(match["h2"]), int(match["m2"] or 0), half2, part)
        if first and last and half1 == "p" and not match["a1"] and first > last:
            first = first.replace(hour=first.hour - 12)  # 11-1pm starts before noon
        if first and last and first < last:
            return Clock(None, first, last, match.start(), match.end())
    return None


def _half(mark: str | None) -> str | None:
    return mark[0] if mark and mark[0] in "ap" else None
