"""Reading records of the local CRM. Each query sees live rows of one business."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from sqlite3 import Connection, Row

from aicore_tools.crm.backends._local_search import record_of, seq_of
from aicore_tools.crm.records import (
    Activity,
    Change,
    Link,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
)

__all__ = ["TITLE", "find", "get"]

TITLE = "coalesce(json_extract(r.fields, '$.name'), json_extract(r.fields, '$.subject'), '')"


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
                record_of(
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


def _linked(connection: Connection, business: str, seq: int, only: str, limit: int) -> list[Row]:
    return connection.execute(
        f"SELECT r.*, l.label, {TITLE} AS name FROM link l"  # noqa: S608  fixed text
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
