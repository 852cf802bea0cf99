"""The reports of the local CRM, each one query over live rows of one business."""

# ruff: noqa: S608 - what is put together is fixed text; values are bound

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.crm import cursors
from aicore_tools.crm.backends._local_reading import TITLE
from aicore_tools.crm.records import Report, ReportKind, ReportPage

__all__ = ["report"]

# What each query adds: its columns, its conditions, and the columns a page goes on from.
_LIVE = "r.business = :business AND r.archived IS NULL"
_OWNED = "(:owner IS NULL OR json_extract(r.folded, '$.owner') = :owner)"
_STAGE = "coalesce(json_extract(r.fields, '$.stage'), '')"
_CURRENCY = "coalesce(json_extract(r.fields, '$.currency'), '')"
_DUE = "json_extract(r.fields, '$.due')"
_DEAL = (
    f"r.type || ':' || r.seq AS ref, {TITLE} AS name, {_STAGE} AS stage,"
    " json_extract(r.fields, '$.amount_minor') AS amount_minor,"
    f" {_CURRENCY} AS currency, json_extract(r.fields, '$.owner') AS owner, r.updated"
)


@dataclass(frozen=True, slots=True)
class _Query:
    """A query in pieces; `place` are the columns that order its rows, without two alike."""

    select: str
    place: tuple[str, ...]
    way: str = "ASC"


_QUERIES: Mapping[ReportKind, _Query] = {
    "pipeline": _Query(
        f"SELECT {_STAGE} AS stage, {_CURRENCY} AS currency, count(*) AS deals,"
        " sum(json_extract(r.fields, '$.amount_minor')) AS amount_minor FROM record r"
        f" WHERE {_LIVE} AND r.type = 'deal' AND {_OWNED}"
        " AND (:given IS NULL OR r.created >= :given) GROUP BY 1, 2",
        ("stage", "currency"),
    ),
    "stale_deals": _Query(
        f"SELECT {_DEAL}, r.seq FROM record r WHERE {_LIVE} AND r.type = 'deal' AND {_OWNED}"
        f" AND {_STAGE} NOT IN ('won', 'lost') AND r.updated < :since AND NOT EXISTS ("
        " SELECT 1 FROM link l JOIN record n ON n.seq = l.high AND l.low = r.seq"
        " WHERE l.business = :business AND n.type IN ('note', 'task') AND n.created >= :since)",
        ("updated", "seq"),
    ),
    "overdue_tasks": _Query(
        "SELECT r.type || ':' || r.seq AS ref,"
        f" substr(json_extract(r.fields, '$.text'), 1, 300) AS text, {_DUE} AS due,"
        " json_extract(r.fields, '$.owner') AS owner, r.seq"
        f" FROM record r WHERE {_LIVE} AND r.type = 'task' AND {_OWNED} AND {_DUE} < :now"
        " AND coalesce(json_extract(r.fields, '$.is_done'), 0) = 0",
        ("due", "seq"),
    ),
    "new_records": _Query(
        f"SELECT r.type || ':' || r.seq AS ref, {TITLE} AS name, r.created,"
        " json_extract(r.fields, '$.owner') AS owner, r.seq FROM record r"
        f" WHERE {_LIVE} AND r.type IN ('contact', 'company', 'deal', 'ticket')"
        f" AND {_OWNED} AND r.created >= :since",
        ("seq",),
        "DESC",
    ),
    "duplicates": _Query(
        "SELECT v.type, v.field, v.value, group_concat(v.type || ':' || v.seq) AS refs"
        " FROM record_value v WHERE v.business = :business AND v.type IN ('contact', 'company')"
        " AND v.field IN ('email', 'phone', 'domain', 'name')"
        " GROUP BY v.type, v.field, v.value HAVING count(*) > 1",
        ("type", "field", "value"),
    ),
}


def report(connection: Connection, business: str, report: Report) -> ReportPage:
    """Give one page of a report."""
    query = _QUERIES[report.kind]
    values: dict[str, Any] = {
        "business": business,
        "since": report.start,
        "given": report.since,
        "now": report.now,
        "owner": None if report.owner is None else report.owner.casefold(),
        "limit": report.limit + 1,
    }
    after = ""
    if report.cursor is not None:
        place = cursors.unpack(cursors.of_report(report), report.cursor, length=len(query.place))
        marks = ", ".join(f":place{index}" for index in range(len(place)))
        after = f"WHERE ({', '.join(query.place)}) {'>' if query.way == 'ASC' else '<'} ({marks})"
        values |= {f"place{index}": value for index, value in enumerate(place)}
    order = ", ".join(f"{column} {query.way}" for column in query.place)
    rows = connection.execute(
        f"SELECT * FROM ({query.select}) {after} ORDER BY {order} LIMIT :limit",
        values,
    ).fetchall()
    shown = rows[: report.limit]
    cursor = None
    if len(rows) > report.limit:
        cursor = cursors.pack(
            cursors.of_report(report), [shown[-1][column] for column in query.place]
        )
    shape = _duplicate if report.kind == "duplicates" else _plain
    return ReportPage(rows=[shape(row) for row in shown], next_cursor=cursor)


def _plain(row: Row) -> dict[str, Any]:
    values = zip(row.keys(), row, strict=True)
    return {name: value for name, value in values if name != "seq" and value not in (None, "")}


def _duplicate(row: Row) -> dict[str, Any]:
    refs = sorted(row["refs"].split(","), key=lambda ref: int(ref.partition(":")[2]))
    return {"field": row["field"], "value": row["value"], "refs": refs}
