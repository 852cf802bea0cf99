"""Days as people write them, in English and German: one day, or a stretch of days."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from rapidfuzz.distance import DamerauLevenshtein

from aicore.flows.clock import NUMBER, number_of

__all__ = ["Days", "days_in", "spelt"]

_WEEKDAYS = (
    ("monday", "mon", "montag", "montags"),
    ("tuesday", "tue", "tues", "dienstag", "dienstags"),
    ("wednesday", "wed", "weds", "mittwoch", "mittwochs"),
    ("thursday", "thu", "thur", "thurs", "donnerstag", "donnerstags"),
    ("friday", "fri", "freitag", "freitags"),
    ("saturday", "sat", "samstag", "sonnabend", "samstags"),
    ("sunday", "sun", "sonntag", "sonntags"),
)
_GERMAN_SHORT = ("mo", "di", "mi", "do", "fr", "sa", "so")
_MONTHS = (
    ("january", "jan", "januar", "jänner"),
    ("february", "feb", "februar"),
    ("march", "mar", "märz", "maerz"),
    ("april", "apr"),
    ("may", "mai"),
    ("june", "jun", "juni"),
    ("july", "jul", "juli"),
    ("august", "aug"),
    ("september", "sep", "sept"),
    ("october", "oct", "oktober", "okt"),
    ("november", "nov"),
    ("december", "dec", "dezember", "dez"),
)
_FEASTS = {
    "christmas eve": (12, 24), "heiligabend": (12, 24), "heilig abend": (12, 24),
    "christmas day": (12, 25), "christmas": (12, 25), "xmas": (12, 25), "weihnachten": (12, 25),
    "boxing day": (12, 26), "new year's eve": (12, 31), "new years eve": (12, 31),
    "silvester": (12, 31), "new year's day": (1, 1), "new years day": (1, 1),
    "new year's": (1, 1), "new year": (1, 1), "neujahr": (1, 1),
}  # fmt: skip
_WEEKDAY_OF = {name: at for at, names in enumerate(_WEEKDAYS) for name in names}
_MONTH_OF = {name: at for at, names in enumerate(_MONTHS, 1) for name in names}
_LONG = [
    *(name for name in (*_WEEKDAY_OF, *_MONTH_OF) if len(name) > 4),
    "tomorrow", "today", "morning", "afternoon", "evening", "übermorgen", "yesterday",
]  # fmt: skip
_REAL = frozenset(
    [
        "month",
        "months",
        "mondays",
        "friend",
        "friends",
        "monat",
        "mittag",
        "montage",
        "march",
        "sunny",
    ]
)


def _any_of(names: dict[str, int]) -> str:
    return "|".join(sorted(names, key=len, reverse=True))


_WD = rf"(?:{_any_of(_WEEKDAY_OF)})s?\b\.?"
_MON = rf"(?:{_any_of(_MONTH_OF)})\b\.?"
_YEAR = r"(?:,?\s*(?P<year>20\d\d|\d\d(?=\s|\Z)))?"
_UNITS = r"(?P<unit>days?|weeks?|months?|fortnights?|tage?n?|wochen?|monate?n?)"


@dataclass(frozen=True, slots=True)
class Days:
    """From `first` to `last`, both included; where it stands in the text.

    `other` is a second reading of the same text. `is_rolled`: no year was said and this
    year's day is past, so next year's is given. `is_weekday`: only the weekday was said.
    """

    first: date
    last: date
    start: int
    end: int
    other: date | None = None
    is_rolled: bool = False
    is_weekday: bool = False


_Found = tuple[date, date, date | None, bool]
_Read = Callable[[re.Match[str], date, str], "_Found | None"]


def spelt(text: str) -> str:
    """Put typing errors in the names of days and months right."""
    return re.sub(r"[^\W\d_]{5,}", lambda match: _right(match[0]), text)


def _right(word: str) -> str:
    if word in _LONG or word in _REAL:
        return word
    for name in _LONG:
        allowed = 1 if min(len(word), len(name)) < 7 else 2
        is_near = word[0] == name[0] and abs(len(word) - len(name)) <= allowed
        if is_near and DamerauLevenshtein.distance(word, name, score_cutoff=allowed) <= allowed:
            return name
    return word


def days_in(text: str, today: date, order: str) -> Days | None:
    """Find the days that a text in lower case names; `order` reads 5/12: DMY, MDY or ask."""
    later = _WEEKDAY.search(text)
    if _WEEK_OF.search(text) or (later and later["later"]):
        return _weekdays_in(text, today)
    for form, read in _FORMS:
        for match in form.finditer(text):
            found = read(match, today, order)
            if found is not None:
                first, last, other, is_rolled = found
                days = Days(first, last, match.start(), match.end(), other, is_rolled)
                return _narrowed(days, text)
    return _weekdays_in(text, today)


def _narrowed(days: Days, text: str) -> Days:
    """Next week on Tuesday: the weekday inside the stretch."""
    match = _WEEKDAY.search(text) if (days.last - days.first).days >= 4 else None
    if match is None or days.start <= match.start() < days.end:
        return days
    weekday = _WEEKDAY_OF[_name(match["day"])]
    day = days.first + timedelta(days=(weekday - days.first.weekday()) % 7)
    start, end = min(days.start, match.start()), max(days.end, match.end())
    return Days(day, day, start, end) if day <= days.last else days


def _one(day: date | None) -> _Found | None:
    return None if day is None else (day, day, None, False)


def _dated(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _year(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) if len(text) == 4 else 2000 + int(text)


def _rolled(today: date, year: int | None, month: int, day: int) -> tuple[date | None, bool]:
    if year is not None:
        return _dated(year, month, day), False
    found = _dated(today.year, month, day)
    if found is not None and found >= today:
        return found, False
    return _dated(today.year + 1, month, day), True


def _iso(match: re.Match[str], today: date, order: str) -> _Found | None:
    return _one(_dated(int(match["year"]), int(match["month"]), int(match["day"])))


def _numeric(match: re.Match[str], today: date, order: str) -> _Found | None:
    left, right, year = int(match["left"]), int(match["right"]), _year(match["year"])
    if match["mark"] == ".":
        order = "DMY"
    day_first, day_rolled = _rolled(today, year, right, left)
    month_first, month_rolled = _rolled(today, year, left, right)
    if order == "MDY" or day_first is None:
        chosen, is_rolled, other = month_first, month_rolled, day_first
    else:
        chosen, is_rolled, other = day_first, day_rolled, month_first
    if chosen is None:
        chosen, is_rolled, other = other, day_rolled, None
    if match["mark"] == "." and day_first is None:
        return None  # 8.30 is a time
    if chosen is None:
        return None
    if order != "ask" or other == chosen:
        other = None
    return chosen, chosen, other, is_rolled


def _named(match: re.Match[str], today: date, order: str) -> _Found | None:
    month = _MONTH_OF[match["month"].rstrip(".")]
    day, is_rolled = _rolled(today, _year(match["year"]), month, int(match["day"]))
    if day is None:
        return None
    weekday = _WEEKDAY_OF.get((match["weekday"] or "").rstrip("., "))
    other = None
    if weekday is not None and weekday != day.weekday():
        other = day + timedelta(days=(weekday - day.weekday() + 3) % 7 - 3)
    return day, day, other, is_rolled


def _feast(match: re.Match[str], today: date, order: str) -> _Found | None:
    month, day = _FEASTS[match["feast"]]
    return _one(_rolled(today, None, month, day)[0])


def _whole_month(match: re.Match[str], today: date, order: str) -> _Found | None:
    month = _MONTH_OF[match["month"].rstrip(".")]
    year = today.year if month >= today.month else today.year + 1
    first = date(year, month, 1)
    last = _next_month(first) - timedelta(days=1)
    part = (match.groupdict().get("part") or "")[:3]
    if part in ("ear", "beg", "sta", "anf"):
        last = first + timedelta(days=9)
    elif part in ("mid", "mit"):
        first, last = first + timedelta(days=10), first + timedelta(days=19)
    elif part in ("lat", "end"):
        first = last - timedelta(days=6)
    return max(first, today), max(last, today), None, False


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _monday(today: date, weeks: int = 0) -> date:
    return today - timedelta(days=today.weekday()) + timedelta(weeks=weeks)


def _week(weeks: int) -> _Read:
    def read(match: re.Match[str], today: date, order: str) -> _Found:
        monday = _monday(today, weeks)
        first, last = monday, monday + timedelta(days=6)
        part = match["part"] or ""
        if part in ("early", "beginning of", "start of", "anfang", "first half of"):
            last = monday + timedelta(days=1)
        elif part in ("mid", "middle of", "mitte"):
            first, last = monday + timedelta(days=2), monday + timedelta(days=2)
        elif part in ("late", "end of", "later", "ende"):
            first, last = monday + timedelta(days=3), monday + timedelta(days=4)
        return max(first, today), max(last, today), None, False

    return read


def _month(months: int) -> _Read:
    def read(match: re.Match[str], today: date, order: str) -> _Found:
        first = today.replace(day=1)
        for _ in range(months):
            first = _next_month(first)
        last = _next_month(first) - timedelta(days=1)
        part = match["part"] or ""
        if part in ("early", "beginning of", "start of", "anfang"):
            last = first + timedelta(days=9)
        elif part in ("late", "end of", "ende"):
            first = last - timedelta(days=6)
        return max(first, today), last, None, False

    return read


def _weekend(match: re.Match[str], today: date, order: str) -> _Found:
    saturday = _monday(today) + timedelta(days=5)
    if match["next"] and today.weekday() < 5:
        saturday += timedelta(weeks=1)
    return max(saturday, today), saturday + timedelta(days=1), None, False


def _shift(days: int) -> _Read:
    return lambda match, today, order: _one(today + timedelta(days=days))


def _ahead(match: re.Match[str], today: date, order: str) -> _Found | None:
    count, unit = number_of(match["count"] or "a"), match["unit"]
    if unit[0] in "m":
        first = today
        for _ in range(min(count, 24)):
            first = _next_month(first)
        last_day = (_next_month(first) - timedelta(days=1)).day
        return _one(first.replace(day=min(today.day, last_day)))
    days = {"d": 1, "t": 1, "w": 7, "f": 14}[unit[0]] * count
    return _one(today + timedelta(days=days))


def _next_few(match: re.Match[str], today: date, order: str) -> _Found:
    return today, today + timedelta(days=6), None, False


def _day_of_month(match: re.Match[str], today: date, order: str) -> _Found | None:
    day, month = int(match["day"]), today.replace(day=1)
    for _ in range(13):
        found = _dated(month.year, month.month, day)
        if found is not None and found >= today:
            return _one(found)
        month = _next_month(month)
    return None


def _week_of_month(match: re.Match[str], today: date, order: str) -> _Found:
    """The first, second, third or last seven days of a month."""
    month = _MONTH_OF[match["month"].rstrip(".")]
    first = date(today.year if month >= today.month else today.year + 1, month, 1)
    if match["nth"] == "last":
        first = _next_month(first) - timedelta(days=7)
    else:
        first += timedelta(weeks=("first", "second", "third").index(match["nth"]))
    return max(first, today), max(first + timedelta(days=6), today), None, False


_PART = (
    r"(?:(?P<part>early|beginning of|start of|first half of|mid|middle of|late|later|end of|"
    r"anfang|mitte|ende)\s+(?:of\s+)?)?(?:the\s+|der\s+|des\s+)?"
)
_TH = r"(?:st|nd|rd|th|\.)?"

# Tried in this order; the first that is found counts.
_FORMS: tuple[tuple[re.Pattern[str], _Read], ...] = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        (r"\b(?P<year>20\d\d)-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b", _iso),
        (
            r"(?<![\d.:/])(?P<left>\d{1,2})\s?(?P<mark>[./-])\s?(?P<right>\d{1,2})\s?(?P=mark)\s?"
            r"(?P<year>20\d\d|\d\d)(?!\d|:)",
            _numeric,
        ),
        (
            rf"(?:(?P<weekday>{_WD}),?\s+(?:the\s+|den\s+)?)?(?<![\d:])(?P<day>\d{{1,2}}){_TH}\s*"
            rf"(?:of\s+)?(?P<month>{_MON}){_YEAR}",
            _named,
        ),
        (
            rf"(?:(?P<weekday>{_WD}),?\s+)?\b(?P<month>{_MON})\s*(?:the\s+)?(?P<day>\d{{1,2}})"
            rf"(?:st|nd|rd|th)?(?![\d:]|\s*(?:[ap]\.?m\b|uhr)){_YEAR}",
            _named,
        ),
        (
            r"(?<![\d.:/])(?P<left>\d{1,2})(?P<mark>[./])(?P<right>\d{1,2})(?P<year>)"
            r"(?:\.(?!\d)|(?![\d.:/]|\s*(?:uhr|h\b|[ap]\.?m\b)))",
            _numeric,
        ),
        (
            rf"\b(?P<nth>first|second|third|last)\s+week\s+(?:of|in)\s+(?P<month>{_MON})",
            _week_of_month,
        ),
        (
            rf"(?<!happy )(?<!merry )(?<!frohe )(?<!frohes )\b(?P<feast>{'|'.join(_FEASTS)})\b",
            _feast,
        ),
        (r"\bday\s+after\s+(?:tomorrow|tmrw)\b|\bübermorgen\b|\buebermorgen\b", _shift(2)),
        (
            r"\btomorrow\b|\btmrw\b|\btmr\b|\b2moro\b|(?<!guten )(?<!am )(?<!jeden )\bmorgen\b"
            r"(?!\s+zusammen)",
            _shift(1),
        ),
        (r"\btoday\b|\btonight\b|\bheute\b|\bthis (?:morning|afternoon|evening)\b", _shift(0)),
        (r"\b(?:day before yesterday|vorgestern)\b", _shift(-2)),
        (r"\b(?:yesterday|gestern)\b", _shift(-1)),
        (rf"{_PART}\b(?:week after next|übernächste[rn]?\s+woche)\b", _week(2)),
        (
            rf"{_PART}\b(?:next|following|coming|nächste[rn]?|kommende[rn]?)\s+(?:week|woche)\b",
            _week(1),
        ),
        (rf"{_PART}\b(?:this|current|diese[rn]?)\s+(?:week|woche)\b", _week(0)),
        (
            rf"{_PART}\b(?:last|letzte[rn]?)\s+(?:week|woche)\b",
            lambda m, t, o: _one(t - timedelta(days=7)),
        ),
        (rf"{_PART}\b(?:next|nächste[rnms]?|kommende[rn]?)\s+(?:month|monats?)\b", _month(1)),
        (rf"{_PART}\b(?:this|diese[rnms]?|the)\s+(?:month|monats?)\b", _month(0)),
        (r"\b(?:end of (?:the )?month)(?P<part>)\b", lambda m, t, o: _month_end(t)),
        (
            r"\b(?:(?P<next>next|nächste[sn]?)\s+)?(?:this\s+|am\s+)?(?:weekend|wochenende)\b",
            _weekend,
        ),
        (rf"\bin\s+(?:about\s+)?(?:(?P<count>{NUMBER}|an?)\s+)?{_UNITS}\b(?:\s+time)?", _ahead),
        (rf"\b(?P<count>{NUMBER}|an?)\s+{_UNITS}\s+(?:from\s+(?:now|today)|ahead)\b", _ahead),
        (
            r"\b(?:next|coming|following|nächsten|kommenden)\s+(?:few\s+|paar\s+)?(?:days|"
            r"tagen?)\b",
            _next_few,
        ),
        (
            rf"\b(?:in|during|im|for|sometime in|(?P<part>early|beginning of|start of|mid|"
            rf"middle of|late|end of|anfang|mitte|ende))\s+(?P<month>{_MON})(?!\s*\d)",
            _whole_month,
        ),
    )
)
_LAST_FORMS = tuple(
    (re.compile(pattern), _day_of_month)
    for pattern in (
        r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)\b(?!\s+(?:one|option|slot|time))",
        r"\b(?:on|am|der|den|dem)\s+(?:the\s+)?(?P<day>\d{1,2})\.?(?![\d.:/]|\s*(?:uhr|h\b|"
        r"[ap]\.?m\b))",
    )
)
_WEEKDAY = re.compile(
    rf"(?:\b(?P<next>next|nächste[nr]?|naechste[nr]?)\s+|\b(?P<last>last|letzte[nr]?|"
    rf"vorige[nr]?)\s+|"
    rf"\b(?:this|coming|diese[nr]?|kommende[nr]?)\s+(?:coming\s+)?)?\b(?P<day>{_WD})"
    rf"(?P<later>\s+(?:week\b|in\s+(?:a|one|einer)\s+(?:week|woche)\b|after\s+next\b)"
    rf"|\s+in\s+(?P<weeks>{NUMBER})\s+(?:weeks|wochen)\b|\s+(?:next\s+week|nächste\s+woche)\b)?"
)
_SHORT_WEEKDAY = re.compile(
    rf"\bam\s+(?P<day>{'|'.join(_GERMAN_SHORT)})\b\.?(?=\s*(?:,|um|\d|nach|vor|früh|ab|\Z))"
    rf"|\b(?P<short>{'|'.join(_GERMAN_SHORT)})\.?\s+(?:um\b|\d{{1,2}}(?::\d\d)?\s*uhr)"
)
_WEEK_OF = re.compile(rf"\ba?\s*week\s+(?:on|from)\s+(?P<day>{_WD})")


def _month_end(today: date) -> _Found:
    last = _next_month(today) - timedelta(days=1)
    return max(today, last - timedelta(days=6)), last, None, False


def _weekdays_in(text: str, today: date) -> Days | None:
    found = list(_each_weekday(text, today))
    if found:
        days = [day for day, _, _, _ in found]
        start, end = min(at for _, at, _, _ in found), max(to for _, _, to, _ in found)
        first, last = min(days), max(days)
        if len(days) > 1 and (last - first).days > 6:
            last = first
        is_bare = all(bare for _, _, _, bare in found)
        return Days(first, last, start, end, is_weekday=is_bare)
    for form, read in _LAST_FORMS:
        for match in form.finditer(text):
            day = read(match, today, "")
            if day is not None:
                return Days(day[0], day[1], match.start(), match.end())
    return None


def _each_weekday(text: str, today: date) -> Iterator[tuple[date, int, int, bool]]:
    """The weekdays of a text, where they stand, and whether they are said alone."""
    match = _WEEK_OF.search(text)
    if match:
        day = _coming(_WEEKDAY_OF[_name(match["day"])], today) + timedelta(weeks=1)
        yield day, match.start(), match.end(), False
        return
    for match in _WEEKDAY.finditer(text):
        is_bare = not (match["next"] or match["last"] or match["later"])
        yield _weekday(match, today), match.start(), match.end(), is_bare
    match = _SHORT_WEEKDAY.search(text)
    if match:
        weekday = _GERMAN_SHORT.index(match["day"] or match["short"])
        end = match.end("day" if match["day"] else "short")
        yield _coming(weekday, today), match.start(), end, True


def _weekday(match: re.Match[str], today: date) -> date:
    weekday = _WEEKDAY_OF[_name(match["day"])]
    if match["last"]:
        return today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)
    if match["next"] or "next" in (match["later"] or "") or "nächste" in (match["later"] or ""):
        return _monday(today, 1) + timedelta(days=weekday)
    weeks = number_of(match["weeks"]) if match["weeks"] else (1 if match["later"] else 0)
    return _coming(weekday, today) + timedelta(weeks=weeks)


def _name(text: str) -> str:
    text = text.rstrip(".")
    return text if text in _WEEKDAY_OF else text.removesuffix("s")


def _coming(weekday: int, today: date) -> date:
    """The next such day, today included: whether today is meant is settled by its time."""
    return today + timedelta(days=(weekday - today.weekday()) % 7)
