"""How an effect becomes steps: which objects are written, in which state, with what in them.

A request is `{mark, steps, contest, result}` in plain JSON. `mark` stands for the operation's
own mark, which is not known yet; a step is `{do: put, url, etag, body, undo}`, with etag null for
what must not be there yet and `own` for what the step before wrote, or `{do: delete, url, etag,
silent}`. `contest` names what a hold is compared with, `result` what the effect gives.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aicore_tools.calendars.backends.caldav_account import Collection
from aicore_tools.calendars.backends.caldav_effects import MARK_CHARS
from aicore_tools.calendars.backends.caldav_object import CalendarObject, EventName, Occurrence
from aicore_tools.calendars.backends.caldav_writing import (
    Draft,
    apply_change,
    new_draft,
    set_repeat,
    set_timing,
)
from aicore_tools.calendars.clashing import SERIES_LOOKAHEAD
from aicore_tools.calendars.invitations import own_attendee
from aicore_tools.calendars.plain import event_to_json
from aicore_tools.calendars.records import (
    Answer,
    Event,
    EventChange,
    EventId,
    NewEvent,
    Scope,
    Span,
)
from aicore_tools.calendars.recurrence import checked_rule
from aicore_tools.errors import InvalidInput

__all__ = ["Named", "Recipe", "answering", "cancelling", "changing", "creating"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What an id names: the object, and one occurrence of it unless it is meant as a whole."""

    collection: Collection
    found: CalendarObject
    occurrence: Occurrence | None = None

    @property
    def event(self) -> Event:
        """The event as a record."""
        return self.found.event(self.occurrence)

    @property
    def original(self) -> datetime | None:
        """The start by the rule, of an occurrence."""
        return self.occurrence.original if self.occurrence else None

    @property
    def is_first(self) -> bool:
        """Whether nothing of the series lies before it."""
        return self.original is None or (
            self.found.master is not None and self.original <= self.found.timing.span.start
        )


@dataclass(slots=True, kw_only=True)
class Recipe:
    """The steps of one effect, as they come together.

    `moved` is when the changed event or series then is, `own` what that cannot clash with.
    `told`: those that the server is to write to, None where it writes to nobody at all. `read` is
    the id of what the effect gives, or `shown` is that itself.
    """

    collection: Collection
    told: Sequence[str] | None
    mark: str = field(default_factory=lambda: secrets.token_hex(MARK_CHARS // 2))
    steps: list[dict[str, Any]] = field(default_factory=list)
    moved: list[Span] = field(default_factory=list)
    own: list[EventId] = field(default_factory=list)
    read: str = ""
    shown: Event | None = None
    _last: Draft | None = None

    def put(self, draft: Draft, name: EventName, found: CalendarObject | None) -> None:
        """Write an object: over `found`, or a new one."""
        if self.told is not None and (found is None or found.is_own):
            draft.call(self.told, found.event().invited if found else ())
        self._last = draft
        self.steps.append(
            {
                "do": "put",
                "url": self.collection.url_of(name),
                "etag": found.etag if found else None,
                "body": draft.body(f"{self.mark}.{len(self.steps)}"),
                "undo": found.ical.to_ical().decode() if found else None,
            }
        )

    def delete(self, found: CalendarObject) -> None:
        """Take an object away."""
        url = self.collection.url_of(found.name)
        self.steps.append({"do": "delete", "url": url, "etag": found.etag, "silent": not self.told})

    def request(self, result: dict[str, Any], *, contested: bool) -> dict[str, Any]:
        """Give the request for the journal; `contested`: what is put last is a hold at first."""
        contest = None
        if contested and self._last is not None:
            hold = self.steps[-1]
            final = self._last.body(f"{self.mark}.{len(self.steps)}")
            self.steps.append({**hold, "etag": "own", "body": final})
            mark = f"{self.mark}.{len(self.steps) - 2}"
            if self.told is not None and hold["undo"] is None:
                self._last.call((), ())  # nobody is invited before it is settled
            hold["body"] = self._last.body(mark, held_at=datetime.now(UTC))
            contest = {
                "calendar": self.collection.calendar.id,
                "own": list(self.own),
                "spans": [
                    [int(span.start.timestamp()), int(span.end.timestamp())] for span in self.moved
                ],
            }
        shown = {} if self.shown is None else {"event": event_to_json(self.shown)}
        return {
            "mark": self.mark,
            "steps": self.steps,
            "contest": contest,
            "result": {"read": self.read, **shown, **result},
        }


def creating(recipe: Recipe, new: NewEvent) -> None:
    """Book an event or a series."""
    context = recipe.collection.context
    name = EventName(new.calendar, f"{recipe.mark}.ics")
    draft = new_draft(new, recipe.mark, context.addresses[0] if context.addresses else "")
    recipe.put(draft, name, None)
    recipe.read = name.whole
    recipe.own = [name.whole]


def changing(recipe: Recipe, named: Named, change: EventChange, scope: Scope) -> None:
    """Change an event, one occurrence, one and the following, or all."""
    found = named.found
    recipe.own = [found.name.whole]
    if not found.is_series:
        _change_whole(recipe, named, change)
    elif scope == "this":
        _change_once(recipe, named, change)
    elif scope == "following" and not named.is_first:
        _split(recipe, named, change)
    else:
        _change_whole(recipe, named, change)


def cancelling(recipe: Recipe, named: Named, scope: Scope) -> None:
    """Cancel an event, one occurrence, one and the following, or all."""
    found, original = named.found, named.original
    recipe.shown = replace(named.event, status="cancelled")
    if original is None or scope == "all" or (scope == "following" and named.is_first):
        recipe.delete(found)
        return
    draft = Draft.of(found)
    if scope == "this":
        draft.skip(found, original)
    else:
        draft.cut(found, original)
    if draft.is_empty:
        recipe.delete(found)
    else:
        recipe.put(draft, found.name, found)


def answering(recipe: Recipe, named: Named, answer: Answer, scope: Scope) -> None:
    """Answer an invitation."""
    own = own_attendee(named.event)
    if own is None:
        raise InvalidInput(
            f"Nobody of this account is invited to {named.event.id}.",
            hint="The own addresses are set at the start (--address).",
        )
    draft = Draft.of(named.found)
    parts = draft.events()
    recipe.read = named.found.name.whole
    if named.occurrence is not None and named.original is not None and scope == "this":
        parts = [draft.override(named.found, named.occurrence)]
        recipe.read = named.event.id
    draft.answer(parts, own.address, answer)
    recipe.put(draft, named.found.name, named.found)


def _change_once(recipe: Recipe, named: Named, change: EventChange) -> None:
    if named.occurrence is None:
        raise InvalidInput(
            f"{named.event.id} is a whole series.",
            hint="Name one occurrence, as calendar_events lists it, or say scope=all.",
        )
    draft = Draft.of(named.found)
    part = draft.override(named.found, named.occurrence)
    timing = change.timing or named.occurrence.timing
    set_timing(part, timing)
    apply_change(part, change, named.collection.calendar.address)
    recipe.put(draft, named.found.name, named.found)
    recipe.read = named.event.id
    recipe.moved = [timing.span]


def _change_whole(recipe: Recipe, named: Named, change: EventChange) -> None:
    found, draft = named.found, Draft.of(named.found)
    master = draft.master
    if master is None:
        raise InvalidInput(
            "Only single occurrences of that series are in this calendar.",
            hint="Change one of them with scope=this.",
        )
    apply_change(master, change, named.collection.calendar.address)
    if change.timing is not None and found.is_series:
        draft.move_all(found, named.event.timing, change.timing)
    elif change.timing is not None:
        set_timing(master, change.timing)
    after = _seen(recipe, draft, found.name)
    if change.repeat is not None:
        rule = checked_rule(change.repeat, after.timing) if change.repeat else ""
        set_repeat(master, rule, after.timing)
        if not rule:
            draft.forget_overrides()
    elif found.rule and change.timing is not None:
        checked_rule(found.rule, after.timing)
    recipe.put(draft, found.name, found)
    recipe.read = found.name.whole
    recipe.moved = _whens(_seen(recipe, draft, found.name))


def _split(recipe: Recipe, named: Named, change: EventChange) -> None:
    """End the series before the occurrence, and start another there with the change made."""
    found, original, occurrence = named.found, named.original, named.occurrence
    if original is None or occurrence is None:
        raise InvalidInput(f"{named.event.id} is a whole series.", hint="Name one occurrence.")
    ended, rest = Draft.of(found), Draft.of(found)
    first = change.timing or occurrence.timing
    rest.continue_from(found, original, first)
    rest.rename(recipe.mark)
    if rest.master is None:
        raise InvalidInput("Only single occurrences of that series are in this calendar.")
    apply_change(rest.master, change, named.collection.calendar.address)
    name = EventName(found.name.calendar, f"{recipe.mark}.ics")
    if change.repeat is not None:
        set_repeat(rest.master, checked_rule(change.repeat, first) if change.repeat else "", first)
    else:
        checked_rule(_seen(recipe, rest, name).rule, first)
    ended.cut(found, original)
    recipe.put(ended, found.name, found)
    recipe.put(rest, name, None)
    recipe.read = name.whole
    recipe.own.append(name.whole)
    recipe.moved = _whens(_seen(recipe, rest, name))


def _seen(recipe: Recipe, draft: Draft, name: EventName) -> CalendarObject:
    """Read a draft as it will be read when it is written."""
    return CalendarObject(name, "", draft.ical.to_ical(), recipe.collection.context)


def _whens(found: CalendarObject) -> list[Span]:
    """Give when an event is, or a series within its first 366 days."""
    start = found.timing.span.start
    if not found.is_series:
        return [found.timing.span]
    window = Span(start, start + SERIES_LOOKAHEAD)
    return sorted(one.timing.span for one in found.occurrences(window))
