"""How values are written for a customer: times, stretches of time, money, everything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aicore.flows.whens import Calendar
from aicore.flows.wording import Wording, full, full_day, strftime

__all__ = ["show"]

_LONGEST = 4000
_WHOLE = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"})
"""Currencies without a minor unit (ISO 4217, read 2026-11)."""


def show(value: Any, spec: str, wording: Wording, calendar: Calendar) -> str:
    """Write a value by a format of a template; what is missing is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return wording.say("yes" if value else "no")
    if isinstance(value, dict) and "when" in value:
        return _period(value, wording)
    if spec.startswith("money") and isinstance(value, int | float):
        currency = spec[6:]
        return f"{value:,} {currency}" if currency in _WHOLE else f"{value / 100:,.2f} {currency}"
    moment = _moment(value) if spec else None
    if moment is not None:
        local = moment.astimezone(calendar.zone) if moment.tzinfo else moment
        return _time(local, spec, wording.language)
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return str(value)[:_LONGEST]


def _time(moment: datetime, spec: str, language: str) -> str:
    if spec == "full":
        return full(moment, language)
    if spec == "day":
        return full_day(moment, language)
    if spec == "time":
        return f"{moment:%H:%M}"
    if spec[0] in "+-":
        return (moment + timedelta(days=int(spec[:-1]))).isoformat(timespec="seconds")
    return strftime(moment, spec, language)


def _period(value: Mapping[str, Any], wording: Wording) -> str:
    when, language = value["when"], wording.language
    if not when["days"]:
        return wording.say("any")
    first, last = (datetime.fromisoformat(day) for day in when["days"])
    day = full_day(first, language)
    if first != last:
        return wording.say("days", first=day, last=full_day(last, language))
    if when["at"]:
        return wording.say("at", day=day, time=when["at"])
    key = {(True, True): "window", (True, False): "window_from", (False, True): "window_to"}
    bounds = bool(when["after"]), bool(when["before"])
    if bounds not in key:
        return day
    window = wording.say(key[bounds], start=when["after"], end=when["before"])
    return wording.say("day_window", day=day, window=window)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
