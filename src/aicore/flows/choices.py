"""Choices out of what a tool found: only what is in a saved result is ever offered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aicore.flows.schema import OptionsFrom, SlotModel
from aicore.flows.templates import Place, pick, render
from aicore.flows.whens import When

if TYPE_CHECKING:
    from aicore.flows.engine import Engine

__all__ = ["Choices"]

_SHOWN = 5


@dataclass(slots=True)
class Choices:
    """The rows that a slot may be chosen from, and those on the screen (`frame.shown`)."""

    engine: Engine
    name: str
    slot: SlotModel
    options: OptionsFrom
    rows: list[dict[str, Any]]
    is_first_source: bool = True

    @classmethod
    def of(cls, engine: Engine, name: str, slot: SlotModel) -> Choices | None:
        """Find the rows; None for a slot whose choices are not found by a tool."""
        options = slot.options
        if not isinstance(options, OptionsFrom):
            return None
        sources = [options.source] if isinstance(options.source, str) else options.source
        gone = engine.frame.gone.get(name, [])
        for source in sources:
            found = engine.frame.saved.get(source)
            rows = (
                [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
            )
            rows = [row for row in rows if row.get(options.value) not in (None, *gone)]
            if slot.refines:
                rows = [row for row in rows if _is_offerable(engine, row.get(options.value))]
            if rows:
                return cls(engine, name, slot, options, rows, source == sources[0])
        return cls(engine, name, slot, options, [])

    def settled(self, old: Any) -> dict[str, Any] | None:
        """The row that needs no question: chosen before and still there, wished for, or alone."""
        value = old.get(self.options.value) if isinstance(old, dict) else None
        for row in self.rows:
            if value is not None and row[self.options.value] == value:
                return row
        if self.slot.refines is None:
            return self.rows[0] if len(self.rows) == 1 and old is None else None
        wish = self._wish()
        exact = wish.get("exact") if wish else None
        if exact:
            for row in self.rows:
                if self.moment(row) == datetime.fromisoformat(exact):
                    return row
        return None

    def _wish(self) -> dict[str, Any] | None:
        wish = self.engine.frame.slots.get(self.slot.refines or "")
        return wish if isinstance(wish, dict) else None

    def moment(self, row: dict[str, Any]) -> datetime | None:
        """When a row is, in the business's zone."""
        found = _moment_of(self.engine, row[self.options.value])
        return found or _moment_of(self.engine, row.get("start"))

    def label(self, row: dict[str, Any]) -> str:
        """How a row reads."""

        def lookup(place: Place) -> Any:
            return pick(row, place.fields) if place.name in row else self.engine.lookup(place)

        return render(self.options.label, lookup, self.engine.show)

    def question(self, slot: SlotModel) -> str:
        """The slot's question over the rows on the screen; picks them if none are.

        Then it is also said, before the question, that the wished time is taken.
        """
        frame = self.engine.frame
        if not frame.shown or max(frame.shown) >= len(self.rows):
            wish = self._wish()
            missed = (wish and wish.get("time")) or frame.gone.get(self.name)
            if slot.taken and missed and self.is_first_source and not self._has_wished(wish):
                self.engine.said.append(self.engine.text(slot.taken))
            self.put(self._pick(wish))
        return "\n".join([self.engine.text(slot.ask), *self.numbered()])

    def _has_wished(self, wish: dict[str, Any] | None) -> bool:
        exact = wish.get("exact") if wish else None
        return exact is None and not self.engine.frame.gone.get(self.name)

    def numbered(self) -> list[str]:
        """The rows on the screen, as numbered lines."""
        shown = self.engine.frame.shown
        return [f"{n}. {self.label(self.rows[at])}" for n, at in enumerate(shown, 1)]

    def put(self, positions: Sequence[int]) -> None:
        """Put rows on the screen."""
        frame = self.engine.frame
        frame.shown = list(positions)
        frame.seen = sorted({*frame.seen, *positions})

    def unseen(self, text: str) -> list[int]:
        """Rows that were not on the screen yet; before or behind it where the text says so."""
        seen, shown = set(self.engine.frame.seen), self.engine.frame.shown
        rows = [at for at in range(len(self.rows)) if at not in seen]
        if shown and re.search(r"\b(?:earlier|früher)", text.lower()):
            return [at for at in rows if at < min(shown)][-_SHOWN:]
        if shown and re.search(r"\b(?:later|später)", text.lower()):
            rows = [at for at in rows if at > max(shown)] or [at for at in rows if at > min(shown)]
        return rows[:_SHOWN]

    def _pick(self, wish: dict[str, Any] | None) -> list[int]:
        """The rows to show first: the nearest to a wished time, else spread over what there is."""
        count = len(self.rows)
        if count <= _SHOWN or self.slot.refines is None:
            return list(range(min(count, _SHOWN if self.slot.refines else 9)))
        exact = wish.get("exact") if wish else None
        if exact:
            target = datetime.fromisoformat(exact)
            order = sorted(range(count), key=lambda at: self._distance(at, target))
            return sorted(order[:_SHOWN])
        at_clock = self._at_clock(wish)
        if at_clock:
            return at_clock[:_SHOWN]
        if wish and wish["when"]["any"]:
            return list(range(_SHOWN))
        return sorted({round(n * (count - 1) / (_SHOWN - 1)) for n in range(_SHOWN)})

    def _at_clock(self, wish: dict[str, Any] | None) -> list[int]:
        """The rows at the hour that was wished for on any of several days."""
        at = wish and wish["when"]["at"]
        moments = [self.moment(row) for row in self.rows] if at else []
        return [n for n, one in enumerate(moments) if one and f"{one:%H:%M}" == at]

    def _distance(self, at: int, target: datetime) -> float:
        moment = self.moment(self.rows[at])
        return abs((moment - target).total_seconds()) if moment else float("inf")

    def on_weekday(self, weekday: int) -> list[int]:
        """The rows on a weekday, Monday being 0."""
        moments = [self.moment(row) for row in self.rows]
        return [at for at, one in enumerate(moments) if one and one.weekday() == weekday]

    def fitting(self, when: When) -> list[int]:
        """The rows that fit what the customer said about day and time."""
        found = []
        for at, row in enumerate(self.rows):
            moment = self.moment(row)
            if moment is not None and _fits(moment, when):
                found.append(at)
        return found


def _fits(moment: datetime, when: When) -> bool:
    day, clock = moment.date(), moment.time()
    if when.days and not when.days[0] <= day <= when.days[1]:
        return False
    if when.at and clock != when.at:
        return False
    if when.after and clock < when.after:
        return False
    return not (when.before and clock >= when.before)


def _moment_of(engine: Engine, value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    zone = engine.calendar.zone
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def _is_offerable(engine: Engine, value: Any) -> bool:
    """A time that is not past, and while the business is open."""
    moment = _moment_of(engine, value)
    return moment is not None and moment > engine.calendar.now and engine.business.is_open(moment)
