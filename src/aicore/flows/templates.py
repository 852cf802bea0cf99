"""Texts with places to fill in: `Book {service} on {when:%a %d %b %H:%M}?`.

A place is a name, then fields or positions (`{free.0.start}` or `{free[0][start]}`;
`{rows.*.email}` is the list of that field), then an optional format. Only plain JSON values are
walked: no attributes, no calls, no code. Braces are written `{{` and `}}`. Formats: strftime's
`%…`, `full`, `day`, `time`, `+90d` (that much later), `money EUR` (from minor units).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["Place", "find_places", "parse_template", "pick", "render", "render_value"]

Lookup = Callable[["Place"], Any]
Show = Callable[[Any, str], str]

_PLACE = re.compile(r"\{\{|\}\}|\{(?P<path>[^{}:]*)(?::(?P<spec>[^{}]*))?\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELD = re.compile(r"\.([A-Za-z0-9_-]+|\*)|\[([A-Za-z0-9_-]+)\]")
_SPEC = re.compile(r"(?:%[aAdbBmyYHIMpj%]|[^%{}])+")
_KNOWN_SPEC = re.compile(r"full|day|time|money [A-Z]{3}|[+-]\d{1,4}d")


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a template: `fields[0]` is the name."""

    fields: tuple[str, ...]
    spec: str = ""

    @property
    def name(self) -> str:
        """The variable it reads."""
        return self.fields[0]


@lru_cache(maxsize=2048)
def parse_template(template: str) -> tuple[str | Place, ...]:
    """Split into literal texts and places. Raises: ValueError with what is wrong."""
    parts: list[str | Place] = []
    at = 0
    for match in _PLACE.finditer(template):
        parts.append(template[at : match.start()])
        at = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match["path"] is None:
            raise ValueError(f"a single {match[0]!r}: write {match[0] * 2!r} for the sign itself")
        else:
            parts.append(_place(match["path"], match["spec"] or ""))
    parts.append(template[at:])
    return tuple(part for part in parts if part != "")


def _place(path: str, spec: str) -> Place:
    head = _NAME.match(path)
    if head is None:
        raise ValueError(f"{{{path}}} is not a name")
    fields, at = [head[0]], head.end()
    while at < len(path):
        field = _FIELD.match(path, at)
        if field is None:
            raise ValueError(f"{{{path}}} is not a name with fields")
        fields.append(field[1] or field[2])
        at = field.end()
    if any(field.startswith("__") for field in fields):
        raise ValueError(f"{{{path}}} is not allowed")
    if spec and not _KNOWN_SPEC.fullmatch(spec) and not ("%" in spec and _SPEC.fullmatch(spec)):
        raise ValueError(f"{{{path}:{spec}}}: the format {spec!r} is not known")
    return Place(tuple(fields), spec)


def find_places(value: Any) -> Iterator[Place]:
    """Give the places of a text, or of all texts inside a JSON value."""
    if isinstance(value, str):
        yield from (part for part in parse_template(value) if isinstance(part, Place))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_places(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from find_places(item)


def pick(value: Any, fields: Sequence[str]) -> Any:
    """Walk into a JSON value; None where a field or position is not there.

    `*` goes into every item of a list and gives those that are there.
    """
    for at_field, field in enumerate(fields):
        if field == "*" and isinstance(value, list):
            found = (pick(item, fields[at_field + 1 :]) for item in value)
            return [item for item in found if item is not None]
        if isinstance(value, Mapping):
            value = value.get(field)
        elif isinstance(value, list) and field.isascii() and field.isdigit():
            at = int(field)
            value = value[at] if at < len(value) else None
        else:
            return None
    return value


def render(template: str, lookup: Lookup, show: Show) -> str:
    """Fill a text in; `show` formats a found value by its spec. Missing values are empty."""
    return "".join(
        part if isinstance(part, str) else show(lookup(part), part.spec)
        for part in parse_template(template)
    )


def render_value(value: Any, lookup: Lookup, show: Show) -> Any:
    """Fill in all texts of a JSON value; a text that is one bare place keeps the value's type.

    What comes out as None is left out of objects and lists.
    """
    if isinstance(value, str):
        parts = parse_template(value)
        if len(parts) == 1 and isinstance(parts[0], Place) and not parts[0].spec:
            return lookup(parts[0])
        return render(value, lookup, show)
    if isinstance(value, Mapping):
        pairs = ((key, render_value(item, lookup, show)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, list):
        items = (render_value(item, lookup, show) for item in value)
        return [item for item in items if item is not None]
    return value
