"""The queries of the local CRM. Each runs on one snapshot and sees live rows of one business."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.crm.records import (
    Activity,
    Change,
    Filter,
    Link,
    Page,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
    Search,
    Sort,
)
from aicore_tools.errors import InvalidInput

__all__ = ["find", "get", "search", "seq_of"]

MAX_SEQ = 2**63 - 1
_COMPARE = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_TITLE = "coalesce(json_extract(r.fields, '$.name'), json_extract(r.fields, '$.subject'), '')"
_PHONE_QUERY = re.compile(r"\+?[0-9][0-9\s()./-]{3,}")


class _Where:
    """Conditions that must all hold, with their values."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.values: list[Any] = []

    def add(self, part: str, *values: Any) -> None:
        self.parts.append(part)
        self.values.extend(values)

    def sql(self) -> str:
        return " AND ".join(f"({part})" for part in self.parts)


def seq_of(record_id: str) -> int | None:
    """Give the row number an id stands for, or None where it cannot be an id of ours."""
    if record_id.isascii() and record_id.isdigit() and len(record_id) < 19:
        return int(record_id)
    return None


def search(connection: Connection, business: str, search: Search) -> Page:
    """Give one page, by key-set: a row added meanwhile moves no other row."""
    where = _Where()
    where.add("r.business = ? AND r.type = ? AND r.archived IS NULL", business, search.type)
    if search.query and not _add_query(where, search.query):
        return Page(rows=[])
    for condition in search.filters:
        _add_filter(where, business, search.type, condition)
    if search.cursor is not None:
        _add_cursor(where, search)
    expression = _expression(search.sort.field)
    way = "DESC" if search.sort.descending else "ASC"
    order = f"r.seq {way}"
    if search.sort.field != "created":
        order = f"({expression} IS NULL), {expression} {way}, r.seq {way}"
    # Only fixed text and names from the catalogue are put together here; values are bound.
    rows = connection.execute(
        f"SELECT r.*, {expression} AS sort_value FROM record r"  # noqa: S608
        f" WHERE {where.sql()} ORDER BY {order} LIMIT ?",
        (*where.values, search.limit + 1),
    ).fetchall()
    shown = rows[: search.limit]
    return Page(
        rows=[_record(row) for row in shown],
        next_cursor=_cursor(search, shown[-1]) if len(rows) > search.limit else None,
    )


def get(
    connection: Connection,
    business: str,
    record_type: RecordType,
    ids: Sequence[RecordId],
    include: Collection[Related],
) -> Sequence[Record]:
    """Give the records with these ids, in this order."""
    found = []
    for record_id in ids:
        row = connection.execute(
            "SELECT * FROM record WHERE seq = ? AND business = ? AND type = ? AND archived IS NULL",
            (seq_of(record_id), business, record_type),
        ).fetchone()
        if row is not None:
            found.append(
                _record(
                    row,
                    links=_links(connection, business, row["seq"]) if "links" in include else None,
                    activity=_activity(connection, business, row["seq"])
                    if "activity" in include
                    else None,
                    history=_history(connection, business, row["seq"])
                    if "history" in include
                    else None,
                )
            )
    return found


def find(
    connection: Connection, business: str, record_type: RecordType, field: str, value: str
) -> list[RecordId]:
    """Give the ids of live records whose key field has this value."""
    rows = connection.execute(
        "SELECT k.seq FROM record_key k JOIN record r USING (seq)"
        " WHERE k.business = ? AND k.type = ? AND k.field = ? AND k.value = ?"
        " AND r.archived IS NULL ORDER BY k.seq",
        (business, record_type, field, value.casefold()),
    )
    return [RecordId(str(row["seq"])) for row in rows]


def _record(row: Row, **related: Any) -> Record:
    return Record(
        id=RecordId(str(row["seq"])),
        type=row["type"],
        fields=json.loads(row["fields"]),
        created=datetime.fromisoformat(row["created"]),
        updated=datetime.fromisoformat(row["updated"]),
        **related,
    )


def _linked(connection: Connection, business: str, seq: int, only: str, limit: int) -> list[Row]:
    return connection.execute(
        f"SELECT r.*, l.label, {_TITLE} AS name FROM link l"  # noqa: S608  fixed text
        " JOIN record r ON r.seq = CASE l.low WHEN ? THEN l.high ELSE l.low END"
        " WHERE l.business = ? AND (l.low = ? OR l.high = ?) AND r.archived IS NULL"
        f" AND {only} ORDER BY r.seq DESC LIMIT ?",
        (seq, business, seq, seq, limit),
    ).fetchall()


def _links(connection: Connection, business: str, seq: int) -> list[Link]:
    return [
        Link(ref=Ref(row["type"], RecordId(str(row["seq"]))), label=row["label"], name=row["name"])
        for row in _linked(connection, business, seq, "r.type NOT IN ('note', 'task')", 50)
    ]


def _activity(connection: Connection, business: str, seq: int) -> list[Activity]:
    activities = []
    for row in _linked(connection, business, seq, "r.type IN ('note', 'task')", 20):
        fields = json.loads(row["fields"])
        activities.append(
            Activity(
                id=RecordId(str(row["seq"])),
                kind="task" if row["type"] == "task" else fields.get("kind", "note"),
                at=fields.get("at") or fields.get("due") or row["created"],
                text=fields.get("text", ""),
            )
        )
    return activities


def _history(connection: Connection, business: str, seq: int) -> list[Change]:
    rows = connection.execute(
        "SELECT at, by, fields FROM change WHERE record = ? AND business = ?"
        " ORDER BY seq DESC LIMIT 20",
        (seq, business),
    )
    return [
        Change(
            at=datetime.fromisoformat(row["at"]),
            by=row["by"],
            fields={name: tuple(pair) for name, pair in json.loads(row["fields"]).items()},
        )
        for row in rows
    ]


def _expression(field: str) -> str:
    if field in ("created", "updated"):
        return f"r.{field}"
    return f"json_extract(r.folded, '$.{field}')"


def _add_query(where: _Where, query: str) -> bool:
    """Add the words to find; False where the query holds none, which matches nothing."""
    words = [word for word in query.split() if any(c.isalnum() for c in word)]
    if not words:
        return False
    # A quoted phrase is plain text to FTS5, whatever is in it; * makes its end open.
    match = " ".join('"' + word.replace('"', '""') + '"*' for word in words)
    if _PHONE_QUERY.fullmatch(query.strip()):
        digits = re.sub(r"[^0-9]", "", query.strip().removeprefix("00"))
        match = f'({match}) OR "{digits}"*'
    where.add("r.seq IN (SELECT rowid FROM record_fts WHERE record_fts MATCH ?)", match)
    return True


def _add_filter(where: _Where, business: str, record_type: str, condition: Filter) -> None:
    if condition.field == "linked_to":
        seq = seq_of(condition.value.id)
        where.add(
            "r.seq IN (SELECT high FROM link WHERE business = ? AND low = ?"
            " UNION ALL SELECT low FROM link WHERE business = ? AND high = ?)",
            *(business, seq, business, seq),
        )
        return
    if condition.op == "eq" and condition.field in ("email", "phone", "domain", "sku"):
        where.add(
            "r.seq IN (SELECT seq FROM record_key WHERE business = ? AND type = ?"
            " AND field = ? AND value = ?)",
            *(business, record_type, condition.field, _folded(condition.value)),
        )
        return
    value = condition.value
    if condition.field not in ("created", "updated"):
        value = [_folded(item) for item in value] if isinstance(value, list) else _folded(value)
    _CONDITIONS[condition.op](where, _expression(condition.field), value)


def _compare(operator: str) -> Callable[[_Where, str, Any], None]:
    return lambda where, expression, value: where.add(f"{expression} {operator} ?", value)


def _add_in(where: _Where, expression: str, value: Sequence[Any]) -> None:
    marks = ", ".join("?" * len(value))
    where.add(f"{expression} IN ({marks})", *value)


def _add_between(where: _Where, expression: str, value: Sequence[Any]) -> None:
    where.add(f"{expression} BETWEEN ? AND ?", *value)


def _add_exists(where: _Where, expression: str, value: bool) -> None:
    where.add(f"{expression} IS {'NOT ' if value else ''}NULL")


def _add_contains(where: _Where, expression: str, value: Any) -> None:
    where.add(f"instr({expression}, ?) > 0", value)


_CONDITIONS: Mapping[str, Callable[[_Where, str, Any], None]] = {
    "eq": _compare("="),
    "neq": _compare("IS NOT"),
    **{name: _compare(sign) for name, sign in _COMPARE.items()},
    "in": _add_in,
    "between": _add_between,
    "exists": _add_exists,
    "contains": _add_contains,
}


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _fingerprint(search: Search) -> str:
    asked = repr((search.type, search.query, list(search.filters), search.sort))
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _cursor(search: Search, last: Row) -> str:
    place = [_fingerprint(search), last["seq"]]
    if search.sort.field != "created":
        place.append(last["sort_value"])
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _add_cursor(where: _Where, search: Search) -> None:
    fingerprint, seq, value = _read_cursor(search.cursor or "")
    if fingerprint != _fingerprint(search):
        raise InvalidInput(
            "This cursor belongs to another search.",
            hint="Repeat the search it came from, changed in nothing but cursor and limit.",
        )
    sort: Sort = search.sort
    sign = "<" if sort.descending else ">"
    expression = _expression(sort.field)
    if sort.field == "created":
        where.add(f"r.seq {sign} ?", seq)
    elif value is None:
        where.add(f"{expression} IS NULL AND r.seq {sign} ?", seq)
    else:
        where.add(
            f"{expression} {sign} ? OR ({expression} = ? AND r.seq {sign} ?)"
            f" OR {expression} IS NULL",
            *(value, value, seq),
        )


def _read_cursor(cursor: str) -> tuple[str, int, Any]:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        place = None
    match place:
        case [str(fingerprint), int(seq), *rest] if abs(seq) <= MAX_SEQ:
            value = rest[0] if rest else None
            if not isinstance(value, list | dict):
                return fingerprint, seq, value
    raise InvalidInput(
        "This is no cursor of this server.", hint="Give next_cursor as it was, or leave it out."
    )
