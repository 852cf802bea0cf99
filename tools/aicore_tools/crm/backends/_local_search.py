"""Searching the local CRM: the fewest candidates first, else in the order that is asked for."""

# ruff: noqa: S608 - put together are fixed text and names of fields; values are bound

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.crm import cursors
from aicore_tools.crm.records import Filter, Page, Record, RecordId, Search
from aicore_tools.errors import InvalidInput

__all__ = ["MAX_INDEXED_CHARS", "record_of", "scope_word", "search", "seq_of"]

MAX_SEQ = 2**63 - 1
MAX_INDEXED_CHARS = 200
FEW = 400
_SYSTEM = ("created", "updated")
_COMPARE = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_WITHIN = {"lt": "<=", "lte": "<=", "gt": ">=", "gte": ">="}
_PHONE_QUERY = re.compile(r"\+?[0-9][0-9\s()./-]{3,}")


@dataclass(slots=True)
class _Part:
    """A piece of SQL with its values. Only fixed text and names from the catalogue are in `sql`."""

    sql: str
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _Asked:
    """A search on its way into SQL.

    `conditions` are exact and read one record `r` each. `candidates` give the seqs that might
    fit, from an index; `words` is the FTS expression, where words are looked for.
    """

    business: str
    search: Search
    conditions: list[_Part] = field(default_factory=list)
    candidates: list[_Part] = field(default_factory=list)
    words: str | None = None

    @property
    def scope(self) -> list[Any]:
        return [self.business, self.search.type]


def seq_of(record_id: str) -> int | None:
    """Give the row number an id stands for, or None where it cannot be an id of ours."""
    if record_id.isascii() and record_id.isdigit() and len(record_id) < 19:
        return int(record_id)
    return None


def scope_word(business: str, record_type: str) -> str:
    """Give the one word that every record of a business and type is indexed under."""
    return f"{business} {record_type}".encode().hex().upper()


def record_of(row: Row, **related: Any) -> Record:
    """Read a row of the table of records."""
    return Record(
        id=RecordId(str(row["seq"])),
        type=row["type"],
        fields=json.loads(row["fields"]),
        created=datetime.fromisoformat(row["created"]),
        updated=datetime.fromisoformat(row["updated"]),
        **related,
    )


def search(connection: Connection, business: str, search: Search) -> Page:
    """Give one page, by key-set: a row added meanwhile moves no other row."""
    asked = _Asked(business, search)
    asked.conditions.append(_Part("r.business = ? AND r.type = ?", asked.scope))
    asked.conditions.append(_Part("r.archived IS NULL"))
    if search.query and not _ask_words(asked):
        return Page(rows=[])
    for condition in search.filters:
        _ask_filter(asked, condition)
    rows = _rows(connection, asked, _place(search))
    shown = rows[: search.limit]
    return Page(
        rows=[record_of(row) for row in shown],
        next_cursor=_cursor(search, shown[-1]) if len(rows) > search.limit else None,
    )


def _rows(connection: Connection, asked: _Asked, place: _Part | None) -> list[Row]:
    few = _fewest(connection, asked)
    by_created = asked.search.sort.field == "created"
    if few is not None:
        _require_words(asked, "r.seq")
        source = _Part(f"({few.sql}) c CROSS JOIN record r ON r.seq = c.seq", few.values)
        return _select(connection, asked, source, place)
    if asked.words is not None and by_created:
        # FTS5 walks its rows in the order of rowid, either way, without sorting.
        asked.conditions.append(_Part("f.record_words MATCH ?", [asked.words]))
        source = _Part("record_words f CROSS JOIN record r ON r.seq = f.rowid")
        return _select(connection, asked, source, place, seq="f.rowid")
    if asked.search.sort.field in _SYSTEM:
        _require_words(asked, "r.seq")
        return _select(connection, asked, _Part("record r"), place)
    return _in_order(connection, asked, place)


def _require_words(asked: _Asked, seq: str) -> None:
    if asked.words is not None:
        words = f"{seq} IN (SELECT rowid FROM record_words WHERE record_words MATCH ?)"
        asked.conditions.append(_Part(words, [asked.words]))


def _in_order(connection: Connection, asked: _Asked, place: _Part | None) -> list[Row]:
    """Walk the index of the field to sort by; the records without the field come after."""
    name = asked.search.sort.field
    exact = asked.conditions
    rows: list[Row] = []
    is_past_values = place is not None and len(place.values) == 1
    if not is_past_values:
        asked.conditions = list(exact)
        _require_words(asked, "s.seq")
        source = _Part(
            "record_value s CROSS JOIN record r ON r.seq = s.seq AND s.business = ?"
            " AND s.type = ? AND s.field = ?",
            [*asked.scope, name],
        )
        rows = _select(connection, asked, source, place, value="s.value", seq="s.seq")
    if len(rows) <= asked.search.limit:
        asked.conditions = [*exact, _Part(f"json_extract(r.folded, '$.{name}') IS NULL")]
        _require_words(asked, "r.seq")
        asked.search = _shorter(asked.search, len(rows))
        after = place if is_past_values else None
        rows += _select(connection, asked, _Part("record r"), after, value="NULL")
    return rows


def _shorter(search: Search, by: int) -> Search:
    return Search(type=search.type, sort=search.sort, limit=search.limit - by)


def _select(
    connection: Connection,
    asked: _Asked,
    source: _Part,
    place: _Part | None,
    *,
    value: str | None = None,
    seq: str = "r.seq",
) -> list[Row]:
    search = asked.search
    expression = value or _expression(search.sort.field)
    way = "DESC" if search.sort.descending else "ASC"
    order = f"{seq} {way}"
    if search.sort.field != "created" and expression != "NULL":
        has_always = value is not None or search.sort.field in _SYSTEM
        nulls = "" if has_always else f"({expression} IS NULL), "
        order = f"{nulls}{expression} {way}, {seq} {way}"
    parts = list(asked.conditions)
    if place is not None:
        parts.append(_after(place, search, expression, seq))
    where = " AND ".join(f"({part.sql})" for part in parts)
    values = [*source.values, *(each for part in parts for each in part.values)]
    return connection.execute(
        f"SELECT r.*, {expression} AS sort_value FROM {source.sql}"
        f" WHERE {where} ORDER BY {order} LIMIT ?",
        (*values, search.limit + 1),
    ).fetchall()


def _fewest(connection: Connection, asked: _Asked) -> _Part | None:
    """Give the candidates that are few, or None where every condition fits many records."""
    best, least = None, FEW + 1
    candidates = list(asked.candidates)
    if asked.words is not None and asked.search.sort.field != "created":
        words = "SELECT rowid AS seq FROM record_words WHERE record_words MATCH ?"
        candidates.append(_Part(words, [asked.words]))
    for part in candidates:
        count = connection.execute(
            f"SELECT count(*) FROM ({part.sql} LIMIT ?)",
            (*part.values, least),
        ).fetchone()[0]
        if count < least:
            best, least = part, count
    return best


def _expression(name: str) -> str:
    if name in _SYSTEM:
        return f"r.{name}"
    stored = f"json_extract(r.folded, '$.{name}')"
    return f"CASE typeof({stored}) WHEN 'text' THEN substr({stored}, 1, {MAX_INDEXED_CHARS})" + (
        f" ELSE {stored} END"
    )


def _ask_words(asked: _Asked) -> bool:
    """Add the words to find; False where the query holds none, which matches nothing."""
    query = asked.search.query
    words = [word for word in query.split() if any(c.isalnum() for c in word)]
    if not words:
        return False
    # A quoted phrase is plain text to FTS5, whatever is in it; * makes its end open.
    match = " ".join(_quoted(word) + "*" for word in words)
    if _PHONE_QUERY.fullmatch(query.strip()):
        digits = re.sub(r"[^0-9]", "", query.strip().removeprefix("00"))
        match = f'({match}) OR "{digits}"*'
    scope = _quoted(scope_word(asked.business, asked.search.type))
    asked.words = f"(words : ({match})) AND (scope : {scope})"
    return True


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _ask_filter(asked: _Asked, condition: Filter) -> None:
    if condition.field == "linked_to":
        seq = seq_of(condition.value.id)
        linked = _Part(
            "SELECT high AS seq FROM link WHERE business = ? AND low = ?"
            " UNION ALL SELECT low FROM link WHERE business = ? AND high = ?",
            [asked.business, seq, asked.business, seq],
        )
        asked.conditions.append(_Part(f"r.seq IN ({linked.sql})", linked.values))
        asked.candidates.append(_Part(f"SELECT seq FROM ({linked.sql})", linked.values))
        return
    value = condition.value
    if condition.field in _SYSTEM:
        asked.conditions.append(_CONDITIONS[condition.op](f"r.{condition.field}", value))
    else:
        value = [_folded(item) for item in value] if isinstance(value, list) else _folded(value)
        exact = f"json_extract(r.folded, '$.{condition.field}')"
        asked.conditions.append(_CONDITIONS[condition.op](exact, value))
    candidates = _candidates(asked, condition, value)
    if candidates is not None:
        asked.candidates.append(candidates)


def _candidates(asked: _Asked, condition: Filter, value: Any) -> _Part | None:
    """Give what an index knows of a condition: all that fit, and maybe some more."""
    if condition.op == "contains":
        if len(str(value)) < 3:  # the index is of three letters each
            return None
        found = "SELECT rowid AS seq FROM record_parts WHERE record_parts MATCH ?"
        return _Part(found, [_quoted(str(value))])
    if condition.field in _SYSTEM:
        table = f"record INDEXED BY record_{condition.field}"
        place = "business = ? AND type = ? AND archived IS NULL"
        compared, scope = condition.field, asked.scope
    else:
        table, place = "record_value", "business = ? AND type = ? AND field = ?"
        compared, scope = "value", [*asked.scope, condition.field]
    bounded = _bounds(condition.op, compared, value)
    if bounded is None:
        return None
    return _Part(
        f"SELECT seq FROM {table} WHERE {place} AND {bounded.sql}",
        [*scope, *bounded.values],
    )


def _bounds(op: str, compared: str, value: Any) -> _Part | None:
    if op == "exists":
        return _Part(f"{compared} IS NOT NULL") if value else None
    if op == "neq":
        return None
    cut = [_cut(item) for item in value] if isinstance(value, list) else _cut(value)
    if op in _WITHIN:
        return _Part(f"{compared} {_WITHIN[op]} ?", [cut])
    return _CONDITIONS[op](compared, cut)


def _cut(value: Any) -> Any:
    return value[:MAX_INDEXED_CHARS] if isinstance(value, str) else value


def _compare(operator: str) -> Callable[[str, Any], _Part]:
    return lambda expression, value: _Part(f"{expression} {operator} ?", [value])


def _in(expression: str, value: Sequence[Any]) -> _Part:
    marks = ", ".join("?" * len(value))
    return _Part(f"{expression} IN ({marks})", list(value))


_CONDITIONS: Mapping[str, Callable[[str, Any], _Part]] = {
    "eq": _compare("="),
    "neq": _compare("IS NOT"),
    **{name: _compare(sign) for name, sign in _COMPARE.items()},
    "in": _in,
    "between": lambda expression, value: _Part(f"{expression} BETWEEN ? AND ?", list(value)),
    "exists": lambda expression, value: _Part(f"{expression} IS {'NOT ' if value else ''}NULL"),
    "contains": lambda expression, value: _Part(f"instr({expression}, ?) > 0", [value]),
}


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _cursor(search: Search, last: Row) -> str:
    value = None if search.sort.field == "created" else last["sort_value"]
    return cursors.pack(cursors.of_search(search), [last["seq"], value])


def _place(search: Search) -> _Part | None:
    """Read where the last page ended: its seq, and its sort value unless it had none."""
    if search.cursor is None:
        return None
    seq, value = cursors.unpack(cursors.of_search(search), search.cursor, length=2)
    if not isinstance(seq, int) or abs(seq) > MAX_SEQ or isinstance(value, list | dict):
        raise InvalidInput("This cursor is damaged.", hint="Give next_cursor as it was.")
    return _Part("", [seq] if value is None else [seq, value])


def _after(place: _Part, search: Search, expression: str, seq: str) -> _Part:
    sign = "<" if search.sort.descending else ">"
    if search.sort.field == "created":
        return _Part(f"{seq} {sign} ?", place.values)
    if len(place.values) == 1:
        lacking = "" if expression == "NULL" else f"{expression} IS NULL AND "
        return _Part(f"{lacking}{seq} {sign} ?", place.values)
    last, value = place.values
    later = f"({expression}, {seq}) {sign} (?, ?)"
    if expression == "s.value" or search.sort.field in _SYSTEM:
        return _Part(later, [value, last])
    return _Part(f"{later} OR {expression} IS NULL", [value, last])
